"""Imports modules one after the other; run by the subject's own interpreter.

A program of its own: standard library only, and no syntax newer than Python 3.8. It is
started by `slimpack.verify.importing` with ``-c`` and reads a JSON request from standard
input::

    {"modules": [[name, whether it is of the standard library], ...],
     "seconds": for each, "alone": whether each gets a fresh process,
     "watched": absolute paths without links, "recorder": program or ""}

Of the watched files that Python opens, or has loaded at its start, a line ``["read", path]``
goes to standard output. For each module a line ``["start", name]`` goes to standard output, then
``["ok", name, ""]`` or ``["failed", name, message, missing]``, the last being the name
of a module that was not found; ``["end", ""]`` comes last. Modules write to standard
output and error as they like: it goes to standard error. One that ends the process is the
one that was started last.

With a recorder (`slimpack.verify.import_recorder`) a line ``["saw", rows]`` follows each module,
and ``["recorded", number of these lines]`` the last. There is none where a process cannot be
watched.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
import warnings
from typing import Any, NoReturn

_MAX_MESSAGE = 400


def say(out: int, line: list[Any]) -> None:
    """Write one line at once, past all buffers, which a crash would lose."""
    os.write(out, json.dumps(line).encode() + b"\n")


def describe(error: BaseException) -> str:
    """Return an error on one line, and where it came from."""
    where = ""
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if not code.co_filename.startswith("<"):
            where = f" ({code.co_filename}:{trace.tb_lineno})"
        trace = trace.tb_next
    text = " ".join(str(error).split())[:_MAX_MESSAGE]
    return f"{type(error).__name__}: {text}{where}"


def load(name: str, out: int, seconds: int) -> None:
    """Import one module and report; a module that takes too long is ended by the alarm."""
    say(out, ["start", name])
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(seconds)
    try:
        importlib.import_module(name)
    except BaseException as error:  # also SystemExit and KeyboardInterrupt: they are no success
        signal.alarm(0)
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        say(out, ["failed", name, describe(error), missing or ""])
        return
    signal.alarm(0)
    say(out, ["ok", name, ""])


def load_alone(name: str, out: int, seconds: int) -> None:
    """Import one module in a fork of this process, which has imported none of them."""
    child = os.fork()
    if child == 0:
        load(name, out, seconds)
        leave()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        say(out, ["failed", name, f"it was ended by signal {os.WTERMSIG(status)}", ""])
    elif os.WEXITSTATUS(status):
        text = f"it ended the interpreter with exit code {os.WEXITSTATUS(status)}"
        say(out, ["failed", name, text, ""])


def watch(paths: set[str], out: int) -> None:
    """Report those of `paths` that were loaded already, and each that is opened from now on.

    Where an interpreter does not tell what it opens, all of them count.
    """
    seen = set()

    def note(name: Any) -> None:
        if isinstance(name, (str, bytes)):
            path = os.path.realpath(os.fsdecode(name))
            if path in paths and path not in seen:
                seen.add(path)
                say(out, ["read", path])

    def hook(event: str, details: Any) -> None:
        if event == "open":
            note(details[0])

    if not hasattr(sys, "addaudithook") or sys.implementation.name != "cpython":
        for path in paths:
            note(path)
        return
    sys.addaudithook(hook)
    for module in list(sys.modules.values()):
        note(getattr(module, "__file__", None))
        note(getattr(module, "__cached__", None))


def recorder_of(source: str) -> Any:
    """Return a recorder at work; None where there is none, or this interpreter cannot have one."""
    if not source:
        return None
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, "<recorder>", "exec"), scope)  # noqa: S102 (ours)
    if not scope["can_record"]():
        return None
    recorder = scope["Recorder"]()
    recorder.install()
    return recorder


def leave() -> NoReturn:
    """End at once: no handler, no destructor and no thread of a module is waited for."""
    os._exit(0)


def main() -> None:
    """Serve the request."""
    request = json.load(sys.stdin)
    out = os.dup(1)
    os.set_inheritable(out, False)
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    sys.argv = [""]
    sys.path[:] = [folder for folder in sys.path if folder]  # not the working directory
    warnings.simplefilter("ignore")
    gc.disable()
    if request.get("watched"):
        watch(set(request["watched"]), out)
    known = getattr(sys, "stdlib_module_names", None)
    recorder = recorder_of("" if request["alone"] else request.get("recorder", ""))
    lines = 0
    for name, stdlib in request["modules"]:
        if stdlib and known is not None and name not in known:
            continue  # a file beside the standard library, such as its build's configuration
        if recorder is not None:
            recorder.begin(name)
        (load_alone if request["alone"] else load)(name, out, request["seconds"])
        if recorder is not None:
            say(out, ["saw", recorder.take()])
            lines += 1
    if recorder is not None:
        say(out, ["recorded", lines])
    say(out, ["end", ""])
    leave()


if __name__ == "__main__":
    main()
