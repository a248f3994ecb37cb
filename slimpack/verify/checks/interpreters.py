"""Programs and scripts start only when what they name in their first bytes is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from slimpack.prefix.shebang import LONG
from slimpack.tree import Entry
from slimpack.verify.context import Context
from slimpack.verify.model import Check, Finding
from slimpack.verify.subject import Subject

_HEAD = 4096
_MAX_LINE = 127  # bytes of a first line that Linux before 5.1 reads
_ENV = "/usr/bin/env"


def _run(subject: Subject, context: Context) -> Iterator[Finding]:
    application = {entry.path for entry in subject.application}
    lacking: dict[tuple[str, str], list[str]] = {}
    for entry in subject.asked:
        folder = entry.path.rpartition("/")[0]
        # Sources of modules have such lines and modes too, and nobody starts them.
        started = folder.rpartition("/")[2] in ("bin", "sbin") or entry.path in application
        if not (entry.mode & 0o111 and started):
            continue
        with entry.open() as stream:
            head = stream.read(2)
            if head != b"#!":
                continue
            head += stream.read(_HEAD - 2)
        program = _missing(subject, head)
        if program and subject.kind == "image" and _is_foreign(subject, entry, program):
            lacking.setdefault((subject.owner(entry.path), program), []).append(entry.path)
        elif program:
            yield Finding(
                entry.path,
                f"its interpreter {program} is not there, or cannot be run",
                subject.owner(entry.path),
            )
        elif len(head.partition(b"\n")[0]) > _MAX_LINE:
            yield Finding(
                entry.path,
                f"its first line has more than {_MAX_LINE} bytes: Linux before 5.1 cuts it there",
                subject.owner(entry.path),
                severity="warning",
            )
    for (owner, program), paths in lacking.items():
        yield Finding(
            paths[0],
            f"{len(paths)} scripts need {program}, which the base does not have"
            if len(paths) > 1
            else f"needs {program}, which the base does not have",
            owner,
            severity="info",
            fix=f"drop them under [slim], or take a base with {program} if they are used",
        )


def _missing(subject: Subject, head: bytes) -> str:
    """Return the program of a script's first lines that is not there, "" if all is well."""
    line = head.partition(b"\n")[0].decode("utf-8", "surrogateescape").rstrip("\r")
    program, _, arguments = line[2:].strip(" \t").replace("\t", " ").partition(" ")
    names = [program]
    if long := LONG.match(head):
        names.append(long["exe"].decode("utf-8", "surrogateescape"))
    elif program == _ENV:
        names.append(_env_name(arguments))
    return next((name for name in names if name and not _is_there(subject, name)), "")


def _env_name(arguments: str) -> str:
    """Return the program that env starts: ``-S python -u`` gives python, ``A=1 x`` gives x."""
    for word in arguments.removeprefix("-S").split():
        if not word.startswith("-") and "=" not in word:
            return word
    return ""


def _is_there(subject: Subject, program: str) -> bool:
    if "/" not in program:
        return any(_is_there(subject, f"{folder}/{program}") for folder in subject.start.path)
    if subject.lookup.is_outside(program):
        return Path(program).exists()  # of the machine that it is used on, as far as known
    found = subject.lookup.find(program)
    return found is not None and bool(found.mode & 0o111)


def _is_foreign(subject: Subject, entry: Entry, program: str) -> bool:
    """Tell whether a script of a package wants what only a base can have: a shell, perl."""
    own = f"/{subject.prefix}/" if subject.prefix else "/"
    ours = program.startswith(own) or "python" in program.rpartition("/")[2]
    return not ours and (bool(subject.owner(entry.path)) or entry.path in subject.below)


CHECK = Check(
    name="interpreters",
    severity="error",
    explanation="A script whose first line names a program that is not in the image fails with "
    "'not found', although the script itself is there.",
    fix="install the package that has the interpreter, or build again so that the script is "
    "relocated",
    run=_run,
)
