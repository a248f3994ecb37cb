"""Pushing an image, an index or an artifact.

Order: OCI distribution-spec v1.1, 'Pushing Manifests': blobs first, then what names them,
so that nobody ever finds a manifest with something missing. A layer is opened only when
the registry has its blob neither here nor in a repository that it can be mounted from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from slimpack.errors import InputError
from slimpack.oci import jsontext
from slimpack.oci.artifact import Artifact
from slimpack.oci.digest import check_digest
from slimpack.oci.image import BASE_NAME, INDEX_TYPE
from slimpack.oci.index import Deliverable, Index, images_of
from slimpack.oci.jsontext import Object, canonical
from slimpack.oci.validate import validate
from slimpack.progress import SILENT, Progress
from slimpack.registry.calls import Body
from slimpack.registry.client import Registry, referrers_tag
from slimpack.registry.connecting import Registries
from slimpack.registry.download import RemoteLayer
from slimpack.registry.failures import PassingError
from slimpack.registry.reference import Reference, is_reference
from slimpack.registry.sending import MAX_SOURCES, Count, Sending, Waiting


@dataclass(frozen=True)
class Pushed:
    """What was done.

    digest: of the manifest or index. references: under which it can be pulled.
    sent, mounted, present: bytes of blobs that travelled, that the registry took from
    another repository, and that were there; each blob once for each repository.
    """

    digest: str
    references: tuple[str, ...]
    sent: int = 0
    mounted: int = 0
    present: int = 0


def push(
    target: Deliverable,
    references: Sequence[Reference],
    registries: Registries,
    *,
    mount_from: Sequence[Reference] = (),
    progress: Progress = SILENT,
) -> Pushed:
    """Push an image, or every image of an index and then the index, to each reference.

    mount_from: more repositories that may have some of the layers, beside those that layers
    were pulled from and the base that the image's annotations name.
    Raises InputError for a reference with another digest than the target's, ImageError
    for an image that is not consistent, RegistryError for what a registry does; after an
    error `registries` is of no use any more. Tags are set last.
    """
    for reference in references:
        if reference.digest not in ("", target.digest):
            raise InputError(
                f"{reference} names another digest than the image has ({target.digest})",
                hint="push to a tag",
            )
    for image in images_of(target):
        validate(image, blobs=False)
    blobs = _blobs(target)
    places = list(dict.fromkeys((one.host, one.repository) for one in references))
    count = Count()
    sources = [*mount_from, *_origins(target)]
    total = len(places) * sum(blob.size for blob in blobs)
    with progress.task("push", total=total) as task:
        for host, repository in places:
            to = Sending(registries.of(host), repository, _sources(sources, host, repository))
            to.send(blobs, count, task, registries.stop)
            sources.insert(0, Reference(host, repository))
    for host, repository in places:
        names = [one.tag for one in references if (one.host, one.repository) == (host, repository)]
        _put_manifests(target, registries.of(host), repository, names)
    return Pushed(
        target.digest,
        tuple(dict.fromkeys(str(one if one.tag else one.at(target.digest)) for one in references)),
        count.sent,
        count.mounted,
        count.present,
    )


def push_artifact(
    artifact: Artifact, to: Reference, registries: Registries, *, tag: str = ""
) -> str:
    """Push what tells of another manifest into the repository of `to`; return its digest.

    It is stored under its digest, and `tag` if there is one; what `to` names beside host
    and repository plays no part. Where the registry does not list referrers by
    itself, it is added to the index under the subject's tag (distribution-spec v1.1,
    'Pushing Manifests with Subject').
    """
    registry = registries.of(to.host)
    for document in artifact.blobs:
        registry.upload_bytes(to.repository, document.data)
    put_artifact(registry, to.repository, artifact.manifest_json, artifact.descriptor(), tag)
    return artifact.digest


def put_artifact(
    registry: Registry, repository: str, manifest: bytes, item: Object, tag: str = ""
) -> None:
    """Store the manifest of an artifact whose blobs are there, as `push_artifact` does.

    item: its descriptor, as a list of referrers has it.
    """
    kind = jsontext.text(item, "mediaType", "an artifact")
    listed = False
    for name in dict.fromkeys((str(item["digest"]), tag or str(item["digest"]))):
        listed |= registry.put_manifest(repository, name, manifest, kind)
    what = f"manifest {item['digest']}"
    about = jsontext.mapping(jsontext.parse_object(manifest, what), "subject", what)
    if about and not listed:
        subject = check_digest(about.get("digest"), what)
        registry.session.retry.run(lambda: _list_referrer(registry, repository, subject, item))


def _list_referrer(registry: Registry, repository: str, subject: str, item: Object) -> None:
    """Add a descriptor to the index of referrers; PassingError if somebody else wrote it too."""
    index = registry.referrers_index(repository, subject)
    items = jsontext.objects(index, "manifests", "the index of referrers")
    if _is_in(items, item):
        return
    data = canonical(
        {**_NEW_INDEX, **index, "manifests": [*items, item]},
    )
    registry.put_manifest(repository, referrers_tag(subject), data, INDEX_TYPE)
    again = registry.referrers_index(repository, subject)
    if not _is_in(jsontext.objects(again, "manifests", "the index of referrers"), item):
        raise PassingError(
            f"{registry.host}/{repository}: the list of referrers was written by somebody else "
            "at the same time"
        )


_NEW_INDEX: Object = {"schemaVersion": 2, "mediaType": INDEX_TYPE}


def _is_in(items: Iterable[Object], item: Object) -> bool:
    return any(one.get("digest") == item["digest"] for one in items)


def _blobs(target: Deliverable) -> list[Waiting]:
    """Return each blob once, large ones first: small ones fill the gaps in the end."""
    found: dict[str, Waiting] = {}
    for image in images_of(target):
        for layer in image.layers:
            found.setdefault(layer.digest, Waiting(layer.digest, layer.size, layer.open))
        config, digest = Body.of(image.config_json, ""), image.config_digest
        found.setdefault(digest, Waiting(digest, config.size, config.open))
    return sorted(found.values(), key=lambda blob: -blob.size)


def _origins(target: Deliverable) -> list[Reference]:
    """Return the repositories that layers come from, or that images name as their bases."""
    found: dict[Reference, None] = {}
    for image in images_of(target):
        for layer in image.layers:
            if isinstance(layer.source, RemoteLayer):
                kept = layer.source.kept
                found[Reference(kept.registry.host, kept.repository)] = None
        name = image.annotations.get(BASE_NAME, "")
        if is_reference(name):
            found[Reference.parse(name)] = None
    return list(found)


def _sources(known: Sequence[Reference], host: str, repository: str) -> tuple[str, ...]:
    there = [one.repository for one in known if one.host == host and one.repository != repository]
    return tuple(dict.fromkeys(there))[:MAX_SOURCES]


def _put_manifests(
    target: Deliverable, registry: Registry, repository: str, tags: Sequence[str]
) -> None:
    images = target.images if isinstance(target, Index) else ()
    for image in images:
        registry.put_manifest(repository, image.digest, image.manifest_json, image.manifest_type)
    kind = target.media_type if isinstance(target, Index) else target.manifest_type
    for name in dict.fromkeys(tag or target.digest for tag in tags):
        registry.put_manifest(repository, name, target.manifest_json, kind)
