"""What the driver would take for a device stays, whatever else is there."""

from __future__ import annotations

import pytest

from tests.cuda.fatbins import LTO, container, entry, library, ptx, trimmed


def kept(have: str, *devices: int, with_ptx: bool = False) -> str:
    """Trim one container; "p90" stands for PTX. Another one keeps everything worthwhile."""
    entries = [ptx(name[1:]) if name[0] == "p" else entry(name) for name in have.split()]
    other = container(*(entry("35") for _ in range(3)), entry("35", 8))
    found, _ = trimmed(library(container(*entries), other), *devices, ptx=with_ptx)
    return " ".join(name.replace("ptx ", "p") for name in found)


@pytest.mark.parametrize(
    ("have", "device", "stays"),
    [
        ("75 80 86 90 100 120 p120", 90, "90"),
        ("75 80 86 90 100 120 p120", 80, "80"),
        # The nearest of the same major version.
        ("75 80 86 90 100 120 p120", 89, "86"),
        ("80 75 100", 86, "80"),
        # Every variant that the driver could take.
        ("80 90 90a 100", 90, "90 90a"),
        ("90a 80", 90, "90a"),
        ("100 100a 100f 103f 120", 103, "100 103f"),
        ("100 100a 100f 103f 120", 100, "100 100a 100f"),
        ("100 100a 100f 103a", 103, "100 100f 103a"),
        ("90 90 80", 90, "90 90"),
        # PTX where no cubin fits, the nearest before.
        ("80 p80 p70", 90, "p80"),
        ("75 80 p80 p90 p120", 100, "p90"),
        ("80 p90a p90 p100a p100f p100", 103, "p100f p100"),
        ("80 p90a p80", 90, "p90a p80"),
        # Binaries for Orin are not promised to run elsewhere, nor others there.
        ("80 86 87", 89, "86 87"),
        ("80 86 87 89 p80", 87, "87"),
        ("80 86 89 p80", 87, "86 p80"),
    ],
)
def test_for_one_device(have: str, device: int, stays: str) -> None:
    assert kept(have, device) == stays


def test_for_several_devices() -> None:
    assert kept("75 80 86 90 p75", 90, 80) == "80 90"
    assert kept("75 80 86 90 p75", 75, 103) == "75 p75"


def test_ptx_stays_when_asked_for() -> None:
    assert kept("75 80 90 p75 p120", 90, with_ptx=True) == "90 p75 p120"


def test_a_container_never_becomes_empty() -> None:
    """The driver shall answer what it would have answered: no code for this device."""
    assert kept("75 80 86", 90) == "35"


def test_without_a_small_entry_to_stand_in_all_stays() -> None:
    big = library(container(entry("75", 64 * 1024), entry("80", 64 * 1024)))
    assert trimmed(big, 90) == [["75", "80"]]
    assert trimmed(big, 80) == [["80"]]


@pytest.mark.parametrize(
    "unknown",
    [
        entry("75", kind=LTO),
        entry("75", kind=256),
        entry("75", kind=3),
        entry("75", flags=0x4011),
        entry("75", flags=0x300011),
        entry("75", version=0x201),
        entry("2000"),
    ],
)
def test_a_container_with_something_unknown_stays_whole(unknown: bytes) -> None:
    strange = container(entry("80"), unknown, entry("100"))
    plain = container(entry("80"), entry("90"), entry("100"))
    assert trimmed(library(strange, plain), 90) == [["80", "?", "100"], ["90"]]
