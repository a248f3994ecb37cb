"""What a push brought to a docker-registry, seen from the registry's side."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_BLOBS = Path("storage", "docker", "registry", "v2", "blobs", "sha256")


def stored(folder: Path) -> dict[str, int]:
    """Return digest -> bytes of every blob that a registry with this folder keeps.

    The layout is that of distribution's filesystem driver: ``blobs/sha256/xx/<digest>/data``.
    """
    paths = (folder / _BLOBS).glob("*/*/data")
    return {path.parent.name: path.stat().st_size for path in paths}


def blob_file(folder: Path, digest: str) -> Path:
    """Return where a registry with this folder keeps the blob ``sha256:...``."""
    name = digest.removeprefix("sha256:")
    return folder / _BLOBS / name[:2] / name / "data"


def arrived(before: Mapping[str, int], after: Mapping[str, int]) -> int:
    """Return the bytes of the blobs that were not there before; manifests count, too."""
    return sum(size for digest, size in after.items() if digest not in before)


def layers(reference: str) -> tuple[str, ...]:
    """Return the digests of the layers of HOST/NAME:TAG, lowest first."""
    return tuple(layer["digest"] for layer in manifest(reference)["layers"])


def manifest(reference: str) -> Mapping[str, Any]:
    """Return the manifest of HOST/NAME:TAG; errors of urllib when there is none."""
    host, _, rest = reference.partition("/")
    repository, _, tag = rest.rpartition(":")
    address = f"http://{host}/v2/{repository}/manifests/{tag}"
    request = urllib.request.Request(address, headers={"Accept": _ACCEPT})
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: Mapping[str, Any] = json.load(answer)
    return found
