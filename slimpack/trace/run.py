"""Running a workload in an image, and what it touched there.

The image is unpacked, not run by an engine: strace then needs no privilege, and
nothing has to be in the image.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slimpack.errors import InputError, SlimpackError, VerifyError
from slimpack.oci.image import Image
from slimpack.oci.rootfs import Placed, merged_view
from slimpack.progress import SILENT, Progress
from slimpack.rootfs import unpack_image
from slimpack.sandbox import Bind, Command, Finished, Options, Prepared, Sandbox
from slimpack.trace.record import Trace, make_trace
from slimpack.trace.service import Request, ask, wait_until_ready
from slimpack.trace.strace import MAX_LOG, find_strace, read_log, wrapper

SANDBOXES = ("unshare", "bubblewrap")
"""Sandboxes that strace can be put in front of."""

_TICK = 0.1


@dataclass(frozen=True)
class Workload:
    """What runs, and how it ends.

    argv: the whole command line; () for the image's entrypoint and command.
    env: variables besides the image's. binds: files of this machine that it needs.
    requests: it is a service: once the first is answered all are sent, then it is stopped.
    ready: asked before the first, until the service answers; without, the first request is.
    seconds: it is stopped after so long; None for a workload that ends by itself.
    timeout: seconds after which it has failed. network: it sees this machine's network;
    with requests it does anyway, as otherwise nobody could reach it.
    """

    argv: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    binds: tuple[Bind, ...] = ()
    requests: tuple[Request, ...] = ()
    ready: Request | None = None
    seconds: float | None = None
    timeout: float = 600.0
    network: bool = False

    def __post_init__(self) -> None:
        if self.requests and self.seconds is not None:
            raise InputError(
                "a service is stopped when its requests are answered, not after some seconds",
                hint="give requests, or a time",
            )


@dataclass(frozen=True)
class Traced:
    """A trace, and how the workload went.

    unresolved: names that could not be told, relative to a folder that nobody knows.
    """

    trace: Trace
    finished: Finished
    unresolved: int


def trace_image(
    image: Image,
    workload: Workload,
    sandbox: Sandbox,
    *,
    scratch: Path,
    progress: Progress = SILENT,
) -> Traced:
    """Run `workload` in `image`, and return what it touched.

    scratch: a folder that the image's user may enter; the image is unpacked into it.
    Raises InputError for a sandbox or strace that does not fit, VerifyError with the end
    of its output for a workload that fails.
    """
    # "unshare", or "unshare with" an emulator.
    if sandbox.name.partition(" ")[0] not in SANDBOXES:
        raise InputError(
            f"strace cannot follow a workload into the sandbox {sandbox.name}",
            hint=f"use one of {', '.join(SANDBOXES)}",
        )
    program = find_strace()
    argv = workload.argv or (*image.config.entrypoint, *image.config.cmd)
    if not argv:
        raise InputError(
            "the image has no entrypoint and no command", hint="name the workload's command"
        )
    view = merged_view(image)
    root, log = scratch / "root", scratch / "strace.log"
    unpack_image(image, root, view=view, progress=progress)
    command = Command(
        argv=argv,
        env=tuple({**dict(image.config.env), **dict(workload.env)}.items()),
        user=image.config.user,
        workdir=image.config.workdir,
        timeout=workload.timeout,
    )
    with sandbox.prepare(root, image) as prepared, progress.task("trace"):
        options = Options(
            binds=workload.binds,
            network=workload.network or bool(workload.requests),
            wrapper=wrapper(program, log),
        )
        finished = _Run(prepared, command, options, log).through(workload)
    touched = read_log(log)
    trace = make_trace(
        image=image.digest,
        command=argv,
        opened=touched.opened,
        statted=touched.statted,
        listed=touched.listed,
        links=_links(view),
        paths=view,
        folders=[path for path, placed in view.items() if placed.member.kind == "directory"],
    )
    return Traced(trace, finished, touched.lost)


def _links(view: Mapping[str, Placed]) -> dict[str, str]:
    return {
        path: placed.member.link for path, placed in view.items() if placed.member.kind == "symlink"
    }


class _Run:
    """A command in a thread of its own, watched and stopped from here."""

    def __init__(self, prepared: Prepared, command: Command, options: Options, log: Path) -> None:
        self._prepared, self._command, self._options, self._log = prepared, command, options, log
        self._stop = threading.Event()
        self._finished: Finished | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="trace")

    def through(self, workload: Workload) -> Finished:
        """Run the workload to its end; VerifyError when it does not do what it should."""
        self._thread.start()
        reason = ""
        try:
            if workload.requests:
                reason = self._serve(workload)
            else:
                self._wait(workload.seconds)
        finally:
            asked = self._alive()
            self._stop.set()
            self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._finished is not None
        return _judged(self._finished, asked=asked, reason=reason)

    def _work(self) -> None:
        try:
            self._finished = self._prepared.run(self._command, self._options, stop=self._stop)
        except BaseException as error:
            self._error = error

    def _alive(self) -> bool:
        if self._log.exists() and self._log.stat().st_size > MAX_LOG:
            raise InputError(
                f"the workload's trace has more than {MAX_LOG} bytes",
                hint="trace a smaller part of it",
            )
        return self._thread.is_alive()

    def _serve(self, workload: Workload) -> str:
        first = workload.ready or workload.requests[0]
        if not wait_until_ready(first, seconds=workload.timeout, alive=self._alive):
            return f"nobody answered {first.url}"
        for request in workload.requests:
            if not self._alive():
                return "it ended before it was asked everything"
            try:
                ask(request)
            except SlimpackError as error:
                return error.message
        return ""

    def _wait(self, seconds: float | None) -> None:
        deadline = None if seconds is None else time.monotonic() + seconds
        while self._alive() and (deadline is None or time.monotonic() < deadline):
            self._thread.join(_TICK)


def _judged(finished: Finished, *, asked: bool, reason: str) -> Finished:
    """Return how it ended; asked: it was still running when it was asked to end."""
    if not reason and finished.timed_out:
        reason = "it did not end in time"
    if not reason and finished.returncode and not asked:
        reason = f"exit code {finished.returncode}"
    if reason:
        output = (finished.stdout + finished.stderr)[-4000:].decode("utf-8", "replace")
        raise VerifyError(
            f"the traced workload failed: {reason}",
            details=output.strip(),
            hint="a trace of what fails would keep too little; make it work untraced first",
        )
    return finished
