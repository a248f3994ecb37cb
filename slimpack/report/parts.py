"""Where the bytes of an image are, by package and by kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from slimpack.inspection import Contents
from slimpack.slim.kinds import kind_of
from slimpack.slim.record import SlimRecord

_PYPI = "pypi:"


@dataclass(frozen=True)
class Part:
    """Files of one package and one kind.

    origin: "conda", "pypi", "debian", or "" for files of no package; owner is then the
    top-level folder that they lie in, such as ``/app``. files: without directories.
    bytes: unpacked. compressed: an estimate; a layer's compressed size is known only as
    a whole and is spread over its files in proportion to their unpacked bytes.
    """

    owner: str
    origin: str
    kind: str
    files: int
    bytes: int
    compressed: int = 0


@dataclass(frozen=True)
class Sum:
    """Parts with something in common, together: `name` is what they share."""

    name: str
    files: int
    bytes: int
    compressed: int
    parts: tuple[Part, ...] = field(repr=False)


def parts_of(contents: Contents, *, outside: str | None = None) -> tuple[Part, ...]:
    """Count the visible files of an image; biggest first.

    outside: a folder without slashes around it whose files are left out ("" for all).
    """
    packages = contents.inspection.packages
    prefixes = _prefixes(contents.records)
    counted: dict[tuple[str, str, str], list[int]] = {}
    spread: dict[tuple[str, str, str], dict[int, int]] = {}
    for path, placed in contents.view.items():
        if placed.member.kind == "directory" or (outside is not None and _below(path, outside)):
            continue
        number = contents.owners.get(path)
        if number is None:
            owner, origin = f"/{path.partition('/')[0]}", ""
        else:
            owner, origin = packages[number].name, packages[number].kind
        key = owner, origin, _kind(path, prefixes)
        sums = counted.setdefault(key, [0, 0])
        sums[0] += 1
        sums[1] += placed.member.size
        layers = spread.setdefault(key, {})
        layers[placed.layer] = layers.get(placed.layer, 0) + placed.member.size
    layers_of = contents.inspection.layers
    return _sorted(
        Part(
            *key,
            files=files,
            bytes=size,
            compressed=sum(
                layers_of[number].compressed * part // layers_of[number].unpacked
                for number, part in spread[key].items()
                if part
            ),
        )
        for key, (files, size) in counted.items()
    )


def parts_before(record: SlimRecord, contents: Contents) -> tuple[Part, ...]:
    """Return the parts before slimming: the record's, and what lies outside of its prefix."""
    inside = (
        Part(*owner_of(usage.owner, record.prefix), usage.kind, usage.files, usage.bytes)
        for usage in record.before
    )
    return _sorted([*inside, *parts_of(contents, outside=record.prefix)])


def owner_of(owner: str, prefix: str) -> tuple[str, str]:
    """Return name and origin of a package that a slimming record names (`Entry.owner`)."""
    if owner.startswith(_PYPI):
        return owner.removeprefix(_PYPI), "pypi"
    return (owner, "conda") if owner else (f"/{prefix.partition('/')[0]}", "")


def by_owner(parts: Iterable[Part]) -> list[Sum]:
    """Sum up by package, biggest first; packages of one name and two origins stay two."""
    parts = list(parts)
    origins: dict[str, set[str]] = {}
    for part in parts:
        origins.setdefault(part.owner, set()).add(part.origin)
    return _sums(parts, [owner_label(part, origins[part.owner]) for part in parts])


def by_kind(parts: Iterable[Part]) -> list[Sum]:
    """Sum up by kind, biggest first."""
    parts = list(parts)
    return _sums(parts, [part.kind for part in parts])


def owner_label(part: Part, origins: set[str]) -> str:
    """Return a package's name, with its origin where the name alone does not tell it."""
    return f"{part.owner} ({part.origin})" if len(origins) > 1 and part.origin else part.owner


def _sums(parts: Sequence[Part], names: Sequence[str]) -> list[Sum]:
    grouped: dict[str, list[Part]] = {}
    for name, part in zip(names, parts, strict=True):
        grouped.setdefault(name, []).append(part)
    sums = [
        Sum(
            name,
            sum(part.files for part in group),
            sum(part.bytes for part in group),
            sum(part.compressed for part in group),
            tuple(group),
        )
        for name, group in grouped.items()
    ]
    return sorted(sums, key=lambda item: (-item.bytes, item.name))


def _sorted(parts: Iterable[Part]) -> tuple[Part, ...]:
    return tuple(sorted(parts, key=lambda part: (-part.bytes, part.owner, part.origin, part.kind)))


def _prefixes(records: Iterable[str]) -> list[str]:
    """Return the conda environments of an image, the innermost first."""
    found = {
        path.rpartition("conda-meta/")[0].strip("/") for path in records if "conda-meta/" in path
    }
    return sorted(found, key=lambda prefix: (-len(prefix), prefix))


def _kind(path: str, prefixes: Sequence[str]) -> str:
    for prefix in prefixes:
        if _below(path, prefix):
            return kind_of(path[len(prefix) + 1 if prefix else 0 :])
    return kind_of(path.removeprefix("usr/"))


def _below(path: str, folder: str) -> bool:
    return not folder or path.startswith(f"{folder}/")
