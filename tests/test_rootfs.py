"""Images unpacked to a folder, and what hostile ones do to it: nothing."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tarfile
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slimpack.errors import ImageError, InputError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import make_image
from slimpack.oci.layer import build_layer
from slimpack.oci.rootfs import layer_members, merged_view
from slimpack.rootfs import tree_of, unpack_image
from slimpack.tree import Entry, Kind, bytes_entry
from tests.oci.oci_images import MTIME, PLAIN, need, sample_image, sample_tree
from tests.oci.test_oci_rootfs import image_of, link, tar_layer


def special(kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo("x")
    info.type = kind
    return info


def regular(mode: int = 0o644, uid: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo("x")
    info.mode, info.uid, info.mtime = mode, uid, MTIME
    return info


def facts(entry: Entry) -> tuple[object, ...]:
    return entry.path, entry.kind, entry.mode, entry.link, entry.uid, entry.gid, entry.size


def test_the_tree_comes_back(tmp_path: Path) -> None:
    image = sample_image(tmp_path / "blobs")
    root = tmp_path / "root"
    done = unpack_image(image, root)
    expected = {entry.path: entry for entry in sample_tree()}
    found = tree_of(merged_view(image), root)
    for path, entry in expected.items():
        assert facts(found[path]) == facts(entry)
        if entry.kind is Kind.FILE:
            assert found[path].read() == entry.read() == (root / path).read_bytes()
            assert (root / path).stat().st_mtime == MTIME
    assert done.files == sum(entry.kind is not Kind.DIRECTORY for entry in expected.values())
    assert done.size == sum(entry.size for entry in expected.values())
    assert stat.S_IMODE((root / "tmp").stat().st_mode) == 0o1777
    if os.geteuid() == 0:
        assert (root / "home/nonroot").stat().st_uid == 65532
        assert (root / "etc/passwd").stat().st_uid == 0


def test_another_image_does_not_change_a_folder_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root/mine").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        unpack_image(sample_image(tmp_path / "blobs"), tmp_path / "root")
    assert (tmp_path / "root/mine").read_text() == "mine"


def test_setuid_is_told_and_not_made(tmp_path: Path) -> None:
    image = image_of(tar_layer(("su", regular(0o6755)), ("d", special(tarfile.DIRTYPE))))
    unpack_image(image, tmp_path / "root")
    assert stat.S_IMODE((tmp_path / "root/su").stat().st_mode) == 0o755
    assert tree_of(merged_view(image), tmp_path / "root")["su"].mode == 0o6755


def test_whiteouts_and_replacements(tmp_path: Path) -> None:
    low = tar_layer(("a", "low"), ("d", None), ("d/x", "low"), ("d/y", "low"), ("f", "low"))
    high = tar_layer((".wh.a", ""), ("d/.wh..wh..opq", ""), ("d/z", "high"), ("f", None))
    top = tar_layer(("f/in", "top"))
    unpack_image(image_of(low, high, top), tmp_path / "root")
    found = {str(p.relative_to(tmp_path / "root")) for p in (tmp_path / "root").rglob("*")}
    assert found == {"d", "d/z", "f", "f/in"}


def test_hard_links_keep_the_content_that_they_were_made_to(tmp_path: Path) -> None:
    low = tar_layer(
        ("a", "first"),
        ("b", link("a", tarfile.LNKTYPE)),
        ("c", link("b", tarfile.LNKTYPE)),
        ("s", link("/outside")),
        ("t", link("s", tarfile.LNKTYPE)),
    )
    high = tar_layer(("d", link("c", tarfile.LNKTYPE)), ("a", "second"), (".wh.b", ""))
    image = image_of(low, high)
    root = tmp_path / "root"
    unpack_image(image, root)
    assert [(root / name).read_text() for name in "acd"] == ["second", "first", "first"]
    assert (root / "c").samefile(root / "d")
    assert (root / "t").readlink() == Path("/outside")
    assert tree_of(merged_view(image), root)["d"].read() == b"first"


def test_the_last_of_two_members_of_one_name_wins(tmp_path: Path) -> None:
    layer = tar_layer(("a", "1"), ("l", link("a", tarfile.LNKTYPE)), ("a", "22"))
    unpack_image(image_of(layer), tmp_path / "root")
    assert (tmp_path / "root/a").read_text() == "22"
    assert (tmp_path / "root/l").read_text() == "1"


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_are_left_out(tmp_path: Path, kind: bytes) -> None:
    image = image_of(
        tar_layer(("dev/x", special(kind)), ("y", link("dev/x", tarfile.LNKTYPE)), ("z", "z"))
    )
    done = unpack_image(image, tmp_path / "root")
    assert done.skipped == ("dev/x", "y")
    assert done.files == 1
    assert not (tmp_path / "root/y").exists()
    assert [entry.path for entry in tree_of(merged_view(image), tmp_path / "root")] == ["z"]


HOSTILE: dict[str, list[list[Any]]] = {
    "below a link of a lower layer": [[("a", link("/etc"))], [("a/passwd", "x")]],
    "below a relative link": [[("a", link("../../.."))], [("a/b/c", "x")]],
    "below a link of the same layer": [[("a", link("..")), ("a/x", "x")]],
    "a link, later below it": [[("a/x", "x")], [("a", link("..")), ("a/x/y", "y")]],
    "below a file": [[("a", "x"), ("a/b", "x")]],
    "below a device": [[("a", special(tarfile.CHRTYPE)), ("a/b", "x")]],
    "a hard link to what is not there": [[("a", link("b", tarfile.LNKTYPE))]],
    "a hard link to what comes later": [[("a", link("b", tarfile.LNKTYPE)), ("b", "x")]],
    "a hard link to a folder": [[("d", None), ("a", link("d", tarfile.LNKTYPE))]],
    "a hard link to what is whited out": [
        [("b", "x")],
        [(".wh.b", ""), ("a", link("b", tarfile.LNKTYPE))],
    ],
    "an impossible owner": [[("a", regular(uid=(1 << 32) - 1))]],
    "a huge owner": [[("a", regular(uid=1 << 60))]],
    "a target that is too long": [[("a", link("x" * 5000))]],
    "a link to nothing": [[("a", link(""))]],
    "a name that is too long": [[("x" * 300, "x")]],
    "too deep": [[("d/" * 200 + "x", "x")]],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_images_are_refused_and_leave_nothing(tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    image = image_of(*(tar_layer(*members) for members in HOSTILE[name]))
    with pytest.raises(ImageError):
        unpack_image(image, outside / "root")
    assert list(outside.iterdir()) == []


def test_no_opener_follows_a_link_put_there_later(tmp_path: Path) -> None:
    image = image_of(tar_layer(("a", "inside")))
    unpack_image(image, tmp_path / "root")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "root/a").unlink()
    (tmp_path / "root/a").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic links"):
        tree_of(merged_view(image), tmp_path / "root")["a"].read()


def test_sizes_are_bounded_before_anything_is_written(tmp_path: Path) -> None:
    image = image_of(tar_layer(("a", "x" * 2000)))
    with pytest.raises(ImageError, match="decompression bomb"):
        unpack_image(image, tmp_path / "root", max_bytes=1000)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_layer_leaves_nothing(tmp_path: Path) -> None:
    layer = tar_layer(("a", "x" * 20_000))
    bad = replace(layer, diff_id="sha256:" + "0" * 64)
    with pytest.raises(ImageError):
        unpack_image(image_of(bad), tmp_path / "root", view=merged_view(image_of(layer)))
    assert list(tmp_path.iterdir()) == []


def test_a_view_of_another_image_is_noticed(tmp_path: Path) -> None:
    view = merged_view(image_of(tar_layer(("b", "x"), ("a", "x"))))
    with pytest.raises(ImageError, match="no layer holds /a"):
        unpack_image(image_of(tar_layer(("b", "x"))), tmp_path / "root", view=view)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("names", [(), ("a",), ("a", "c"), ("b", "a"), ("a", "b", "c")])
def test_members_that_are_not_there_are_noticed(tmp_path: Path, names: tuple[str, ...]) -> None:
    layer = tar_layer(("a", "x"), ("b", ""))
    listed = {
        layer.digest: layer_members(
            tar_layer(*((name, "x" if name == "a" else "") for name in names))
        )
    }
    with pytest.raises(ImageError, match="does not hold what it was made of"):
        unpack_image(image_of(layer), tmp_path / "root", view={}, listed=listed)
    assert list(tmp_path.iterdir()) == []
    right = {layer.digest: layer_members(layer)}
    unpack_image(image_of(layer), tmp_path / "root", listed=right)


def test_memory_does_not_depend_on_the_size_of_files(tmp_path: Path) -> None:
    blob = tmp_path / "big"
    with blob.open("wb") as out:
        out.truncate(200 << 20)
    entry = replace(bytes_entry("big", b""), size=200 << 20, opener=lambda: blob.open("rb"))
    store = BlobStore(tmp_path / "blobs", durable=False)
    layer = build_layer("big", [entry], blobs=store, mtime=0, compression=PLAIN)
    image = make_image([layer], ImageConfig())
    tracemalloc.start()
    unpack_image(image, tmp_path / "root")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / "root/big").stat().st_size == 200 << 20
    assert peak < 32 << 20


@pytest.fixture
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that another user may write to."""
    need(os.geteuid() == 0, "only root can become another user")
    folder = Path("/tmp") / tmp_path_factory.mktemp("public").name  # others may not enter pytest's
    folder = Path(f"{folder}-{os.getpid()}")
    folder.mkdir()
    folder.chmod(0o777)
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=True)


def test_anybody_can_unpack_read_and_remove(public: Path) -> None:
    program = f"""
import os, shutil, stat, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from pathlib import Path
from slimpack.oci.rootfs import merged_view
from slimpack.rootfs import tree_of, unpack_image
from tests.oci.test_oci_rootfs import image_of, tar_layer
from tests.test_rootfs import regular, special
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
closed = special(b"5")
closed.mode = 0
image = image_of(tar_layer(("d", closed), ("d/a", "inside"), ("d/b", regular(0o004, 7))))
root = Path({str(public)!r}) / "root"
unpack_image(image, root)
tree = tree_of(merged_view(image), root)
print(tree["d/a"].read(), tree["d/b"].read(), oct(tree["d/b"].mode), tree["d/b"].uid)
print(oct(stat.S_IMODE((root / "d/b").stat().st_mode)), (root / "d").stat().st_uid)
shutil.rmtree(root)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "b'inside' b'' 0o4 7\n0o404 65534\n"
    assert list(public.iterdir()) == []
