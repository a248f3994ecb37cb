"""What ``bin/conda-unpack`` knows, read and acted upon without running it.

The program of an archive that somebody else made is text to look at, never code
to run: slimpack's own holds a table, conda-pack's (0.3 to 0.9) a Python list.
"""

from __future__ import annotations

import ast
import io
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slimpack.errors import ArchiveError
from slimpack.portable import unpack_program
from slimpack.portable.records import Mode, Step
from slimpack.portable.script import NAME
from slimpack.tree import check_path

_MAX_BYTES = 16 << 20  # an environment of 30000 files with a prefix
_MAX_LINE = 16 << 10
_MAX_FILE = 1 << 30  # bytes of a file that is rewritten, in memory
_MAX_FIRST_LINES = 4096
_LIST = b"_prefix_records = ["
_TABLE = b"\n" + unpack_program.TABLE + b"\n"
# A script's interpreter, written plainly or for sh because it was too long.
_INTERPRETER = re.compile(
    rb"#![ \t]*(?P<plain>/[^\n]*?)/bin/(?P<name>[\w.+-]+)[ \t]*(?:[ \t]-[^\n]*)?\r?(?:\n|\Z)"
    rb"|#!/bin/sh\n'''exec' \"?(?P<long>/[^\"\n]+?)/bin/(?P<long_name>[\w.+-]+)\"? "
)


@dataclass(frozen=True)
class PrefixedPath:
    """A file in which conda-unpack puts a path; `steps` is None when conda-pack listed it."""

    path: str
    placeholder: str
    mode: Mode
    size: int = 0
    steps: tuple[Step, ...] | None = None


@dataclass(frozen=True)
class Unpacking:
    """What is left to do for an unpacked archive: a path goes into each of these files."""

    files: tuple[PrefixedPath, ...]


@dataclass(frozen=True)
class Report:
    """What `rewrite` did.

    rewritten: number of files that had another path inside.
    failed: (path, reason) for each file that stayed as it was.
    """

    rewritten: int
    failed: tuple[tuple[str, str], ...]


def read_records(root: Path) -> Unpacking | None:
    """Return what ``bin/conda-unpack`` of an unpacked archive lists; None without one.

    Raises ArchiveError for a list that is malformed or names a file twice, for paths
    that lie outside `root` or run through links, and for files of more than 1 GiB.
    """
    program = root / NAME
    if not os.path.lexists(program):
        return None
    _refuse_links(root, NAME)
    if not program.is_file() or program.stat().st_size > _MAX_BYTES:
        raise _malformed(f"not a file of at most {_MAX_BYTES} bytes")
    data = program.read_bytes()
    files: dict[str, PrefixedPath] = {}
    for file in _ours(data) if _TABLE in data else _conda_pack(data):
        _check(file)
        _refuse_links(root, file.path)
        _refuse_huge(root, file.path)
        if file.path in files:
            raise _malformed(f"it names {file.path!r:.200} twice")
        files[file.path] = file
    return Unpacking(tuple(files.values()))


def rewrite(root: Path, unpacking: Unpacking, new_prefix: str) -> Report:
    """Write `new_prefix` into the files under `root`, as ``bin/conda-unpack`` does.

    new_prefix: absolute path where the environment will be used, one line.
    Files are replaced one by one, each at once. A file that cannot be
    rewritten stays and is reported. Raises ArchiveError when nothing can be
    written, ValueError for a prefix that is not absolute.
    """
    prefix = os.fsencode(new_prefix)
    if not prefix.startswith(b"/") or b"\n" in prefix:
        raise ValueError(f"not an absolute path on one line: {new_prefix!r}")
    records = [
        unpack_program.Record(
            _encoded(file.path),
            _encoded(file.placeholder),
            file.mode,
            file.size,
            None if file.steps is None else list(file.steps),
        )
        for file in unpacking.files
    ]
    try:
        count, failed = unpack_program.rewrite(os.fsencode(root), records, prefix)
    except OSError as error:
        raise ArchiveError(
            f"cannot write {os.fsdecode(unpack_program.STATE)}: {error.strerror}",
            hint="the archive is damaged, or the folder is one that you may not write to",
        ) from error
    return Report(
        count, tuple((path.decode("utf-8", "surrogateescape"), reason) for path, reason in failed)
    )


def guess_prefix(root: Path) -> str | None:
    """Return the prefix that most scripts in ``bin`` start their interpreters from.

    For archives whose final prefix was written when they were packed: they
    have no conda-unpack, and nothing else tells. Only interpreters that are in
    the environment count. None when no script has one.
    """
    found: Counter[str] = Counter()
    for path in sorted((root / "bin").glob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        with path.open("rb") as stream:
            match = _INTERPRETER.match(stream.read(_MAX_FIRST_LINES))
        if match is None:
            continue
        name = os.fsdecode(match["name"] or match["long_name"])
        if (root / "bin" / name).exists() or (root / "bin" / name).is_symlink():
            found[os.fsdecode(match["plain"] or match["long"])] += 1
    return max(found, key=lambda prefix: (found[prefix], prefix)) if found else None


def _ours(data: bytes) -> Iterator[PrefixedPath]:
    try:
        for record in unpack_program.parse_table(data.partition(_TABLE)[2]):
            yield PrefixedPath(
                record.path.decode(),
                record.placeholder.decode(),
                "binary" if record.mode == "binary" else "text",
                record.size,
                tuple(record.steps or ()),
            )
    except ValueError as error:
        raise _malformed(f"its table of files is damaged ({error})") from error


def _conda_pack(data: bytes) -> Iterator[PrefixedPath]:
    # Line by line, as conda-pack writes it: a stranger's list is never one big expression.
    lines = (line.rstrip(b"\r\n") for line in io.BytesIO(data))
    if not any(line == _LIST for line in lines):
        raise _malformed("it has no list of files (_prefix_records)")
    for line in lines:
        if line == b"]":
            return
        if line:
            yield _listed(line)
    raise _malformed("its list of files has no end")


def _listed(line: bytes) -> PrefixedPath:
    """Return what one line of conda-pack's list says: ``('path', 'placeholder', 'mode'),``."""
    try:
        if len(line) > _MAX_LINE:
            raise ValueError
        item: object = ast.literal_eval(line.removesuffix(b",").decode())
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise _malformed("its list of files is not one of strings") from error
    match item:
        case (str(path), str(placeholder), "text" | "binary" as mode):
            return PrefixedPath(path, placeholder, mode)
    raise _malformed(f"its list of files holds {item!r:.80}")


def _check(file: PrefixedPath) -> None:
    try:
        check_path(file.path)
        _encoded(file.path + file.placeholder)
    except ValueError as error:
        raise _malformed(
            f"it names something that is no path inside the archive, {file.path!r:.200}"
        ) from error
    if not file.placeholder.startswith("/") or len(file.placeholder) < 2:
        raise _malformed(f"the placeholder {file.placeholder!r:.200} is no absolute path")
    if re.search(r"[\r\n]", file.path + file.placeholder) or "\0" in file.placeholder:
        raise _malformed(f"{file.path!r:.200} or its placeholder has more than one line")


def _encoded(text: str) -> bytes:
    """Return a path as archives hold it; ValueError when it is none."""
    return text.encode("utf-8", "surrogateescape")


def _refuse_links(root: Path, path: str) -> None:
    """Refuse a path that runs through links: they may lead out of the archive."""
    place = root
    for part in path.split("/"):
        place /= part
        if place.is_symlink():
            raise ArchiveError(
                f"{NAME}: would write through the link {str(place.relative_to(root))!a}",
                hint="the archive is damaged or hostile; get it again from who made it",
            )


def _refuse_huge(root: Path, path: str) -> None:
    place = root / path
    if place.is_file() and place.stat().st_size > _MAX_FILE:
        raise _malformed(f"{path!r:.200} has more than the {_MAX_FILE} bytes that can be rewritten")


def _malformed(reason: str) -> ArchiveError:
    return ArchiveError(
        f"{NAME}: {reason}", hint="the archive is damaged or was not made by conda-pack or slimpack"
    )
