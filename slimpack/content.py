"""From an environment on this machine to the files of a result: what images and archives share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

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


def with_bytecode(
    tree: Tree,
    environment: Environment,
    moved: Relocated,
    *,
    dest_prefix: str,
    scratch: Path,
    checked: bool,
    progress: Progress,
) -> tuple[Tree, BytecodeReport]:
    """Return the tree with bytecode for every source; as it is where there is no Python.

    dest_prefix: where the environment lies in the tree, "" for its root.
    checked: see `add_bytecode`. An environment for another platform whose bytecode nobody
    here can write has none, which the report tells.
    """
    python = environment.installed.get("python")
    if python is None:
        return tree, BytecodeReport()
    programs, note = candidates(environment.prefix, python.version), ""
    if environment.host_python:
        found = environment.host_python()
        if found.program is None:
            bare = without_bytecode(tree)
            return bare, BytecodeReport(dropped=len(tree) - len(bare), note=found.note)
        programs, note = (found.program,), found.note
    # Its own interpreter, or its twin, knows best (pypy39, cpython-313t), where it runs.
    tag = cache_tag(programs[0]) or interpreter_tag(python.version)
    folder = scratch / "bytecode"
    folder.mkdir()

    def shipped(entry: Entry) -> Path | None:
        return moved.sources.get(entry.path)

    tree, report = add_bytecode(
        tree,
        python=programs,
        tag=tag,
        scratch=folder,
        scripts=under(dest_prefix, "bin"),
        reusable=shipped,
        checked=checked,
        progress=progress,
    )
    return tree, replace(report, note=note)


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


def notes(environment: Environment, moved: Relocated, bytecode: BytecodeReport) -> Iterator[str]:
    """Tell what a reader of the result should know of its files."""
    yield from environment.notes
    for path, winner, loser in environment.installed.replacements:
        yield f"{path} is that of package {winner}; package {loser} has another"
    for path in moved.unmoved:
        yield f"{path} names the place it came from, in a form that cannot be rewritten"
    if bytecode.note:
        yield bytecode.note
    for path, message in bytecode.failed:
        yield f"{path} cannot be compiled and ships without bytecode ({message})"
