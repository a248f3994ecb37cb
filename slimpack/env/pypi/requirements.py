"""Reading the ``pip:`` lines of an environment.yml, and the files that they include.

Format: pip's requirements files (PEP 508 requirements, paths, URLs and some
options). They are read here rather than by pip, so that every fault has one
message with file and line, and so that it is known which folders are built.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from slimpack.env.inputs.text import read_text
from slimpack.env.pypi.requirement import Requirement, read_requirement
from slimpack.env.redact import redacted
from slimpack.errors import InputError

__all__ = ["Requirement", "Requirements", "read_requirements"]

_VALUED = frozenset(
    {
        "--index-url",
        "--extra-index-url",
        "--find-links",
        "--no-binary",
        "--only-binary",
        "--trusted-host",
    }
)
_FLAGS = frozenset({"--pre", "--no-index", "--prefer-binary", "--require-hashes"})
_SHORT = {
    "-i": "--index-url",
    "-f": "--find-links",
    "-r": "--requirement",
    "-c": "--constraint",
    "-e": "--editable",
}
_COMMENT = re.compile(r"(^|\s+)#.*$")
_KNOWN = (
    "known are requirements (PEP 508), paths, URLs, -e, -r, -c, "
    + ", ".join(sorted(_VALUED | _FLAGS))
    + " and --hash after a requirement"
)


@dataclass(frozen=True)
class Requirements:
    """What all lines come to.

    options: lines such as ``--index-url URL``. They may hold credentials: they
        go into files that nobody else can read, never into arguments or messages.
    """

    requirements: tuple[Requirement, ...] = ()
    constraints: tuple[Requirement, ...] = ()
    options: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class _Reading:
    """Where a line stands: the file it came from and those that included it."""

    where: str
    base: Path
    cwd: Path
    stack: tuple[Path, ...] = ()
    constraint: bool = False


class _Collected:
    def __init__(self) -> None:
        self.requirements: list[Requirement] = []
        self.constraints: list[Requirement] = []
        self.options: list[str] = []
        self.seen: set[tuple[Path, bool]] = set()


def read_requirements(lines: Sequence[str], *, folder: Path, source: str) -> Requirements:
    """Read the lines of a ``pip:`` section.

    folder: where the specification lies; paths in the lines are relative to it.
        As with pip, paths in included files are relative to it too, but for
        ``-r``, ``-c`` and ``--find-links``, which are relative to the file.
    source: names the specification in messages.

    Raises InputError with file and line for what is not known, for paths that
    do not exist, for files that include themselves and for malformed requirements.
    """
    collected = _Collected()
    for number, item in enumerate(lines, 1):
        where = f"{source}: pip: item {number}"
        for line in item.splitlines():
            _line(line, _Reading(where, folder.absolute(), folder.absolute()), collected)
    return Requirements(
        requirements=tuple(collected.requirements),
        constraints=tuple(collected.constraints),
        options=tuple(dict.fromkeys(collected.options)),
    )


def _line(raw: str, reading: _Reading, collected: _Collected) -> None:
    line = _COMMENT.sub("", raw).strip()
    if not line:
        return
    if "\0" in line or not line.isprintable():
        raise InputError(f"{reading.where}: has characters that cannot be printed")
    if line.startswith("-"):
        _option(line, reading, collected)
    else:
        _add(read_requirement(line, reading.where, reading.cwd), reading, collected)


def _add(requirement: Requirement, reading: _Reading, collected: _Collected) -> None:
    (collected.constraints if reading.constraint else collected.requirements).append(requirement)


def _option(line: str, reading: _Reading, collected: _Collected) -> None:
    name, value = _split_option(line, reading.where)
    if name in _FLAGS and not value:
        collected.options.append(name)
    elif name == "--editable" and value:
        _add(
            replace(read_requirement(value, reading.where, reading.cwd), editable=True),
            reading,
            collected,
        )
    elif name in ("--requirement", "--constraint") and value:
        _include(value, name == "--constraint", reading, collected)
    elif name in _VALUED and value:
        if name == "--find-links":
            value = _find_links(value, reading)
        collected.options.append(f"{name} {shlex.quote(value)}")
    else:
        problem = "takes no value" if name in _FLAGS else "needs a value"
        if name not in {*_FLAGS, *_VALUED, *_SHORT.values()}:
            problem = "is not an option that slimpack knows"
        raise InputError(f"{reading.where}: {name} {problem}", hint=_KNOWN)


def _split_option(line: str, where: str) -> tuple[str, str]:
    """Return the long name and the value of an option line; InputError when it has more."""
    short = _SHORT.get(line[:2])
    if short == "--editable":  # a path may hold spaces and quotes
        return short, line[2:].strip()
    if line.startswith("--editable"):
        return "--editable", line.removeprefix("--editable").lstrip("= ")
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise InputError(f"{where}: {redacted(line)!r}: {error}") from error
    if short and not line.startswith("--"):
        words = [short, *([words[0][2:]] if len(words[0]) > 2 else []), *words[1:]]
    name, equals, value = words[0].partition("=")
    words = [name, *([value] if equals else []), *words[1:]]
    if len(words) > 2:
        raise InputError(
            f"{where}: one option a line; after {name} stands more than one value",
            hint="put a requirement or another option on a line of its own",
        )
    return words[0], words[1] if len(words) == 2 else ""


def _find_links(value: str, reading: _Reading) -> str:
    if "://" in value:
        return value
    for base in (reading.base, reading.cwd):
        if (base / value).exists():
            return str(base / value)
    raise InputError(
        f"{reading.where}: --find-links: {reading.base / value} does not exist",
        hint="check the path; it is relative to the file that names it",
    )


def _include(value: str, constraint: bool, reading: _Reading, collected: _Collected) -> None:
    if "://" in value:
        raise InputError(
            f"{reading.where}: {redacted(value)}: only files can be included",
            hint="download it and put it beside the specification",
        )
    path = reading.base / value
    resolved = path.resolve()
    constraint = constraint or reading.constraint
    if resolved in reading.stack:
        chain = " -> ".join(file.name for file in (*reading.stack, resolved))
        raise InputError(f"{reading.where}: includes itself: {chain}")
    if (resolved, constraint) in collected.seen:
        return
    collected.seen.add((resolved, constraint))
    try:
        text = read_text(path)
    except InputError as error:
        raise InputError(f"{reading.where}: {error.message}", hint=error.hint) from error
    inner = replace(
        reading, base=path.parent, stack=(*reading.stack, resolved), constraint=constraint
    )
    for number, line in _joined(text.removeprefix("\ufeff")):
        _line(line, replace(inner, where=f"{path}:{number}"), collected)


def _joined(text: str) -> Iterator[tuple[int, str]]:
    r"""Yield (line number, line) with lines that end in ``\`` joined, as pip does."""
    start, parts = 0, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        start = start or number
        comment = line.lstrip().startswith("#")
        if line.endswith("\\") and not comment:
            parts.append(line[:-1])
            continue
        parts.append(f" {line}" if comment else line)
        yield start, "".join(parts)
        start, parts = 0, []
    if parts:
        yield start, "".join(parts)
