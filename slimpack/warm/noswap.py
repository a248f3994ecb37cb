"""Why an earlier build is of no use."""

from __future__ import annotations

from slimpack.errors import ImageError


class NoSwap(Exception):  # noqa: N818 (a turn of events, no error)
    """What was remembered does not help here; the part is made from nothing."""


class StartOver(ImageError):  # noqa: N818
    """The build has to start again, from nothing: an earlier one's bytes are gone, or wrong."""
