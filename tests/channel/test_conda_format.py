"""The .conda writer: what is inside, and that it repeats to the byte."""

from __future__ import annotations

import json
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import zstandard

from benchmarks.channel.conda_format import (
    FIXED_TIME,
    PLACEHOLDER,
    Executable,
    FileContent,
    Symlink,
    prefix_mode,
    read_files,
    read_info,
    write_conda,
)
from benchmarks.channel.errors import ChannelError
from benchmarks.channel.index import index_channel, normalized

FILES: dict[str, FileContent] = {
    "bin/tool": Executable(f"#!{PLACEHOLDER}/bin/python\n"),
    "lib/libx.so.1": b"\x7fELF\0" + PLACEHOLDER.encode() + b"/lib\0",
    "lib/libx.so": Symlink("libx.so.1"),
    "share/plain.txt": "plain",
}


def info_of(package: Path, name: str) -> Any:
    return json.loads(read_info(package)[f"info/{name}"])


def test_the_placeholder_has_condas_length() -> None:
    assert len(PLACEHOLDER) == 255
    assert PLACEHOLDER.startswith("/")


def test_prefixes_are_found_and_registered(tmp_path: Path) -> None:
    package = write_conda(tmp_path, name="tool", files=FILES)
    assert package == tmp_path / "linux-64/tool-1.0-0.conda"
    records = {r["_path"]: r for r in info_of(package, "paths.json")["paths"]}
    assert list(records) == sorted(FILES)
    assert records["bin/tool"]["file_mode"] == "text"
    assert records["lib/libx.so.1"]["file_mode"] == "binary"
    assert records["lib/libx.so.1"]["prefix_placeholder"] == PLACEHOLDER
    assert records["lib/libx.so"]["path_type"] == "softlink"
    assert "file_mode" not in records["share/plain.txt"]
    assert read_info(package)["info/has_prefix"].decode().count("\n") == 2


def test_a_prefix_can_be_hidden_from_the_metadata(tmp_path: Path) -> None:
    package = write_conda(tmp_path, name="tool", files=FILES, prefix_files={})
    assert all("file_mode" not in r for r in info_of(package, "paths.json")["paths"])
    with pytest.raises(ChannelError, match="no such file: bin/nope"):
        write_conda(tmp_path, name="tool", files=FILES, prefix_files={"bin/nope": "text"})


def test_compiled_python_is_not_registered(tmp_path: Path) -> None:
    files = {"lib/x.pyc": PLACEHOLDER.encode() + b"\0"}
    package = write_conda(tmp_path, name="tool", files=files)
    assert "file_mode" not in info_of(package, "paths.json")["paths"][0]


def test_metadata_is_written(tmp_path: Path) -> None:
    package = write_conda(
        tmp_path,
        name="noa",
        version="2.0",
        build="pyh_0",
        noarch="python",
        depends=["python >=3.9"],
        constrains=["other <2"],
        entry_points=["noa = noa:main"],
        run_exports={"weak": ["noa >=2"]},
        license="MIT",
        license_files={"LICENSE": b"text"},
        files={"site-packages/noa.py": "def main(): pass\n"},
    )
    assert package.parent.name == "noarch"
    index = info_of(package, "index.json")
    assert index["subdir"] == "noarch"
    assert index["noarch"] == "python"
    assert index["depends"] == ["python >=3.9"]
    assert index["constrains"] == ["other <2"]
    assert index["timestamp"] == FIXED_TIME * 1000
    assert info_of(package, "link.json")["noarch"]["entry_points"] == ["noa = noa:main"]
    assert info_of(package, "run_exports.json") == {"weak": ["noa >=2"]}
    assert read_info(package)["info/licenses/LICENSE"] == b"text"
    assert read_files(package) == {"site-packages/noa.py": b"def main(): pass\n"}


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    first = write_conda(tmp_path / "a", name="tool", files=FILES).read_bytes()
    mask = os.umask(0o077)
    try:
        second = write_conda(tmp_path / "b", name="tool", files=dict(reversed(FILES.items())))
    finally:
        os.umask(mask)
    assert first == second.read_bytes()


def test_modes_and_times_are_fixed(tmp_path: Path) -> None:
    package = write_conda(tmp_path, name="tool", files=FILES)
    with zipfile.ZipFile(package) as archive:
        assert archive.namelist()[0] == "metadata.json"
        assert {i.compress_type for i in archive.infolist()} == {zipfile.ZIP_STORED}
        with archive.open("pkg-tool-1.0-0.tar.zst") as packed:
            stream = zstandard.ZstdDecompressor().stream_reader(packed)
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                members = {m.name: (m.mode, m.mtime, m.uid, m.uname) for m in tar}
    assert members["bin/tool"] == (0o755, FIXED_TIME, 0, "root")
    assert members["share/plain.txt"] == (0o644, FIXED_TIME, 0, "root")
    assert members["lib/libx.so"][0] == 0o777


def test_a_folder_can_be_packed(tmp_path: Path) -> None:
    (tmp_path / "stage/share").mkdir(parents=True)
    (tmp_path / "stage/share/a.txt").write_text("a")
    (tmp_path / "stage/link").symlink_to("share")
    package = write_conda(
        tmp_path, name="tool", files_dir=tmp_path / "stage", files={"share/b.txt": "b"}
    )
    assert read_files(package) == {"share/a.txt": b"a", "share/b.txt": b"b"}
    assert [r["_path"] for r in info_of(package, "paths.json")["paths"]] == [
        "link",
        "share/a.txt",
        "share/b.txt",
    ]


def test_nothing_is_left_behind_when_packing_fails(tmp_path: Path) -> None:
    with pytest.raises(ChannelError):
        write_conda(tmp_path, name="tool", prefix_files={"nope": "text"})
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


@pytest.mark.parametrize(
    ("data", "mode"),
    [(b"x", None), (PLACEHOLDER.encode(), "text"), (PLACEHOLDER.encode() + b"\0", "binary")],
)
def test_prefix_mode(data: bytes, mode: str | None) -> None:
    assert prefix_mode(data) == mode


def test_an_index_repeats_to_the_byte(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_conda(tmp_path / folder, name="tool", files=FILES)
        index_channel(tmp_path / folder)
    first, second = (tmp_path / f / "linux-64/repodata.json.zst" for f in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    repodata = json.loads(zstandard.ZstdDecompressor().decompress(first.read_bytes()))
    assert list(repodata["packages.conda"]) == ["tool-1.0-0.conda"]
    assert (tmp_path / "a/noarch/repodata.json").is_file()


def test_the_time_of_indexing_is_dropped() -> None:
    repodata = b'{"packages.conda": {"a": {"indexed_timestamp": 1, "name": "a"}}}'
    assert normalized(repodata) == b'{"packages.conda":{"a":{"name":"a"}}}'
