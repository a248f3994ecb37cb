"""The host's part: the driver's libraries, and which driver a version of CUDA needs.

Sources: the tables "CUDA Toolkit and Minimum Required Driver Version for CUDA Minor
Version Compatibility" and "CUDA Toolkit and Corresponding Driver Versions" of NVIDIA's
CUDA Toolkit release notes; the lists of libraries in libnvidia-container's nvc_info.c.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

Version = tuple[int, ...]

LIBRARY = re.compile(
    r"lib(?:cuda|cudadebugger|nvcuvid|nvoptix|vdpau_nvidia|(?:GLX|EGL|GLESv2|GLESv1_CM)_nvidia"
    r"|nvidia-(?!container)[\w-]+)\.so(?:\.[\d.]+)?\Z"
)
"""Names of the driver's libraries, which the container runtime brings from the host."""

FLOORS: Mapping[int, str] = MappingProxyType({11: "450.80.02", 12: "525.60.13", 13: "580.65.06"})
"""Major version of CUDA -> the oldest driver that runs code of any of its minor versions."""

SHIPPED: Mapping[Version, str] = MappingProxyType(
    {
        (11, 0): "450.36.06",
        (11, 1): "455.23",
        (11, 2): "460.27.03",
        (11, 3): "465.19.01",
        (11, 4): "470.42.01",
        (11, 5): "495.29.05",
        (11, 6): "510.39.01",
        (11, 7): "515.43.04",
        (11, 8): "520.61.05",
        (12, 0): "525.60.13",
        (12, 1): "530.30.02",
        (12, 2): "535.54.03",
        (12, 3): "545.23.06",
        (12, 4): "550.54.14",
        (12, 5): "555.42.02",
        (12, 6): "560.28.03",
        (12, 8): "570.26",
        (12, 9): "575.51.03",
        (13, 0): "580.65.06",
        (13, 1): "590.44.01",
        (13, 2): "595.45.04",
    }
)
"""Version of CUDA -> the driver that came with it, which alone compiles its PTX."""

_NUMBERS = re.compile(r"\d+(?:\.\d+)*")


def numbers(text: str) -> Version:
    """Return the numbers that a version begins with, () for none: ``12.8.1`` is (12, 8, 1)."""
    match = _NUMBERS.match(text)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def is_driver_library(name: str) -> bool:
    """Tell whether a library of that file name is the driver's."""
    return bool(LIBRARY.match(name))


def floor(cuda: str) -> str:
    """Return the oldest driver for a version of CUDA (minor-version compatibility); "" unknown."""
    return FLOORS.get((numbers(cuda) or (0,))[0], "")


def shipped_with(cuda: str) -> str:
    """Return the driver that came with a version of CUDA, "" unknown."""
    return SHIPPED.get(numbers(cuda)[:2], "")


def newest_of(driver: str) -> Version:
    """Return the newest version of CUDA (major, minor) that a driver knows, () for none.

    driver: a version, or just its branch (``570``).
    """
    own = numbers(driver)
    known = [cuda for cuda, first in SHIPPED.items() if own >= numbers(first)[: len(own)]]
    return max(known, default=())
