"""The experiment with other ways to store GPU code, on a library made for it."""

from __future__ import annotations

import json
import random
import struct
import subprocess
import sys
from pathlib import Path

import zstandard

from benchmarks.gpu.recode import measure
from slimpack.cuda.fatbin import CUBIN
from tests.cuda.fatbins import container, entry, library
from tests.support.channel import ROOT

# Sixteen bytes of 256: half as long when compressed, whose bits lie elsewhere in each copy.
KERNEL = random.Random(1).randbytes(30_000).hex().encode()
OWN = [random.Random(2 + n).randbytes(50 + 17 * n).hex().encode() for n in range(2)]


def packed(arch: str, content: bytes) -> bytes:
    """An entry as nvcc makes them: its content compressed by itself."""
    data = zstandard.ZstdCompressor(level=1).compress(content)
    whole = len(data) + -len(data) % 8
    fields = (CUBIN, 0x101, 64, whole, len(data), 0, 8, 1, int(arch), 0, 0, 0x8011, 0, len(content))
    return struct.pack("<HHIQIIHHIIIQQQ", *fields) + data.ljust(whole, b"\0")


def made(folder: Path) -> Path:
    """A library of two kernels that differ little, for two devices; one entry is as it is."""
    pairs = (container(packed("80", KERNEL[::-1]), packed("90", own + KERNEL)) for own in OWN)
    path = folder / "libgpu.so"
    path.write_bytes(library(*pairs, container(entry("90", 512))))
    return path


def test_what_entries_share_is_found_once_they_are_unpacked(tmp_path: Path) -> None:
    result = measure(made(tmp_path), 90, [19])
    kept, unpacked = result["entries"]["kept"], result["entries"]["unpacked"]
    assert unpacked == 2 * (64 + 60_000) + sum(map(len, OWN)) + 64 + 512
    assert 2 * 30_000 < kept < 2 * 34_000
    for window in ("layer", "layer, 128 MiB"):
        assert 30_000 < result[window]["unpacked"] < 35_000
        assert result[window]["kept"] > 1.3 * result[window]["unpacked"]
    again = result["repacked"]
    assert (again["entries"], again["unpacked"]) == (2, 2 * 60_000 + sum(map(len, OWN)))
    assert 2 * 30_000 < again["levels"]["19"] < 2 * 34_000


def test_all_devices_and_the_file(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu.recode", made(tmp_path), "--out", out],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (library,) = json.loads(out.read_text())["libraries"]
    assert library["entries"]["unpacked"] == 4 * (64 + 60_000) + sum(map(len, OWN)) + 576
    assert library["repacked"] is None
