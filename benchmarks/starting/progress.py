"""What programs print while they pull, and when: which part of a pull took how long."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.running import RunError

Line = tuple[float, str]
"""Seconds since the command was started, and a line that it printed."""


@dataclass(frozen=True)
class Said:
    """A command that ended well, with what it printed."""

    seconds: float
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Pulled:
    """Seconds of a pull. download: until the last byte was there; unpack: from then on.

    Layers that came early are unpacked while others are still downloaded. None where the
    engine does not tell them apart.
    """

    seconds: float
    download: float | None = None
    unpack: float | None = None


def timed(command: Sequence[str]) -> Said:
    """Run a command and note when it prints what; RunError when it fails."""
    begun = time.monotonic()
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        try:
            lines = tuple((time.monotonic() - begun, line.rstrip("\n")) for line in process.stdout)
        except BaseException:  # Ctrl-C may have been meant for this process alone
            process.kill()
            process.wait()
            raise
    seconds = time.monotonic() - begun
    if process.returncode:
        last = "\n".join(line for _, line in lines[-15:])
        raise RunError(f"{' '.join(command)} failed (exit code {process.returncode}):\n{last}")
    return Said(seconds, lines)


def docker_pull(said: Said) -> Pulled:
    """Read ``docker pull`` without a terminal: a line for each change of a layer's state."""
    return _split(said, [at for at, line in said.lines if line.endswith(": Download complete")])


def podman_pull(said: Said) -> Pulled:
    """Read ``podman pull``, which does not tell when a layer is there."""
    return Pulled(said.seconds)


def ctr_pull(said: Said) -> Pulled:
    """Read ``ctr images pull``, which unpacks when it has downloaded everything."""
    return _split(said, [at for at, line in said.lines if line.startswith("unpacking ")])


def _split(said: Said, downloaded: Sequence[float]) -> Pulled:
    if not downloaded:
        told = "\n".join(line for _, line in said.lines)
        raise RunError(f"a pull told of no download:\n{told}")
    return Pulled(said.seconds, max(downloaded), said.seconds - max(downloaded))
