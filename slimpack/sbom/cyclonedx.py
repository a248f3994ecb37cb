"""CycloneDX 1.6 (ECMA-424) as JSON, through the standard's own Python library.

Files of no package are nested in one component. They are put into the finished document,
because the library needs a millisecond for each, and an application may have thousands.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime

from cyclonedx.model import (
    ExternalReference,
    ExternalReferenceType,
    HashAlgorithm,
    HashType,
    Property,
    XsUri,
)
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component as Part
from cyclonedx.model.component import ComponentType
from cyclonedx.model.contact import OrganizationalEntity
from cyclonedx.model.dependency import Dependency
from cyclonedx.model.license import (
    DisjunctiveLicense,
    License,
    LicenseAcknowledgement,
    LicenseExpression,
)
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.spdx import is_supported_id
from packageurl import PackageURL

from slimpack import __version__
from slimpack.oci.digest import hex_of
from slimpack.oci.jsontext import Object
from slimpack.sbom.graph import FILES, SYSTEM, edges
from slimpack.sbom.identity import document_id, subject_name
from slimpack.sbom.model import Component, Dist, FileItem, Inventory, Licence, Properties

_HEAD = ("$schema", "bomFormat", "specVersion", "serialNumber", "version", "metadata")


def to_cyclonedx(inventory: Inventory) -> bytes:
    """Return the bill of materials of an image; the same inventory gives the same bytes."""
    root = _root(inventory)
    parts = [_component(part) for part in inventory.components]
    if inventory.system:
        parts.append(_system(inventory))
    if inventory.files:
        parts.append(_files(inventory))
    refs = {str(part.bom_ref.value): part.bom_ref for part in (root, *parts)}
    bom = Bom(
        components=parts,
        dependencies=[
            Dependency(
                ref=refs[source],
                dependencies=[Dependency(ref=refs[target]) for target in targets],
            )
            for source, targets in edges(inventory).items()
        ],
        serial_number=document_id(inventory, "cyclonedx"),
        version=1,
        properties=_properties(_notes(inventory)),
    )
    bom.metadata.timestamp = datetime.fromisoformat(inventory.created.replace("Z", "+00:00"))
    bom.metadata.tools.components.add(_tool())
    bom.metadata.component = root
    document: Object = json.loads(JsonV1Dot6(bom).output_as_string())
    for part in document.get("components", ()):
        if part["bom-ref"] == FILES:
            part["components"] = [_file(item) for item in inventory.files]
    # What says what it is comes first, where readers look for it.
    head = {key: document[key] for key in _HEAD if key in document}
    return json.dumps({**head, **document}, indent=1).encode("ascii") + b"\n"


def _root(inventory: Inventory) -> Part:
    return Part(
        name=subject_name(inventory),
        version=inventory.digest,
        type=ComponentType.CONTAINER,
        bom_ref=inventory.digest,
        purl=PackageURL.from_string(inventory.purl) if inventory.purl else None,
        hashes=[_hash("sha256", hex_of(inventory.digest))],
        properties=_properties(
            (
                ("image-id", inventory.image_id),
                ("platform", inventory.platform),
                *(("layer", diff_id) for diff_id in inventory.layers),
                *inventory.slimming,
            )
        ),
    )


def _component(part: Component) -> Part:
    return Part(
        name=part.name,
        version=part.version,
        type=ComponentType.LIBRARY,
        bom_ref=part.purl,
        purl=PackageURL.from_string(part.purl),
        hashes=[_hash(*digest) for digest in part.digests],
        licenses=list(_licences(part.licence)),
        supplier=OrganizationalEntity(name=part.supplier) if part.supplier else None,
        description=part.summary or None,
        external_references=list(_references(part)),
        components=[_dist(part, dist) for dist in part.dists],
        properties=_properties(
            (
                ("kind", part.kind),
                ("record", f"/{part.record}"),
                ("size", str(part.size)),
                *((("layer", part.layer),) if part.layer else ()),
                *part.properties,
            )
        ),
    )


def _dist(part: Component, dist: Dist) -> Part:
    return Part(
        name=dist.name,
        version=dist.version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{part.purl}#{dist.purl}",
        purl=PackageURL.from_string(dist.purl),
        licenses=list(_licences(dist.licence)),
    )


def _system(inventory: Inventory) -> Part:
    assert inventory.system is not None
    return Part(
        name=inventory.system.name,
        version=inventory.system.version or None,
        description=inventory.system.title,
        type=ComponentType.OPERATING_SYSTEM,
        bom_ref=SYSTEM,
    )


def _files(inventory: Inventory) -> Part:
    left_out = inventory.omitted_files
    return Part(
        name=FILES,
        type=ComponentType.APPLICATION,
        bom_ref=FILES,
        description="the application, and what installers left: files that no package lists",
        properties=_properties((("omitted-files", str(left_out)),) if left_out else ()),
    )


def _file(item: FileItem) -> Object:
    return {
        "type": "file",
        "bom-ref": f"file:/{item.path}",
        "name": f"/{item.path}",
        "hashes": [{"alg": "SHA-256", "content": item.sha256}],
    }


def _tool() -> Part:
    return Part(name="slimpack", version=__version__, type=ComponentType.APPLICATION)


def _hash(algorithm: str, value: str) -> HashType:
    names = {"sha256": HashAlgorithm.SHA_256, "md5": HashAlgorithm.MD5}
    return HashType(alg=names[algorithm], content=value)


def _licences(licence: Licence) -> Iterator[License]:
    """Yield what the schema takes: an id of its list, an expression, or the text as named."""
    declared = LicenseAcknowledgement.DECLARED
    if not licence.expression:
        return
    if is_supported_id(licence.expression):
        yield DisjunctiveLicense(id=licence.expression, acknowledgement=declared)
    elif any(licence.expression == ref for ref, _ in licence.texts):
        yield DisjunctiveLicense(name=licence.named, acknowledgement=declared)
    else:
        yield LicenseExpression(value=licence.expression, acknowledgement=declared)


def _references(part: Component) -> Iterator[ExternalReference]:
    if part.url:
        yield ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(part.url))
    if part.homepage:
        yield ExternalReference(type=ExternalReferenceType.WEBSITE, url=XsUri(part.homepage))


def _properties(pairs: Iterable[tuple[str, str]]) -> list[Property]:
    return [Property(name=f"slimpack:{name}", value=value) for name, value in pairs]


def _notes(inventory: Inventory) -> Properties:
    return tuple(("note", note) for note in inventory.notes)
