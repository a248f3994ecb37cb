"""The path that an environment's files name: not always the one where it lies.

An environment that was moved, copied or mounted elsewhere still names the path
that it was installed to; so does one that is reached through a link.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from slimpack.env.meta import Installed, InstalledFile
from slimpack.prefix.compare import restored_file
from slimpack.prefix.shebang import shortened

_SAMPLES = 12
_HEAD_BYTES = 4096
_SAMPLE_BYTES = 1024 * 1024
_INTERPRETER = re.compile(rb"#![ ]*(?P<prefix>/[^\n]*?)/bin/[^/\s]+[^\n]*")


def homes_of(prefix: Path, origin: str) -> tuple[str, ...]:
    """Return the paths that all mean the prefix: packages may have come by any of them."""
    return tuple(dict.fromkeys([origin, str(prefix), os.path.realpath(prefix)]))


def find_origin(prefix: Path, installed: Installed) -> str:
    """Return the path that the files of `prefix` name.

    That is the path for which the digests of restored files come out right;
    `prefix` itself when no file tells.
    """
    here = str(prefix)
    samples = list(_samples(prefix, installed))
    for origin in dict.fromkeys([here, os.path.realpath(prefix), *_named(prefix, installed)]):
        if any(_proves(data, file, origin) for data, file in samples):
            return origin
    return here


def _proves(data: bytes, file: InstalledFile, origin: str) -> bool:
    """Tell whether the digest comes out right for `origin` and not for whatever path.

    A first line with ``/usr/bin/env`` is restored without any: it proves nothing.
    """
    return (
        origin.encode() in data
        and restored_file(data, file, [origin]) is not None
        and restored_file(data, file, [file.placeholder]) is None
    )


def _samples(prefix: Path, installed: Installed) -> Iterator[tuple[bytes, InstalledFile]]:
    """Yield small files whose packaged form is known and held a placeholder."""
    files = (
        file
        for package in installed.packages
        for file in package.files
        if file.placeholder and file.sha256
    )
    left = _SAMPLES
    for file in files:
        path = prefix / file.path
        if left and path.is_file() and path.stat().st_size <= _SAMPLE_BYTES:
            left -= 1
            yield path.read_bytes(), file


def _named(prefix: Path, installed: Installed) -> Iterable[str]:
    """Yield the paths that the first lines of scripts name, each once."""
    found: dict[str, None] = {}
    for package in installed.packages:
        for file in package.files:
            path = prefix / file.path
            if file.path.startswith("bin/") and path.is_file():
                with path.open("rb") as stream:
                    match = _INTERPRETER.match(shortened(stream.read(_HEAD_BYTES)))
                if match:
                    found[os.fsdecode(match["prefix"])] = None
    return found
