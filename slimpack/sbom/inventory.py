"""From an image to its inventory: every package that a record names, and the rest as files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from packaging.utils import canonicalize_name

from slimpack.debian.stanzas import split_stanzas
from slimpack.inspection import Contents, PackageInfo, examine
from slimpack.oci.config import rfc3339
from slimpack.oci.image import Image
from slimpack.sbom.files import digests_of, unowned
from slimpack.sbom.graph import linked, roots_of
from slimpack.sbom.licences import debian_licence
from slimpack.sbom.model import Component, Inventory, OperatingSystem
from slimpack.sbom.packages import Found, read_conda, read_debian, read_dist, read_os_release
from slimpack.sbom.purls import bare, oci_purl
from slimpack.sbom.removed import is_slimming, of_component, of_image, slimmings

MAX_FILES = 20_000
"""Files of no package that are listed, each with its digest."""

_CONDA = re.compile(r"(?:.*/)?conda-meta/[^/]+\.json\Z")
_DIST = re.compile(r"(?:.*/)?[^/]+\.dist-info/METADATA\Z")
_SITE = re.compile(r"(?:.*/)?(?:site|dist)-packages/[^/]+\.dist-info/METADATA\Z")
_STATUS_D = re.compile(r"var/lib/dpkg/status\.d/[^/]+(?<!\.md5sums)\Z")
_STATUS = "var/lib/dpkg/status"
_COPYRIGHT = re.compile(r"usr/share/doc/(?P<package>[^/]+)/copyright\Z")
_RELEASES = ("etc/os-release", "usr/lib/os-release")
_LICENCE_FILE = re.compile(r"(?:licen[cs]e|copying|copyright|notice|eula)", re.IGNORECASE)
_MAX_LICENCE_FILES = 20


def inventory_of(
    image: Image, name: str = "", *, digests: Mapping[str, str] | None = None
) -> Inventory:
    """Return what `image` is made of; its layers are read two or three times.

    name: what the image is called (``registry/serve:1.0``). digests: SHA-256 (hex) of
    archives by purl without qualifiers, for packages whose own record does not know it.
    Raises ImageError for layers and slimming records that are malformed.
    """
    contents = examine(image, also=_is_wanted)
    system = _system(contents)
    notes: list[str] = []
    found = list(_found(contents, system, notes))
    brought = {
        item.component.record: list(_brought(item, contents, notes))
        for item in found
        if item.component.kind == "conda"
    }
    described = _described(linked(found, brought), contents, image)
    components = tuple(_with_digest(part, digests or {}) for part in described)
    paths = unowned(contents, _first_layer(contents))
    return Inventory(
        name=name,
        digest=image.digest,
        image_id=image.config_digest,
        platform=str(image.platform),
        created=rfc3339(image.config.created),
        purl=oci_purl(name, image.digest, image.platform.architecture) if name else "",
        components=components,
        files=digests_of(image, contents, paths[:MAX_FILES]),
        omitted_files=len(paths[MAX_FILES:]),
        system=system,
        roots=roots_of(components),
        slimming=of_image(slimmings(contents), components),
        layers=tuple(layer.diff_id for layer in image.layers),
        notes=tuple(sorted(notes)),
    )


def _is_wanted(path: str) -> bool:
    return (
        path == _STATUS
        or path in _RELEASES
        or bool(_COPYRIGHT.match(path))
        or path.endswith(".dist-info/direct_url.json")
        or is_slimming(path)
    )


def _system(contents: Contents) -> OperatingSystem | None:
    data = next((contents.records[path] for path in _RELEASES if path in contents.records), b"")
    return read_os_release(data) if data else None


def _found(contents: Contents, system: OperatingSystem | None, notes: list[str]) -> Iterator[Found]:
    """Yield every package that is installed by itself; tell in `notes` what cannot be read."""
    for path in contents.records:
        try:
            yield from _packages(path, contents, system)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            notes.append(f"/{path} is no record of a package: {str(error)[:100]}")


def _packages(path: str, contents: Contents, system: OperatingSystem | None) -> list[Found]:
    """Return the packages that the file at `path` tells of."""
    data = contents.records[path]
    if _CONDA.match(path):
        return [read_conda(path, data)]
    if _DIST.match(path):
        return [] if _conda_owner(path, contents) else [read_dist(path, contents.records)]
    if _STATUS_D.match(path) or path == _STATUS:
        text = data.decode("utf-8", "replace")
        stanzas = split_stanzas(text)
        found = (read_debian(path, stanza, system) for stanza in stanzas if _is_there(stanza))
        return [_with_copyright(item, contents) for item in found]
    return []


def _is_there(stanza: str) -> bool:
    """Tell whether dpkg has the package installed; status.d lists no other."""
    status = re.search(r"^Status:(.*)$", stanza, re.MULTILINE)
    return status is None or status[1].split()[-1:] == ["installed"]


def _with_copyright(item: Found, contents: Contents) -> Found:
    path = f"usr/share/doc/{item.component.name}/copyright"
    text = contents.records.get(path, b"").decode("utf-8", "replace")
    return replace(item, component=replace(item.component, licence=debian_licence(text)))


def _conda_owner(path: str, contents: Contents) -> PackageInfo | None:
    owner = contents.owners.get(path)
    package = contents.inspection.packages[owner] if owner is not None else None
    return package if package and package.kind == "conda" else None


def _brought(item: Found, contents: Contents, notes: list[str]) -> Iterator[Found]:
    """Yield the Python distributions of a conda package; what it vendors is not installed."""
    part = item.component
    for path in contents.records:
        if not path.startswith(f"{item.place}/" if item.place else "") or not _SITE.match(path):
            continue
        owner = _conda_owner(path, contents)
        if owner and (owner.name, owner.version) == (part.name, part.version):
            try:
                yield read_dist(path, contents.records)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                notes.append(f"/{path} is no metadata of a package: {str(error)[:100]}")


def _first_layer(contents: Contents) -> int:
    """Return the lowest layer of the environment; what lies below it is the base."""
    layers = [contents.view[path].layer for path in contents.records if _CONDA.match(path)]
    return min(layers, default=0)


def _described(
    components: Iterable[Component], contents: Contents, image: Image
) -> Iterator[Component]:
    """Yield the components with their place in the image, licence files and what slimming took."""
    infos = {
        (package.kind, _normal(package.kind, package.name), package.version, package.build): package
        for package in contents.inspection.packages
    }
    files = _licence_files(contents)
    records = slimmings(contents)
    for part in components:
        build = dict(part.properties).get("build", "")
        info = infos.get((part.kind, part.name, part.version, build))
        name = part.name if part.kind != "debian" else f"debian:{part.name}"
        properties = (
            *part.properties,
            *(("licence-file", f"/{path}") for path in files.get(name, ())),
            *of_component(part, records),
        )
        yield replace(
            part,
            properties=tuple(sorted(properties)),
            size=info.size if info else 0,
            layer=image.layers[info.layer].diff_id if info and info.layer >= 0 else "",
        )


def _normal(kind: str, name: str) -> str:
    return str(canonicalize_name(name)) if kind == "pypi" else name


def _licence_files(contents: Contents) -> dict[str, list[str]]:
    """Return package -> where texts of its licences are in the image, at most some of each."""
    found: dict[str, list[str]] = {}
    for path, number in contents.owners.items():
        if not _LICENCE_FILE.match(path.rpartition("/")[2]) or path.endswith((".py", ".pyc")):
            continue
        package = contents.inspection.packages[number]
        name = _normal(package.kind, package.name)
        listed = found.setdefault(f"debian:{name}" if package.kind == "debian" else name, [])
        if len(listed) < _MAX_LICENCE_FILES:
            listed.append(path)
    for path in contents.records:
        if match := _COPYRIGHT.match(path):
            listed = found.setdefault(f"debian:{match['package']}", [])
            listed += [] if path in listed else [path]
    return found


def _with_digest(part: Component, digests: Mapping[str, str]) -> Component:
    value = digests.get(bare(part.purl), "")
    return replace(part, digests=(("sha256", value),)) if value and not part.digests else part
