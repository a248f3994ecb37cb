"""What GPU code would weigh in a layer if it were stored in other ways: an experiment.

``python -m benchmarks.gpu.recode LIBRARY... --arch sm_90 --out RESULT.json`` reads libraries of
NVIDIA's or PyTorch's, takes the entries that a device needs (all without --arch), and compresses
them as a layer is, with the window that layers have and with 128 MiB, the most that zstd's own
decoders take unasked:

kept      as the library has them: each entry is compressed by itself
unpacked  as the driver would find them without compression, which it reads as well
repacked  each compressed again, at --levels; a sample, because level 19 is slow

Entries that are compressed with LZ4 (cuFFT, some of cuSPARSE) and LTO-IR stay as they are.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import zstandard

from slimpack.cuda.arch import device_number
from slimpack.cuda.fatbin import CUBIN, PTX, Entry
from slimpack.cuda.keep import needed
from slimpack.cuda.trim import gpu_code
from slimpack.oci.compress import DEFAULT, cores, zstd_parameters

# Places in an entry's header (slimpack.cuda.fatbin).
_HEADER_SIZE, _PACKED_SIZE, _FLAGS, _UNPACKED_SIZE = 4, 16, 40, 56
_ZSTD = 0x8000
_WIDE = {"window_log": 27, "enable_ldm": 1}
_SAMPLE = 64 << 20
"""Bytes, unpacked, of the entries that are compressed again."""


def entries(stream: BinaryIO, size: int, device: int | None) -> list[Entry]:
    """Return what a device needs of a library, everything for None; in order."""
    code = gpu_code(stream, size)
    found: list[Entry] = []
    for container in code.containers if code else ():
        every = device is None or not container.known
        found += container.entries if every else needed(container.entries, [device or 0], ptx=False)
    return found


class Library:
    """Entries of a library as bytes, in any of the ways."""

    def __init__(self, stream: BinaryIO, found: Sequence[Entry]) -> None:
        self._stream = stream
        self._found = found
        self._unpacker = zstandard.ZstdDecompressor()

    def _whole(self, entry: Entry) -> bytes:
        self._stream.seek(entry.offset)
        return self._stream.read(entry.size)

    def kept(self) -> Iterator[bytes]:
        """Yield all as they are."""
        return map(self._whole, self._found)

    def unpacked(self) -> Iterator[bytes]:
        """Yield all, those that zstd compressed without that."""
        for entry, data in zip(self._found, self.kept(), strict=True):
            start, packed = _content(data)
            yield data[:start] + self._raw(data) if _is_zstd(entry, data) and packed else data

    def raw(self, limit: int) -> Iterator[tuple[int, bytes]]:
        """Yield compressed size and unpacked content of some, until there is enough."""
        left = limit
        for entry in random.Random(0).sample(self._found, len(self._found)):
            data = self._whole(entry)
            if not _is_zstd(entry, data):
                continue
            content = self._raw(data)
            yield _content(data)[1], content
            left -= len(content)
            if left < 0:
                return

    def _raw(self, data: bytes) -> bytes:
        start, packed = _content(data)
        size = _number(data, _UNPACKED_SIZE, 8)
        content = self._unpacker.decompress(data[start : start + packed], max_output_size=size)
        assert len(content) == size, "an entry's size is not what its header says"
        return content


def _is_zstd(entry: Entry, data: bytes) -> bool:
    return entry.kind in (PTX, CUBIN) and bool(_number(data, _FLAGS, 8) & _ZSTD)


def _content(data: bytes) -> tuple[int, int]:
    """Return where an entry's content starts, and how long it is compressed."""
    return _number(data, _HEADER_SIZE, 4), _number(data, _PACKED_SIZE, 4)


def _number(data: bytes, place: int, size: int) -> int:
    return int.from_bytes(data[place : place + size], "little")


def weighed(make: Callable[[], Iterable[bytes]], **settings: int) -> int:
    """Return how many bytes zstd makes of some data as a layer's, at a layer's level."""
    size = sum(map(len, make()))
    parameters = zstd_parameters(DEFAULT.level, size, min(cores(), 6), **settings)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj(size=size)
    return sum(len(packer.compress(data)) for data in make()) + len(packer.flush())


def repacked(library: Library, levels: Sequence[int]) -> dict[str, Any]:
    """Return what compressing each entry again makes of a sample; sizes in bytes."""
    sample = list(library.raw(_SAMPLE))
    packers = {level: zstandard.ZstdCompressor(level=level) for level in levels}
    return {
        "entries": len(sample),
        "unpacked": sum(len(content) for _, content in sample),
        "kept": sum(size for size, _ in sample),
        "levels": {
            str(level): sum(len(packer.compress(content)) for _, content in sample)
            for level, packer in packers.items()
        },
    }


def measure(path: Path, device: int | None, levels: Sequence[int]) -> dict[str, Any]:
    """Return what is known of one library; sizes in bytes."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        library = Library(stream, entries(stream, size, device))
        ways = {"kept": library.kept, "unpacked": library.unpacked}
        return {
            "library": path.name,
            "entries": {name: sum(map(len, make())) for name, make in ways.items()},
            "layer": {name: weighed(make) for name, make in ways.items()},
            "layer, 128 MiB": {name: weighed(make, **_WIDE) for name, make in ways.items()},
            "repacked": repacked(library, levels) if levels else None,
        }


def main() -> None:
    """Measure libraries one after the other, and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("libraries", nargs="+", type=Path)
    parser.add_argument("--arch")
    parser.add_argument("--levels", type=int, nargs="*", default=())
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    device = device_number(options.arch) if options.arch else None
    results: list[dict[str, Any]] = []
    for path in options.libraries:
        results.append(measure(path, device, options.levels))
        sys.stdout.write(json.dumps(results[-1]) + "\n")
        sys.stdout.flush()
        options.out.write_text(
            json.dumps({"arch": options.arch, "libraries": results}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
