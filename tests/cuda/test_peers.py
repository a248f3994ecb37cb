"""A trimmed library of NVIDIA's beside what NVIDIA's cuobjdump finds in it."""

from __future__ import annotations

import ctypes
import re
import subprocess
from collections import Counter
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import pytest

from slimpack.cuda.fatbin import PTX
from tests.cuda.fatbins import apply, code_of, plan_of
from tests.support.channel import missing


def installed(package: str, name: str) -> Path:
    """A file of a package among the tests' own."""
    try:
        found = [file for file in files(package) or () if file.name == name]
    except PackageNotFoundError:
        missing("PEERS", f"{package} is not installed (x86_64 Linux alone has it)")
    return Path(str(found[0].locate()))


@pytest.fixture(scope="module")
def cuobjdump() -> Path:
    return installed("nvidia-cuda-cuobjdump", "cuobjdump")


@pytest.fixture(scope="module")
def nvjpeg() -> Path:
    return installed("nvidia-nvjpeg", "libnvjpeg.so.13")


def extracted(cuobjdump: Path, library: Path, folder: Path) -> Counter[tuple[str, bytes]]:
    """Architecture, kind and content of everything in a library, or in a container."""
    folder.mkdir()
    for option in ("-xelf", "-xptx"):
        subprocess.run(
            [cuobjdump, option, "all", library], cwd=folder, check=True, capture_output=True
        )
    return Counter(
        (re.sub(r".*\.(sm_\w+\.\w+)", r"\1", path.name), path.read_bytes())
        for path in folder.iterdir()
    )


def named(found: Counter[tuple[str, bytes]]) -> Counter[str]:
    return Counter(name for (name, _), times in found.items() for _ in range(times))


def test_both_read_the_same(cuobjdump: Path, nvjpeg: Path, tmp_path: Path) -> None:
    code = code_of(nvjpeg.read_bytes())
    assert code is not None
    ours = Counter(
        f"{entry.arch.name}.{'ptx' if entry.kind == PTX else 'cubin'}"
        for entry in code.entries
        if entry.arch
    )
    theirs = named(extracted(cuobjdump, nvjpeg, tmp_path / "all"))
    assert theirs == ours
    assert len(theirs) > 5


@pytest.mark.parametrize(
    ("devices", "with_ptx", "stays"),
    [
        ((90,), False, {"sm_90.cubin"}),
        ((80, 120), False, {"sm_80.cubin", "sm_120.cubin"}),
        ((90,), True, {"sm_90.cubin", "sm_121.ptx"}),
        # Nothing of major version 13: PTX.
        ((130,), False, {"sm_121.ptx"}),
    ],
)
def test_exactly_what_is_needed_stays(
    cuobjdump: Path,
    nvjpeg: Path,
    tmp_path: Path,
    devices: tuple[int, ...],
    with_ptx: bool,
    stays: set[str],
) -> None:
    data = nvjpeg.read_bytes()
    plan = plan_of(data, devices, ptx=with_ptx)
    assert plan is not None
    small = tmp_path / nvjpeg.name
    small.write_bytes(apply(data, plan))
    before = extracted(cuobjdump, nvjpeg, tmp_path / "before")
    # Its section became several, of which cuobjdump reads the first: each container by itself.
    code = code_of(small.read_bytes())
    assert code is not None
    after: Counter[tuple[str, bytes]] = Counter()
    for n, container in enumerate(code.containers):
        single = tmp_path / f"{n}.fatbin"
        single.write_bytes(small.read_bytes()[container.offset : container.end])
        after += extracted(cuobjdump, single, tmp_path / f"after{n}")
    expected = Counter({item: times for item, times in before.items() if item[0] in stays})
    assert set(named(expected)) == stays
    assert after == expected
    assert small.stat().st_size < nvjpeg.stat().st_size - 0.8 * plan.dropped
    assert ctypes.CDLL(str(small)).nvjpegGetProperty
