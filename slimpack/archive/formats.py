"""Which archives there are, and how each is packed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from slimpack.errors import InputError
from slimpack.oci.compress import cores

Format = Literal["tar.zst", "tar.gz", "tar.xz", "tar.bz2", "tar", "zip", "squashfs", "sh", "folder"]
Codec = Literal["zstd", "gzip", "xz", "bzip2", "none"]
Payload = Literal["gzip", "zstd", "none"]

FORMATS: tuple[Format, ...] = get_args(Format)
DEFAULT_FORMAT: Format = "tar.zst"

SUFFIXES: Mapping[str, Format] = {
    ".tar.zst": "tar.zst",
    ".tzst": "tar.zst",
    ".tar.gz": "tar.gz",
    ".tgz": "tar.gz",
    ".tar.xz": "tar.xz",
    ".txz": "tar.xz",
    ".tar.bz2": "tar.bz2",
    ".tbz2": "tar.bz2",
    ".tar": "tar",
    ".zip": "zip",
    ".squashfs": "squashfs",
    ".sqsh": "squashfs",
    ".sh": "sh",
}
"""How the name of an archive ends, for each format but the folder."""

_ALIASES: Mapping[str, Format] = {
    **{suffix[1:]: named for suffix, named in SUFFIXES.items()},
    "folder": "folder",
    "no-archive": "folder",  # what conda-pack calls it
}
_CODECS: Mapping[Format, Codec] = {
    "tar.zst": "zstd",
    "tar.gz": "gzip",
    "tar.xz": "xz",
    "tar.bz2": "bzip2",
    "tar": "none",
}
_LEVELS: Mapping[str, tuple[range, int]] = {
    "zstd": (range(1, 23), 9),
    "gzip": (range(1, 10), 6),
    "xz": (range(10), 6),
    "bzip2": (range(1, 10), 9),
    "none": (range(1), 0),
    "deflate": (range(10), 6),
}
_MAX_THREADS = 6  # zstd holds 25 MiB for each at level 9


@dataclass(frozen=True)
class Packing:
    """How an archive is written.

    level: of the compressor, None for its default. 1 to 22 for zstd (default 9), 1 to 9
        for gzip (6) and bzip2 (9), 0 to 9 for zip (6; 0 stores) and xz (6).
    threads: workers, -1 for as many as there are cores (6 at most); they change the
        speed and never the bytes.
    zip_symlinks: zip only. False writes what a link leads to in its place; True keeps
        the link. Info-ZIP's unzip and busybox restore links, but Python's zipfile,
        Java and Hadoop (and so Spark on YARN) make small text files of them:
        ``bin/python`` would not start. Copies are right everywhere, and bigger.
    payload: sh only, how the tar inside is compressed. gzip is on every machine.
    squashfs: compressor of the file system; gzip is for kernels without zstd.
    Raises InputError for a format, a level, or a number of threads that does not exist.
    """

    format: Format = DEFAULT_FORMAT
    level: int | None = None
    threads: int = -1
    zip_symlinks: bool = False
    payload: Payload = "gzip"
    squashfs: Literal["zstd", "gzip"] = "zstd"

    def __post_init__(self) -> None:
        _one_of("format", self.format, FORMATS)
        _one_of("payload", self.payload, get_args(Payload))
        _one_of("squashfs compressor", self.squashfs, ("zstd", "gzip"))
        levels, _ = self._levels
        if self.level is not None and self.level not in levels:
            raise InputError(
                f"{self._what} has no compression level {self.level}",
                hint=f"use {levels[0]} to {levels[-1]}" if len(levels) > 1 else "give no level",
            )
        if self.threads < 1 and self.threads != -1:
            raise InputError(
                f"cannot compress with {self.threads} threads", hint="use 1 or more, or -1 for all"
            )

    @property
    def codec(self) -> Codec:
        """Compressor of the tar that the archive is or holds."""
        return self.payload if self.format == "sh" else _CODECS.get(self.format, "none")

    @property
    def effective_level(self) -> int:
        """The level that is used: as given, or the compressor's default."""
        return self._levels[1] if self.level is None else self.level

    @property
    def workers(self) -> int:
        """Number of threads that compress."""
        return self.threads if self.threads > 0 else min(cores(), _MAX_THREADS)

    @property
    def _levels(self) -> tuple[range, int]:
        if self.format == "zip":
            return _LEVELS["deflate"]
        return _LEVELS[self.squashfs if self.format == "squashfs" else self.codec]

    @property
    def _what(self) -> str:
        inside = {"sh": self.payload, "squashfs": self.squashfs}.get(self.format)
        return f"{self.format} ({inside})" if inside else self.format


def _one_of(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(f"unknown {what} {value!r}", hint=f"use one of {', '.join(known)}")


def format_of(path: str, given: str | None = None) -> Format:
    """Tell the format of the archive to be written at `path`.

    given: a format's name, or None to tell it from how the name ends. A trailing
    slash or a folder that exists means the folder format. Raises InputError for a
    name that tells nothing, an unknown format, and a name that says another one.
    """
    named = _named(path)
    if given is None:
        if named is None:
            raise InputError(
                f"{path}: the name does not tell what kind of archive to write",
                hint=f"end it with {', '.join(SUFFIXES)} or / (a folder), or pass --format",
            )
        return named
    wanted = _ALIASES.get(given)
    if wanted is None:
        raise InputError(
            f"unknown archive format {given!r}", hint=f"use one of {', '.join(FORMATS)}"
        )
    if named is not None and named != wanted:
        raise InputError(
            f"{path} is named like a {named}, but {wanted} was asked for",
            hint="change the name or leave out the format",
        )
    return wanted


def _named(path: str) -> Format | None:
    if path.endswith("/") or Path(path).is_dir():
        return "folder"
    name = path.rpartition("/")[2]
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.endswith(suffix) and name != suffix:
            return SUFFIXES[suffix]
    return None
