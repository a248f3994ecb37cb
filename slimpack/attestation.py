"""What is told of an image beside it: its documents, as files and as artifacts.

An image has at most one document of each `Form`. They are written beside the image,
listed in an OCI layout, or pushed to a registry as its referrers
(OCI distribution-spec v1.1, 'Listing Referrers').
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slimpack.errors import InputError
from slimpack.files import atomic_file
from slimpack.oci.artifact import Artifact, Document
from slimpack.oci.config import rfc3339
from slimpack.oci.image import Image
from slimpack.oci.layout import write_artifacts
from slimpack.provenance import BuildFacts, Run, known_digests, provenance

MAX_DOCUMENT = 64 << 20
"""Bytes of a document that is read."""


@dataclass(frozen=True)
class Form:
    """A kind of document.

    suffix: of its file, in place of ``.tar``. media_type: of its file and its artifact.
    predicate: what cosign calls it (``--type``).
    """

    name: str
    suffix: str
    media_type: str
    predicate: str


CYCLONEDX = Form("cyclonedx", ".cdx.json", "application/vnd.cyclonedx+json", "cyclonedx")
SPDX = Form("spdx", ".spdx.json", "application/spdx+json", "spdxjson")
PROVENANCE = Form(
    "provenance", ".provenance.json", "application/vnd.in-toto+json", "slsaprovenance1"
)
FORMS = {form.name: form for form in (CYCLONEDX, SPDX, PROVENANCE)}
SBOMS = (CYCLONEDX.name, SPDX.name)


@dataclass(frozen=True)
class Attestation:
    """One document about one image.

    created: RFC 3339, of the image. about: digests of the manifests that it tells of, as it
    says itself; SBOMs of other tools need not say that.
    """

    form: Form
    data: bytes = field(repr=False)
    created: str = ""
    about: frozenset[str] = frozenset()

    def artifact(self, subject: dict[str, Any]) -> Artifact:
        """Return it as a referrer of the manifest that the descriptor `subject` names."""
        title = f"{self.form.name}{Path(self.form.suffix).suffix}"
        annotations = {"org.opencontainers.image.created": self.created} if self.created else {}
        return Artifact(
            artifact_type=self.form.media_type,
            documents=(
                Document(
                    self.form.media_type, self.data, {"org.opencontainers.image.title": title}
                ),
            ),
            subject=subject,
            annotations=annotations,
        )

    @property
    def predicate(self) -> bytes:
        """What `cosign attest` wants: an SBOM as it is, of a statement what it says."""
        if self.form is not PROVENANCE:
            return self.data
        statement = json.loads(self.data)
        return json.dumps(statement["predicate"], sort_keys=True).encode("ascii")


def documents_of(
    image: Image,
    forms: Collection[str],
    name: str = "",
    *,
    facts: BuildFacts | None = None,
    run: Run = Run(),  # noqa: B008
) -> tuple[Attestation, ...]:
    """Return the documents of `forms` about `image`, in the order of `FORMS`.

    name: what the image is called. facts: of its build; without them there is no
    provenance, and an SBOM tells digests only of what the image's own records know. The
    image's layers are read two or three times, for all documents together. Raises
    ImageError for an image that is malformed, InputError for provenance without facts.
    """
    # A third of a second, which nobody pays who asks for no document.
    from slimpack.sbom.cyclonedx import to_cyclonedx
    from slimpack.sbom.inventory import inventory_of
    from slimpack.sbom.spdx import to_spdx

    if PROVENANCE.name in forms and facts is None:
        raise InputError(
            "provenance is known to the build alone, not to its image",
            hint="build with --provenance",
        )
    inventory = inventory_of(image, name, digests=known_digests(facts) if facts else None)
    made: list[tuple[Form, bytes]] = []
    if CYCLONEDX.name in forms:
        made.append((CYCLONEDX, to_cyclonedx(inventory)))
    if SPDX.name in forms:
        made.append((SPDX, to_spdx(inventory)))
    if PROVENANCE.name in forms and facts is not None:
        made.append((PROVENANCE, provenance(inventory, facts, run)))
    created, about = rfc3339(image.config.created), frozenset({image.digest})
    return tuple(Attestation(form, data, created, about) for form, data in made)


def file_of(output: Path, form: Form, platform: str = "") -> Path:
    """Return where a document lies beside the image at `output`.

    ``app.tar`` has ``app.cdx.json``. platform: of one image of several, such as
    ``linux/arm64``: ``app.linux-arm64.cdx.json``.
    """
    stem = output.name.removesuffix(".tar")
    middle = f".{platform.replace('/', '-')}" if platform else ""
    return output.with_name(f"{stem}{middle}{form.suffix}")


def write_beside(
    output: Path, documents: Sequence[Attestation], platform: str = ""
) -> tuple[Path, ...]:
    """Write documents beside the image at `output`; return their paths.

    Raises SlimpackError when one cannot be written.
    """
    paths = []
    for document in documents:
        path = file_of(output, document.form, platform)
        with atomic_file(path) as stream:
            stream.write(document.data)
        paths.append(path)
    return tuple(paths)


def write_documents(
    output: str, made: Sequence[tuple[Image, Sequence[Attestation]]]
) -> tuple[str, ...]:
    """Write the documents of images that were delivered to `output`; return paths of files.

    output: as for the images: a folder that is an OCI layout, which lists them as
    artifacts, or a tar, beside which they are files. made: each image with its documents.
    Raises ImageError, InputError and SlimpackError as `write_artifacts` does.
    """
    path = Path(output)
    if path.is_dir():
        artifacts = [
            document.artifact(image.descriptor())
            for image, documents in made
            for document in documents
        ]
        write_artifacts(artifacts, path)
        return ()
    several = len(made) > 1
    return tuple(
        str(file)
        for image, documents in made
        for file in write_beside(path, documents, str(image.platform) if several else "")
    )


def read_document(path: Path) -> Attestation:
    """Read a document that somebody wrote, and see what form it has.

    Raises InputError for a file that is no document of ours to attach.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_DOCUMENT + 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    if len(data) > MAX_DOCUMENT:
        raise InputError(f"{path} has more than {MAX_DOCUMENT >> 20} MiB")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is not valid JSON: {error}",
            hint="attach what `slimpack build --sbom` and `--provenance` wrote",
        ) from error
    form = _form_of(value)
    if form is None:
        raise InputError(
            f"{path} is neither CycloneDX nor SPDX nor an in-toto statement of SLSA provenance",
            hint="attach what `slimpack build --sbom` and `--provenance` wrote",
        )
    about = _subjects(value)
    if form is PROVENANCE and not about:
        raise InputError(
            f"{path} does not say which image it is the provenance of",
            hint="a statement names its subject by its SHA-256 digest",
        )
    return Attestation(form, data, about=about)


def is_digest(text: str) -> bool:
    """Tell whether `text` is the digest of a manifest."""
    return re.fullmatch(r"sha256:[0-9a-f]{64}", text) is not None


def _form_of(value: object) -> Form | None:
    if not isinstance(value, dict):
        return None
    if value.get("bomFormat") == "CycloneDX":
        return CYCLONEDX
    if str(value.get("spdxVersion", "")).startswith("SPDX-2."):
        return SPDX
    predicate = str(value.get("predicateType", ""))
    return PROVENANCE if predicate.startswith("https://slsa.dev/provenance/v1") else None


def _subjects(document: dict[str, Any]) -> frozenset[str]:
    """Return the digests of all that a document says it is about, if it says so.

    SBOMs of other tools need not; in ours the version of what they describe is its digest.
    """
    subjects = document.get("subject")
    items = subjects if isinstance(subjects, list) else []
    digests = [item.get("digest") for item in items if isinstance(item, dict)]
    found = {f"sha256:{item.get('sha256')}" for item in digests if isinstance(item, dict)}
    metadata = document.get("metadata")
    described = [metadata.get("component")] if isinstance(metadata, dict) else []
    packages = document.get("packages")
    described += [
        {"version": package.get("versionInfo")}
        for package in (packages if isinstance(packages, list) else [])
        if isinstance(package, dict) and package.get("primaryPackagePurpose") == "CONTAINER"
    ]
    versions = [str(item.get("version")) for item in described if isinstance(item, dict)]
    return frozenset(text for text in {*found, *versions} if is_digest(text))
