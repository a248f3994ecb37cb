"""`slimpack bundle create` from registries: streams, bases, names."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from slimpack.bundle.reader import open_bundle
from slimpack.oci.blobs import BlobStore
from slimpack.oci.image import BASE_DIGEST, BASE_NAME, MANIFEST_TYPE, Image
from slimpack.oci.index import Index
from slimpack.oci.jsontext import canonical
from slimpack.oci.layout import write_layout
from slimpack.oci.read import read_image
from slimpack.registry.connecting import Registries
from slimpack.registry.push import push, push_artifact
from slimpack.registry.reference import Reference
from tests.bundle.creating import index_of, note
from tests.oci.oci_images import PLAIN, sample_image
from tests.registry.conftest import random_image, reference
from tests.registry.fake import Fake, cut_download, status
from tests.support.channel import Run


@pytest.fixture
def own(tmp_path: Path) -> dict[str, str]:
    return {"SLIMPACK_CACHE_DIR": str(tmp_path / "cache")}


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
