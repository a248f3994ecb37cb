"""The first byte and the first good answer of an application that has just been started."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.catalogue import Request
from benchmarks.running import RunError, request

_PAUSE = 0.002  # seconds between two tries: small beside any start
_SECONDS = 300.0


@dataclass(frozen=True)
class Answered:
    """Moments of `time.monotonic()`. first_byte: somebody listens, or something is printed."""

    first_byte: float
    first_answer: float


def ask_service(
    address: str, port: int, asked: Request, logs: Callable[[], str], patience: float = _SECONDS
) -> Answered:
    """Ask a service until its answer is the good one; RunError when that takes too long.

    logs: gives what the service wrote, for the message.
    """
    end = time.monotonic() + patience
    last: object = "nobody listens"
    first_byte = 0.0
    url = f"http://{address}:{port}{asked.path}"
    while time.monotonic() < end:
        try:
            if not first_byte:
                with socket.create_connection((address, port), timeout=1):
                    first_byte = time.monotonic()
            last = request(url, asked.body)
            if asked.is_answered_by(last):
                return Answered(first_byte, time.monotonic())
        except (OSError, http.client.HTTPException, ValueError) as error:
            last = error if first_byte else last
        time.sleep(_PAUSE)
    raise RunError(f"no good answer from {url} in {patience:.0f} s: {last}\n{logs()}")


def run_command(command: Sequence[str], asked: Request) -> Answered:
    """Run a container whose answer is what it prints, as JSON; RunError when it is not good."""
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        assert process.stdout is not None
        try:
            output = process.stdout.read(1)
            first_byte = time.monotonic()
            output += process.stdout.read()
            process.wait(_SECONDS)
            ended = time.monotonic()
        except BaseException:  # Ctrl-C may have been meant for this process alone
            process.kill()
            process.wait()
            raise
        errors.seek(0)
        told = (output + errors.read()).decode("utf-8", "replace")
    try:
        answer = json.loads(output)
    except ValueError:
        answer = None
    if process.returncode or not asked.is_answered_by(answer):
        raise RunError(f"{' '.join(command)} gave no good answer:\n{told}")
    return Answered(first_byte, ended)
