"""Programs of engines: fed from a stream, with what they say kept for the message."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from contextlib import suppress
from tempfile import TemporaryFile
from typing import BinaryIO

from slimpack.errors import DaemonError

_MAX_OUTPUT = 64 << 20  # bytes of an answer; podman tells some kB of each image
_MAX_SHOWN = 2000  # characters of what a program said that go into a message
_GRACE = 10  # seconds for a program to tidy up after its input ended too early


class ProgramError(DaemonError):
    """A program said no, or is not there."""


def ask(argv: Sequence[str]) -> str:
    """Run a program and return its stdout; raise ProgramError as `feed` does."""
    return feed(argv, ())


def feed(argv: Sequence[str], chunks: Iterable[bytes]) -> str:
    """Run a program with `chunks` on its stdin and return its stdout.

    Raises ProgramError, with the end of what the program said, when it is not there or
    its exit code is not 0. What `chunks` raises ends the program: its input is over
    before its time, so that it can remove what it has begun.
    """
    with TemporaryFile() as out, TemporaryFile() as err:
        try:
            process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=out, stderr=err)
        except OSError as error:
            raise ProgramError(f"cannot run {argv[0]}: {error.strerror or error}") from error
        try:
            _write(process, chunks)
            code = process.wait()
        finally:
            _end(process)
        if code:
            said = _text(err) or _text(out) or f"exit code {code}"
            raise ProgramError(said[-_MAX_SHOWN:])
        return _text(out)


def _write(process: subprocess.Popen[bytes], chunks: Iterable[bytes]) -> None:
    """Write until all is written or the program reads no more; then its exit code tells why."""
    stdin = process.stdin
    if stdin is None:
        raise ValueError("a process without stdin")
    for chunk in chunks:
        try:
            stdin.write(chunk)
        except BrokenPipeError:
            break
    with suppress(BrokenPipeError):
        stdin.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that has not ended, gently first."""
    if process.poll() is not None:
        return
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
    for stop in (process.terminate, process.kill):
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            stop()
        else:
            return
    process.wait()


def _text(stream: BinaryIO) -> str:
    """Return the end of what was written."""
    size = stream.seek(0, 2)
    stream.seek(max(0, size - _MAX_OUTPUT))
    return stream.read().decode(errors="replace").strip()
