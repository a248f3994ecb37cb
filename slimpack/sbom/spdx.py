"""SPDX 2.3 as JSON.

Source: SPDX specification v2.3 (ISO/IEC 5962 is its predecessor 2.2.1), clauses 6 to 12,
and its JSON schema. Written here because the format is a few plain objects, and SPDX's own
Python library needs half a second and an RDF stack to be imported; the tests have it
judge every document (docs/dependencies.md).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator

from slimpack import __version__
from slimpack.oci.digest import hex_of
from slimpack.oci.jsontext import Object
from slimpack.sbom.graph import FILES, SYSTEM, edges
from slimpack.sbom.identity import document_id, subject_name
from slimpack.sbom.model import Component, Dist, FileItem, Inventory, Licence, Properties

_NONE = "NOASSERTION"
_DOCUMENT = "SPDXRef-DOCUMENT"
_IMAGE = "SPDXRef-Image"
_FILES_REF = "SPDXRef-Files"
_SYSTEM_REF = "SPDXRef-OperatingSystem"


def to_spdx(inventory: Inventory) -> bytes:
    """Return the bill of materials of an image; the same inventory gives the same bytes."""
    refs = _refs(inventory)
    dists = [
        (part, dist, f"{refs[part.purl]}-dist-{number}")
        for part in inventory.components
        for number, dist in enumerate(part.dists)
    ]
    files = [(item, f"SPDXRef-File-{number}") for number, item in enumerate(inventory.files)]
    document: Object = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": _DOCUMENT,
        "name": subject_name(inventory),
        "documentNamespace": f"https://spdx.org/spdxdocs/slimpack-{document_id(inventory, 'spdx')}",
        "creationInfo": {
            "created": inventory.created,
            "creators": [f"Tool: slimpack-{__version__}"],
        },
        "packages": [
            _image(inventory),
            *(_package(part, refs[part.purl], inventory.created) for part in inventory.components),
            *(_dist(dist, ref) for _, dist, ref in dists),
            *_others(inventory),
        ],
        "relationships": [
            _relation(_DOCUMENT, "DESCRIBES", _IMAGE),
            *_dependencies(inventory, refs),
            *(_relation(refs[part.purl], "CONTAINS", ref) for part, _, ref in dists),
            *(_relation(_FILES_REF, "CONTAINS", ref) for _, ref in files),
        ],
    }
    if files:
        document["files"] = [_file(item, ref) for item, ref in files]
    if notes := _notes(inventory):
        document["annotations"] = _annotations(notes, inventory.created)
    if texts := _texts(inventory):
        document["hasExtractedLicensingInfos"] = texts
    return json.dumps(document, indent=1, ensure_ascii=True).encode("ascii") + b"\n"


def _refs(inventory: Inventory) -> dict[str, str]:
    """Return what each node of the graph is called in the document."""
    parts = {
        part.purl: f"SPDXRef-Package-{number}" for number, part in enumerate(inventory.components)
    }
    return {inventory.digest: _IMAGE, SYSTEM: _SYSTEM_REF, FILES: _FILES_REF, **parts}


def _image(inventory: Inventory) -> Object:
    properties = (
        ("image-id", inventory.image_id),
        ("platform", inventory.platform),
        *(("layer", diff_id) for diff_id in inventory.layers),
        *inventory.slimming,
    )
    return {
        **_bare(subject_name(inventory), _IMAGE, inventory.digest),
        "primaryPackagePurpose": "CONTAINER",
        "checksums": [_checksum("sha256", hex_of(inventory.digest))],
        **_purls([inventory.purl] if inventory.purl else []),
        "annotations": _annotations(properties, inventory.created),
    }


def _package(part: Component, ref: str, created: str) -> Object:
    properties = (
        ("kind", part.kind),
        ("record", f"/{part.record}"),
        ("size", str(part.size)),
        *((("layer", part.layer),) if part.layer else ()),
        *part.properties,
    )
    package = {
        **_bare(part.name, ref, part.version),
        "primaryPackagePurpose": "LIBRARY",
        "licenseDeclared": part.licence.expression or _NONE,
        **_purls([part.purl]),
        "annotations": _annotations(properties, created),
    }
    optional = {
        "checksums": [_checksum(*digest) for digest in part.digests],
        "homepage": part.homepage,
        "summary": part.summary,
        "supplier": f"Organization: {part.supplier}" if part.supplier else "",
    }
    package.update((key, value) for key, value in optional.items() if value)
    if part.url:
        package["downloadLocation"] = part.url
    return package


def _dist(dist: Dist, ref: str) -> Object:
    return {
        **_bare(dist.name, ref, dist.version),
        "primaryPackagePurpose": "LIBRARY",
        "licenseDeclared": dist.licence.expression or _NONE,
        **_purls([dist.purl]),
    }


def _others(inventory: Inventory) -> Iterator[Object]:
    if inventory.system:
        yield {
            **_bare(inventory.system.name, _SYSTEM_REF, inventory.system.version),
            "primaryPackagePurpose": "OPERATING-SYSTEM",
            "summary": inventory.system.title,
        }
    if inventory.files:
        files: Object = {
            **_bare("files of no package", _FILES_REF, ""),
            "primaryPackagePurpose": "APPLICATION",
            "summary": "the application, and what installers left: files that no package lists",
            "filesAnalyzed": True,
            "packageVerificationCode": {"packageVerificationCodeValue": _code(inventory.files)},
        }
        if inventory.omitted_files:
            files["comment"] = f"{inventory.omitted_files} more files are not listed"
        yield files


def _bare(name: str, ref: str, version: str) -> Object:
    """Return what every package has: fields that the specification asks for."""
    package: Object = {
        "name": name,
        "SPDXID": ref,
        "downloadLocation": _NONE,
        "filesAnalyzed": False,
        "licenseConcluded": _NONE,
        "licenseDeclared": _NONE,
        "copyrightText": _NONE,
    }
    if version:
        package["versionInfo"] = version
    return package


def _file(item: FileItem, ref: str) -> Object:
    return {
        "fileName": f"./{item.path}",
        "SPDXID": ref,
        "checksums": [_checksum("sha1", item.sha1), _checksum("sha256", item.sha256)],
        "licenseConcluded": _NONE,
        "copyrightText": _NONE,
    }


def _code(files: Iterable[FileItem]) -> str:
    """Return the package verification code (clause 7.9) of the files that are listed."""
    text = "".join(sorted(item.sha1 for item in files))
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _purls(purls: Iterable[str]) -> Object:
    found = [
        {
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": purl,
        }
        for purl in purls
    ]
    return {"externalRefs": found} if found else {}


def _checksum(algorithm: str, value: str) -> Object:
    return {"algorithm": algorithm.upper(), "checksumValue": value}


def _annotations(properties: Properties, created: str) -> list[Object]:
    return [
        {
            "annotationDate": created,
            "annotationType": "OTHER",
            "annotator": f"Tool: slimpack-{__version__}",
            "comment": f"slimpack:{name}={value}",
        }
        for name, value in properties
    ]


def _dependencies(inventory: Inventory, refs: dict[str, str]) -> Iterator[Object]:
    for source, targets in edges(inventory).items():
        kind = "CONTAINS" if source == inventory.digest else "DEPENDS_ON"
        for target in targets:
            yield _relation(refs[source], kind, refs[target])


def _relation(source: str, kind: str, target: str) -> Object:
    return {
        "spdxElementId": source,
        "relationshipType": kind,
        "relatedSpdxElement": target,
    }


def _texts(inventory: Inventory) -> list[Object]:
    """Return what each LicenseRef of the document stands for, in order of its name."""
    licences: list[Licence] = [part.licence for part in inventory.components]
    licences += [dist.licence for part in inventory.components for dist in part.dists]
    texts = {ref: text for licence in licences for ref, text in licence.texts}
    return [
        {"licenseId": ref, "extractedText": text, "name": text}
        for ref, text in sorted(texts.items())
    ]


def _notes(inventory: Inventory) -> Properties:
    return tuple(("note", note) for note in inventory.notes)
