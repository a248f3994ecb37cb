"""What a start needs first, for layers that are used before they are there (docs/lazy.md)."""

from __future__ import annotations

from slimpack.config import LAZY, Config
from slimpack.errors import InputError
from slimpack.trace.record import read_trace


def first_files(config: Config) -> frozenset[str]:
    """Return the paths in the image that the traced workloads opened; none without pieces.

    Raises InputError for a trace that cannot be read.
    """
    if config.image.compression not in LAZY:
        return frozenset()
    try:
        traces = [read_trace(path.read_bytes(), str(path)) for path in config.slim.trace]
    except OSError as error:
        raise InputError(f"{error.filename}: {error.strerror or error}") from error
    return frozenset(path for trace in traces for path in trace.opened)


def without_order(config: Config) -> Config:
    """Return the configuration without traces that only say what comes first.

    Slimming does not look at them, unless its profile is traced.
    """
    if config.image.compression in LAZY and config.slim.profile != "traced":
        return config.with_slim(trace=())
    return config
