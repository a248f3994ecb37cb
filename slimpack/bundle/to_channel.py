"""The files of a bundle in a folder: a conda channel, with wheelhouse, locks and archives in it.

The folder may be a channel already, to which others add packages as well: its packages stay,
and its repodata.json gets the new ones. Packages come first and indexes last, so that whoever
reads the channel meanwhile finds a file for each record. What an interrupted run has brought
stays for the next one, which reads it again to see that it is whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import zstandard

from slimpack.bundle.channel import FOLDER, REPODATA
from slimpack.bundle.model import File
from slimpack.bundle.reader import Bundle
from slimpack.errors import BundleError, ImageError, InputError
from slimpack.files import atomic_file, explained, file_sha256
from slimpack.oci.digest import chunks, hex_of
from slimpack.oci.jsontext import Object, canonical, parse_object
from slimpack.progress import SILENT, Progress

MAX_REPODATA = 1 << 30
_KINDS: Mapping[str, str] = MappingProxyType(
    {
        "channel": r"channel/(?:[^/.][^/]*/)?[a-z0-9]+(?:-[a-z0-9]+)?/"
        r"(?:repodata\.json|[^/.][^/]*\.(?:conda|tar\.bz2))",
        "wheelhouse": r"wheelhouse/[^/.][^/]*",
        "archive": r"archives/[^/.][^/]*",
        "lock": r"locks/[^/.][^/]*",
    }
)
"""What the files of each kind are called."""
_RECORDS = ("packages", "packages.conda")
_ZSTD = ".zst"
# Other forms of the index, which only the channel's own tools write.
_OTHER_INDEXES = (
    *("current_repodata.json", "repodata.json.bz2", "repodata.json.gz"),
    "repodata_shards.msgpack.zst",
)
_TEMPORARY = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{16}\.tmp\Z")


@dataclass(frozen=True)
class ChannelPlan:
    """What the folder lacks of a bundle.

    missing: to be written. present: there, with these bytes. replaced: locks and archives
    that are there with other bytes. indexes: text of each index that gets other records, by
    its path. stale: indexes in other forms beside these, which stay as they are.
    Paths are relative to the folder.
    """

    folder: Path
    missing: tuple[tuple[str, File], ...]
    present: tuple[str, ...]
    replaced: tuple[str, ...]
    indexes: Mapping[str, bytes]
    stale: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes to write, without indexes."""
        return sum(file.size for _, file in self.missing)


def plan_channel(bundle: Bundle, folder: Path) -> ChannelPlan:
    """Compare the files of a bundle with those of a folder, which need not be there yet.

    Raises InputError where the bundle has no such files, and for a folder whose index cannot
    be read; BundleError where the folder has other bytes under the name of a package.
    """
    files = [file for file in bundle.statement.files if file.kind in _KINDS]
    if not any(file.kind in ("channel", "wheelhouse") for file in files):
        raise InputError(
            f"{bundle.path} holds no packages",
            hint="`slimpack bundle create --with-packages` puts them in",
        )
    missing: list[tuple[str, File]] = []
    present: list[str] = []
    replaced: list[str] = []
    conflicts: list[str] = []
    indexes: dict[str, bytes] = {}
    for file in files:
        _check_place(bundle, file)
        path = place_of(file)
        if file.kind == "channel" and path.rpartition("/")[2] == REPODATA:
            found = _merged(bundle, file, folder / path, conflicts)
            if found is not None:
                indexes[path] = found
            continue
        there = folder / path
        if not there.exists():
            missing.append((path, file))
        elif there.is_file() and file_sha256(there) == hex_of(file.digest):
            present.append(path)
        elif _may_change(path, file):
            missing.append((path, file))
            replaced.append(path)
        else:
            conflicts.append(path)
    if conflicts:
        raise BundleError(
            f"{folder} has other packages under the same names: "
            + ", ".join(dict.fromkeys(conflicts[:20])),
            hint="nothing was written; choose another folder, which micromamba and slimpack "
            "can use beside this one",
        )
    return ChannelPlan(
        folder,
        tuple(missing),
        tuple(present),
        tuple(replaced),
        indexes,
        tuple(_stale(folder, indexes)),
    )


def _check_place(bundle: Bundle, file: File) -> None:
    if not re.fullmatch(_KINDS[file.kind], file.path):
        raise BundleError(
            f"{bundle.path} holds {file.path[:200]!r}, which has no place among files of the kind "
            f"{file.kind}",
            hint="it was not made by slimpack: do not use it",
        )


def place_of(file: File) -> str:
    """Return where a file of a bundle goes below the folder, which is the channel itself."""
    return file.path.removeprefix(f"{FOLDER}/") if file.kind == "channel" else file.path


def _may_change(path: str, file: File) -> bool:
    """Tell whether a newer bundle may bring another file of that name."""
    return file.kind in ("lock", "archive") or path.endswith(".txt")


def apply_channel(bundle: Bundle, plan: ChannelPlan, *, progress: Progress = SILENT) -> None:
    """Write what is missing; each file appears whole, with its digest checked, indexes last.

    Raises BundleError for a damaged member, SlimpackError when the disk is full.
    """
    _sweep(plan)
    with progress.task("packages", total=plan.size) as task:
        for path, file in plan.missing:
            with atomic_file(plan.folder / path) as out, bundle.open(file.path) as stream:
                for data in chunks(stream):
                    out.write(data)
                    task.advance(len(data))
    for path, text in plan.indexes.items():
        place = plan.folder / path
        packed = place.with_name(place.name + _ZSTD)
        if packed.exists():
            # Clients prefer it, so that an old one would hide the new packages.
            with atomic_file(packed) as out:
                out.write(zstandard.compress(text))
        with atomic_file(place) as out:
            out.write(text)


def _sweep(plan: ChannelPlan) -> None:
    """Remove what a killed run left half-written of these files."""
    by_folder: dict[Path, set[str]] = {}
    for path in (*(path for path, _ in plan.missing), *plan.indexes):
        place = plan.folder / path
        by_folder.setdefault(place.parent, set()).add(place.name[:100])
    for folder, names in by_folder.items():
        if not folder.is_dir():
            continue
        with explained(folder):
            for left in folder.iterdir():
                match = _TEMPORARY.match(left.name)
                if match and match["name"] in names:
                    left.unlink(missing_ok=True)


def _merged(bundle: Bundle, file: File, path: Path, conflicts: list[str]) -> bytes | None:
    """Return the text of an index with the records of both, None where it is so already."""
    new = _parsed(bundle.read(file.path, MAX_REPODATA), f"{file.path} of {bundle.path}")
    _check_records(bundle, file, new)
    if not path.exists():
        return canonical(new)
    try:
        with closing(path.open("rb")) as stream:
            data = stream.read(MAX_REPODATA + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    if len(data) > MAX_REPODATA:
        raise InputError(f"{path} is too large for the index of a channel")
    old = _parsed(data, str(path))
    changed = False
    for key in _RECORDS:
        records = old.setdefault(key, {})
        for name, record in _records(new, key, file.path).items():
            there = _records(old, key, str(path)).get(name)
            if there is None:
                records[name] = record
                changed = True
            elif there.get("sha256") not in (None, record.get("sha256")):
                conflicts.append(f"{path.parent.name}/{name}")
    return canonical(old) if changed else None


def _check_records(bundle: Bundle, file: File, index: Object) -> None:
    """Raise BundleError unless an index of the bundle tells of files of the bundle alone."""
    digests = {one.path: one.digest for one in bundle.statement.files}
    folder = file.path.rpartition("/")[0]
    for key in _RECORDS:
        for name, record in _records(index, key, file.path).items():
            if digests.get(f"{folder}/{name}") != f"sha256:{record.get('sha256')}":
                raise BundleError(
                    f"{file.path} of {bundle.path} tells of {name[:200]!r}, which the bundle does "
                    "not hold so",
                    hint="it was not made by slimpack: do not use it",
                )


def _records(value: Object, key: str, what: str) -> dict[str, Object]:
    found = value.get(key, {})
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise InputError(f"{what} is not the index of a channel: {key!r} is malformed")
    return found


def _parsed(data: bytes, what: str) -> Object:
    try:
        return parse_object(data, what)
    except ImageError as error:
        raise InputError(
            f"{what} is not the index of a channel", hint="index the channel again"
        ) from error


def _stale(folder: Path, indexes: Mapping[str, bytes]) -> Iterator[str]:
    for path in indexes:
        for name in _OTHER_INDEXES:
            other = f"{path.rpartition('/')[0]}/{name}"
            if (folder / other).exists():
                yield other
