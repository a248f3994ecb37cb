"""Compare an existing environment with what its records say, and name who changed it.

Each file of each record is intact, deleted or changed. A difference that pip or a
rule (`slimpack.prefix.rules`) explains is told and the work goes on, and so does one
that the user accepts by a glob. What nobody explains stops it, file by file: the
image of an environment that somebody edited would not be what its records say, and
scanners believe those.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from slimpack.env.meta import Installed, InstalledFile, InstalledPackage, is_clobbered
from slimpack.errors import InputError
from slimpack.prefix.compare import Claim, compare
from slimpack.prefix.examination import Examination, Finding
from slimpack.prefix.judge import judge
from slimpack.prefix.links import inside
from slimpack.prefix.origin import find_origin, homes_of
from slimpack.prefix.pip import Pip
from slimpack.prefix.report import refuse, summary
from slimpack.prefix.walk import Contents, walk
from slimpack.progress import SILENT, Progress
from slimpack.tree import check_path


def examine(
    prefix: Path,
    installed: Installed,
    *,
    accept: Sequence[str] = (),
    progress: Progress = SILENT,
) -> Examination:
    """Compare every file of an environment with what its package declares.

    accept: globs of paths below the prefix whose differences the user wants.
    Each file is read once; nothing is written. Raises InputError that lists what
    nobody explains, and for records whose paths lead out of the prefix.
    """
    prefix = Path(os.path.abspath(prefix))  # noqa: PTH100 (a link must stay one)
    contents = walk(prefix)
    declared = list(_declared(prefix, installed, contents))
    origin = find_origin(prefix, installed)
    total = sum(contents.there[path].st_size for *_, path in declared if path in contents.there)
    with progress.task("examine the environment", total=total) as task:
        claims = tuple(compare(prefix, declared, contents, homes_of(prefix, origin), task))
    pip = Pip(prefix, installed, claims)
    judgement = judge(claims, pip)
    found = [
        *(finding for finding in judgement.findings if finding.path not in contents.strange),
        *_strange(contents, claims),
        *_links(prefix, contents, judgement.holders, origin),
    ]
    findings = tuple(finding.accepted(tuple(accept)) for finding in found)
    refuse(prefix, findings, installed, contents.there)
    dropped = _dropped(installed, judgement.lost)
    listed = {claim.path for claim in claims}
    unmanaged = tuple(path for path in contents.there if path not in listed)
    pips = {path: pip.dists[path].owner for path in unmanaged if path in pip.dists}
    return Examination(
        origin=origin,
        holders=judgement.holders,
        owners={**judgement.owners, **pips},
        unmanaged=unmanaged,
        lost={name: frozenset(paths) for name, paths in judgement.lost.items()},
        dropped=dropped,
        findings=findings,
        notes=(*_moved(prefix, origin), *summary(findings, dropped, contents.left_out)),
    )


def _declared(
    prefix: Path, installed: Installed, contents: Contents
) -> Iterator[tuple[InstalledPackage, InstalledFile, str]]:
    """Yield every file of every record with the path where it lies on disk."""
    for package in installed.packages:
        for file in package.files:
            if is_clobbered(file.path) or file.path_type == "directory":
                continue
            try:
                check_path(file.path)
            except ValueError as error:
                raise InputError(
                    f"{prefix}/conda-meta/{package.dist}.json: {error}",
                    hint=f"install package {package.name} again",
                ) from error
            yield package, file, _place(prefix, file.path, contents)


def _place(prefix: Path, path: str, contents: Contents) -> str:
    """Return where a file is when a folder on the way to it is a link (``lib64``)."""
    if path in contents.there or not os.path.lexists(prefix / path):
        return path
    folder = os.path.realpath(prefix / posixpath.dirname(path))
    below = os.path.relpath(folder, os.path.realpath(prefix))
    return path if below.startswith("..") else posixpath.join(below, posixpath.basename(path))


def _strange(contents: Contents, claims: tuple[Claim, ...]) -> Iterator[Finding]:
    owners = {claim.path: claim.package.name for claim in claims}
    for path, what in contents.strange.items():
        yield Finding(path, owners.get(path, ""), what)


def _links(
    prefix: Path, contents: Contents, holders: dict[str, Claim], origin: str
) -> Iterator[Finding]:
    """Yield links out of the environment that no package brought."""
    homes = homes_of(prefix, origin)
    for path, status in contents.there.items():
        if stat.S_ISLNK(status.st_mode) and path not in holders:
            target = os.readlink(prefix / path)  # noqa: PTH115 (bytes-exact)
            if inside(path, target, homes) is None:
                yield Finding(path, "", f"a link out of the environment, to {target}")


def _dropped(installed: Installed, lost: dict[str, set[str]]) -> frozenset[str]:
    """Return the packages that had files and have none."""
    return frozenset(
        package.name
        for package in installed.packages
        if package.files
        and all(
            file.path in lost.get(package.name, ()) or is_clobbered(file.path)
            for file in package.files
        )
    )


def _moved(prefix: Path, origin: str) -> Iterator[str]:
    if origin != str(prefix):
        yield f"the environment lies at {prefix}; its files name {origin}, and move from there"
