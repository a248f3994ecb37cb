"""A process of this machine, with bounded output, bounded time, and a certain end."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from slimpack.errors import DaemonError
from slimpack.sandbox.model import Command, Finished

GRACE = 10.0  # seconds between SIGTERM and SIGKILL, as `docker stop` waits
_TICK = 0.05  # seconds between two looks at whether the process still runs
_LINGER = 1.0  # seconds that others may hold its output open after its end
_PIECE = 64 << 10


@dataclass(frozen=True)
class Control:
    """How to reach what runs behind the process that was started here.

    ask: asks it to end; None sends SIGTERM to the process group. kill: ends it for
        certain, called before the process group is killed. Both may be called when it
        has ended already.
    """

    ask: Callable[[], None] | None = None
    kill: Callable[[], None] = lambda: None


NOTHING_BEHIND = Control()


def supervise(
    argv: Sequence[str],
    command: Command,
    *,
    env: Mapping[str, str],
    control: Control = NOTHING_BEHIND,
    pass_fds: Sequence[int] = (),
    cwd: Path | None = None,
    stop: threading.Event | None = None,
    started: Callable[[], None] = lambda: None,
) -> Finished:
    """Run `argv`, which runs `command`, in a session of its own, and wait for its end.

    started: called once the process runs and has its copies of `pass_fds`.
    Raises DaemonError, from an OSError, if argv[0] cannot be started.
    """
    begin = time.monotonic()
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(env),
            cwd=cwd,
            pass_fds=tuple(pass_fds),
            start_new_session=True,
            bufsize=0,
        )
    except OSError as error:
        raise DaemonError(f"cannot run {argv[0]}: {error.strerror or error}") from error
    streams = _Streams(process, command)
    timed_out = ended = False
    try:
        started()
        deadline, asked = begin + command.timeout, False
        while not (ended := streams.turn(process)):
            if stop is not None and stop.is_set() and not asked:
                asked = True
                deadline = min(deadline, time.monotonic() + GRACE)
                _ask(process, control)
            if time.monotonic() > deadline:
                timed_out = True
                break
    finally:
        if not ended:
            control.kill()
        _kill_group(process)
        streams.finish()
        process.wait()
    code = process.returncode
    return Finished(
        returncode=code if code >= 0 else 128 - code,
        stdout=streams.stdout.data(),
        stderr=streams.stderr.data(),
        timed_out=timed_out,
        seconds=time.monotonic() - begin,
    )


def call(argv: Sequence[str], *, timeout: float = 60.0) -> subprocess.CompletedProcess[bytes]:
    """Run a short command of a container engine; raise DaemonError if it cannot run or hangs."""
    try:
        return subprocess.run(
            list(argv),
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            start_new_session=True,  # Ctrl-C is not for what cleans up
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DaemonError(f"cannot run {argv[0]}: {error}") from error


def _ask(process: subprocess.Popen[bytes], control: Control) -> None:
    if control.ask is not None:
        control.ask()
    else:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGTERM)


def _is_over(process: subprocess.Popen[bytes]) -> bool:
    """Tell whether a process has ended, and leave it to be waited for."""
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, process.pid, options) is not None


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    # The leader is not waited for yet, so that its number cannot be another group's.
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    except PermissionError:
        process.kill()


class _Tail:
    """The last `limit` bytes of what was added."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()

    def add(self, data: bytes) -> None:
        self._kept += data
        if len(self._kept) > 2 * self._limit + _PIECE:
            del self._kept[: -self._limit or None]

    def data(self) -> bytes:
        return bytes(self._kept[-self._limit :]) if self._limit else b""


class _Streams:
    """The three pipes of a process, served in turns."""

    def __init__(self, process: subprocess.Popen[bytes], command: Command) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.stdout, self.stderr = _Tail(command.max_output), _Tail(command.max_output)
        self._input = memoryview(command.stdin)
        self._selector = selectors.DefaultSelector()
        self._ended_at: float | None = None
        self._stdin = process.stdin
        self._outputs = {process.stdout: self.stdout, process.stderr: self.stderr}
        for stream in self._outputs:
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, selectors.EVENT_READ)
        if self._input:
            os.set_blocking(self._stdin.fileno(), False)
            self._selector.register(self._stdin, selectors.EVENT_WRITE)
        else:
            self._stdin.close()

    def turn(self, process: subprocess.Popen[bytes]) -> bool:
        """Move what can be moved within a moment; tell whether all is over."""
        if self._selector.get_map():
            self._serve(_TICK)
        else:
            time.sleep(_TICK / 10)
        if not _is_over(process):
            return False
        now = time.monotonic()
        self._ended_at = self._ended_at or now
        reading = any(not stream.closed for stream in self._outputs)
        return not reading or now - self._ended_at > _LINGER

    def finish(self) -> None:
        """Take what is still in the pipes, after everybody who writes to them was killed."""
        while self._serve(0):
            pass
        for stream in (self._stdin, *self._outputs):
            stream.close()
        self._selector.close()

    def _serve(self, timeout: float) -> bool:
        moved = False
        for key, _ in self._selector.select(timeout) if self._selector.get_map() else ():
            stream = key.fileobj
            if stream is self._stdin:
                moved |= self._write()
            else:
                moved |= self._read(stream)
        return moved

    def _read(self, stream: object) -> bool:
        for known, tail in self._outputs.items():
            if known is stream:
                data = known.read(_PIECE)
                if data:
                    tail.add(data)
                elif data is not None:
                    self._selector.unregister(known)
                    known.close()
                return bool(data)
        raise AssertionError("no such stream")

    def _write(self) -> bool:
        try:
            done = os.write(self._stdin.fileno(), self._input[:_PIECE])
        except BlockingIOError:
            return False
        except BrokenPipeError:
            done = len(self._input)
        self._input = self._input[done:]
        if not self._input:
            self._selector.unregister(self._stdin)
            self._stdin.close()
        return True
