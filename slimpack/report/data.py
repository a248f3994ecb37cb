"""A report as data: everything that the page, the terminal and the JSON show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from packaging.utils import canonicalize_name

from slimpack.errors import ImageError, InputError
from slimpack.inspection import Contents, LayerInfo, PackageInfo, examine
from slimpack.oci.image import Image
from slimpack.report.checks import Checks
from slimpack.report.imports import StartUp
from slimpack.report.parts import Part, Sum, by_owner, owner_of, parts_before, parts_of
from slimpack.report.sharing import Sharing, sharing
from slimpack.slim.record import MAX_RECORD, RECORD, SlimRecord, read_record

_VERSION = 1


@dataclass(frozen=True)
class RuleEffect:
    """What one slimming rule did; parts: of what it took, biggest first.

    action: "drop", "strip-debug", "strip-symbols" or "bytecode-only".
    """

    name: str
    profile: str
    reason: str
    action: str
    files: int
    bytes: int
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Slimming:
    """What slimming did to the environment at `prefix`; bytes and files of it before, and taken.

    rules: most bytes first. packages: those of which only the record is left.
    """

    profile: str
    prefix: str
    before_files: int
    before_bytes: int
    removed_files: int
    removed_bytes: int
    rules: tuple[RuleEffect, ...]
    packages: tuple[str, ...]
    modules: tuple[str, ...]


@dataclass(frozen=True)
class PackageRow:
    """A package; version and licence are "" when slimming left no record of it.

    before: bytes before slimming, None where that is not known. compressed: see `Part`.
    layer: the number of the layer that holds most of it, -1 for none.
    """

    name: str
    origin: str
    version: str
    build: str
    license: str
    files: int
    bytes: int
    before: int | None
    compressed: int
    layer: int


@dataclass(frozen=True)
class Report:
    """All that is known of one image; sizes in bytes.

    after, before: what takes the space, now and before slimming (() when not slimmed).
    slimming: None when the image holds no slimming record.
    other: the name of the image that `shared` compares with, "" for none.
    """

    name: str
    digest: str
    image_id: str
    platform: str
    compressed: int
    unpacked: int
    files: int
    after: tuple[Part, ...] = field(repr=False)
    before: tuple[Part, ...] = field(repr=False)
    slimming: Slimming | None = field(repr=False)
    layers: tuple[LayerInfo, ...]
    other: str
    shared: Sharing | None
    packages: tuple[PackageRow, ...] = field(repr=False)
    checks: Checks | None = field(repr=False)
    start_up: StartUp | None = field(repr=False)


def gather(
    image: Image,
    name: str,
    *,
    other: Image | None = None,
    other_name: str = "",
    checks: Checks | None = None,
    start_up: StartUp | None = None,
) -> Report:
    """Read all layers of `image` once or twice and put the report together.

    other: an image that a host has already. Raises ImageError for images and
    slimming records that are malformed, InputError for checks of another image.
    """
    contents = examine(image, also=_is_record)
    found = contents.inspection
    _check_subject(checks, found.digest, found.image_id)
    record = _record(contents)
    after = parts_of(contents)
    before = parts_before(record, contents) if record else ()
    return Report(
        name=name,
        digest=found.digest,
        image_id=found.image_id,
        platform=found.platform,
        compressed=found.compressed,
        unpacked=found.unpacked,
        files=sum(layer.files for layer in found.layers),
        after=after,
        before=before,
        slimming=_slimming(record) if record else None,
        layers=found.layers,
        other=other_name if other else "",
        shared=sharing(other, image) if other else None,
        packages=_packages(found.packages, after, before),
        checks=checks,
        start_up=start_up,
    )


def to_json(report: Report) -> dict[str, object]:
    """Return the report as plain data, for ``--json``; `compressed` of parts is an estimate."""
    data = asdict(report)
    if report.shared:
        data["shared"] |= {
            "kept": report.shared.kept,
            "pulled": report.shared.pulled,
            "pulled_stacked": report.shared.pulled_stacked,
        }
    return {"version": _VERSION, **data}


def _is_record(path: str) -> bool:
    return path == RECORD or path.endswith(f"/{RECORD}")


def _record(contents: Contents) -> SlimRecord | None:
    paths = [path for path in contents.records if _is_record(path)]
    if len(paths) > 1:
        raise ImageError(
            f"the image holds {len(paths)} slimming records: /{paths[0]}, /{paths[1]}",
            hint="report on an image with one environment",
        )
    if not paths:
        return None
    data = contents.records[paths[0]]
    if len(data) > MAX_RECORD:
        raise ImageError(f"/{paths[0]} has {len(data)} bytes, more than the {MAX_RECORD} allowed")
    return read_record(data, f"/{paths[0]}")


def _check_subject(checks: Checks | None, digest: str, image_id: str) -> None:
    """Refuse results that name the digest of another image; a file's name proves nothing."""
    if checks and checks.subject.startswith("sha256:") and checks.subject not in (digest, image_id):
        raise InputError(
            f"the verify results are about {checks.subject[:80]}, the image is {digest}",
            hint="run `slimpack verify --json` on this image",
        )


def _slimming(record: SlimRecord) -> Slimming:
    taken: dict[str, list[Part]] = {}
    for item in record.applied:
        owner, origin = owner_of(item.owner, record.prefix)
        part = Part(owner, origin, item.kind, item.files, item.bytes)
        taken.setdefault(item.rule, []).append(part)
    notes = {note.name: note for note in record.rules}
    rules = [
        RuleEffect(
            name=name,
            profile=notes[name].profile if name in notes else "",
            reason=notes[name].reason if name in notes else "",
            action=notes[name].action if name in notes else "drop",
            files=sum(part.files for part in parts),
            bytes=sum(part.bytes for part in parts),
            parts=tuple(sorted(parts, key=lambda part: (-part.bytes, part.owner, part.kind))),
        )
        for name, parts in taken.items()
    ]
    return Slimming(
        profile=record.profile,
        prefix=record.prefix,
        before_files=sum(usage.files for usage in record.before),
        before_bytes=sum(usage.bytes for usage in record.before),
        removed_files=record.removed_files,
        removed_bytes=record.removed_bytes,
        rules=tuple(sorted(rules, key=lambda rule: (-rule.bytes, rule.name))),
        packages=record.packages,
        modules=record.modules,
    )


_Key = tuple[str, str]


def _packages(
    found: Iterable[PackageInfo], after: Iterable[Part], before: Iterable[Part]
) -> tuple[PackageRow, ...]:
    """Join the packages that the image names with their bytes; biggest (before) first."""
    now, then = _by_key(after), _by_key(before)
    rows = []
    known: set[_Key] = set()
    for package in found:
        key = _key(package.name, package.kind)
        # Several records of one package (of two architectures, say) share its files.
        first = key not in known
        known.add(key)
        rows.append(
            _row(
                package,
                now.get(key) if first else None,
                then.get(key) if first else None,
                bool(then),
            )
        )
    gone = [
        PackageRow(total.parts[0].owner, key[1], "", "", "", 0, 0, total.bytes, 0, -1)
        for key, total in then.items()
        if key not in known and key[1]
    ]
    return tuple(
        sorted(
            [*rows, *gone],
            key=lambda row: (-row.bytes, -(row.before or 0), row.name, row.origin, row.version),
        )
    )


def _row(package: PackageInfo, now: Sum | None, then: Sum | None, slimmed: bool) -> PackageRow:
    return PackageRow(
        name=package.name,
        origin=package.kind,
        version=package.version,
        build=package.build,
        license=package.license,
        files=now.files if now else 0,
        bytes=now.bytes if now else 0,
        before=(then.bytes if then else 0) if slimmed else None,
        compressed=now.compressed if now else 0,
        layer=package.layer,
    )


def _by_key(parts: Iterable[Part]) -> Mapping[_Key, Sum]:
    """Sum up by package, under a name that does not depend on how pip's packages are spelt."""
    return {_key(total.parts[0].owner, total.parts[0].origin): total for total in by_owner(parts)}


def _key(name: str, origin: str) -> _Key:
    return (canonicalize_name(name) if origin == "pypi" else name), origin
