"""The files of an existing environment, ready for the relocation engine.

What `slimpack.prefix.examine` proved goes in as its package ships it; the rest goes
in as it is found. Nothing is written to the environment.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from slimpack.env.meta import Installed
from slimpack.env.pypi.editable import Overlay
from slimpack.errors import InputError
from slimpack.prefix.compare import Claim, State, restored_file
from slimpack.prefix.examination import Examination
from slimpack.prefix.found import Mode, PrefixFile, Spill, as_found
from slimpack.prefix.origin import homes_of

# What installers note about themselves, and scripts of a base installation or of
# conda-pack that have no use in the result (conda-pack leaves out the first three too).
_LEFT_OUT = frozenset(
    {
        "conda-meta/history",
        "conda-meta/unpacked-prefix",
        "conda-meta/pixi",
        "conda-meta/pixi_env_prefix",
        "conda-meta/.pixi-environment-fingerprint",
        # Settings of whoever used the environment: channels, and tokens for them.
        ".condarc",
        ".mambarc",
        "bin/conda",
        "bin/activate",
        "bin/deactivate",
        "bin/activate.fish",
        "bin/conda-unpack",
        "bin/conda_unpack_progress.py",
    }
)
_CACHED = re.compile(r"(?P<folder>.*/)?__pycache__/(?P<stem>[^/]+?)\.[^/]+\.pyc\Z")


def prefix_files(
    prefix: Path,
    installed: Installed,
    examination: Examination,
    overlays: Sequence[Overlay],
    scratch: Path,
) -> list[PrefixFile]:
    """Return one file for each path of the environment, in order.

    scratch: an empty folder that outlives the files. Raises InputError when a file
    changes while it is read.
    """
    prefix = Path(os.path.abspath(prefix))  # noqa: PTH100 (a link must stay one)
    spill = Spill(scratch)
    homes = homes_of(prefix, examination.origin)
    removed = {path for overlay in overlays for path in overlay.removed}
    files = {
        path: _held(prefix, claim, homes, spill) for path, claim in examination.holders.items()
    }
    for path in _found(examination, installed):
        owner = examination.owners.get(path) or installed.owners.get(path, "")
        files[path] = as_found(prefix / path, path, homes=homes, spill=spill, owner=owner)
    files.update((file.target, file) for file in _records(prefix, installed, examination, spill))
    for path in removed:
        files.pop(path, None)
    for overlay in overlays:
        for path, source in overlay.added:
            files[path] = as_found(source, path, homes=homes, spill=spill, owner=overlay.dist.owner)
    return [files[path] for path in sorted(files)]


def _held(prefix: Path, claim: Claim, homes: Sequence[str], spill: Spill) -> PrefixFile:
    """Return a file that is as its package has it."""
    path, file, owner = prefix / claim.path, claim.file, claim.package.name
    # Of an entry point the digest is that of what the installer wrote.
    if claim.state is State.INSTALLED or file.path_type.endswith("entry_point"):
        named = dict.fromkeys([*homes, *_left_in_copy(path, claim)])
        return as_found(path, claim.path, homes=tuple(named), spill=spill, owner=owner)
    source = path.resolve() if path.is_symlink() else path  # a link to a package cache
    if not file.placeholder:
        return PrefixFile(source, claim.path, sha256=file.sha256, owner=owner)
    data = source.read_bytes()
    mode = _mode(file.mode, data)
    if claim.state is State.RESTORED:
        restored = restored_file(data, file, homes)
        if restored is None:
            raise InputError(
                f"{path} changed while it was read", hint="run again when nobody works in it"
            )
        source = spill.keep(restored, source)
    return PrefixFile(source, claim.path, file.placeholder, mode, file.sha256, owner)


def _left_in_copy(path: Path, claim: Claim) -> Iterator[str]:
    """Yield placeholders that may be in a copy of what its package has as a link.

    The zip files of conda-pack hold such copies, and its conda-unpack forgets them.
    """
    if claim.file.path_type == "softlink" and not path.is_symlink():
        yield from (file.placeholder for file in claim.package.files if file.placeholder)


def _mode(declared: str, data: bytes) -> Mode:
    if declared in ("text", "binary"):
        return "text" if declared == "text" else "binary"
    return "binary" if b"\0" in data else "text"


def _found(examination: Examination, installed: Installed) -> Iterator[str]:
    """Yield the paths that are taken as they are found.

    Bytecode that Python made of a package's module is not: it is made again.
    """
    records = {f"conda-meta/{package.dist}.json" for package in installed.packages}
    for path in {*examination.unmanaged, *examination.owners}:
        match = _CACHED.match(path)
        source = f"{match['folder'] or ''}{match['stem']}.py" if match else ""
        made = path not in examination.owners and source in examination.holders
        if not made and path not in _LEFT_OUT and path not in records:
            yield path


def _records(
    prefix: Path, installed: Installed, examination: Examination, spill: Spill
) -> Iterator[PrefixFile]:
    """Yield the records of conda; those of packages that lost files without these."""
    for package in installed.packages:
        if package.name in examination.dropped:
            continue
        target = f"conda-meta/{package.dist}.json"
        source = prefix / target
        lost = examination.lost.get(package.name)
        if lost and source.is_file():
            source = spill.keep(_without(source.read_bytes(), lost), source)
        yield PrefixFile(source, target, owner=package.name)


def _without(data: bytes, lost: Iterable[str]) -> bytes:
    gone = frozenset(lost)
    record: dict[str, Any] = json.loads(data)
    record["files"] = [path for path in record.get("files", []) if path not in gone]
    declared = record.get("paths_data") or {}
    if declared.get("paths"):
        declared["paths"] = [item for item in declared["paths"] if item["_path"] not in gone]
    return json.dumps(record).encode()
