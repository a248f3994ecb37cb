"""`slimpack bundle create` from registries: streams, bases, and what tells of images."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from slimpack.attestation import documents_of, write_beside, write_documents
from slimpack.bundle.model import Attached
from slimpack.bundle.reader import Bundle, open_bundle
from slimpack.oci.archive import write_archive
from slimpack.oci.artifact import Artifact, Document
from slimpack.oci.blobs import BlobStore
from slimpack.oci.image import BASE_DIGEST, BASE_NAME, CONFIG_TYPE, MANIFEST_TYPE, Image
from slimpack.oci.index import Index
from slimpack.oci.jsontext import canonical
from slimpack.oci.layout import write_artifacts, write_layout
from slimpack.oci.read import read_image
from slimpack.registry.connecting import Registries
from slimpack.registry.push import push, push_artifact
from slimpack.registry.reference import Reference
from tests.oci.oci_images import PLAIN, sample_image
from tests.registry.conftest import random_image, reference
from tests.registry.fake import Fake, cut_download, status
from tests.support.channel import Run


def note(subject: dict[str, object], text: bytes = b"a note") -> Artifact:
    return Artifact("text/x-note", (Document("text/plain", text),), subject)


def attached(bundle: Bundle) -> list[Attached]:
    return [one for image in bundle.statement.images for one in image.attached]


def told(bundle: Bundle, one: Attached) -> bytes:
    """Return the last layer of a document, verified."""
    blob = list(bundle.document_blobs(one.descriptor))[-1]
    return bundle.read(blob.path, blob.size)


@pytest.fixture
def own(tmp_path: Path) -> dict[str, str]:
    return {"SLIMPACK_CACHE_DIR": str(tmp_path / "cache")}


def index_of(folder: Path) -> Index:
    image = sample_image(folder, PLAIN)
    arm = replace(image, config=replace(image.config, architecture="arm64"))
    return Index((image, arm))


def test_layers_come_as_streams(
    fake: Fake, registries: Registries, run: Run, tmp_path: Path, own: dict[str, str]
) -> None:
    image = random_image(tmp_path / "made", 3_000_000, 2_000_000)
    push(image, [reference(fake)], registries)
    large = image.layers[0]
    data = fake.blobs["app"][large.digest]
    fake.on("GET", f"/blobs/{large.digest}", cut_download(data, 2_000_000))
    create = ("bundle", "create", f"{fake.host}/app:1", "-o", "site.tar")
    run(*create, cwd=tmp_path, env=own)
    bundle = open_bundle(tmp_path / "site.tar")
    (bundled,) = bundle.statement.images
    assert bundled.names == (f"{fake.host}/app:1",)
    assert bundled.digest == image.digest
    asked = fake.asked("GET", f"/blobs/{large.digest}")
    assert [one.headers.get("range") for one in asked] == [None, "bytes=2000000-"]
    store = BlobStore(tmp_path / "cache" / "blobs")
    assert not any(layer.digest in store for layer in image.layers)
    # The next time they are kept, and the time after that they are there.
    first = (tmp_path / "site.tar").read_bytes()
    run(*create, "--keep", cwd=tmp_path, env=own)
    assert all(layer.digest in store for layer in image.layers)
    before = len(fake.asked("GET", "/blobs/"))
    run(*create, cwd=tmp_path, env=own)
    assert len(fake.asked("GET", "/blobs/")) == before
    assert (tmp_path / "site.tar").read_bytes() == first


def test_a_registry_without_ranges(
    fake: Fake, registries: Registries, run: Run, tmp_path: Path, own: dict[str, str]
) -> None:
    image = random_image(tmp_path / "made", 3_000_000)
    push(image, [reference(fake)], registries)
    (layer,) = image.layers
    fake.ranges = False
    fake.on("GET", f"/blobs/{layer.digest}", cut_download(fake.blobs["app"][layer.digest], 10**6))
    run("bundle", "create", f"{fake.host}/app:1", "-o", "site.tar", cwd=tmp_path, env=own)
    found = read_image(tmp_path / "site.tar").layers[0]
    with found.open_tar() as tar:
        assert tar.read()


def test_a_registry_that_breaks_off_again_and_again(
    fake: Fake, registries: Registries, run: Run, tmp_path: Path, own: dict[str, str]
) -> None:
    image = random_image(tmp_path / "made", 3_000_000)
    push(image, [reference(fake)], registries)
    data = fake.blobs["app"][image.layers[0].digest]
    fake.on("GET", "/blobs/sha256", cut_download(data, 1000), times=1000, skip=1)
    done = run(
        *("bundle", "create", f"{fake.host}/app:1", "-o", "site.tar"),
        cwd=tmp_path,
        env=own,
        code=12,
    )
    assert "pulling blob" in done.stderr
    assert not list(tmp_path.glob("*.tar*"))


def test_what_came_is_verified(
    fake: Fake, registries: Registries, run: Run, tmp_path: Path, own: dict[str, str]
) -> None:
    image = random_image(tmp_path / "made", 300_000)
    push(image, [reference(fake)], registries)
    digest = image.layers[0].digest
    data = bytearray(fake.blobs["app"][digest])
    data[5000] ^= 1
    fake.blobs["app"][digest] = bytes(data)
    create = ("bundle", "create", f"{fake.host}/app:1", "-o", "site.tar")
    for more in ((), ("--keep",)):
        done = run(*create, *more, cwd=tmp_path, env=own, code=7)
        assert f"{digest} does not match its digest" in done.stderr
    fake.blobs["app"][digest] = bytes(data[:-1])
    run(*create, cwd=tmp_path, env=own, code=7)
    assert not (tmp_path / "site.tar").exists()


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


def on_base(image: Image, name: str, digest: str) -> Image:
    return replace(image, annotations={BASE_NAME: name, BASE_DIGEST: digest})


def test_bases(
    fake: Fake, registries: Registries, run: Run, tmp_path: Path, own: dict[str, str]
) -> None:
    """Of an index, of which the image's platform is taken; of a tag that moved since."""
    bases = index_of(tmp_path / "bases")
    push(bases, [reference(fake, "base:1")], registries)
    push_artifact(note(bases.images[0].descriptor()), reference(fake, "base:1"), registries)
    old = bases.images[0]
    image = on_base(sample_image(tmp_path / "made", PLAIN), f"{fake.host}/base:1", old.digest)
    write_layout(image, tmp_path / "layout", ["app:1"])
    new = random_image(tmp_path / "new", 100)
    push(new, [reference(fake, "base:1")], registries)
    run("bundle", "create", "layout", "--with-base", "-o", "site.tar", cwd=tmp_path, env=own)
    app, base = open_bundle(tmp_path / "site.tar").statement.images
    assert (app.digest, app.attached) == (image.digest, ())
    assert (base.names, base.digest) == ((f"{fake.host}/base:1",), old.digest)
    assert len(base.attached) == 1
    # The name is another image's by now, which is wanted as well.
    more = f"{fake.host}/base:1"
    run("bundle", "create", "layout", more, "--with-base", "-o", "site.tar", cwd=tmp_path, env=own)
    names = [one.names for one in open_bundle(tmp_path / "site.tar").statement.images]
    assert names[1:] == [(more,), (f"{more}-{old.digest[7:19]}",)]


def test_bases_platform_by_platform(
    fake: Fake, registries: Registries, run: Run, tmp_path: Path, own: dict[str, str]
) -> None:
    bases = index_of(tmp_path / "bases")
    push(bases, [reference(fake, "base:1")], registries)
    name = f"{fake.host}/base:1"
    index = Index(tuple(on_base(base, name, base.digest) for base in bases.images))
    write_layout(index, tmp_path / "layout", ["app:1"])
    run("bundle", "create", "layout", "--with-base", "-o", "site.tar", cwd=tmp_path, env=own)
    bundle = open_bundle(tmp_path / "site.tar")
    assert bundle.statement.images[1].names == (name,)
    found = bundle.target(bundle.statement.images[1])
    assert isinstance(found, Index)
    assert [image.digest for image in found.images] == [image.digest for image in bases.images]


def test_an_image_without_a_base_is_told(run: Run, tmp_path: Path) -> None:
    write_layout(sample_image(tmp_path / "made", PLAIN), tmp_path / "layout", ["app:1"])
    done = run("bundle", "create", "layout", "--with-base", "-o", "site.tar", cwd=tmp_path)
    assert "layout names no base in a registry" in done.stderr


def test_names_of_references(
    fake: Fake, registries: Registries, run: Run, tmp_path: Path, own: dict[str, str]
) -> None:
    image = sample_image(tmp_path / "made", PLAIN)
    push(image, [reference(fake)], registries)
    by_digest = f"{fake.host}/app@{image.digest}"
    create = ("bundle", "create", by_digest, "-o", "site.tar")
    done = run(*create, cwd=tmp_path, env=own, code=2)
    assert f"--name {by_digest}=NAME:TAG" in done.stderr
    run(*create, "--name", f"{by_digest}={fake.host}/app:7", cwd=tmp_path, env=own)
    run(*create, f"{fake.host}/app:1", "--name", f"{by_digest}=app:7", cwd=tmp_path, env=own)
    (one,) = open_bundle(tmp_path / "site.tar").statement.images
    assert one.names == ("docker.io/library/app:7", f"{fake.host}/app:1")
    fake.on("GET", "/manifests/", status(500), times=100)
    fake.on("HEAD", "/manifests/", status(500), times=100)
    (tmp_path / "site.tar").unlink()
    run(*create[:2], f"{fake.host}/app:2", *create[3:], cwd=tmp_path, env=own, code=12)
    assert not (tmp_path / "site.tar").exists()


def test_an_index_with_attestations_of_buildkit(
    fake: Fake, registries: Registries, run: Run, tmp_path: Path, own: dict[str, str]
) -> None:
    """They are no images; the index that is left is another one, and that is told."""
    index = index_of(tmp_path / "made")
    push(index, [reference(fake)], registries)
    attestation = {
        "mediaType": MANIFEST_TYPE,
        "digest": f"sha256:{'1' * 64}",
        "size": 10,
        "platform": {"os": "unknown", "architecture": "unknown"},
        "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
    }
    value = json.loads(index.manifest_json)
    value["manifests"].append(attestation)
    digest = fake.put("app", "2", canonical(value), index.media_type)
    to = f"{fake.host}/app:2"
    done = run("bundle", "create", to, "-o", "site.tar", cwd=tmp_path, env=own)
    assert "its digest changes" in done.stderr
    assert open_bundle(tmp_path / "site.tar").statement.images[0].digest != digest
    write_layout(index, tmp_path / "layout", ["app:2"])
    (tmp_path / "layout" / "blobs" / "sha256" / digest[7:]).write_bytes(canonical(value))
    listed = json.loads((tmp_path / "layout" / "index.json").read_text())
    listed["manifests"][0].update(digest=digest, size=len(canonical(value)))
    (tmp_path / "layout" / "index.json").write_text(json.dumps(listed))
    done = run("bundle", "create", "layout", "-o", "site.tar", cwd=tmp_path, env=own)
    assert "its digest changes" in done.stderr


def test_a_reference_is_pulled_by_its_digest(
    fake: Fake, registries: Registries, run: Run, tmp_path: Path, own: dict[str, str]
) -> None:
    image = sample_image(tmp_path / "made", PLAIN)
    push(image, [reference(fake)], registries)
    both = Reference.parse(f"{fake.host}/app:1@{image.digest}")
    push(random_image(tmp_path / "new", 100), [reference(fake)], registries)
    run("bundle", "create", str(both), "-o", "site.tar", cwd=tmp_path, env=own)
    (one,) = open_bundle(tmp_path / "site.tar").statement.images
    assert (one.names, one.digest) == ((f"{fake.host}/app:1",), image.digest)


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
