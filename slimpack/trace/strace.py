"""strace in front of a sandbox: the program, its options, its log.

Why strace and how it compares with fanotify, LD_AUDIT and others: docs/trace.md.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from slimpack.errors import InputError
from slimpack.trace.strace_parse import TRACED, Touched, parse

MAX_LOG = 4 << 30
"""Bytes of strace's log; a workload that makes more is ended."""

_OLDEST = (5, 9)  # --pidns-translation
_VERSION = re.compile(r"version (\d+)\.(\d+)")
_HINT = "install strace 5.9 or later (apt-get install strace)"


def find_strace() -> str:
    """Return the path of strace; InputError when it is missing or too old."""
    program = shutil.which("strace")
    if program is None:
        raise InputError("strace is not on PATH", hint=_HINT)
    done = subprocess.run([program, "-V"], check=False, capture_output=True, text=True, timeout=60)
    found = _VERSION.search(done.stdout)
    if found is None or (int(found[1]), int(found[2])) < _OLDEST:
        first = done.stdout.partition("\n")[0][:200]
        raise InputError(f"{program} is too old or no strace: {first!r}", hint=_HINT)
    return program


def wrapper(program: str, log: Path) -> tuple[str, ...]:
    """Return what is put in front of the command that makes the sandbox.

    Failed calls are logged too: readlink of a file that is no link fails, and tells that
    the file is there. Contents of buffers (``-s 0``) and signals are not.
    """
    return (
        *(program, "-f", "--seccomp-bpf", "-y", "-s", "0", "--pidns-translation"),
        *("--signal=none", "-q", "-e", f"trace={TRACED}", "-o", str(log), "--"),
    )


def read_log(log: Path) -> Touched:
    """Parse a log; InputError when nothing ran inside the sandbox."""
    with log.open("rb") as lines:
        touched = parse(lines)
    if not touched.entered:
        raise InputError(
            "strace saw no program start inside of the sandbox",
            hint="is ptrace allowed here? containers need --cap-add SYS_PTRACE",
        )
    return touched
