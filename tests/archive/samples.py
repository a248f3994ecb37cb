"""Trees, and what became of them, for the tests of archives."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

from slimpack.archive.selfextract import Payload
from slimpack.tree import Tree, bytes_entry, directory_entry, symlink_entry

MTIME = 1_600_000_000
Facts = dict[str, tuple[object, ...]]
"""What one path is: kind, mode, content or target."""


def sample() -> Tree:
    """A tree with all kinds of entries, small files and one of several blocks."""
    noise = random.Random(7)
    return Tree(
        [
            bytes_entry("bin/python3.11", b"#!/bin/sh\nexit 0\n", mode=0o755),
            symlink_entry("bin/python", "python3.11"),
            symlink_entry("lib64", "lib"),
            bytes_entry("lib/libz.so.1", noise.randbytes(5000), mode=0o755),
            symlink_entry("lib/libz.so", "libz.so.1"),
            bytes_entry("lib/big.bin", noise.randbytes(700_000) + bytes(2_500_000)),
            bytes_entry("lib/block.bin", noise.randbytes(1 << 20)),
            bytes_entry("lib/empty", b""),
            bytes_entry(f"lib/{'long' * 30}/{'name' * 40}.txt", b"long\n"),
            symlink_entry("lib/far", f"{'long' * 30}/{'name' * 40}.txt"),
            bytes_entry("share/grüße/日本 語.txt", "ü".encode()),
            bytes_entry("conda-meta/history", b""),
            directory_entry("var/nothing"),
        ]
    )


def installer(payload: Payload) -> bytes:
    """A script that unpacks what is behind it into the folder ``$1``, in plain sh."""
    text = """#!/bin/sh
set -e
# PLACE
mkdir -p "$1"
tail -c +OFFSET "$0" | UNPACK | tar -xf - -C "$1"
exit 0
"""
    unpack = {"gzip": "gzip -dc", "zstd": "zstd -dc", "none": "cat"}[payload.compression]
    text = text.replace("UNPACK", unpack)
    length = len(text) - len("# PLACE") - len("OFFSET") + len(payload.line(0)) + 12
    place = f"{length + 1:012}"
    return text.replace("# PLACE", payload.line(length)).replace("OFFSET", place).encode()


def listing(folder: Path) -> list[str]:
    """Return the names in a folder."""
    return sorted(path.name for path in folder.iterdir())


def facts(root: Path) -> Facts:
    """Return what lies below `root`."""
    return dict(_facts(root, root))


def _facts(root: Path, folder: Path) -> Iterator[tuple[str, tuple[object, ...]]]:
    for path in sorted(folder.iterdir()):
        name = str(path.relative_to(root))
        mode = path.lstat().st_mode & 0o7777
        if path.is_symlink():
            yield name, ("symlink", str(path.readlink()))
        elif path.is_dir():
            yield name, ("directory", mode)
            yield from _facts(root, path)
        else:
            yield name, ("file", mode, path.read_bytes())


def expected(tree: Tree) -> Facts:
    """Return what should lie below a folder that `tree` was unpacked into."""
    found: Facts = {}
    for entry in tree:
        for match in re.finditer("/", entry.path):
            found.setdefault(entry.path[: match.start()], ("directory", 0o755))
        if entry.link:
            found[entry.path] = ("symlink", entry.link)
        elif entry.opener is None:
            found[entry.path] = ("directory", entry.mode)
        else:
            found[entry.path] = ("file", entry.mode, entry.read())
    return found
