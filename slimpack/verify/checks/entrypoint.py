"""What the image starts exists, and the image's user may start it."""

from __future__ import annotations

from collections.abc import Iterator

from slimpack.errors import SlimpackError
from slimpack.sandbox.users import User, find_user
from slimpack.tree import Entry, Kind, parents
from slimpack.verify.context import Context
from slimpack.verify.model import Check, Finding, SkippedError
from slimpack.verify.subject import Subject


def may(entry: Entry, user: User, wanted: int) -> bool:
    """Tell whether a user has the rights `wanted` (4 read, 2 write, 1 execute or enter)."""
    if user.uid == 0:
        return wanted != 1 or bool(entry.mode & 0o111) or entry.kind is Kind.DIRECTORY
    if entry.uid == user.uid:
        shift = 6
    elif entry.gid == user.gid or entry.gid in user.groups:
        shift = 3
    else:
        shift = 0
    return (entry.mode >> shift) & wanted == wanted


def _run(subject: Subject, context: Context) -> Iterator[Finding]:
    if subject.kind != "image":
        raise SkippedError("only an image starts something by itself")
    start = subject.start
    try:
        user = find_user(subject.root, start.user)
    except SlimpackError as error:
        yield Finding("", error.message, fix="set [image] user to a number, such as 65532")
        return
    if start.workdir:
        yield from _workdir(subject, start.workdir, user)
    if not start.command:
        yield Finding("", "the image has neither entrypoint nor cmd", severity="warning")
        return
    program = start.command[0]
    if "/" in program:
        places = [program]
    else:
        places = [f"{folder}/{program}" for folder in start.path if folder]
    folder = subject.lookup.resolve(start.workdir or "/") or ""
    reasons = [_reason(subject, place, folder, user) for place in places]
    if "" in reasons:
        return
    known = [reason for reason in reasons if reason != "missing"]
    path = subject.lookup.resolve(program, folder) if "/" in program else None
    yield Finding(
        path or "",
        f"{program!r} {known[0]}" if known else f"there is no program {program!r} in the image",
        subject.owner(path) if path else "",
    )


def _reason(subject: Subject, place: str, folder: str, user: User) -> str:
    """Return why `user` cannot start the program at `place`; "" if he can."""
    path = subject.lookup.resolve(place, folder)
    entry = subject.tree.get(path) if path else None
    if path is None or entry is None:
        return "missing"
    if entry.kind is not Kind.FILE:
        return "is a folder"
    closed = _closed(subject, path, user)
    if closed:
        return f"lies in /{closed}, which the user {user.uid} may not enter"
    if not may(entry, user, 1):
        return f"has mode {entry.mode:04o}: the user {user.uid} may not execute it"
    if entry.mode & 0o111 and not may(entry, user, 4) and _is_script(entry):
        return f"is a script that the user {user.uid} may not read (mode {entry.mode:04o})"
    return ""


def _closed(subject: Subject, path: str, user: User) -> str:
    """Return the outermost folder above `path` that `user` may not enter, "" for none."""
    for above in parents(path):
        entry = subject.tree.get(above)
        if entry is not None and not may(entry, user, 1):
            return above
    return ""


def _is_script(entry: Entry) -> bool:
    with entry.open() as stream:
        return stream.read(2) == b"#!"


def _workdir(subject: Subject, workdir: str, user: User) -> Iterator[Finding]:
    path = subject.lookup.resolve(workdir)
    entry = subject.tree.get(path) if path else None
    if path is None:
        yield Finding(
            workdir.strip("/"),
            f"the working directory {workdir} is not in the image; engines make it, empty",
            severity="warning",
            fix="copy the application there, or change [image] workdir",
        )
    elif entry is not None and entry.kind is not Kind.DIRECTORY:
        yield Finding(path, f"the working directory {workdir} is no folder")
    elif closed := _closed(subject, f"{path}/x", user):
        yield Finding(path, f"the user {user.uid} may not enter the working directory (/{closed})")


CHECK = Check(
    name="entrypoint",
    severity="error",
    explanation="A container whose first program is missing, or may not be executed by the image's "
    "user, ends before it has begun.",
    fix="install the package that has the program, correct [image] entrypoint, or the file's mode",
    run=_run,
)
