"""CUDA's libraries work together: parts that are opened by name are found, none is there twice."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from slimpack.cuda.families import OPENS, PARTIAL, Opened, family_of, split_name
from slimpack.tree import Kind, under
from slimpack.verify.context import Context
from slimpack.verify.model import Check, Finding, Severity
from slimpack.verify.subject import Subject

_PIECE = 4 << 20
_LONGEST = 64  # of a soname


@dataclass(frozen=True)
class _Lost:
    """A part that its opener does not find. path: of the opener. name: of the part."""

    path: str
    name: str
    why: str
    part: Opened


def _run(subject: Subject, context: Context) -> Iterator[Finding]:
    lost = list(_all_lost(subject))
    before = {(one.path, one.name) for one in _before(context)} if lost else set()
    for one in lost:
        known = (_below(subject, one.path), one.name) in before
        message = f"opens {one.name} by name, which is {one.why}"
        if one.part.what:
            message += f"; without it, {one.part.what}"
        mild: Severity | None = "warning" if known or not one.part.needed else None
        if known:
            message += "; it was so before slimming"
        if one.path in subject.below:
            mild = "warning"
        yield Finding(one.path, message, subject.owner(one.path), mild)
    yield from _twice(subject)


def _before(context: Context) -> Iterator[_Lost]:
    if context.before is not None:
        before = context.before()
        for one in _all_lost(before):
            yield replace(one, path=_below(before, one.path))


def _below(subject: Subject, path: str) -> str:
    return path.removeprefix(under(subject.prefix, ""))


def _all_lost(subject: Subject) -> Iterator[_Lost]:
    """Yield the parts that the loader does not find from where their opener is found.

    dlopen searches as for a DT_NEEDED of the library that calls it (dlopen(3)), whose
    $ORIGIN is the folder of the link through which it was found. What lies beside it there
    counts as found: wheels leave it to DT_RPATH of the library that needs the opener.
    """
    for path, elf in subject.elf.files.items():
        stem, version = split_name(elf.soname)
        parts = OPENS.get(stem, ())
        if not parts or any(fnmatchcase(subject.owner(path), glob) for glob in PARTIAL):
            continue
        for part in parts:
            name = _exact(subject, path, part) if part.exact else f"{part.stem}.so.{version}"
            for place in _places(subject, path, elf.soname) if name else ():
                beside = posixpath.join(posixpath.dirname(place), name)
                asking = replace(elf, needed=(name,))
                (need,) = subject.libraries.needs(
                    subject.in_place(place), asking, subject.interpreter
                )
                if need.path is None and subject.lookup.find(beside) is None:
                    yield _Lost(place, name, need.why, part)
                    break


def _places(subject: Subject, path: str, soname: str) -> Iterator[str]:
    """Yield the paths of a library, those of links that have its soname too."""
    yield path
    for entry in subject.tree:
        named = entry.kind is Kind.SYMLINK and posixpath.basename(entry.path) == soname
        if named and subject.lookup.resolve(entry.path) == path:
            yield entry.path


def _exact(subject: Subject, path: str, part: Opened) -> str:
    """Return the soname of a part as it stands in the file that opens it, "" when it does not."""
    expression = re.compile(re.escape(part.stem.encode()) + rb"\.so\.\d+(?:\.\d+)+(?=\0)")
    before = b""
    with subject.tree[path].open() as stream:
        while piece := stream.read(_PIECE):
            text = before + piece
            if match := expression.search(text):
                return match[0].decode()
            before = text[-_LONGEST:]
    return ""


def _twice(subject: Subject) -> Iterator[Finding]:
    """Yield the sonames that lead to different files for different files that need them.

    In one process the first that is loaded serves all; which one that is, is chance.
    """
    program = subject.interpreter
    found: dict[str, dict[str, str]] = {}
    for path, elf in subject.elf.files.items():
        if not any(map(family_of, elf.needed)):
            continue
        for need in subject.libraries.needs(
            subject.in_place(path), elf, None if elf.kind == "executable" else program
        ):
            target = subject.lookup.resolve(need.path) if need.path else None
            if target and family_of(need.name):
                found.setdefault(need.name, {}).setdefault(target, path)
    for name, targets in sorted(found.items()):
        if len(targets) > 1:
            yield _ambiguous(subject, name, targets)


def _ambiguous(subject: Subject, name: str, targets: dict[str, str]) -> Finding:
    told = "; ".join(
        f"{subject.shown(target)} ({subject.tree[target].size / 1e6:.1f} MB, "
        f"{subject.owner(target) or 'of no package'}) for {posixpath.basename(user)}"
        for target, user in sorted(targets.items())
    )
    first = min(targets)
    return Finding(
        first,
        f"{name} is another file for different users: {told}; the first that is loaded serves all",
        subject.owner(first),
        "warning",
        "let one serve all: --profile serve, if both are of one major version; or bring CUDA "
        "with conda packages alone, or with wheels alone",
    )


CHECK = Check(
    name="cuda-libraries",
    severity="error",
    explanation="Some libraries of CUDA open others by name (cuDNN its parts, NVRTC its builtins): "
    "where one is missing, the first call that needs it fails. And of two files of one name, "
    "chance decides which is loaded.",
    fix="add the package that has the part, in the same version; if slimming removed it, list it "
    "under [slim] keep",
    run=_run,
)
