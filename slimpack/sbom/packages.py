"""Records of packages in an image, each read as a component and the names that it needs.

Formats: conda's PrefixRecord (conda-meta/NAME.json); core metadata of Python
distributions, PEP 610 (direct_url.json); Debian control files, as distroless
(var/lib/dpkg/status.d/NAME) and dpkg itself (var/lib/dpkg/status) keep them.

Records come from an image, which is not trusted: whatever is malformed raises
ValueError, and texts are cut to a bearable length.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from packaging.metadata import parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from slimpack.debian.stanzas import parse_stanza
from slimpack.sbom.licences import licence_of, together
from slimpack.sbom.model import Component, Licence, OperatingSystem
from slimpack.sbom.purls import conda_purl, debian_purl, public_url, pypi_purl

_MAX = 300
_HEX = {"sha256": re.compile(r"[0-9a-f]{64}\Z"), "md5": re.compile(r"[0-9a-f]{32}\Z")}
_SPEC = re.compile(r"(?:[^\s]*::)?(?P<name>[A-Za-z0-9_.-]+)")
_DEBIAN_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]*")
_SOURCE = re.compile(r"(?P<name>\S+)(?:\s+\((?P<version>[^)]+)\))?\Z")
_VCS = re.compile(r"[a-z]+\+https?://|https?://")


@dataclass(frozen=True)
class Found:
    """A component whose dependencies are only names yet.

    needs: each a choice of names, the first that is there counts.
    place: the prefix of a conda package, the folder that a dist-info lies in, "" for Debian.
    """

    component: Component
    needs: tuple[tuple[str, ...], ...]
    place: str


def read_conda(path: str, data: bytes) -> Found:
    """Read a record of conda-meta."""
    record = json.loads(data)
    if not isinstance(record, dict) or not isinstance(record.get("files"), list):
        raise ValueError("not a conda-meta record")
    name, version = _field(record, "name"), _field(record, "version")
    url = str(record.get("url") or "")
    build, subdir = str(record.get("build") or ""), str(record.get("subdir") or "")
    depends = [str(spec) for spec in record.get("depends") or ()]
    matches = [match for match in map(_SPEC.match, depends) if match]
    return Found(
        Component(
            purl=conda_purl(name, version, build=build, subdir=subdir, url=url),
            kind="conda",
            name=name,
            version=version,
            record=path,
            licence=licence_of(str(record.get("license") or "")),
            digests=_digests(record),
            url=public_url(url),
            properties=_given(build=build, subdir=subdir),
        ),
        needs=tuple((match["name"],) for match in matches),
        place=posixpath.dirname(posixpath.dirname(path)),
    )


def read_dist(path: str, records: Mapping[str, bytes]) -> Found:
    """Read the METADATA at `path`, and the direct_url.json beside it if there is one."""
    raw, _ = parse_email(records[path])
    name, version = _field(raw, "name"), _field(raw, "version")
    folder = posixpath.dirname(path)
    url, digest, vcs = _origin(records.get(f"{folder}/direct_url.json", b""))
    return Found(
        Component(
            purl=pypi_purl(name, version, vcs=vcs),
            kind="pypi",
            name=str(canonicalize_name(name)),
            version=version,
            record=path,
            licence=_python_licence(raw),
            digests=digest,
            url=url,
            homepage=_homepage(raw),
            supplier=_plain(str(raw.get("author") or raw.get("maintainer") or "")),
            summary=_plain(str(raw.get("summary") or "")),
        ),
        needs=tuple((name,) for name in _required(raw.get("requires_dist") or [])),
        place=posixpath.dirname(folder),
    )


def read_debian(path: str, text: str, system: OperatingSystem | None) -> Found:
    """Read the control file of a Debian package, or a stanza of dpkg's status."""
    fields = parse_stanza(text)
    name, version = _field(fields, "package"), _field(fields, "version")
    arch = fields.get("architecture", "")
    source = _SOURCE.match(fields.get("source", ""))
    of = "@".join(filter(None, source.group("name", "version"))) if source else ""
    distro = f"{system.name}-{system.version}" if system and system.version else ""
    vendor = system.name if system else ""
    needs = ",".join(filter(None, (fields.get("pre-depends"), fields.get("depends"))))
    return Found(
        Component(
            purl=debian_purl(name, version, arch=arch, distro=distro, vendor=vendor, source=of),
            kind="debian",
            name=name,
            version=version,
            record=path,
            homepage=public_url(fields.get("homepage", "")),
            supplier=_plain(fields.get("maintainer", "").partition("<")[0]),
            summary=_plain(fields.get("description", "").partition("\n")[0]),
            properties=_given(architecture=arch, source=of),
        ),
        needs=tuple(filter(None, map(_alternatives, needs.split(",")))),
        place="",
    )


def read_os_release(data: bytes) -> OperatingSystem | None:
    """Read os-release(5); None when it has no ID."""
    pairs = re.findall(r"^([A-Z_]+)=(.*)$", data.decode("utf-8", "replace"), re.MULTILINE)
    values = {name: value.strip().strip("\"'")[:_MAX] for name, value in pairs}
    name, title = values.get("ID", ""), values.get("PRETTY_NAME", "")
    if not re.fullmatch(r"[a-z0-9._-]+", name):
        return None
    return OperatingSystem(name, values.get("VERSION_ID", ""), title or name)


def _field(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not value.strip() or len(value) > _MAX:
        raise ValueError(f"{key} is {str(value)[:40]!r}")
    return value.strip()


def _plain(text: str) -> str:
    """Return one line without control characters; what some tools write for nothing is ""."""
    line = " ".join(text.split())[:_MAX]
    return "" if line.upper() in ("UNKNOWN", "NONE") else line


def _given(**values: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, value[:_MAX]) for name, value in sorted(values.items()) if value)


def _digests(record: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the best digest of an archive that its record has."""
    for name, form in _HEX.items():
        value = str(record.get(name) or "").lower()
        if form.match(value):
            return ((name, value),)
    return ()


def _python_licence(raw: Mapping[str, Any]) -> Licence:
    """Return what License-Expression, License or the classifiers say, in that order."""
    text = str(raw.get("license_expression") or raw.get("license") or "")
    if text.strip() and "\n" not in text.strip() and len(text) <= _MAX:
        return licence_of(text)
    named = [line for line in raw.get("classifiers") or [] if line.startswith("License :: ")]
    licences = (licence_of(line.rpartition(" :: ")[2]) for line in sorted(named))
    return together(item for item in licences if item.named != "OSI Approved")


def _homepage(raw: Mapping[str, Any]) -> str:
    urls = raw.get("project_urls") or {}
    named = {name.lower().replace("-", "").replace(" ", ""): url for name, url in urls.items()}
    return public_url(str(raw.get("home_page") or named.get("homepage") or ""))


def _required(specs: list[str]) -> list[str]:
    """Return what Requires-Dist names without an extra; other markers are not asked."""
    names = set()
    for text in specs:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue  # pip reads over it too
        if "extra" not in str(requirement.marker or ""):
            names.add(str(canonicalize_name(requirement.name)))
    return sorted(names)


def _origin(data: bytes) -> tuple[str, tuple[tuple[str, str], ...], str]:
    """Return URL, digests and VCS URL of a direct_url.json; nothing for a local folder."""
    if not data:
        return "", (), ""
    origin = json.loads(data)
    if not isinstance(origin, dict):
        raise ValueError("direct_url.json is not an object")
    url = public_url(str(origin.get("url") or ""))
    vcs = origin.get("vcs_info")
    if url and isinstance(vcs, dict):
        kind, commit = str(vcs.get("vcs") or "git"), str(vcs.get("commit_id") or "")
        located = f"{kind}+{url}@{commit}" if commit else f"{kind}+{url}"
        return "", (), located if _VCS.match(located) else ""
    archive = origin.get("archive_info")
    hashes = archive.get("hashes") if isinstance(archive, dict) else None
    return url, _digests(hashes) if isinstance(hashes, dict) else (), ""


def _alternatives(clause: str) -> tuple[str, ...]:
    """Return the names of ``a (>= 1) | b:any``."""
    found = (_DEBIAN_NAME.match(part.strip()) for part in clause.split("|"))
    return tuple(match[0] for match in found if match)
