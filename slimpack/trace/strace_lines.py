"""strace's output, line by line: which process called what, and with what result.

Format: strace(1), option ``-f -o FILE``: ``PID call(args) = result``, calls that
another process interrupted as ``<unfinished ...>`` and ``<... call resumed>``, and
``+++``/``---`` lines for exits and signals. Names of files come from the workload:
strace escapes quotes, ``<``, ``>``, backslashes and all that is not printable ASCII,
so that no name can end its quotes, its line or its ``<...>``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MAX_LINE = 128 << 10
"""Bytes; two paths of PATH_MAX (4096), each byte escaped, and three annotations fit."""

_LINE = re.compile(r"(?P<pid>\d{1,10}) +(?P<rest>.*)", re.DOTALL)
_CALL = re.compile(r"(?P<name>[a-z_][a-z0-9_]{0,40})\((?P<args>.*)", re.DOTALL)
_RESUMED = re.compile(r"<\.\.\. (?P<name>[a-z_][a-z0-9_]{0,40}) resumed>(?P<rest>.*)", re.DOTALL)
_UNFINISHED = re.compile(r"(?P<head>.*) ?<(?:unfinished|pid changed to \d+) \.\.\.>", re.DOTALL)
_SUPERSEDED = re.compile(r"\+\+\+ superseded by execve in pid (?P<pid>\d{1,10}) \+\+\+")
# Inside quotes and annotations neither ", < nor > is left as it is, so the leftmost that fits
# up to the end of the line is the result, whatever the names say.
_RESULT = re.compile(
    r"\)\s*= (?P<value>\?|-?\d+|0x[0-9a-f]+)(?:<[^<>]*>)?(?:\(deleted\))?(?P<note>(?: [^\"<>]*)?)\Z"
)
_OWN_PID = re.compile(r" /\* (\d{1,10}) in strace's PID NS \*/")
_FD = re.compile(r"(?P<fd>AT_FDCWD|-?\d{1,10})(?:<(?P<path>[^<>]*)>)?(?:\(deleted\))?")
_STRING = re.compile(r'"(?P<text>(?:[^"\\]|\\.)*)"(?P<cut>\.\.\.)?', re.DOTALL)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|([0-7]{1,3})|(.))", re.DOTALL)
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "v": "\v", "f": "\f", "a": "\a", "b": "\b"}


@dataclass(frozen=True, slots=True)
class Call:
    """A finished system call.

    value: what it returned, -1 for a failure; None when strace does not know.
    error: name of the errno, "" for a success.
    """

    pid: int
    name: str
    args: str
    value: int | None
    error: str


@dataclass(frozen=True, slots=True)
class Exit:
    """A process or thread is gone; its number may be used again."""

    pid: int


@dataclass(slots=True)
class Skipped:
    """How many lines were not understood; a line cut short by a kill is one."""

    lines: int = 0


def read_calls(lines: Iterable[bytes], skipped: Skipped) -> Iterator[Call | Exit]:
    """Yield the events of strace's output in the order in which they ended."""
    begun: dict[int, _Begun] = {}
    for raw in lines:
        match = _LINE.fullmatch(raw.decode("ascii", "replace").rstrip("\n"))
        if match is None or len(raw) > MAX_LINE:
            skipped.lines += 1
            continue
        pid, rest = int(match["pid"]), match["rest"]
        if rest.startswith("---"):
            continue
        if rest.startswith("+++"):
            yield Exit(_ended(pid, rest, begun))
            continue
        call = _assembled(pid, rest, begun)
        if call is None:
            skipped.lines += pid not in begun
            continue
        yield call


@dataclass(frozen=True, slots=True)
class _Begun:
    """A call without its result. done: the kernel has said already that it succeeded."""

    name: str
    args: str
    done: bool = False


def _ended(pid: int, rest: str, begun: dict[int, _Begun]) -> int:
    """Return the number of the process or thread that is gone."""
    superseded = _SUPERSEDED.fullmatch(rest)
    if superseded is None:
        begun.pop(pid, None)
        return pid
    # A thread called execve: it goes on under the number of its process. With seccomp-bpf
    # the result that strace prints afterwards is not the call's, but this line is a success.
    thread = int(superseded["pid"])
    call = begun.pop(thread, None)
    if call is not None:
        begun[pid] = _Begun(call.name, call.args, done=True)
    return thread


def _assembled(pid: int, rest: str, begun: dict[int, _Begun]) -> Call | None:
    """Return the call that a line completes; None when it begins one or says nothing."""
    if rest.startswith("<..."):
        resumed = _RESUMED.fullmatch(rest)
        call = begun.pop(pid, None)
        if resumed is None or call is None or call.name != resumed["name"]:
            return None
        if call.done:
            return Call(pid, call.name, call.args, 0, "")
        return _finished(pid, call.name, call.args + resumed["rest"])
    started = _CALL.fullmatch(rest)
    if started is None:
        return None
    unfinished = _UNFINISHED.fullmatch(started["args"])
    if unfinished is not None:
        begun[pid] = _Begun(started["name"], unfinished["head"])
        return None
    return _finished(pid, started["name"], started["args"])


def _finished(pid: int, name: str, text: str) -> Call | None:
    result = _RESULT.search(text)
    if result is None:
        return None
    value = None if result["value"] == "?" else int(result["value"], 0)
    note = result["note"].strip()
    if value is not None and value >= 0:
        own = _OWN_PID.match(result["note"])
        return Call(pid, name, text[: result.start()], int(own[1]) if own else value, "")
    return Call(pid, name, text[: result.start()], value, note.partition(" ")[0] or "?")


@dataclass(frozen=True, slots=True)
class Fd:
    """A descriptor argument: the path that strace's -y tells of it, "" when it is none."""

    path: str
    cwd: bool


def take_fd(args: str) -> tuple[Fd, str] | None:
    """Return the descriptor that `args` begins with and the arguments after it."""
    match = _FD.match(args)
    if match is None:
        return None
    path = unescape(match["path"] or "")
    found = Fd(path if path.startswith("/") else "", match["fd"] == "AT_FDCWD")
    return found, args[match.end() :].removeprefix(", ")


def take_string(args: str) -> str | None:
    """Return the quoted string that `args` begins with; None for a pointer or a cut one."""
    match = _STRING.match(args)
    return None if match is None or match["cut"] else unescape(match["text"])


def unescape(text: str) -> str:
    r"""Undo strace's escapes (``\n``, ``\"``, ``\303``, ``\xc3``), then `os.fsdecode`."""

    def plain(match: re.Match[str]) -> str:
        if match[3] is not None:
            return _LETTERS.get(match[3], match[3])
        return chr(int(match[1], 16) if match[1] else int(match[2], 8) & 0xFF)

    if "\\" not in text:
        return text
    return os.fsdecode(_ESCAPE.sub(plain, text).encode("latin-1", "replace"))
