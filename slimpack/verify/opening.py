"""Getting hold of what is verified: an image, an environment, or a portable archive."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping, Set
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from slimpack.archive.extract import extract, find_environment
from slimpack.env.inputs.archives import ArchiveFormat, archive_format, is_image
from slimpack.errors import ArchiveError, InputError
from slimpack.oci.config import Platform
from slimpack.oci.image import Image
from slimpack.oci.members import Listed
from slimpack.oci.read import read_image
from slimpack.oci.rootfs import Placed, merged_view
from slimpack.platforms import SUBDIRS, resolve
from slimpack.portable.unpacking import guess_prefix, read_records, rewrite
from slimpack.prefix.walk import walk
from slimpack.progress import SILENT, Progress
from slimpack.rootfs import tree_of, unpack_image
from slimpack.tree import Entry, Kind, Tree, directory_entry, parents
from slimpack.verify.packages import find_prefix
from slimpack.verify.subject import DEFAULT_PATH, Start, Subject

_KNOWN = "give an image (OCI layout or tar), an environment's folder or a portable archive"
COMMENT = "slimpack"
"""What slimpack notes in the history of the layers that it makes."""


def open_subject(
    path: Path,
    folder: Path,
    *,
    platform: Platform | None = None,
    ref: str = "",
    progress: Progress = SILENT,
) -> Subject:
    """Return what lies at `path`, told by its content: an image, an environment, an archive.

    folder: new; images and archives are unpacked to it. platform, ref: which image of
    several. Raises InputError for anything else, and as the functions below do.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist", hint=_KNOWN)
    layout = path.is_dir() and any((path / name).is_file() for name in ("oci-layout", "index.json"))
    kind = None if path.is_dir() else archive_format(path)
    if layout or (kind is ArchiveFormat.TAR and is_image(path)):
        image = read_image(path, platform, ref=ref)
        return open_image(image, folder, str(path), progress=progress)
    if path.is_dir():
        return open_prefix(path, str(path))
    if kind is None or kind is ArchiveFormat.CONDA_PACKAGE:
        raise InputError(f"{path} is no image, environment or portable archive", hint=_KNOWN)
    return open_archive(path, folder, progress=progress)


def open_image(
    image: Image,
    folder: Path,
    name: str,
    *,
    view: Mapping[str, Placed] | None = None,
    unpacked: bool = False,
    listed: Listed = MappingProxyType({}),
    absent: Set[str] = frozenset(),
    known: Mapping[str, str] = MappingProxyType({}),
    progress: Progress = SILENT,
) -> Subject:
    """Unpack `image` to the new `folder`, and return it as a subject.

    view: its `merged_view`, if that is at hand. listed: see `unpack_image`.
    unpacked: `folder` has its files already.
    absent: paths of files that are not unpacked: opening one raises FileNotFoundError.
    known: see `Subject`. Raises ImageError for an image that is malformed.
    """
    view = merged_view(image) if view is None else view
    if not unpacked:
        some = {path: placed for path, placed in view.items() if path not in absent}
        unpack_image(image, folder, view=some, listed=listed, progress=progress)
    tree = tree_of(view, folder)
    config = image.config
    return Subject(
        name=name,
        kind="image",
        tree=tree,
        root=folder,
        prefix=find_prefix(tree) or "",
        platform=str(image.platform),
        start=Start(
            config.entrypoint, config.cmd, config.env, config.user, config.workdir, config.labels
        ),
        below=_base_paths(image, view),
        image=image,
        known=known,
    )


def open_prefix(prefix: Path, name: str = "") -> Subject:
    """Return an environment of this machine, where it lies, as a subject.

    Raises InputError for a folder that is no environment.
    """
    prefix = prefix.resolve()
    if not (prefix / "conda-meta").is_dir():
        raise InputError(
            f"{prefix} is not a conda environment: it has no conda-meta folder",
            hint="give an image, a portable archive or the folder of an environment",
        )
    return _host_subject(prefix, name or str(prefix), "prefix")


def open_archive(archive: Path, folder: Path, *, progress: Progress = SILENT) -> Subject:
    """Unpack `archive` to the new `folder`, let it name that place, and return it as a subject.

    Raises as `slimpack.archive.extract.extract` does, and ArchiveError for files that
    cannot name `folder`.
    """
    extract(archive, folder, progress=progress)
    root = find_environment(folder).resolve()
    records = read_records(root)
    if records is not None:
        report = rewrite(root, records, str(root))
        if report.failed:
            path, reason = report.failed[0]
            raise ArchiveError(
                f"{archive}: {len(report.failed)} files cannot name the place where they are, "
                f"such as {path!a}: {reason}",
                hint="the archive is damaged; make it again",
            )
        return _host_subject(root, str(archive), "archive")
    made_for = guess_prefix(root)
    return _host_subject(root, str(archive), "archive", made_for=made_for or "")


def _host_subject(root: Path, name: str, kind: str, made_for: str = "") -> Subject:
    tree = tree_of_folder(root)
    return Subject(
        name=name,
        kind="archive" if kind == "archive" else "prefix",
        tree=tree,
        root=root,
        prefix="",
        platform=_platform(root),
        start=Start(
            env=(
                ("CONDA_PREFIX", str(root)),
                ("HOME", "/nonexistent"),  # what the user keeps there is no part of it
                ("LC_ALL", "C.UTF-8"),
                ("PATH", f"{root}/bin:{DEFAULT_PATH}"),
            )
        ),
        made_for=made_for,
    )


def _platform(root: Path) -> str:
    """Return the platform that an environment was installed for, by the first record that tells."""
    known = {subdir: platform for platform, subdir in SUBDIRS.items()}
    for record in sorted((root / "conda-meta").glob("*.json")):
        try:
            subdir = json.loads(record.read_bytes()).get("subdir")
        except (OSError, ValueError, AttributeError):
            continue  # the check of records tells
        if subdir in known:
            return known[subdir]
    return resolve("")


def tree_of_folder(root: Path) -> Tree:
    """Return the files below a folder with their true modes and numeric owners.

    Sockets, devices and names that are not UTF-8 are left out, as are folders of a
    base installation that are no part of its environment (``pkgs``, ``envs``).
    """
    there = walk(root).there
    folders = sorted({above for path in there for above in parents(path)} - there.keys())
    found = {**there, **{folder: (root / folder).lstat() for folder in folders}}
    return Tree(_entry(root, path, status) for path, status in found.items())


def _entry(root: Path, path: str, status: os.stat_result) -> Entry:
    mode = stat.S_IMODE(status.st_mode)
    place = root / path
    if stat.S_ISDIR(status.st_mode):
        return directory_entry(path, mode=mode, uid=status.st_uid, gid=status.st_gid)
    if stat.S_ISLNK(status.st_mode):
        link = os.readlink(place)  # noqa: PTH115 (as it is stored)
        return Entry(path, Kind.SYMLINK, 0o777, link=link, uid=status.st_uid, gid=status.st_gid)
    return Entry(
        path=path,
        kind=Kind.FILE,
        mode=mode,
        size=status.st_size,
        opener=lambda: _open(place),
        uid=status.st_uid,
        gid=status.st_gid,
    )


def _open(place: Path) -> BinaryIO:
    return os.fdopen(os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")


def _base_paths(image: Image, view: Mapping[str, Placed]) -> frozenset[str]:
    """Return the paths that come from layers which slimpack did not make.

    The history tells; where it is silent or does not fit the layers, nothing is a base's.
    """
    steps = [step for step in image.history if not step.empty]
    if len(steps) != len(image.layers) or all(step.comment != COMMENT for step in steps):
        return frozenset()
    foreign = {
        number for number, step in enumerate(steps)
        if step.comment != COMMENT or step.created_by.startswith("runtime ")
    }  # fmt: skip
    return frozenset(path for path, placed in view.items() if placed.layer in foreign)
