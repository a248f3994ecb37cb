"""From an environment on this machine to the files of a result: what images and archives share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from slimpack.bytecode import Compiler
from slimpack.environment import Environment
from slimpack.errors import RelocationError
from slimpack.prefix.dist_records import outdated_records, with_dist_records
from slimpack.relocate import Relocated, relocate, rewritten_files, with_records
from slimpack.slim.bytecode import cache_tag, candidates, interpreter_tag
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
        rewritten[path] = entry.sha256(), entry.size
    return with_records(tree.merge(changed.values()), moved, dest_prefix, rewritten)


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
