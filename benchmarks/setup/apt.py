"""Installing Debian packages, where that is possible."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

# Another apt may be at work; wait for it instead of failing.
_OPTIONS = ("-o", "DPkg::Lock::Timeout=300", "-o", "APT::Get::Assume-Yes=true", "-q")


class SetupError(Exception):
    """A part cannot be set up on this machine; the message says what to do."""


def call(*command: str) -> None:
    """Run a command without input; its output goes to stderr, or SetupError tells it failed."""
    done = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    )
    if done.returncode:
        raise SetupError(f"{' '.join(command)} failed (exit code {done.returncode})")


def install(packages: Sequence[str]) -> None:
    """Install those of the packages that are missing; SetupError where that cannot be done."""
    absent = [name for name in packages if not _is_installed(name)]
    if not absent:
        return
    wanted = " ".join(absent)
    if shutil.which("apt-get") is None:
        raise SetupError(f"there is no apt-get here; install {wanted} by hand")
    if os.geteuid():
        raise SetupError(f"not root; run: sudo apt-get install --no-install-recommends {wanted}")
    try:
        call("apt-get", *_OPTIONS, "update")
    except SetupError as problem:
        # One unreachable source of several: whether it matters shows at the install.
        print(problem, file=sys.stderr)
    call("apt-get", *_OPTIONS, "install", "--no-install-recommends", *absent)


def _is_installed(name: str) -> bool:
    if shutil.which("dpkg-query") is None:
        return False
    done = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${db:Status-Status}", name],
        check=False,
        capture_output=True,
        text=True,
    )
    return done.stdout == "installed"
