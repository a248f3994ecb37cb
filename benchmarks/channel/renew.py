"""A next build of a package: the same but for some files, as a patch release is."""

from __future__ import annotations

import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import zstandard

from benchmarks.channel.conda_format import Executable, FileContent, Symlink, write_conda
from benchmarks.channel.container import read_files, read_info

Change = Callable[[dict[str, bytes]], Mapping[str, FileContent]]
"""Gets the files of a package by path and returns those of its next build."""


def renew(package: Path, channel: Path, change: Change, *, build: str = "next_1") -> Path:
    """Write the next build of `package` (a ``.conda`` file) into `channel`.

    Its build number is one higher, so that a solver prefers it. Links and modes stay. The
    channel must be indexed anew.
    """
    info = read_info(package)
    links, programs = read_kinds(package)
    files = {
        name: Executable(data) if name in programs and isinstance(data, bytes | str) else data
        for name, data in change(read_files(package)).items()
    }
    index = json.loads(info["info/index.json"])
    link = json.loads(info.get("info/link.json", b"{}"))
    return write_conda(
        channel,
        name=index["name"],
        version=index["version"],
        build=build,
        build_number=index["build_number"] + 1,
        subdir=index["subdir"],
        files={**files, **{name: Symlink(target) for name, target in links.items()}},
        depends=index["depends"],
        constrains=index.get("constrains", ()),
        noarch=index.get("noarch"),
        entry_points=link.get("noarch", {}).get("entry_points", ()),
        license=index["license"],
        license_files={
            name.removeprefix("info/licenses/"): data
            for name, data in info.items()
            if name.startswith("info/licenses/")
        },
    )


def read_kinds(package: Path) -> tuple[dict[str, str], frozenset[str]]:
    """Return path -> target of a ``.conda`` package's links, and which files can be run.

    Here and not in `container`: what the channel's packages are made by, they follow from.
    """
    links, programs = {}, set()
    with zipfile.ZipFile(package) as archive:
        (name,) = [name for name in archive.namelist() if name.startswith("pkg-")]
        with archive.open(name) as packed:
            stream: IO[Any] = zstandard.ZstdDecompressor().stream_reader(packed)
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for member in tar:
                    if member.issym():
                        links[member.name] = member.linkname
                    elif member.isfile() and member.mode & 0o100:
                        programs.add(member.name)
    return links, frozenset(programs)


def one_line_more(name: str) -> Change:
    """Return a change that adds a line to the source whose path ends with `name`."""

    def change(files: dict[str, bytes]) -> Mapping[str, FileContent]:
        (path,) = (path for path in files if path.endswith(name))
        return {**files, path: files[path] + b"\n# one line more\n"}

    return change
