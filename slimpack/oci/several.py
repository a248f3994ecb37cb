"""All images in one place: an OCI layout or a tar may hold any number, under any names."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from slimpack.errors import ImageError, InputError
from slimpack.oci import jsontext
from slimpack.oci.archive import CONTAINERD_NAME, REF_NAME
from slimpack.oci.digest import check_digest
from slimpack.oci.index import Deliverable
from slimpack.oci.jsontext import Object
from slimpack.oci.names import canonical_name
from slimpack.oci.parse import MAX_MANIFEST, MAX_MANIFESTS, is_attestation
from slimpack.oci.read import check_layout, docker_images, open_files, read_described
from slimpack.oci.source import Files
from slimpack.oci.validate import validate


@dataclass(frozen=True)
class Named:
    """An image, or an index, and what it is called where it lies.

    labels: as they stand there; skopeo writes a bare tag. names: full ones, of those labels
    that are names of images.
    """

    labels: tuple[str, ...]
    target: Deliverable

    @property
    def names(self) -> tuple[str, ...]:
        """Full names."""
        found: dict[str, None] = {}
        for label in self.labels:
            if ":" in label or "/" in label:
                with suppress(InputError):
                    found[canonical_name(label)] = None
        return tuple(found)

    def is_called(self, text: str) -> bool:
        """Tell whether `text` is one of its labels or names, in its short or full form."""
        with suppress(InputError):
            if canonical_name(text) in self.names:
                return True
        return text in self.labels


def holds_images(path: Path) -> bool:
    """Tell whether a folder or a file is an OCI layout, a tar of one, or a docker-archive."""
    with suppress(ImageError, InputError, OSError):
        files = open_files(path)
        return files.has("index.json") or files.has("manifest.json")
    return False


def read_all(path: Path) -> tuple[Named, ...]:
    """Read all images at `path`, in the order in which they are listed.

    What stands beside images (SBOMs, provenance) is passed over. Raises InputError when
    nothing is there, ImageError for everything that is malformed.
    """
    try:
        files = open_files(path)
        if files.has("index.json"):
            check_layout(files)
            found = {
                digest: Named(_labels(items), read_described(files, items[0]))
                for digest, items in _grouped(listed_entries(files)).items()
            }
        else:
            found = _of_docker(files)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    return tuple(found.values())


def listed_artifacts(files: Files) -> list[Object]:
    """Return the descriptors in index.json of what is no image, such as SBOMs."""
    return [item for item in listed_entries(files) if is_attestation(item)]


def listed_entries(files: Files) -> list[Object]:
    """Return the descriptors in index.json; raise ImageError for more than are allowed."""
    index = jsontext.parse_object(files.read("index.json", MAX_MANIFEST), "index.json")
    items = jsontext.objects(index, "manifests", "index.json")
    if len(items) > MAX_MANIFESTS:
        raise ImageError(f"{files.what} lists more than {MAX_MANIFESTS} images")
    return items


def _grouped(items: Iterable[Object]) -> dict[str, list[Object]]:
    found: dict[str, list[Object]] = {}
    for item in items:
        if not is_attestation(item):
            found.setdefault(check_digest(item.get("digest"), "index.json"), []).append(item)
    return found


def _labels(items: Iterable[Object]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for item in items:
        annotations = jsontext.text_mapping(item, "annotations", "index.json")
        for key in (CONTAINERD_NAME, REF_NAME):
            if annotations.get(key):
                found[annotations[key]] = None
    return tuple(found)


def _of_docker(files: Files) -> dict[str, Named]:
    found: dict[str, Named] = {}
    for item in docker_images(files, ""):
        validate(item.image, blobs=False)
        before = found[item.image.digest].labels if item.image.digest in found else ()
        labels = tuple(dict.fromkeys((*before, *filter(None, item.name.split(", ")))))
        found[item.image.digest] = Named(labels, item.image)
    return found
