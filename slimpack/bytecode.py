"""Bytecode for the files of a result, by whatever Python can write it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from slimpack.progress import Progress
from slimpack.slim.bytecode import BytecodeReport, add_bytecode, source_of
from slimpack.tree import Entry, Tree, under

_NONE: Mapping[str, Path] = MappingProxyType({})


@dataclass(frozen=True)
class Compiler:
    """What writes bytecode for an environment.

    programs: interpreters to try; none where nobody here can, of which `note` tells.
    tag: their cache tag, such as ``cpython-311``.
    """

    programs: tuple[Path, ...]
    tag: str
    note: str = ""


def with_bytecode(
    tree: Tree,
    compiler: Compiler | None,
    *,
    dest_prefix: str,
    scratch: Path,
    checked: bool,
    progress: Progress,
    sources: Mapping[str, Path] = _NONE,
) -> tuple[Tree, BytecodeReport]:
    """Return the tree with bytecode for every source; as it is where there is no Python.

    dest_prefix: where the environment lies in the tree, "" for its root.
    scratch: a folder that outlives the tree. checked: see `add_bytecode`.
    sources: path in the tree -> file that is exactly as its package has it.
    Where nobody here can write it there is none, which the report tells.
    """
    if compiler is None:
        return tree, BytecodeReport()
    if not compiler.programs:
        bare = without_bytecode(tree)
        return bare, BytecodeReport(dropped=len(tree) - len(bare), note=compiler.note)

    def shipped(entry: Entry) -> Path | None:
        return sources.get(entry.path)

    tree, report = add_bytecode(
        tree,
        python=compiler.programs,
        tag=compiler.tag,
        scratch=Path(tempfile.mkdtemp(prefix="bytecode-", dir=scratch)),
        scripts=under(dest_prefix, "bin"),
        reusable=shipped,
        checked=checked,
        progress=progress,
    )
    return tree, replace(report, note=compiler.note)


def without_bytecode(tree: Tree) -> Tree:
    """Return the tree without the bytecode of its sources."""
    return tree.filter(lambda entry: not source_of(entry.path))


def bytecode_notes(report: BytecodeReport) -> Iterator[str]:
    """Tell what a reader of the result should know of its bytecode."""
    if report.note:
        yield report.note
    for path, message in report.failed:
        yield f"{path} cannot be compiled and ships without bytecode ({message})"
