"""Every error that a user can meet.

::

    SlimpackError               1  anything that went wrong and is explained
    ├── InputError              2  a file, a key or a flag that the user can correct
    ├── SolveError              3  the solver found no environment for the specs
    ├── InstallError            4  packages could not be fetched, verified or installed
    ├── RelocationError         5  a file cannot be moved to the image's prefix, or still names
    │                              the staging prefix or a build placeholder
    ├── RuntimeBaseError        6  the base cannot be assembled or read
    ├── ImageError              7  an image is malformed or does not match its digests
    ├── DaemonError             8  the container engine refused or is not there
    ├── ArchiveError            9  an archive is malformed, hostile or damaged
    ├── LockError              10  a lock does not match its specification
    ├── VerifyError            11  the result would not work, or not as promised
    ├── RegistryError          12  a registry refused, failed or is not there
    ├── SigningError           13  cosign is not there, or did not sign
    └── BundleError            14  a bundle is damaged, incomplete, forged, or does not fit

The number is the exit code (docs/exit-codes.md). Every message says what was
expected and what to do next: ``SlimpackError(message, hint=...)``.
"""

from __future__ import annotations

from typing import ClassVar


class SlimpackError(Exception):
    """Something went wrong that the user should read, not debug.

    ``message`` says what and where, in one sentence; ``hint`` says what to do
    next; ``details`` holds longer text as it came (a solver's explanation).
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "", details: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details

    def __str__(self) -> str:
        parts = [self.message]
        if self.details:
            parts.append(self.details)
        if self.hint:
            parts.append(f"hint: {self.hint}")
        return "\n".join(parts)


class InputError(SlimpackError):
    """A file, a key or a flag that the user can correct."""

    exit_code = 2


class SolveError(SlimpackError):
    """The solver found no environment for the specs."""

    exit_code = 3


class InstallError(SlimpackError):
    """Packages could not be fetched, verified or installed."""

    exit_code = 4


class RelocationError(SlimpackError):
    """A file cannot be moved to the image's prefix, or still names another one."""

    exit_code = 5


class RuntimeBaseError(SlimpackError):
    """The runtime base cannot be assembled or read."""

    exit_code = 6


class ImageError(SlimpackError):
    """An image is malformed or does not match its digests."""

    exit_code = 7


class DaemonError(SlimpackError):
    """The container engine refused, or is not there."""

    exit_code = 8


class ArchiveError(SlimpackError):
    """A portable archive is malformed, hostile or damaged."""

    exit_code = 9


class LockError(SlimpackError):
    """A lock does not match its specification any more."""

    exit_code = 10


class VerifyError(SlimpackError):
    """A check of the result found an error (`slimpack.verify`)."""

    exit_code = 11


class RegistryError(SlimpackError):
    """A registry refused, failed, or is not there (`slimpack.registry`)."""

    exit_code = 12


class SigningError(SlimpackError):
    """cosign is not there, or did not sign."""

    exit_code = 13


class BundleError(SlimpackError):
    """A bundle is damaged, incomplete or forged, or does not fit what is there."""

    exit_code = 14
