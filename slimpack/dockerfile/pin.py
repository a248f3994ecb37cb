"""Names of images with their digests, so that a Dockerfile means the same tomorrow."""

from __future__ import annotations

from slimpack.errors import InputError


def unpinned(name: str) -> str:
    """Return the name as it is."""
    return name


def pinned(name: str) -> str:
    """Return the name with a digest; InputError where it has none."""
    if "@sha256:" in name:
        return name
    raise InputError(
        f"{name} has no digest, and may be another image tomorrow",
        hint="pass NAME@sha256:DIGEST, or --no-pin",
    )
