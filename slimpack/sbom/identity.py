"""What makes two runs of one tool on one image write the same document."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import asdict

from slimpack import __version__
from slimpack.oci.jsontext import canonical
from slimpack.sbom.model import Inventory

_NAMESPACE = uuid.UUID("a9cc5f4e-3c41-5a5c-9d0e-5ad0c1c1f8f2")
"""Ours (RFC 9562, version 5); any constant does."""


def document_id(inventory: Inventory, form: str) -> uuid.UUID:
    """Return the id of the document in format `form`: a function of what it says.

    The image's digest is part of that, and so are slimpack's version and the name that the
    image is called by.
    """
    content = hashlib.sha256(canonical(asdict(inventory))).hexdigest()
    return uuid.uuid5(_NAMESPACE, f"{form} slimpack {__version__} {inventory.digest} {content}")


def subject_name(inventory: Inventory) -> str:
    """Return what the document calls the image."""
    return inventory.name or inventory.digest
