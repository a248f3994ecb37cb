"""What `slimpack bundle create` finds that tells of images: SBOMs, provenance, signatures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from slimpack.attestation import documents_of, write_beside, write_documents
from slimpack.bundle.reader import open_bundle
from slimpack.oci.archive import write_archive
from slimpack.oci.artifact import Artifact, Document
from slimpack.oci.image import CONFIG_TYPE, MANIFEST_TYPE
from slimpack.oci.jsontext import canonical
from slimpack.oci.layout import write_artifacts, write_layout
from slimpack.registry.connecting import Registries
from slimpack.registry.push import push, push_artifact
from tests.bundle.creating import attached, index_of, note, told
from tests.oci.oci_images import PLAIN, sample_image
from tests.registry.conftest import random_image, reference
from tests.registry.fake import Fake
from tests.support.channel import Run


@pytest.fixture
def own(tmp_path: Path) -> dict[str, str]:
    return {"SLIMPACK_CACHE_DIR": str(tmp_path / "cache")}


@pytest.mark.parametrize("referrers", [True, False])
def test_documents_of_documents(
    fake: Fake,
    registries: Registries,
    run: Run,
    tmp_path: Path,
    own: dict[str, str],
    referrers: bool,
) -> None:
    """Of the index, of an image in it, a signature under cosign's tag, and a note on a note."""
    fake.referrers = referrers
    index = index_of(tmp_path / "made")
    to = reference(fake)
    push(index, [to], registries)
    of_index = note(index.descriptor(), b"of the index")
    of_image = note(index.images[1].descriptor(), b"of an image")
    of_note = note(of_image.descriptor(), b"of the note")
    for artifact in (of_index, of_image, of_note, note(sample_image(tmp_path / "x").descriptor())):
        push_artifact(artifact, to, registries)
    signature = Artifact(
        "", (Document("application/vnd.dev.cosign.simplesigning.v1+json", b"{}"),), None
    )
    tag = f"sha256-{of_note.digest[7:]}.sig"
    push_artifact(signature, to, registries, tag=tag)
    create = ("bundle", "create", str(to), "-o", "site.tar")
    run(*create, cwd=tmp_path, env=own)
    bundle = open_bundle(tmp_path / "site.tar")
    assert {told(bundle, one) for one in attached(bundle)} == {
        *(b"of the index", b"of an image", b"of the note"),
        b"{}",
    }
    (signed,) = [one for one in attached(bundle) if one.tag]
    assert (signed.subject, signed.tag) == (of_note.digest, tag)
    assert signed.descriptor["artifactType"] == "application/vnd.dev.cosign.artifact.sig.v1+json"
    # Readers of images pass over them, and the index is byte for byte what it was.
    assert bundle.statement.images[0].digest == index.digest
    listed = json.loads(bundle.read("index.json", 1 << 20))["manifests"]
    assert [bool(item.get("artifactType")) for item in listed] == [False, True, True, True, True]
    # A bundle of the bundle has them, too, and other images have none of them.
    run("bundle", "create", "site.tar", "-o", "two.tar", cwd=tmp_path, env=own)
    assert (tmp_path / "two.tar").read_bytes() == (tmp_path / "site.tar").read_bytes()
    run(*create, "--platform", "linux/arm64", cwd=tmp_path, env=own)
    found = attached(open_bundle(tmp_path / "site.tar"))
    assert [one.subject for one in found if not one.tag] == sorted(
        [index.images[1].digest, of_image.digest]
    )
    run(*create, "--no-documents", cwd=tmp_path, env=own)
    assert attached(open_bundle(tmp_path / "site.tar")) == []


def test_documents_that_cannot_be_taken(
    fake: Fake, registries: Registries, run: Run, tmp_path: Path, own: dict[str, str]
) -> None:
    image = sample_image(tmp_path / "made", PLAIN)
    to = reference(fake)
    push(image, [to], registries)
    blob = {"mediaType": "x/y", "digest": f"sha256:{'1' * 64}", "size": 1 << 40}
    subject = {key: image.descriptor()[key] for key in ("mediaType", "digest", "size")}
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "subject": subject}
    odd = [
        {**manifest, "config": blob, "layers": []},
        {**manifest, "config": {**blob, "digest": "sha512:1"}, "layers": []},
        {**manifest, "config": {**blob, "size": -1}, "layers": []},
        {**manifest, "layers": []},
    ]
    for number, one in enumerate(odd):
        fake.put("app", f"odd-{number}", canonical(one), MANIFEST_TYPE)
    lying = canonical({**manifest, "mediaType": "application/vnd.oci.image.index.v1+json"})
    fake.put("app", "lying", lying, "application/vnd.oci.image.index.v1+json")
    fine = push_artifact(note(image.descriptor()), to, registries)
    done = run("bundle", "create", str(to), "-o", "site.tar", "-q", cwd=tmp_path, env=own)
    assert done.stderr.count("is left out") == len(odd) + 1
    found = attached(open_bundle(tmp_path / "site.tar"))
    assert [one.descriptor["digest"] for one in found] == [fine]


def test_a_list_of_referrers_that_lies(
    fake: Fake, registries: Registries, run: Run, tmp_path: Path, own: dict[str, str]
) -> None:
    """Under the fall-back tag anybody may list anything: here what tells of another image."""
    fake.referrers = False
    image, other = sample_image(tmp_path / "made", PLAIN), random_image(tmp_path / "other", 100)
    to = reference(fake)
    push(image, [to], registries)
    foreign = note(other.descriptor())
    push_artifact(foreign, to, registries)
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [foreign.descriptor()],
    }
    fake.put("app", f"sha256-{image.digest[7:]}", canonical(index), str(index["mediaType"]))
    done = run("bundle", "create", str(to), "-o", "site.tar", cwd=tmp_path, env=own)
    assert f"tells of {other.digest}" in done.stderr
    assert attached(open_bundle(tmp_path / "site.tar")) == []


def test_too_many_documents(
    fake: Fake,
    registries: Registries,
    run: Run,
    tmp_path: Path,
    own: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("slimpack.bundle.documents.MAX_DOCUMENTS", 2)
    image = sample_image(tmp_path / "made", PLAIN)
    push(image, [reference(fake)], registries)
    for number in range(3):
        push_artifact(note(image.descriptor(), b"%d" % number), reference(fake), registries)
    create = ("bundle", "create", f"{fake.host}/app:1", "-o", "site.tar")
    done = run(*create, cwd=tmp_path, env=own, code=7)
    assert "--no-documents" in done.stderr
    run(*create, "--no-documents", cwd=tmp_path, env=own)


def test_documents_of_a_layout_and_beside_a_file(run: Run, tmp_path: Path) -> None:
    image, other = sample_image(tmp_path / "made", PLAIN), random_image(tmp_path / "other", 100)
    documents = documents_of(image, ["cyclonedx", "spdx"], "app:1")
    write_layout(image, tmp_path / "layout", ["app:1"])
    write_documents(f"{tmp_path}/layout", [(image, documents)])
    write_archive(image, tmp_path / "app.tar", ["app:1"])
    write_beside(tmp_path / "app.tar", documents)
    found = []
    for given in ("layout", "app.tar"):
        run("bundle", "create", given, "-o", "site.tar", cwd=tmp_path)
        bundle = open_bundle(tmp_path / "site.tar")
        assert {told(bundle, one) for one in attached(bundle)} == {one.data for one in documents}
        found.append((tmp_path / "site.tar").read_bytes())
    assert found[0] == found[1]
    # A file that tells of another image does not go with this one.
    write_archive(other, tmp_path / "app.tar", ["app:1"])
    done = run("bundle", "create", "app.tar", "-o", "site.tar", cwd=tmp_path)
    assert "app.cdx.json is left out: it does not tell of the image" in done.stderr
    assert attached(open_bundle(tmp_path / "site.tar")) == []


def test_documents_of_several_platforms_beside_a_file(run: Run, tmp_path: Path) -> None:
    index = index_of(tmp_path / "made")
    write_archive(index, tmp_path / "app.tar", ["app:1"])
    made = [(image, documents_of(image, ["cyclonedx"], "app:1")) for image in index.images]
    write_documents(f"{tmp_path}/app.tar", made)
    run("bundle", "create", "app.tar", "-o", "site.tar", cwd=tmp_path)
    bundle = open_bundle(tmp_path / "site.tar")
    assert {one.subject: told(bundle, one) for one in attached(bundle)} == {
        image.digest: documents[0].data for image, documents in made
    }


def test_an_image_with_a_subject_is_no_image(run: Run, tmp_path: Path) -> None:
    """Some tools give documents the type of an image's config."""
    image = sample_image(tmp_path / "made", PLAIN)
    write_layout(image, tmp_path / "layout", ["app:1"])
    odd = Artifact(
        "text/x-note",
        (Document("text/plain", b"x"),),
        image.descriptor(),
        {},
        Document(CONFIG_TYPE, b"{}"),
    )
    write_artifacts([odd], tmp_path / "layout")
    run("bundle", "create", "layout", "-o", "site.tar", cwd=tmp_path)
    (one,) = attached(open_bundle(tmp_path / "site.tar"))
    assert one.descriptor["artifactType"] == "text/x-note"


def test_manifests_of_documents_are_bounded_together(
    fake: Fake,
    registries: Registries,
    run: Run,
    tmp_path: Path,
    own: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("slimpack.bundle.documents.MAX_MANIFESTS", 1000)
    image = sample_image(tmp_path / "made", PLAIN)
    push(image, [reference(fake)], registries)
    for number in range(2):
        large = replace(note(image.descriptor(), b"%d" % number), annotations={"a": "x" * 500})
        push_artifact(large, reference(fake), registries)
    create = ("bundle", "create", f"{fake.host}/app:1", "-o", "site.tar")
    assert "--no-documents" in run(*create, cwd=tmp_path, env=own, code=7).stderr
