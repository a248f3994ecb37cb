"""Documents that are attached in a registry, with the referrers API and without."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from slimpack.attaching import attach, find_subject, told_of
from slimpack.attestation import Attestation, documents_of
from slimpack.errors import ImageError, InputError, RegistryError
from slimpack.oci.image import Image
from slimpack.oci.index import Index
from slimpack.registry.connecting import Registries
from slimpack.registry.push import push
from slimpack.registry.reference import Reference
from slimpack.signing import Signer
from tests.registry.fake import Fake, serving
from tests.sbom.images import sample

PARTS = ["cyclonedx", "spdx"]


@pytest.fixture(params=["with the API", "without the API"])
def fake(request: pytest.FixtureRequest) -> Iterator[Fake]:
    """A registry that can list referrers, and one that cannot."""
    with serving(Fake(referrers=request.param == "with the API")) as running:
        yield running


@pytest.fixture
def registries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registries]:
    """Sessions without credentials of this machine's user."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    with Registries() as found:
        yield found


def pushed(fake: Fake, target: Image | Index, registries: Registries) -> Reference:
    reference = Reference.parse(f"{fake.host}/team/serve:1.0")
    push(target, [reference], registries)
    return reference


def test_documents_are_referrers(fake: Fake, registries: Registries, tmp_path: Path) -> None:
    image = sample(tmp_path)
    reference = pushed(fake, image, registries)
    subject = find_subject(reference, registries)
    assert str(subject.reference) == f"{fake.host}/team/serve@{image.digest}"
    made = documents_of(image, PARTS, str(reference))
    done = attach(made, subject, registries)
    listed = registries.of(fake.host).referrers("team/serve", image.digest)
    assert {item["artifactType"] for item in listed} == {
        "application/vnd.cyclonedx+json",
        "application/spdx+json",
    }
    assert {item["digest"] for item in listed} == {digest for _, digest in done}
    for document, digest in done:
        manifest = json.loads(fake.manifests["team/serve", digest][0])
        (layer,) = manifest["layers"]
        assert fake.blobs["team/serve"][layer["digest"]] == document.data


def test_attaching_again_changes_nothing(
    fake: Fake, registries: Registries, tmp_path: Path
) -> None:
    image = sample(tmp_path)
    subject = find_subject(pushed(fake, image, registries), registries)
    made = documents_of(image, PARTS)
    first = attach(made, subject, registries)
    held = dict(fake.manifests)
    assert [digest for _, digest in attach(made, subject, registries)] == [
        digest for _, digest in first
    ]
    assert fake.manifests == held


def test_of_an_index_the_image_is_found(fake: Fake, registries: Registries, tmp_path: Path) -> None:
    amd = sample(tmp_path / "amd")
    arm = replace(amd, config=replace(amd.config, architecture="arm64"))
    subject = find_subject(pushed(fake, Index((amd, arm)), registries), registries)
    assert subject.is_index
    (made,) = documents_of(arm, ["spdx"])
    attach([made], subject, registries)
    registry = registries.of(fake.host)
    assert registry.referrers("team/serve", amd.digest) == []
    assert len(registry.referrers("team/serve", arm.digest)) == 1


def test_what_says_nothing_tells_of_what_was_named(
    fake: Fake, registries: Registries, tmp_path: Path
) -> None:
    image = sample(tmp_path)
    subject = find_subject(pushed(fake, image, registries), registries)
    (made,) = documents_of(image, ["cyclonedx"])
    silent = Attestation(made.form, b"{}")
    assert told_of(silent, subject) == subject.descriptor


def test_documents_of_another_image_are_refused_before_anything_is_pushed(
    fake: Fake, registries: Registries, tmp_path: Path
) -> None:
    image = sample(tmp_path)
    subject = find_subject(pushed(fake, image, registries), registries)
    held = dict(fake.manifests)
    own = documents_of(image, ["spdx"])
    other = documents_of(replace(image, config=replace(image.config, user="1")), ["cyclonedx"])
    with pytest.raises(InputError, match="tells of sha256:"):
        attach([*own, *other], subject, registries)
    assert fake.manifests == held


def test_each_is_signed_for_its_own_subject(
    fake: Fake, registries: Registries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = sample(tmp_path)
    subject = find_subject(pushed(fake, image, registries), registries)
    signed: list[tuple[str, str]] = []
    monkeypatch.setattr(
        Signer,
        "attest",
        lambda self, where, document: signed.append((where, document.form.name)),
    )
    attach(documents_of(image, PARTS), subject, registries, Signer("k"))
    where = f"{fake.host}/team/serve@{image.digest}"
    assert signed == [(where, "cyclonedx"), (where, "spdx")]


def test_what_is_not_there_or_no_manifest(
    fake: Fake, registries: Registries, tmp_path: Path
) -> None:
    with pytest.raises(RegistryError):
        find_subject(Reference.parse(f"{fake.host}/team/none:1"), registries)
    fake.manifests["team/serve", "odd"] = (b"[]", "application/vnd.oci.image.manifest.v1+json")
    with pytest.raises(ImageError, match="not a JSON object"):
        find_subject(Reference.parse(f"{fake.host}/team/serve:odd"), registries)
