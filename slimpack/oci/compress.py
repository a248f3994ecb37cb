"""Compression of layers, the same on every machine.

A compressed layer is as reproducible as its tar if the compressor is: zstd
always runs in its multithreaded mode (one worker or many give the same bytes,
while zero workers do not), knows the size in advance, and adds a checksum;
gzip gets a fixed header without time, name or operating system. The bytes still
depend on the version of the library (see `Compression.library`).

Docker before 23.0 and skopeo's docker-archive know no zstd: that is what gzip is for.

Layers whose files can be read one by one (`slimpack.oci.toc`) are gzip or zstd too, in pieces.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Literal, cast, get_args

import zstandard

from slimpack.errors import ImageError, InputError
from slimpack.oci.digest import CHUNK, Writable
from slimpack.oci.gzipped import GzipWriter

Kind = Literal["zstd", "gzip", "none"]
Name = Literal["zstd", "gzip", "none", "zstd:chunked", "estargz"]
"""What users call a compression: its kind, or that in pieces with a table of contents."""

_MAX_WORKERS = 6  # each holds a piece of the input and tables: some 50 MiB at level 9
_WINDOW_LOG = 23
_HASH_LOG = 22
LEVELS: dict[str, range] = {"zstd": range(1, 23), "gzip": range(1, 10), "none": range(1)}
_PIECES = 1  # raised whenever layers in pieces get other bytes (slimpack.oci.toc and its users)


@dataclass(frozen=True)
class Compression:
    """How layers are compressed.

    level: 1 to 22 for zstd (3 to 12 are sensible), 1 to 9 for gzip, 0 for none.
    threads: workers, -1 for as many as there are cores (6 at most); they
        change the speed and never the bytes.
    chunked: in pieces, with a table of contents: zstd:chunked, or eStargz for gzip. Then
        `first` are the paths of files that come first.
    Raises InputError for a kind, a level or a number of threads that does not exist.
    """

    kind: Kind = "zstd"
    level: int = 9
    threads: int = -1
    chunked: bool = False
    first: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise InputError(f"unknown compression {self.kind!r}", hint="use zstd, gzip or none")
        if self.kind == "none" and self.chunked:
            raise InputError("pieces without compression have no format", hint="use zstd or gzip")
        levels = LEVELS[self.kind]
        if self.level not in levels:
            raise InputError(
                f"{self.kind} has no level {self.level}", hint=f"use {levels[0]} to {levels[-1]}"
            )
        if self.threads < 1 and self.threads != -1:
            raise InputError(
                f"cannot compress with {self.threads} threads", hint="use 1 or more, or -1 for all"
            )

    @property
    def media_type(self) -> str:
        """Media type of a tar compressed this way (image-spec v1.1, media-types.md)."""
        suffix = {"zstd": "+zstd", "gzip": "+gzip", "none": ""}[self.kind]
        return f"application/vnd.oci.image.layer.v1.tar{suffix}"

    @property
    def library(self) -> str:
        """Name and version of what makes the bytes: digests are stable as long as it stays."""
        if self.kind == "zstd":
            return "zstd " + ".".join(map(str, zstandard.ZSTD_VERSION))
        return f"zlib {zlib.ZLIB_RUNTIME_VERSION}" if self.kind == "gzip" else "none"

    @property
    def name(self) -> Name:
        """What users call it."""
        if not self.chunked:
            return self.kind
        return "zstd:chunked" if self.kind == "zstd" else "estargz"

    @property
    def workers(self) -> int:
        """How many threads there are."""
        return self.threads if self.threads > 0 else min(cores(), _MAX_WORKERS)

    @property
    def key(self) -> str:
        """All that the compressed bytes depend on besides the input, for a cache key.

        For pieces, those of `first` that are in the input come on top.
        """
        wide = f"-w{_WINDOW_LOG}" if self.kind == "zstd" else ""
        pieces = f"-pieces{_PIECES}" if self.chunked else ""
        return f"{self.kind}-{self.level}{wide}-{self.library}{pieces}".replace(" ", "-")

    @contextmanager
    def writer(self, out: Writable, size: int) -> Iterator[Writable]:
        """Open a writer that compresses exactly `size` bytes into `out`, as one piece.

        Closing the context writes the end; `out` stays open. Raises ImageError
        if more or fewer than `size` bytes were written.
        """
        threads = self.workers
        if self.kind == "zstd":
            compressor = zstandard.ZstdCompressor(
                compression_params=zstd_parameters(self.level, size, threads)
            )
            stream = compressor.stream_writer(
                cast("io.BytesIO", out), size=size, write_size=CHUNK, closefd=False
            )
            try:
                yield stream
                stream.flush(zstandard.FLUSH_FRAME)
            except zstandard.ZstdError as error:
                raise ImageError(f"zstd refused {size} bytes of a layer: {error}") from error
        elif self.kind == "gzip":
            with closing(GzipWriter(out, self.level, threads)) as writer:
                yield writer
                writer.finish(size)
        else:
            yield out


DEFAULT = Compression()
"""zstd at level 9: for conda environments some 12 % smaller than level 3, 1 % larger than 12."""


_KINDS: dict[Name, Kind] = {"zstd:chunked": "zstd", "estargz": "gzip"}


def chosen(name: Name, level: int | None, *, first: frozenset[str] = frozenset()) -> Compression:
    """Return a compression; level None is the kind's own: 9 for zstd, 6 for gzip.

    first: paths of files that come first in pieces.
    """
    usual = {"zstd": DEFAULT.level, "gzip": 6, "none": 0}
    kind, chunked = kind_of(name), name in _KINDS
    level = usual[kind] if level is None else level
    return Compression(kind, level, chunked=chunked, first=first if chunked else frozenset())


def kind_of(name: Name) -> Kind:
    """Return the kind of a compression."""
    return _KINDS.get(name) or cast("Kind", name)


def zstd_parameters(
    level: int, size: int, threads: int, **other: int
) -> zstandard.ZstdCompressionParameters:
    """Return what makes a level right for layers, which are larger than what levels expect.

    A window of 8 MiB, the most that every decoder must take (RFC 8878, 3.1.1.1.2), a
    table of matches to go with it, and pieces of 16 MiB that know half a window of what
    came before. Levels for speed, whose tables fit a processor's cache, stay as they are.
    other: settings of zstd that go before these.
    """
    usual = zstandard.ZstdCompressionParameters.from_level(level, source_size=size)
    settings = {"write_checksum": 1, "write_content_size": 1, "threads": threads}
    if usual.strategy >= zstandard.STRATEGY_LAZY2 and usual.window_log <= _WINDOW_LOG:
        # zstd makes both smaller again for a layer that is.
        settings |= {
            "window_log": _WINDOW_LOG,
            "hash_log": max(usual.hash_log, _HASH_LOG),
            "job_size": 2 << _WINDOW_LOG,
            "overlap_log": 8,
        }
    return zstandard.ZstdCompressionParameters.from_level(
        level, source_size=size, **{**settings, **other}
    )


def cores() -> int:
    """Return how many processor cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1
