"""Unpacking a portable archive safely, to a place where it then works."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from slimpack.archive.extract import extract, find_environment
from slimpack.archive.folder import new_folder
from slimpack.errors import ArchiveError, InputError
from slimpack.files import explained
from slimpack.portable.unpacking import guess_prefix, read_records, rewrite
from slimpack.progress import SILENT, Progress


@dataclass(frozen=True)
class UnpackResult:
    """What was unpacked. size: bytes of the files.

    prefix: where the environment works. rewritten: files that now name it.
    """

    folder: str
    prefix: str
    files: int
    size: int
    rewritten: int
    notes: tuple[str, ...]


def unpack(
    archive: Path,
    folder: Path,
    *,
    prefix: str = "",
    force: bool = False,
    progress: Progress = SILENT,
) -> UnpackResult:
    """Unpack `archive` to `folder`, whole or not at all, and let it name its place.

    prefix: where the environment will be used, if that is not `folder` (a mount, an
    image). Archives of slimpack and of conda-pack in any of their formats are taken
    for untrusted: see `slimpack.archive.extract`. Raises InputError for a prefix that
    is none; ArchiveError for hostile or damaged archives and for files that cannot
    name the prefix.
    """
    final = _final(prefix, folder)
    with new_folder(folder, force=force) as staging:
        extracted = extract(archive, staging, progress=progress)
        root = find_environment(staging)
        final = str(Path(final, root.relative_to(staging)))
        unpacking = read_records(root)
        notes: tuple[str, ...] = ()
        rewritten = 0
        if unpacking is None:
            notes = _fixed(root, final)
        else:
            report = rewrite(root, unpacking, final)
            if report.failed:
                raise ArchiveError(
                    f"{archive}: {len(report.failed)} files cannot name {final}",
                    details="\n".join(f"{path!a}: {reason}" for path, reason in report.failed[:20]),
                    hint="choose a shorter place, or fetch the archive again",
                )
            rewritten = report.rewritten
    return UnpackResult(
        folder=str(folder),
        prefix=final,
        files=extracted.files,
        size=extracted.size,
        rewritten=rewritten,
        notes=notes,
    )


def _final(prefix: str, folder: Path) -> str:
    """Return the path that the files are to name, as conda-unpack would find it."""
    if prefix and not prefix.startswith("/"):
        raise InputError(f"the prefix {prefix!r} is no absolute path")
    with explained(folder):  # the folder that we are in may be gone
        final = os.path.abspath(prefix or folder)  # noqa: PTH100 (without `..`, links kept)
    if "\n" in final:
        raise InputError(f"the path {final!r} has more than one line", hint="choose another folder")
    return final


def _fixed(root: Path, final: str) -> tuple[str, ...]:
    """Say so when an archive without conda-unpack is unpacked where it was not made for."""
    made_for = guess_prefix(root)
    if made_for in (None, final):
        return ()
    return (f"this archive was packed for {made_for!a} and works there only",)
