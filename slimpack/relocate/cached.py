"""The files of a prefix, from the package cache that it was installed from."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection
from pathlib import Path

from conda_pack import core as conda_pack

from slimpack.env.meta import Installed, is_clobbered
from slimpack.errors import RelocationError
from slimpack.prefix.found import PrefixFile, Spill, as_found


def files_from_cache(
    prefix: Path, installed: Installed, scratch: Path, owners: Collection[str] | None = None
) -> list[PrefixFile]:
    """Return the files of a prefix as conda-pack finds them in the package cache.

    scratch: a folder for large files that an installer made. owners: whose files have to be
    there, None for all. Raises RelocationError when conda-pack warns or fails.
    """
    spill = Spill(scratch)

    def taken(file: conda_pack.File) -> PrefixFile:
        source, target = Path(file.source), str(file.target)
        owner = installed.owners.get(target, "")
        if file.file_mode == "unknown":
            # Made by an installer, in the prefix and for the prefix.
            return as_found(source, target, homes=[str(prefix)], spill=spill, owner=owner)
        return PrefixFile(
            source,
            target,
            file.prefix_placeholder or "",
            file.file_mode or "",
            installed.digests.get(target, ""),
            owner,
        )

    files = _load(prefix, partial=owners is not None)
    _check_there(prefix, installed, owners or ())
    return [taken(file) for file in _in_place(files, installed)]


def _check_there(prefix: Path, installed: Installed, owners: Collection[str]) -> None:
    """Raise RelocationError unless all files of the packages `owners` are there."""
    for package in installed.packages:
        for file in package.files if package.name in owners else ():
            if not os.path.lexists(prefix / file.path):
                raise RelocationError(
                    f"{prefix}: {file.path} of package {package.name} is not there",
                    hint="build again: damaged packages are fetched anew",
                )


def _load(prefix: Path, *, partial: bool = False) -> list[conda_pack.File]:
    try:
        with warnings.catch_warnings():
            # conda-pack's own are of this kind; a library's deprecations are not.
            warnings.simplefilter("error", UserWarning)
            files: list[conda_pack.File] = conda_pack.load_environment(
                str(prefix), on_missing_cache="raise", ignore_missing_files=partial
            )
    except (conda_pack.CondaPackException, Warning, ValueError, OSError) as error:
        raise RelocationError(
            f"{prefix}: conda-pack cannot relocate this environment",
            details=str(error).strip(),
            hint="build again: damaged packages are fetched anew",
        ) from error
    return sorted(files, key=lambda file: str(file.target))


def _in_place(files: list[conda_pack.File], installed: Installed) -> list[conda_pack.File]:
    """Return one file for each path: that of the package whose file is there.

    conda-pack reads what packages contain, and knows nothing of files that lost
    their place to another package's.
    """
    claims: dict[str, list[conda_pack.File]] = {}
    for file in files:
        if not is_clobbered(file.target):
            claims.setdefault(file.target, []).append(file)
    homes = {package.name: package.extracted for package in installed.packages}

    def chosen(target: str, claimed: list[conda_pack.File]) -> conda_pack.File:
        home = homes.get(installed.owners.get(target, ""), "")
        ours = (file for file in claimed if home and file.source.startswith(f"{home}/"))
        return next(ours, claimed[0]) if len(claimed) > 1 else claimed[0]

    return [chosen(target, claimed) for target, claimed in claims.items()]
