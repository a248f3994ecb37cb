"""What bases and files are known by."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from slimpack.cache.folders import Cache
from slimpack.config import Config
from slimpack.files import file_digest
from slimpack.runtimes import Runtime, load_runtime

_DAY = 86_400.0  # as long as a Release of Debian's is believed (`slimpack.debian.base.DAY`)


def base_identity(config: Config, platforms: tuple[str, ...], cache: Cache) -> list[Any] | None:
    """Return what the base follows from, None for one that may be another now.

    Raises SlimpackError for a runtime that cannot be read, OSError for a Release.
    """
    runtime = load_runtime(config.image.runtime)
    said = plain(asdict(runtime))
    reference = config.image.base or runtime.image
    if reference:
        return [said, reference] if "@sha256:" in reference else None
    releases = _releases(runtime, platforms, cache)
    return [said, *releases] if releases else None


def _releases(runtime: Runtime, platforms: tuple[str, ...], cache: Cache) -> list[str]:
    """Return the digests of the Releases that are believed now, [] when one is too old."""
    source = runtime.debian
    if source is None:
        return []
    if all(platform in source.pins for platform in platforms):
        return ["pinned"]
    found = []
    for suite in source.suites:
        path = cache.debian / "release" / suite
        if not 0 <= time.time() - path.stat().st_mtime < _DAY:
            return []
        found.append(file_digest(path))
    return found


def plain(value: Any) -> Any:
    """Return data as JSON has it: paths as text, anything of several as a list."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    return str(value) if isinstance(value, Path) else value
