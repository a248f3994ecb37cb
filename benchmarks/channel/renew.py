"""A next build of a package: the same but for some files, as a patch release is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.channel.conda_format import FileContent, write_conda
from benchmarks.channel.container import read_files, read_info

Change = Callable[[dict[str, bytes]], Mapping[str, FileContent]]
"""Gets the files of a package by path and returns those of its next build."""


def renew(package: Path, channel: Path, change: Change, *, build: str = "next_1") -> Path:
    """Write the next build of `package` (a ``.conda`` file without links) into `channel`.

    Its build number is one higher, so that a solver prefers it. The channel must be
    indexed anew.
    """
    info = read_info(package)
    index = json.loads(info["info/index.json"])
    link = json.loads(info.get("info/link.json", b"{}"))
    return write_conda(
        channel,
        name=index["name"],
        version=index["version"],
        build=build,
        build_number=index["build_number"] + 1,
        subdir=index["subdir"],
        files=change(read_files(package)),
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


def one_line_more(name: str) -> Change:
    """Return a change that adds a line to the source whose path ends with `name`."""

    def change(files: dict[str, bytes]) -> Mapping[str, FileContent]:
        (path,) = (path for path in files if path.endswith(name))
        return {**files, path: files[path] + b"\n# one line more\n"}

    return change
