"""slimpack's command line in a test: in the test's own process, or in one of its own."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from slimpack.cli import main
from tests.support.channel import ROOT

Done = subprocess.CompletedProcess[str]


def variables(cache: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what is set for slimpack beyond the environment of the tests."""
    return {"PYTHONPATH": str(ROOT), "SLIMPACK_CACHE_DIR": str(cache), **(more or {})}


def start(arguments: tuple[object, ...], cwd: Path, env: Mapping[str, str]) -> Done:
    """Run ``python -m slimpack`` as a user would."""
    return subprocess.run(
        [sys.executable, "-m", "slimpack", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def call(arguments: tuple[object, ...], cwd: Path, env: Mapping[str, str]) -> Done:
    """Do the same in this process: the start of Python takes longer than most commands.

    An exception that reaches the user as a traceback is raised here.
    """
    command = ["slimpack", *map(str, arguments)]
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    code: object = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(cwd)
        patch.setattr(sys, "argv", command)
        for name, value in env.items():
            patch.setenv(name, value)
        try:
            main()
        except SystemExit as error:
            code = error.code or 0
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    assert isinstance(code, int), code
    return Done(command, code, _text(out), _text(err))


def _text(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()
