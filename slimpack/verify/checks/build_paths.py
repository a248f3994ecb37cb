"""No path of the build, and no placeholder of a package, is anywhere in the result."""

from __future__ import annotations

import re
from collections.abc import Iterator

from slimpack.errors import RelocationError
from slimpack.oci.digest import CHUNK
from slimpack.portable.script import NAME as CONDA_UNPACK
from slimpack.tree import Entry, Kind, Tree
from slimpack.verify.context import Context
from slimpack.verify.model import Check, Finding, SkippedError
from slimpack.verify.prefixes import forbidden_paths, scanned
from slimpack.verify.subject import Subject

_RECORD = re.compile(r"(?:.*/)?conda-meta/(?:[^/]+\.json|history|unpacked-prefix)\Z")


def _run(subject: Subject, context: Context) -> Iterator[Finding]:
    texts = (*context.forbidden, *forbidden_paths((), ()))
    for name, value in (*subject.start.env, *sorted(subject.start.labels.items())):
        if any(text in value.encode("utf-8", "surrogateescape") for text in texts):
            yield Finding("", f"the variable or label {name} contains a build path")
    if not context.scan:
        raise SkippedError("the build has searched every byte while it wrote the layers")
    tree = subject.tree.filter(lambda entry: not _by_design(subject, entry))
    links = tree.filter(lambda entry: entry.kind is Kind.SYMLINK)
    files = scanned(tree.filter(lambda entry: entry.kind is Kind.FILE), texts)
    for entry in (*links, *files):
        try:
            if entry.kind is Kind.FILE:
                _read(entry)
            else:
                scanned(Tree([entry]), texts)
        except RelocationError as error:
            yield Finding(
                entry.path,
                error.message.partition(" still ")[2],
                subject.owner(entry.path),
                # conda itself leaves some, and they name no place of this image's build.
                severity="warning" if subject.kind == "prefix" else None,
            )


def _by_design(subject: Subject, entry: Entry) -> bool:
    """Tell whether a file names placeholders on purpose: what conda-unpack and conda know."""
    if subject.kind == "image":
        return False
    return entry.path == CONDA_UNPACK or bool(_RECORD.match(entry.path))


def _read(entry: Entry) -> None:
    with entry.open() as stream:
        while stream.read(CHUNK):
            pass


CHECK = Check(
    name="build-paths",
    severity="error",
    explanation="A path of the machine that built the package or the image does not exist where "
    "the image runs: what uses it fails there, and it tells of your machines.",
    fix="build again with a package cache that is whole; if the path is harmless, list the file "
    "under allow_build_paths and ignore this check",
    run=_run,
)
