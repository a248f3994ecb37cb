"""From an environment on this machine to the files of a result: what images and archives share."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from slimpack.environment import Environment
from slimpack.errors import RelocationError
from slimpack.prefix.dist_records import outdated_records, with_dist_records
from slimpack.progress import Progress
from slimpack.relocate import Relocated, relocate, rewritten_files, with_records
from slimpack.slim.bytecode import (
    BytecodeReport,
    add_bytecode,
    cache_tag,
    candidates,
    interpreter_tag,
    source_of,
)
from slimpack.tree import Entry, Tree, under

_NONE: Mapping[str, Path] = MappingProxyType({})


def relocated(environment: Environment, dest_prefix: str | None, scratch: Path) -> Relocated:
    """Return the environment's files for `dest_prefix`, None for any place (see `relocate`).

    Raises RelocationError for an archive that was packed for another place only.
    """
    made_for = environment.made_for
    if made_for and made_for != dest_prefix:
        raise RelocationError(
            f"{environment.source}: its files were written for {made_for}, and nothing tells where",
            hint=f"keep that place (--prefix {made_for} for an image, --dest-prefix {made_for} for "
            "an archive), or pack it again without --dest-prefix",
        )
    spill = scratch / "rewritten"
    spill.mkdir()
    return relocate(
        environment.prefix,
        dest_prefix,
        installed=environment.installed,
        scratch=spill,
        files=environment.files,
        origin=environment.origin,
    )


@dataclass(frozen=True)
class Compiler:
    """What writes bytecode for an environment.

    programs: interpreters to try; none where nobody here can, of which `note` tells.
    tag: their cache tag, such as ``cpython-311``.
    """

    programs: tuple[Path, ...]
    tag: str
    note: str = ""


def compiler_of(environment: Environment) -> Compiler | None:
    """Return what writes an environment's bytecode; None where it has no Python."""
    python = environment.installed.get("python")
    if python is None:
        return None
    programs, note = candidates(environment.prefix, python.version), ""
    if environment.host_python:
        found = environment.host_python()
        programs, note = (found.program,) if found.program else (), found.note
    # Its own interpreter, or its twin, knows best (pypy39, cpython-313t), where it runs.
    tag = cache_tag(programs[0]) if programs else ""
    return Compiler(programs, tag or interpreter_tag(python.version), note)


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


def with_true_records(
    tree: Tree, environment: Environment, moved: Relocated, dest_prefix: str
) -> Tree:
    """Let the records of conda and of pip tell of the files as they are in the tree.

    dest_prefix: where the environment lies in the tree, "" for its root.
    """
    rewritten = rewritten_files(tree, moved, dest_prefix)
    dists = environment.installed.dists
    tree = with_dist_records(tree, dists, dest_prefix, rewritten)
    changed = outdated_records(tree, dists, dest_prefix, rewritten)
    for path, entry in changed.items():
        rewritten[path] = hashlib.sha256(entry.read()).hexdigest(), entry.size
    return with_records(tree.merge(changed.values()), moved, dest_prefix, rewritten)


def without_bytecode(tree: Tree) -> Tree:
    """Return the tree without the bytecode of its sources."""
    return tree.filter(lambda entry: not source_of(entry.path))


def vouched(moved: Relocated, stripped: str = "") -> Callable[[Entry], bool]:
    """Return what tells whether an entry is byte for byte as its conda package has it.

    stripped: prefix that the paths of `moved` have and the entries' have no more.
    """
    return lambda entry: under(stripped, entry.path) in moved.verified


def notes(environment: Environment, moved: Relocated) -> Iterator[str]:
    """Tell what a reader of the result should know of its files."""
    yield from environment.notes
    for path, winner, loser in environment.installed.replacements:
        yield f"{path} is that of package {winner}; package {loser} has another"
    for path in moved.unmoved:
        yield f"{path} names the place it came from, in a form that cannot be rewritten"


def bytecode_notes(report: BytecodeReport) -> Iterator[str]:
    """Tell what a reader of the result should know of its bytecode."""
    if report.note:
        yield report.note
    for path, message in report.failed:
        yield f"{path} cannot be compiled and ships without bytecode ({message})"
