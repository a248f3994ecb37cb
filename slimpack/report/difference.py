"""What differs between two images: packages, files, configuration, layers.

Files are compared by kind, mode, owner, link target and content. Content is hashed
only where nothing else decides: same size, and not in one and the same layer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from slimpack.inspection import PackageInfo, examine
from slimpack.oci.digest import CHUNK
from slimpack.oci.image import Image
from slimpack.oci.rootfs import Placed, iter_layer_members
from slimpack.oci.untar import Member
from slimpack.report.sharing import Sharing, sharing

Change = Literal["added", "removed", "changed"]
_VERSION = 1


@dataclass(frozen=True)
class PackageChange:
    """A package that is not the same: versions with builds, "" where it is missing; bytes."""

    name: str
    origin: str
    change: Change
    before: str
    after: str
    bytes_before: int
    bytes_after: int


@dataclass(frozen=True)
class FileChange:
    """A path that is not the same; bytes that it takes itself (0 for all but files).

    what changed: "content", "link", "mode", "owner", joined by ",", or "kind" alone.
    """

    path: str
    change: Change
    what: str
    bytes_before: int
    bytes_after: int


@dataclass(frozen=True)
class ConfigChange:
    """A setting of the image, such as ``Env PATH``; texts, "" where there is none."""

    key: str
    before: str
    after: str


@dataclass(frozen=True)
class Difference:
    """All that differs. sharing: of the second image's layers, where the first one is.

    files: by path. unpacked: bytes of both images. packages: by name.
    """

    digests: tuple[str, str]
    compressed: tuple[int, int]
    unpacked: tuple[int, int]
    packages: tuple[PackageChange, ...]
    files: tuple[FileChange, ...]
    config: tuple[ConfigChange, ...]
    sharing: Sharing

    def __bool__(self) -> bool:
        """Whether a container could notice a difference."""
        return bool(self.packages or self.files or self.config)


def compare(one: Image, other: Image) -> Difference:
    """Compare two images; reads their layers. Raises ImageError for malformed ones."""
    first, second = examine(one), examine(other)
    return Difference(
        digests=(one.digest, other.digest),
        compressed=(one.size, other.size),
        unpacked=(first.inspection.unpacked, second.inspection.unpacked),
        packages=_packages(first.inspection.packages, second.inspection.packages),
        files=tuple(_files(_Side(one, first.view), _Side(other, second.view))),
        config=tuple(_config(one, other)),
        sharing=sharing(one, other),
    )


def to_json(difference: Difference) -> dict[str, object]:
    """Return it as plain data, for ``--json``."""
    data = asdict(difference)
    shared = difference.sharing
    data["sharing"] |= {
        "kept": shared.kept,
        "pulled": shared.pulled,
        "pulled_stacked": shared.pulled_stacked,
    }
    return {"version": _VERSION, "differ": bool(difference), **data}


def _packages(
    before: Iterable[PackageInfo], after: Iterable[PackageInfo]
) -> tuple[PackageChange, ...]:
    old, new = _versions(before), _versions(after)
    changes = []
    for key in sorted(old.keys() | new.keys()):
        was, size_before = old.get(key, ("", 0))
        now, size_after = new.get(key, ("", 0))
        if was != now:
            changes.append(
                PackageChange(
                    *key, _change(key in old, key in new), was, now, size_before, size_after
                )
            )
    return tuple(changes)


def _versions(packages: Iterable[PackageInfo]) -> dict[tuple[str, str], tuple[str, int]]:
    """Return (name, origin) -> versions with builds, and bytes."""
    found: dict[tuple[str, str], list[PackageInfo]] = {}
    for package in packages:
        found.setdefault((package.name, package.kind), []).append(package)
    return {
        key: (
            ", ".join(sorted(f"{item.version} {item.build}".strip() for item in items)),
            sum(item.size for item in items),
        )
        for key, items in found.items()
    }


_View = Mapping[str, Placed]
_Place = tuple[str, str]
"""The layer (its diffID) and the path in it that hold a file's content."""


def _files(before: _Side, after: _Side) -> Iterator[FileChange]:
    old, new = before.view, after.view
    unsure = [path for path in old if path in new and _needs_hash(path, before, after)]
    hashes = before.hashes(unsure), after.hashes(unsure)
    for path in sorted(old.keys() | new.keys()):
        was, now = old.get(path), new.get(path)
        what = ""
        if was and now:
            same = hashes[0].get(path) == hashes[1].get(path)
            what = _what(was.member, now.member, same and not _sizes_differ(was, now))
            if not what:
                continue
        yield FileChange(
            path,
            _change(was is not None, now is not None),
            what,
            was.member.size if was else 0,
            now.member.size if now else 0,
        )


@dataclass(frozen=True)
class _Side:
    """One of the two images."""

    image: Image
    view: _View

    def place(self, path: str) -> _Place:
        placed = self.view[path]
        origin = placed.member.link if placed.member.kind == "hardlink" else path
        return self.image.layers[placed.layer].diff_id, origin

    def hashes(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Return path -> SHA-256 of its content; reads only layers that hold one of them."""
        wanted: dict[int, dict[str, list[str]]] = {}
        for path in paths:
            origin = self.place(path)[1]
            wanted.setdefault(self.view[path].layer, {}).setdefault(origin, []).append(path)
        found: dict[str, bytes] = {}
        for number, origins in sorted(wanted.items()):
            for member, read in iter_layer_members(self.image.layers[number]):
                if member.kind == "file" and member.path in origins:
                    digest = hashlib.sha256()
                    while data := read(CHUNK):
                        digest.update(data)
                    found.update(dict.fromkeys(origins[member.path], digest.digest()))
        return found


def _needs_hash(path: str, before: _Side, after: _Side) -> bool:
    """Tell whether only the content can say if a path that both have is the same file."""
    was, now = before.view[path], after.view[path]
    if _kind(was.member) != "file" or _kind(now.member) != "file":
        return False
    return not _sizes_differ(was, now) and before.place(path) != after.place(path)


def _sizes_differ(was: Placed, now: Placed) -> bool:
    """Tell whether sizes alone prove that contents differ; a hard link's is not known here."""
    both_files = was.member.kind == now.member.kind == "file"
    return both_files and was.member.size != now.member.size


def _what(was: Member, now: Member, same_content: bool) -> str:
    if _kind(was) != _kind(now):
        return "kind"
    found = {
        "content": not same_content,
        "link": was.kind == "symlink" and was.link != now.link,
        "mode": was.mode != now.mode,
        "owner": (was.uid, was.gid) != (now.uid, now.gid),
    }
    return ",".join(name for name, differs in found.items() if differs)


def _kind(member: Member) -> str:
    return "file" if member.kind == "hardlink" else member.kind


def _config(one: Image, other: Image) -> Iterator[ConfigChange]:
    old, new = _settings(one), _settings(other)
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            yield ConfigChange(key, old.get(key, ""), new.get(key, ""))


def _settings(image: Image) -> dict[str, str]:
    """Return the configuration as key -> text: one for each variable, label, port and volume."""
    found = {"Platform": str(image.platform)}
    data = json.loads(image.config_json)  # checked when the image was read
    for key, value in (data.get("config") or {}).items():
        if key == "Env" and isinstance(value, list):
            pairs = (str(item).partition("=") for item in value)
            found.update({f"Env {name}": text for name, _, text in pairs})
        elif isinstance(value, dict) and key in ("Labels", "ExposedPorts", "Volumes"):
            found.update({f"{key} {name}": _text(item) for name, item in value.items()})
        elif value not in (None, "", [], {}, False):
            found[key] = _text(value)
    return found


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _change(before: bool, after: bool) -> Change:
    if before and after:
        return "changed"
    return "added" if after else "removed"
