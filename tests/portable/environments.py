"""Small environments as a portable archive holds them, made in code."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from slimpack.portable.records import PrefixedFile, PrefixRecord, find_records
from slimpack.portable.script import NAME, conda_unpack_script
from slimpack.tree import Tree, file_entry

LONG = "/home/builder/feedstock/_h_env_" + "placehold_" * 20 + "end"
SHORT = "/opt/another_builder/" + "x" * 100
# path -> (content, placeholder, mode)
FILES: dict[str, tuple[bytes, str, str]] = {
    "bin/a tool": (f"#!{LONG}/bin/python\nx = '{LONG}{LONG}'\n".encode(), LONG, "text"),
    "etc/é.conf": (LONG.encode(), LONG, "text"),
    "etc/words": (f"one {SHORT}\0/share\ntwo {SHORT}b/e\n".encode(), SHORT, "text"),
    "lib/lib.so": (
        f"\x7fELF\0a{LONG}/lib:{LONG}/share\0tail\0\0{LONG}\0\xff{SHORT}\0{LONG}b".encode(
            "latin-1"
        ),
        LONG,
        "binary",
    ),
    "lib/large.so": (b"\0\1" * 70_000 + f"{SHORT}/x\0".encode() + b"\2" * 66_000, SHORT, "binary"),
}
READ_ONLY = "etc/words"
_MTIME = 1_000_000_000


def make(root: Path, files: dict[str, tuple[bytes, str, str]] | None = None) -> Path:
    """Write an environment as it comes out of an archive, with its conda-unpack."""
    files = FILES if files is None else files
    for path, (data, _, _) in files.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        place.chmod(0o755 if path.startswith("bin/") else 0o444 if path == READ_ONLY else 0o644)
        os.utime(place, (_MTIME, _MTIME))
    (root / "conda-meta").mkdir(exist_ok=True)
    (root / "conda-meta" / "history").write_bytes(b"")
    (root / "bin").mkdir(exist_ok=True)
    program = root / NAME
    program.write_bytes(conda_unpack_script(records(root, files), "1.2.3"))
    program.chmod(0o755)
    return root


def records(root: Path, files: dict[str, tuple[bytes, str, str]]) -> tuple[PrefixRecord, ...]:
    return find_records(tree(root, files), prefixed(files))


def prefixed(files: dict[str, tuple[bytes, str, str]]) -> list[PrefixedFile]:
    return [
        PrefixedFile(path, placeholder, "text" if mode == "text" else "binary")
        for path, (_, placeholder, mode) in files.items()
    ]


def tree(root: Path, files: Iterable[str]) -> Tree:
    return Tree(file_entry(path, root / path) for path in files)


def expected(prefix: str, files: dict[str, tuple[bytes, str, str]] | None = None) -> dict[str, str]:
    """What `digests` must give once `prefix` is in the files, told in another way than ours."""
    made = {}
    for path, (data, placeholder, mode) in (FILES if files is None else files).items():
        old, new = placeholder.encode(), prefix.encode()
        if mode == "text":
            data = data.replace(old, new)
        else:
            strings = []
            for string in data.split(b"\0"):
                padding = b"\0" * ((len(old) - len(new)) * string.count(old))
                strings.append(string.replace(old, new) + padding)
            data = b"\0".join(strings)
        made[path] = hashlib.sha256(data).hexdigest()
    return made


def digests(root: Path) -> dict[str, str]:
    """Digests of the files of an environment, after a look at modes, times and left-overs."""
    assert not [*root.rglob("*.tmp"), *root.rglob("*.tmp.*")]
    for path in FILES:
        status = (root / path).stat()
        wanted = 0o755 if path.startswith("bin/") else 0o444 if path == READ_ONLY else 0o644
        assert (stat.S_IMODE(status.st_mode), status.st_mtime) == (wanted, _MTIME), path
    return {path: hashlib.sha256((root / path).read_bytes()).hexdigest() for path in FILES}


def programs(folder: Path, names: Iterable[str]) -> Path:
    """A folder for PATH that holds these programs only."""
    folder.mkdir()
    for name in names:
        found = shutil.which(name)
        assert found is not None, name
        (folder / name).symlink_to(found)
    return folder
