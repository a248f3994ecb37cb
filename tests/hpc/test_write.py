"""squashfs, SIF and folders: what is in them, the same bytes every time, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import stat
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from slimpack.archive.formats import Packing
from slimpack.archive.squashreader import squashfs_items
from slimpack.errors import ImageError, InputError
from slimpack.hpc.flatten import flat_tar, root_of
from slimpack.hpc.write import root_packing, write_folder, write_root
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import Image
from slimpack.outputs import RootFile, RootOutput
from tests.hpc.images import CONFIG, HARD, bare_image, shell_image
from tests.oci.oci_images import MTIME, need, need_tool
from tests.oci.test_oci_rootfs import image_of, link, tar_layer


def written(image: Image, path: Path, *, gzip: bool = False, threads: int = -1) -> RootFile:
    packing = Packing(
        format="squashfs", squashfs="gzip" if gzip else "zstd", level=3, threads=threads
    )
    form = "sif" if path.suffix == ".sif" else "squashfs"
    return write_root(image, RootOutput(str(path), form), packing)


def unsquashed(path: Path, root: Path, *, offset: int = 0) -> Path:
    need_tool("unsquashfs")
    command = ["unsquashfs", "-q", "-n", "-o", str(offset), "-d", str(root), str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return root


def test_the_layers_are_laid_over_each_other(tmp_path: Path) -> None:
    told = written(shell_image(tmp_path / "blobs"), tmp_path / "x.sqsh")
    assert told.size == (tmp_path / "x.sqsh").stat().st_size
    root = unsquashed(tmp_path / "x.sqsh", tmp_path / "root")
    assert (root / "old/new").read_text() == "new" * 100_000
    assert not (root / "old/file").exists()
    assert not (root / "app/gone").exists()
    assert not list(root.rglob(".wh.*"))
    assert (root / "bin/sh").readlink() == Path("busybox")
    assert stat.S_IMODE((root / "bin/su").stat().st_mode) == 0o755
    assert "OLD" not in (root / "etc/environment").read_text()
    for path in (root, *root.rglob("*")):
        status = path.lstat()
        assert (status.st_uid, status.st_gid) == (os.getuid(), os.getgid())
        # The folders that nobody listed have no time.
        assert status.st_mtime in (MTIME, 0), path


@pytest.mark.parametrize("name", ["x.sqsh", "x.sif"])
def test_the_same_image_gives_the_same_bytes(tmp_path: Path, name: str) -> None:
    image = shell_image(tmp_path / "blobs")
    one = written(image, tmp_path / "one" / name, threads=1)
    two = written(image, tmp_path / "two" / name, threads=2)
    assert one.sha256 == two.sha256
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    other = written(image, tmp_path / "three" / name, gzip=True)
    assert other.sha256 != one.sha256


def test_a_folder_has_what_the_squashfs_has(tmp_path: Path) -> None:
    image = shell_image(tmp_path / "blobs")
    written(image, tmp_path / "x.sqsh")
    folder = tmp_path / "folder"
    assert write_folder(image, f"{folder}/").sha256 == ""
    with (tmp_path / "x.sqsh").open("rb") as stream:
        found = {
            item.name: b"".join(data) for item, data in squashfs_items(stream, "x", max_members=999)
        }
    assert sorted(found) == sorted(
        [".", *(str(path.relative_to(folder)) for path in folder.rglob("*"))]
    )
    for name, data in found.items():
        if (folder / name).is_file() and not (folder / name).is_symlink():
            assert (folder / name).read_bytes() == data


def test_hard_links_and_times_stay(tmp_path: Path) -> None:
    early = link("")
    early.type, early.mtime = b"5", 1000
    layers = tar_layer(("d", early), ("f", "text")), tar_layer(("g", link("f", b"1")))
    image = image_of(*layers)
    written(image, tmp_path / "x.sqsh")
    root = unsquashed(tmp_path / "x.sqsh", tmp_path / "root")
    assert (root / "d").stat().st_mtime == 1000
    assert (root / "f").read_text() == (root / "g").read_text() == "text"


def test_siftool_reads_a_sif(tmp_path: Path) -> None:
    need_tool("siftool")
    path = tmp_path / "x.sif"
    written(shell_image(tmp_path / "blobs"), path)

    def siftool(*words: object) -> str:
        done = subprocess.run(
            ["siftool", *map(str, words)], check=True, capture_output=True, text=True
        )
        return done.stdout

    assert "Primary Architecture: amd64" in siftool("header", path)
    listed = siftool("list", path)
    assert "JSON.Generic" in listed
    assert "FS (Squashfs/*System/amd64)" in listed
    told = json.loads(siftool("dump", 1, path))
    assert told["data"]["attributes"]["labels"] == {"org.example": "yes"}
    assert json.loads(siftool("dump", 2, path))["WorkingDir"] == "/app/data"
    with path.open("rb") as stream:
        table = stream.read(40960)
    offset, size = struct.unpack_from("<qq", table, 4096 + 2 * 585 + 17)
    assert offset % 4096 == 0
    assert offset + size == path.stat().st_size
    assert os.access(path, os.X_OK)
    assert (unsquashed(path, tmp_path / "root", offset=offset) / "old/new").exists()


def test_squashfuse_mounts_it(tmp_path: Path) -> None:
    need_tool("squashfuse")
    need(os.access("/dev/fuse", os.R_OK | os.W_OK), "there is no /dev/fuse for us")
    written(shell_image(tmp_path / "blobs"), tmp_path / "x.sqsh")
    (tmp_path / "root").mkdir()
    subprocess.run(["squashfuse", tmp_path / "x.sqsh", tmp_path / "root"], check=True)
    try:
        assert (tmp_path / "root/old/new").read_text() == "new" * 100_000
    finally:
        subprocess.run(["umount", tmp_path / "root"], check=True)


def test_the_steps_of_enroot(tmp_path: Path) -> None:
    """`enroot create` unpacks; `enroot start` sets /etc/environment, and runs sh /etc/rc."""
    need(os.geteuid() == 0, "entering a root file system needs root")
    written(shell_image(tmp_path / "blobs"), tmp_path / "x.sqsh")
    root = unsquashed(tmp_path / "x.sqsh", tmp_path / "root")
    lines = (root / "etc/environment").read_text().splitlines()
    env = dict(line.split("=", 1) for line in lines)
    assert env == {"PATH": "/bin", "HARD": HARD, "TEST_BOTH": "image"}

    def started(*words: str) -> str:
        command = [shutil.which("chroot") or "chroot", str(root), "/bin/sh", "/etc/rc", *words]
        return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout

    assert started() == "[one two][th$ree]"
    assert started("$HOME", "b  c") == "[$HOME][b  c]"
    (root / "etc/rc.local").write_text('set -- "$PWD" "$HARD"\n')
    assert started("x") == f"[/app/data][{HARD}]"


def test_nothing_is_left_of_a_damaged_image(tmp_path: Path) -> None:
    image = shell_image(tmp_path / "blobs")
    root = root_of(image)
    bad = replace(root.image.layers[1], diff_id="sha256:" + "0" * 64)
    broken = replace(root, image=replace(root.image, layers=(root.image.layers[0], bad)))
    with pytest.raises(ImageError):
        list(flat_tar(broken, advance=lambda size: None))
    with pytest.raises(ImageError):
        written(replace(image, layers=(image.layers[0], bad)), tmp_path / "x.sqsh")
    assert [path.name for path in tmp_path.iterdir()] == ["blobs"]


def test_what_does_not_fit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="always compressed"):
        root_packing("none", None)
    with pytest.raises(InputError, match="no compression level 12"):
        root_packing("gzip", 12)
    odd = bare_image(tmp_path / "blobs", replace(CONFIG, architecture="loong64"))
    with pytest.raises(InputError, match="no name for the architecture loong64"):
        written(odd, tmp_path / "x.sif")
    assert written(odd, tmp_path / "x.sqsh").size
    (tmp_path / "folder.sqsh").mkdir()
    with pytest.raises(InputError, match="no regular file"):
        written(odd, tmp_path / "folder.sqsh")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="needs mksquashfs"):
        root_packing("zstd", None)


def test_an_image_of_nothing(tmp_path: Path) -> None:
    written(image_of(), tmp_path / "x.sqsh")
    root = unsquashed(tmp_path / "x.sqsh", tmp_path / "root")
    assert (root / "etc/hosts").read_bytes() == b""
    assert (root / ".singularity.d/runscript").exists()
    assert ImageConfig().workdir == ""
