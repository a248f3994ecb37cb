"""The shells that the tests run: the usual ones, for everything, and more for what is subtle."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.channel import missing

USUAL = {"bash": ["bash"], "dash": ["dash"], "zsh": ["zsh", "-f"], "ash": ["busybox", "ash"]}
MORE = {"mksh": ["mksh"], "ksh93": ["ksh93"], "posh": ["posh"], "yash": ["yash"]}
# Shells that run programs for sh; zsh is not one, and posh 0.14 loses variables on
# their way to `wait`.
PLAIN = ["bash", "dash", "ash", "mksh", "ksh93", "yash"]


def command(shell: str) -> list[str]:
    """The command line of a shell; skips the test where it is not installed, but fails in CI."""
    arguments = {**USUAL, **MORE, "fish": ["fish", "--no-config"]}[shell]
    if shutil.which(arguments[0]) is None:
        missing("SHELLS", f"{shell} is not installed")
    return arguments


def run_shell(
    shell: str,
    script: str,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stderr: str = "",
) -> str:
    """Run a script with few variables; it must succeed and say just `stderr`."""
    done = subprocess.run(
        [*command(shell), "-c", script],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(cwd or "/nonexistent"),
            "LANG": "C.UTF-8",
            **(env or {}),
        },
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.stderr.decode() == stderr
    assert done.returncode == 0, done.stdout.decode()
    return done.stdout.decode()
