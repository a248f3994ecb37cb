from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimpack.archive.extract import Extracted, extract
from slimpack.archive.formats import FORMATS, Format, Packing, Payload
from slimpack.progress import SILENT
from slimpack.tree import Entry, Tree, bytes_entry, directory_entry, symlink_entry
from tests.archive.samples import MTIME, expected, facts, sample
from tests.archive.test_write import written

FILES = [named for named in FORMATS if named != "folder"]
_segment = st.text(
    st.characters(blacklist_characters="/\0", blacklist_categories=["Cs", "Cc"]),
    min_size=1,
    max_size=40,
).filter(lambda name: name not in (".", "..") and len(name.encode()) < 200)
_path = st.lists(_segment, min_size=1, max_size=3).map("/".join)
_content = st.one_of(
    st.binary(max_size=300), st.integers(0, 3_000_000).map(lambda size: b"ab" * (size // 2))
)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    kept: dict[str, Entry] = {}
    folders = {""}
    for path in draw(st.lists(_path, max_size=8, unique=True)):
        above = {path[:at] for at, sign in enumerate(path) if sign == "/"}
        if path in folders or any(folder in kept for folder in above):
            continue
        folders |= above
        kind = draw(st.sampled_from("fdl"))
        if kind == "f":
            mode = draw(st.sampled_from([0o644, 0o755]))
            kept[path] = bytes_entry(path, draw(_content), mode=mode)
        elif kind == "d":
            kept[path] = directory_entry(path)
        else:
            kept[path] = symlink_entry(path, draw(_path))
    return Tree(kept.values())


@pytest.mark.parametrize("named", FILES)
@settings(max_examples=25, deadline=None)
@given(tree=trees())
def test_what_is_written_is_read(named: Format, tree: Tree) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, dest = Path(folder, "archive"), Path(folder, "dest")
        written(tree, path, Packing(named, threads=2, zip_symlinks=True))
        done = extract(path, dest, progress=SILENT)
        assert facts(dest) == expected(tree)
        assert done == Extracted(tree.files, tree.size)


@pytest.mark.parametrize("named", FILES)
def test_times_survive(tmp_path: Path, named: Format) -> None:
    path = tmp_path / "archive"
    written(sample(), path, Packing(named), mtime=MTIME + 1)
    extract(path, tmp_path / "dest", progress=SILENT)
    times = {path.lstat().st_mtime for path in (tmp_path / "dest").rglob("*") if path.is_file()}
    assert times == {MTIME + 1}


@pytest.mark.parametrize("payload", get_args(Payload))
def test_every_payload_is_read(tmp_path: Path, payload: Payload) -> None:
    written(sample(), tmp_path / "env.sh", Packing("sh", payload=payload))
    extract(tmp_path / "env.sh", tmp_path / "dest", progress=SILENT)
    assert facts(tmp_path / "dest") == expected(sample())


@pytest.mark.parametrize("squashfs", ["gzip", "zstd"])
def test_every_squashfs_is_read(tmp_path: Path, squashfs: str) -> None:
    packing = Packing("squashfs", squashfs=squashfs)  # type: ignore[arg-type]
    written(sample(), tmp_path / "env.sqsh", packing)
    extract(tmp_path / "env.sqsh", tmp_path / "dest", progress=SILENT)
    assert facts(tmp_path / "dest") == expected(sample())


def test_a_zip_without_links_holds_copies(tmp_path: Path) -> None:
    written(sample(), tmp_path / "env.zip", Packing("zip"))
    extract(tmp_path / "env.zip", tmp_path / "dest", progress=SILENT)
    found = facts(tmp_path / "dest")
    assert found["bin/python"] == found["bin/python3.11"]
    assert found["lib64/libz.so"] == found["lib/libz.so.1"]
    assert not any(path.is_symlink() for path in (tmp_path / "dest").rglob("*"))


def test_the_name_of_an_archive_does_not_matter_but_its_bytes_do(tmp_path: Path) -> None:
    written(sample(), tmp_path / "env.zip", Packing("tar.gz"))
    extract(tmp_path / "env.zip", tmp_path / "dest", progress=SILENT)
    shutil.rmtree(tmp_path / "dest")
    (tmp_path / "dest").mkdir()  # empty is as good as new
    extract(tmp_path / "env.zip", tmp_path / "dest", progress=SILENT)
    assert facts(tmp_path / "dest") == expected(sample())
