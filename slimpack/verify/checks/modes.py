"""File modes: nobody gains rights through a file, and the image's user can read what is his."""

from __future__ import annotations

from collections.abc import Iterator

from slimpack.errors import SlimpackError
from slimpack.sandbox.users import User, find_user
from slimpack.tree import Entry, Kind
from slimpack.verify.checks.entrypoint import may
from slimpack.verify.context import Context
from slimpack.verify.model import Check, Finding, Severity
from slimpack.verify.subject import Subject

_SETUID, _SETGID, _STICKY = 0o4000, 0o2000, 0o1000
_WORLD_WRITABLE = 0o002


def _run(subject: Subject, context: Context) -> Iterator[Finding]:
    user = _user(subject)
    closed: set[str] = set()
    for entry in subject.tree:
        if entry.kind is Kind.SYMLINK:
            continue
        # A base that others made has its su and passwd; that is worth knowing, no more.
        severity: Severity | None = "warning" if entry.path in subject.below else None
        owner = subject.owner(entry.path)
        for message in _messages(entry):
            yield Finding(entry.path, message, owner, severity)
        if entry.path.rpartition("/")[0] in closed:
            closed.add(entry.path)
        elif user is not None and severity is None and not _readable(entry, user):
            closed.add(entry.path)
            yield Finding(
                entry.path,
                f"the image's user ({user.uid}) may not read it (mode {entry.mode:04o})",
                owner,
                fix="give the file mode 0644 (folders and programs 0755) where it comes from",
            )


def _messages(entry: Entry) -> Iterator[str]:
    folder = entry.kind is Kind.DIRECTORY
    if not folder and entry.mode & _SETUID:
        yield f"is setuid (mode {entry.mode:04o}): it runs with the rights of {entry.uid}"
    if not folder and entry.mode & _SETGID:
        yield f"is setgid (mode {entry.mode:04o}): it runs with the rights of group {entry.gid}"
    if entry.mode & _WORLD_WRITABLE and not (folder and entry.mode & _STICKY):
        yield f"can be changed by anybody (mode {entry.mode:04o})"


def _readable(entry: Entry, user: User) -> bool:
    return may(entry, user, 5 if entry.kind is Kind.DIRECTORY else 4)


def _user(subject: Subject) -> User | None:
    """Return the image's user; None where there is none, or none that is known."""
    if subject.kind != "image":
        return None
    try:
        return find_user(subject.root, subject.start.user)
    except SlimpackError:
        return None  # the entrypoint's check tells


CHECK = Check(
    name="modes",
    severity="error",
    explanation="A setuid program or a file that anybody may write is a way to more rights; a file "
    "that the image's user may not read is as good as missing.",
    fix="remove the bits where the file comes from (chmod u-s,g-s,o-w)",
    run=_run,
)
