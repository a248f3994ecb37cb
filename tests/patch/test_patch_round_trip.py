"""What is rebuilt is the blob itself, and patches hold only what is new."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import tarfile
import tempfile
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimpack.errors import ImageError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import Compression
from slimpack.oci.digest import sha256
from slimpack.oci.layer import TAR, Layer
from slimpack.patch.apply import Patcher
from slimpack.patch.make import PatchMaker
from slimpack.tree import bytes_entry, hardlink_entry, symlink_entry
from tests.oci.oci_images import BY_KIND, LAZY, sample_layers
from tests.patch.patching import files, layer, made, noise, rebuilt

SITE = "opt/env/lib/python3.11/site-packages"


@pytest.mark.parametrize(
    "how",
    [*BY_KIND.values(), Compression("zstd", 9), Compression("zstd", 17), Compression("gzip", 9)],
)
def test_the_blob_is_the_same_to_the_bit(tmp_path: Path, how: Compression) -> None:
    same, data = noise(1, 300_000), noise(2, 300_000)
    old = files(tmp_path / "old", {"a": same, "b": data}, how)
    changed = data[:1000] + b"changed" + data[1000:]
    new = files(tmp_path / "new", {"a": same, "b": changed, "c": b"x"}, how)
    info, patch = made(new, [old], tmp_path)
    assert (info.kind, info.media_type) == (how.kind, how.media_type)
    assert len(patch) < 1500
    found = rebuilt(patch, [old], tmp_path)
    assert found == new
    with found.open() as rebuilt_blob, new.open() as blob:
        assert rebuilt_blob.read() == blob.read()
    assert [path.name for path in (tmp_path / "scratch").iterdir()] == []


def test_a_large_layer_goes_through_many_segments(tmp_path: Path) -> None:
    """A file of more than a segment, moved to a layer of its own, with bytes put in."""
    big = noise(1, 9 << 20)
    old = [files(tmp_path, {"x/a": noise(2, 5000)}), files(tmp_path, {"x/big": big})]
    content = big[: 3 << 20] + noise(3, 1000) + big[3 << 20 :]
    new = files(tmp_path, {"x/big": content, "y": noise(4, 1 << 20)})
    _, patch = made(new, old, tmp_path)
    assert len(patch) < (1 << 20) + 40_000
    assert rebuilt(patch, old, tmp_path) == new


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"{SITE}/idna-3.10.dist-info/RECORD", f"{SITE}/idna-3.11.dist-info/RECORD"),
        ("opt/env/lib/libfoo.so.1.2.3", "opt/env/lib/libfoo.so.1.3"),
        ("opt/env/conda-meta/idna-3.10-pyh1_0.json", "opt/env/conda-meta/idna-3.11-pyh29d_1.json"),
        (f"{SITE}/foo/old/core.py", f"{SITE}/foo/new/core.py"),
        ("opt/env/lib/python3.11/os.py", "opt/env/lib/python3.12/os.py"),
    ],
)
def test_a_file_is_found_under_its_old_name(tmp_path: Path, before: str, after: str) -> None:
    data = noise(1, 200_000)
    old = files(tmp_path, {before: data, "other": noise(2, 200_000)})
    new = files(tmp_path, {after: data[:-1] + b"!"})
    _, patch = made(new, [old], tmp_path)
    assert len(patch) < 1500
    assert rebuilt(patch, [old], tmp_path) == new


def test_only_bases_that_serve_are_named(tmp_path: Path) -> None:
    data = noise(1, 400_000)
    old = [
        files(tmp_path, {"a": data}),
        files(tmp_path, {"b": noise(2, 400_000)}),
        files(tmp_path, {"licence": b"Permission is hereby granted. " * 40}),
    ]
    new = files(tmp_path, {"a": data + b"1", "licence": b"Permission is hereby granted. " * 40})
    info, _ = made(new, old, tmp_path)
    assert [base.digest for base in info.bases] == [old[0].digest]
    assert info.bases[0].diff_id == old[0].diff_id


def test_links_and_every_kind_of_header(tmp_path: Path) -> None:
    data = noise(1, 100_000)
    entries = [
        bytes_entry("a", data),
        hardlink_entry("b", "a", mode=0o644),
        symlink_entry("c", "a"),
        bytes_entry("d" * 120 + "/" + "e" * 120, data[:70_000]),
    ]
    old = layer(tmp_path, entries[:3])
    new = layer(tmp_path, entries)
    _, patch = made(new, [old], tmp_path)
    assert rebuilt(patch, [old], tmp_path) == new
    for number, sample in enumerate(sample_layers(tmp_path / "sample")):
        _, patch = made(sample, [sample], tmp_path, limit=1 << 20)
        assert rebuilt(patch, [sample], tmp_path / str(number)) == sample


def test_the_same_layers_give_the_same_patch(tmp_path: Path) -> None:
    big = noise(2, 5 << 20)
    old = files(tmp_path, {"a": noise(1, 50_000), "b": big})
    new = files(tmp_path, {"a": noise(1, 40_000), "b": big[1:]})
    assert made(new, [old], tmp_path) == made(new, [old], tmp_path)


def test_no_patch_that_is_not_smaller(tmp_path: Path) -> None:
    old = files(tmp_path, {"a": noise(1, 50_000)})
    new = files(tmp_path, {"a": noise(2, 50_000)})
    out = io.BytesIO()
    with PatchMaker([old], scratch=tmp_path) as maker:
        assert maker.make(new, out) is None
        assert maker.make(old, out, limit=20) is None
    assert out.getvalue() == b""


def test_no_patch_of_what_another_compressor_made(tmp_path: Path) -> None:
    old = files(tmp_path, {"a": noise(1, 50_000)}, BY_KIND["gzip"])
    with old.open_tar() as stream:
        tar = stream.read()
    blob = gzip.compress(tar, 6, mtime=0)
    new = replace(old, digest=sha256(blob), size=len(blob), source=lambda: io.BytesIO(blob))
    with PatchMaker([old], scratch=tmp_path) as maker:
        assert maker.make(new, io.BytesIO()) is None


@pytest.mark.parametrize("how", LAZY.values(), ids=LAZY)
def test_layers_in_pieces_have_no_patch_and_serve_as_bases(
    tmp_path: Path, how: Compression
) -> None:
    data = noise(1, 300_000)
    lazy = files(tmp_path / "lazy", {"a": data}, how)
    plain = files(tmp_path / "plain", {"a": data, "b": b"new"})
    for new in (lazy, replace(lazy, annotations={})):  # whoever lost them finds out by trying
        with PatchMaker([plain], scratch=tmp_path) as maker:
            assert maker.make(new, io.BytesIO()) is None
    _, patch = made(plain, [lazy], tmp_path)
    assert len(patch) < 1500
    assert rebuilt(patch, [lazy], tmp_path) == plain


def test_a_tar_that_is_none_gives_no_patch_and_serves_none(tmp_path: Path) -> None:
    data = b"this is no tar" * 100
    odd = Layer(TAR, sha256(data), len(data), sha256(data), lambda: io.BytesIO(data))
    new = files(tmp_path, {"a": b"text " * 1000})
    with PatchMaker([odd], scratch=tmp_path) as maker:
        assert maker.make(odd, io.BytesIO()) is None
        info = maker.make(new, io.BytesIO(), limit=1 << 20)
    assert info is not None
    assert info.bases == ()


def test_a_damaged_base_is_an_error(tmp_path: Path) -> None:
    old = files(tmp_path, {"a": noise(1, 50_000)})
    new = files(tmp_path, {"a": noise(1, 50_000) + b"!"})
    damaged = replace(old, source=lambda: io.BytesIO(bytes(old.size)))
    with PatchMaker([damaged], scratch=tmp_path) as maker, pytest.raises(ImageError):
        maker.make(new, io.BytesIO())
    _, patch = made(new, [old], tmp_path)
    with pytest.raises(ImageError, match=old.digest):
        rebuilt(patch, [damaged], tmp_path)
    assert not list((tmp_path / "blobs").rglob("*.tmp"))


def test_bases_are_opened_once(tmp_path: Path) -> None:
    old = files(tmp_path, {"a": noise(1, 90_000), "b": noise(2, 90_000)})
    opened = []

    def source() -> io.BytesIO:
        opened.append(1)
        return io.BytesIO((tmp_path / "sha256" / old.digest[7:]).read_bytes())

    counted = replace(old, source=source)
    patches = []
    with PatchMaker([counted], scratch=tmp_path) as maker:
        for name, seed in (("a", 1), ("b", 2)):
            out = io.BytesIO()
            assert maker.make(files(tmp_path, {name: noise(seed, 90_000) + b"!"}), out)
            patches.append(out.getvalue())
    assert len(opened) == 1
    with Patcher(lambda digest: counted, scratch=tmp_path) as patcher:
        for patch in patches:
            patcher.apply(io.BytesIO(patch), BlobStore(tmp_path / "blobs"))
    assert len(opened) == 2


_CONTENT = st.builds(
    lambda parts: b"".join(noise(seed, size) for seed, size in parts),
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3000)), max_size=4),
)
_FILES = st.dictionaries(
    st.sampled_from(["a", "b-1.0/x", "b-1.1/x", "c/d.so.1", "c/d.so.2", "c/\u00e9"]), _CONTENT
)


@settings(max_examples=60, deadline=None)
@given(st.lists(_FILES, max_size=3), _FILES, st.sampled_from([*BY_KIND.values()]))
def test_any_layer_from_any_others(
    before: list[dict[str, bytes]], after: dict[str, bytes], how: Compression
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        old = [files(folder, content) for content in before]
        new = files(folder, after, how)
        _, patch = made(new, old, folder, limit=1 << 20)
        assert rebuilt(patch, old, folder) == new


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.text("abc", min_size=1), st.binary(max_size=2000)), max_size=6))
def test_tars_of_others(members: list[tuple[str, bytes]]) -> None:
    """Any order, the same path twice, padding at the end; uncompressed, so always ours to make."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:") as tar:
        for path, data in members:
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    data = out.getvalue()
    new = Layer(TAR, sha256(data), len(data), sha256(data), lambda: io.BytesIO(data))
    with tempfile.TemporaryDirectory() as name:
        old = files(Path(name), {"a": b"".join(data for _, data in members)})
        _, patch = made(new, [old], Path(name), limit=1 << 20)
        assert rebuilt(patch, [old], Path(name)) == new


def test_memory_does_not_depend_on_the_size(tmp_path: Path) -> None:
    """Layers of 160 MB, of which a twentieth is new, in a process of its own."""
    script = textwrap.dedent(
        """
        import random, sys
        from pathlib import Path
        from slimpack.tree import file_entry
        from tests.patch.patching import layer, made, rebuilt
        folder = Path(sys.argv[1])
        piece = random.Random(1).randbytes(1 << 20)
        def entry(name, at, more=b""):
            (folder / name).write_bytes(piece[at:] + more + piece[:at])
            return file_entry(f"files/{at:03}", folder / name)
        entries = [entry(f"old{at}", at) for at in range(160)]
        old = layer(folder, entries)
        entries[::20] = [entry(f"new{at}", at, b"more") for at in range(0, 160, 20)]
        new = layer(folder, entries)
        _, patch = made(new, [old], folder, limit=100_000)
        assert rebuilt(patch, [old], folder) == new
        status = Path("/proc/self/status").read_text()
        print(status.split("VmHWM:")[1].split()[0])  # ru_maxrss starts with that of who forked
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert int(done.stdout) < 400 << 10
