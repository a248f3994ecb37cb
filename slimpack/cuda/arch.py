"""Names of GPU architectures, and which code runs on which device.

A device has one architecture: ``sm_90`` is compute capability 9.0. A cubin (machine code)
runs on devices of the same major version whose minor version is not lower. One for
``sm_90a`` uses what only that architecture has and runs nowhere else; one for ``sm_100f``
runs on the family, the later devices of its major version. PTX, which the driver compiles,
runs on every device from its version on; the letters restrict it in the same way.

Source: CUDA C++ Programming Guide, "Application Compatibility" and "Architecture- and
Family-Specific Features". That guide also excepts integrated GPUs (Tegra): between them
and others, no binary is promised to run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Variant = Literal["", "a", "f"]

INTEGRATED = frozenset({53, 62, 72, 87, 88, 101, 110})
"""Numbers of the integrated GPUs: TX1, TX2, Xavier, Orin, T239, Thor (under both its names)."""

_NAME = re.compile(r"sm_(?P<number>[1-9][0-9]{1,2})[af]?\Z")


@dataclass(frozen=True, order=True)
class Arch:
    """What code was compiled for. number: ten times the major version, and the minor one."""

    number: int
    variant: Variant = ""

    @property
    def name(self) -> str:
        """As compilers call it: ``sm_90a``."""
        return f"sm_{self.number}{self.variant}"

    @property
    def major(self) -> int:
        """The number before the point."""
        return self.number // 10

    def may_run_on(self, device: int, *, ptx: bool) -> bool:
        """Tell whether a device takes the code; ptx: whether it is compiled there first.

        Integrated GPUs count like others: who keeps code wants to keep enough.
        """
        if self.variant == "a":
            return self.number == device
        if ptx and not self.variant:
            return self.number <= device
        return self.major == device // 10 and self.number <= device


def device_number(name: str) -> int:
    """Return the number of a device's architecture from a name such as ``sm_90``.

    ``sm_90a`` and ``sm_100f`` name the devices of those numbers too. Raises ValueError.
    """
    match = _NAME.match(name)
    if not match:
        raise ValueError(f"expected an architecture such as 'sm_90', got {name!r}")
    return int(match["number"])


def promise(devices: Sequence[int], *, verified: bool) -> str:
    """Say what a result holds that has GPU code for devices of these architectures alone.

    verified: a test ran on such a GPU.
    """
    names = ", ".join(Arch(device).name for device in devices)
    return f"GPU code for {names} only; {'' if verified else 'not '}verified on a GPU"
