"""Which entries of a container are needed on some devices.

The driver takes the cubin that fits a device best, and compiles PTX when no cubin fits.
What it takes for a device of each named architecture stays, and a little more where the
choice is not promised: every variant of the best number, and for integrated GPUs both
what would be taken if they were like others, and PTX.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from slimpack.cuda.arch import INTEGRATED
from slimpack.cuda.fatbin import CUBIN, PTX, Entry


def needed(entries: Sequence[Entry], devices: Collection[int], *, ptx: bool) -> list[Entry]:
    """Return the entries that devices of these architectures (90 for 9.0) need, in order.

    entries: all of one container, all known. ptx: PTX stays in any case.
    """
    found: set[int] = set()
    for device in devices:
        cubins = _best(entries, device, CUBIN)
        found |= cubins
        sure = device not in INTEGRATED or _exact(entries, device)
        if not cubins or not sure:
            found |= _best(entries, device, PTX)
    return [
        entry
        for n, entry in enumerate(entries)
        if n in found or entry.arch is None or (ptx and entry.kind == PTX)
    ]


def serves(entry: Entry, device: int) -> bool:
    """Tell whether a device of that architecture could run an entry; unknown ones it could."""
    return entry.arch is None or entry.arch.may_run_on(device, ptx=entry.kind == PTX)


def _exact(entries: Sequence[Entry], device: int) -> bool:
    return any(
        entry.kind == CUBIN and entry.arch and entry.arch.number == device for entry in entries
    )


def _best(entries: Sequence[Entry], device: int, kind: int) -> set[int]:
    """Return the places of what the driver may take of one kind: per variant, the nearest.

    Code for integrated GPUs does not count as nearest for others: what comes next stays too.
    """
    places: set[int] = set()
    for variant in ("", "a", "f"):
        fitting = {
            n: entry.arch.number
            for n, entry in enumerate(entries)
            if entry.kind == kind
            and entry.arch
            and entry.arch.variant == variant
            and serves(entry, device)
        }
        for number in sorted(set(fitting.values()), reverse=True):
            places |= {n for n, other in fitting.items() if other == number}
            if number == device or number not in INTEGRATED:
                break
    return places
