"""Names of images with their digests, so that a Dockerfile means the same tomorrow."""

from __future__ import annotations

from slimpack.errors import RegistryError
from slimpack.registry.connecting import Registries
from slimpack.registry.reference import Reference

_HINT = "pass NAME@sha256:DIGEST yourself, or --no-pin"


def pinned(name: str, registries: Registries) -> str:
    """Return an image's name with the digest that its registry has for it now.

    Raises InputError for a name that is none, RegistryError where the registry does not tell.
    """
    reference = Reference.parse(name)
    if reference.digest:
        return name
    try:
        digest = _digest(reference, registries)
    except RegistryError as error:
        raise RegistryError(
            f"{name} cannot be pinned: {error.message}", hint=_HINT, details=error.details
        ) from error
    return f"{name}@{digest}"


def _digest(reference: Reference, registries: Registries) -> str:
    registry = registries.of(reference.host)
    head = registry.head_manifest(reference.repository, reference.tag)
    if head is None:
        raise RegistryError(f"{reference} is not there")
    # A registry need not say it; then the manifest has to be looked at.
    return head.digest or registry.get_manifest(reference.repository, reference.tag).digest
