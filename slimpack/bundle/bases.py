"""The images that images stand on, where annotations name them.

Annotations: OCI image-spec v1.1, annotations.md, ``org.opencontainers.image.base.*``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from slimpack.bundle.images import Opened, Registered, of_platforms, open_reference
from slimpack.errors import ImageError
from slimpack.oci.config import Platform
from slimpack.oci.digest import check_digest, hex_of
from slimpack.oci.image import BASE_DIGEST, BASE_NAME
from slimpack.oci.index import Index, images_of
from slimpack.registry.reference import Reference, is_reference


def bases_of(opened: Sequence[Opened], means: Registered) -> list[Opened]:
    """Return the bases of images, each once, for the platforms of the images on it.

    A base has the name that the image says, unless that is another image's by now: then
    digits of its digest are put to the tag. A note tells of images that name none. Raises
    what reading an image of a registry does, and ImageError for an annotation that is none.
    """
    wanted: dict[Reference, dict[Platform, None]] = {}
    for one in opened:
        named = False
        for image in images_of(one.target):
            reference = _base(image.annotations, one.source)
            if reference is not None:
                wanted.setdefault(reference, {})[image.platform] = None
                named = True
        if not named:
            means.progress.note(
                f"{one.source} names no base in a registry; the layers below it are in the image"
            )
    bases: dict[str, list[Opened]] = {}
    for reference, platforms in wanted.items():
        base = open_reference(str(reference), reference.at(reference.digest), means)
        base = of_platforms(base, list(platforms), means.progress)
        name = f"{reference.name}:{reference.tag or hex_of(reference.digest)[:12]}"
        bases.setdefault(name, []).append(base)
    taken = {name: one.target.digest for one in opened for name in one.names}
    return [
        replace(base, names=(_free(name, base.target.digest, taken),))
        for name, found in bases.items()
        for base in _together(found)
    ]


def _together(bases: list[Opened]) -> list[Opened]:
    """Return one index for bases of one name that images pin platform by platform."""
    images = [image for base in bases for image in images_of(base.target)]
    platforms = {str(image.platform) for image in images}
    if len(bases) < 2 or len(platforms) < len(images):
        return bases
    return [replace(bases[0], target=Index(tuple(images)))]


def _base(annotations: Mapping[str, str], source: str) -> Reference | None:
    name, digest = annotations.get(BASE_NAME, ""), annotations.get(BASE_DIGEST, "")
    if not is_reference(name) or not digest:
        return None
    check_digest(digest, f"the base of {source}")
    reference = Reference.parse(name)
    if reference.digest not in ("", digest):
        raise ImageError(f"{source} names the base {name}, and another digest, {digest}")
    return replace(reference, digest=digest)


def _free(name: str, digest: str, taken: dict[str, str]) -> str:
    """Return a name that no other image has, and note that it is taken."""
    if taken.setdefault(name, digest) != digest:
        name = f"{name}-{hex_of(digest)[:12]}"
        taken[name] = digest
    return name
