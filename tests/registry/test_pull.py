"""Pulling from a registry in this process: what is chosen, kept, resumed and refused."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from slimpack.errors import ImageError, InputError, RegistryError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.config import ImageConfig, Platform
from slimpack.oci.digest import CHUNK
from slimpack.oci.image import Image, make_image
from slimpack.oci.index import Index
from slimpack.oci.jsontext import Object, canonical
from slimpack.oci.validate import validate
from slimpack.registry.connecting import Registries
from slimpack.registry.download import RemoteLayer
from slimpack.registry.failures import NotThereError, PassingError
from slimpack.registry.pull import prefetch, pull, pull_all
from slimpack.registry.push import push
from tests.oci.oci_images import BY_KIND, sample_image
from tests.registry.conftest import Sessions, random_image, reference
from tests.registry.fake import (
    INDEX,
    Fake,
    Handler,
    cut_download,
    digest_of,
    redirect,
    serving,
    status,
)

ARM = Platform("linux", "arm64")
AMD = Platform("linux", "amd64")


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def content(image: Image) -> list[bytes]:
    found = []
    for layer in image.layers:
        with layer.open() as stream:
            found.append(stream.read())
    return found


def partials(store: BlobStore) -> list[Path]:
    return list((store.directory / "partial").glob("*"))


@pytest.fixture
def pushed(fake: Fake, image: Image, registries: Registries) -> Image:
    push(image, [reference(fake)], registries)
    fake.seen.clear()
    return image


@pytest.mark.parametrize("kind", list(BY_KIND))
def test_every_compression(
    fake: Fake, tmp_path: Path, store: BlobStore, registries: Registries, kind: str
) -> None:
    made = sample_image(tmp_path / "made", BY_KIND[kind])
    push(made, [reference(fake)], registries)
    found = pull(reference(fake), registries, blobs=store)
    validate(found, blobs=True)
    assert (found.digest, found.config_digest) == (made.digest, made.config_digest)
    assert found.layers == made.layers


def test_layers_are_downloaded_when_they_are_opened(
    fake: Fake, pushed: Image, store: BlobStore, registries: Registries
) -> None:
    found = pull(reference(fake), registries, blobs=store)
    layers = {layer.digest for layer in pushed.layers}
    assert not [one for one in fake.asked("GET", "/blobs/") if one.path[-71:] in layers]
    with found.layers[1].open() as stream:
        stream.read()
    assert len(fake.asked("GET", found.layers[1].digest)) == 1
    assert content(found) == content(pushed)
    assert content(found) == content(pushed)
    assert len(fake.asked("GET", "/blobs/")) == len(layers) + 1
    assert partials(store) == []


def test_what_is_kept_needs_no_registry(
    fake: Fake, pushed: Image, store: BlobStore, sessions: Sessions
) -> None:
    pinned = reference(fake).at(pushed.digest)
    prefetch(pull(pinned, sessions(), blobs=store), sessions())
    fake.seen.clear()
    found = pull(pinned, sessions(), blobs=store)
    assert content(found) == content(pushed)
    assert fake.seen == []


def test_a_tag_is_looked_up_anew_but_its_manifest_is_kept(
    fake: Fake, pushed: Image, store: BlobStore, sessions: Sessions
) -> None:
    pull(reference(fake), sessions(), blobs=store)
    fake.seen.clear()
    pull(reference(fake), sessions(), blobs=store)
    assert [one.method for one in fake.seen if "/manifests/" in one.path] == ["HEAD"]


def test_a_blob_that_is_used_becomes_young_again(
    fake: Fake, pushed: Image, store: BlobStore, registries: Registries
) -> None:
    pinned = reference(fake).at(pushed.digest)
    prefetch(pull(pinned, registries, blobs=store), registries)
    paths = [store.path(digest) for digest in (pushed.digest, pushed.config_digest)]
    paths += [store.path(layer.digest) for layer in pushed.layers]
    for path in paths:
        os.utime(path, (1, 1))
    content(pull(pinned, registries, blobs=store))
    assert all(path.stat().st_mtime > 1000 for path in paths)


def test_a_blob_that_was_evicted_or_damaged_is_downloaded_again(
    fake: Fake, pushed: Image, store: BlobStore, registries: Registries
) -> None:
    pinned = reference(fake).at(pushed.digest)
    found = pull(pinned, registries, blobs=store)
    prefetch(found, registries)
    store.path(found.layers[0].digest).unlink()
    store.path(found.layers[1].digest).write_bytes(b"short")
    store.path(pushed.config_digest).write_bytes(b"{}")
    store.path(pushed.digest).write_bytes(b"{}")
    assert content(pull(pinned, registries, blobs=store)) == content(pushed)


# Breaks


def test_a_download_goes_on_where_it_broke_off(
    fake: Fake, pushed: Image, store: BlobStore, registries: Registries
) -> None:
    layer = pushed.layers[0]
    data = fake.blobs["app"][layer.digest]
    fake.on("GET", layer.digest, cut_download(data, 1_500_000), times=1)
    found = pull(reference(fake), registries, blobs=store)
    assert content(found) == content(pushed)
    ranges = [one.headers.get("range") for one in fake.asked("GET", layer.digest)]
    assert ranges == [None, "bytes=1500000-"]


def test_a_connection_that_is_reset(
    fake: Fake, pushed: Image, store: BlobStore, registries: Registries
) -> None:
    layer = pushed.layers[0]
    data = fake.blobs["app"][layer.digest]
    fake.on("GET", layer.digest, cut_download(data, 2_000_000, reset=True), times=3)
    assert content(pull(reference(fake), registries, blobs=store)) == content(pushed)


def test_many_breaks_do_not_matter_while_there_is_progress(
    fake: Fake, pushed: Image, store: BlobStore, sessions: Sessions
) -> None:
    layer = pushed.layers[0]
    data = fake.blobs["app"][layer.digest]
    fake.on("GET", layer.digest, cut_download(data, CHUNK), times=2)
    found = pull(reference(fake), sessions(tries=1), blobs=store)
    assert content(found) == content(pushed)


def test_breaks_without_progress_end(
    fake: Fake, pushed: Image, store: BlobStore, registries: Registries
) -> None:
    layer = pushed.layers[0]
    data = fake.blobs["app"][layer.digest]
    fake.on("GET", layer.digest, cut_download(data, 100), times=99)
    found = pull(reference(fake), registries, blobs=store)
    with pytest.raises(PassingError, match="the connection broke off"):
        found.layers[0].open()
    assert len(fake.asked("GET", layer.digest)) == registries.retry.tries
    # What came stays for the next attempt.
    (left,) = partials(store)
    assert left.stat().st_size == 100 * registries.retry.tries


def test_another_process_goes_on_with_what_is_left(
    fake: Fake, pushed: Image, store: BlobStore, sessions: Sessions
) -> None:
    layer = pushed.layers[0]
    data = fake.blobs["app"][layer.digest]
    folder = store.directory / "partial"
    folder.mkdir(parents=True)
    (folder / layer.digest[7:]).write_bytes(data[:2_000_000])
    found = pull(reference(fake), sessions(), blobs=store)
    assert content(found) == content(pushed)
    (request,) = fake.asked("GET", layer.digest)
    assert request.headers["range"] == "bytes=2000000-"


@pytest.mark.parametrize("left", [b"something else" * 1000, b"x" * 4_000_000])
def test_what_is_left_may_be_wrong(
    fake: Fake, pushed: Image, store: BlobStore, registries: Registries, left: bytes
) -> None:
    layer = pushed.layers[0]
    folder = store.directory / "partial"
    folder.mkdir(parents=True)
    (folder / layer.digest[7:]).write_bytes(left)
    found = pull(reference(fake), registries, blobs=store)
    assert content(found) == content(pushed)


def test_a_registry_without_ranges(
    fake: Fake, pushed: Image, store: BlobStore, registries: Registries
) -> None:
    fake.ranges = False
    layer = pushed.layers[0]
    data = fake.blobs["app"][layer.digest]
    fake.on("GET", layer.digest, cut_download(data, 2_000_000), times=1)
    found = pull(reference(fake), registries, blobs=store)
    assert content(found) == content(pushed)


def test_a_range_that_nobody_asked_for(
    fake: Fake, pushed: Image, store: BlobStore, registries: Registries
) -> None:
    layer = pushed.layers[0]
    data = fake.blobs["app"][layer.digest]
    fake.on("GET", layer.digest, cut_download(data, 2_000_000), times=1)
    wrong = lambda h: h.answer(206, b"x" * 10, Content_Range="bytes 0-9/10")  # noqa: E731
    fake.on("GET", layer.digest, wrong)
    found = pull(reference(fake), registries, blobs=store)
    with pytest.raises(RegistryError, match="not the range that was asked for"):
        found.layers[0].open()


@pytest.mark.parametrize("number", [429, 500, 503])
def test_what_passes_is_tried_again(
    fake: Fake, pushed: Image, store: BlobStore, registries: Registries, number: int
) -> None:
    for pattern in ("/manifests/", "/blobs/"):
        fake.on("GET", pattern, status(number), times=2)
    fake.on("HEAD", "/manifests/", status(number), times=2)
    assert content(pull(reference(fake), registries, blobs=store)) == content(pushed)


def test_a_manifest_that_is_cut_off(
    fake: Fake, pushed: Image, store: BlobStore, registries: Registries
) -> None:
    fake.on("GET", "/manifests/", cut_download(pushed.manifest_json, 40), times=2)
    assert pull(reference(fake), registries, blobs=store).digest == pushed.digest


# Somebody else at the same time


def test_two_that_want_the_same_blob_download_it_once(
    fake: Fake, pushed: Image, store: BlobStore, sessions: Sessions
) -> None:
    layer = pushed.layers[0]
    entered = threading.Event()

    def slowly(handler: Handler) -> None:
        entered.set()
        time.sleep(0.2)
        handler.answer(200, fake.blobs["app"][layer.digest])

    fake.on("GET", layer.digest, slowly)
    images = [pull(reference(fake), sessions(), blobs=store) for _ in range(2)]
    found: list[list[bytes]] = []
    threads = [
        threading.Thread(target=lambda one=one: found.append(content(one))) for one in images
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert entered.is_set()
    assert found == [content(pushed)] * 2
    assert len(fake.asked("GET", layer.digest)) == 1


def test_old_downloads_are_swept(
    fake: Fake, pushed: Image, store: BlobStore, registries: Registries
) -> None:
    folder = store.directory / "partial"
    folder.mkdir(parents=True)
    for name, days in (("old", 8), ("new", 6)):
        (folder / name).write_bytes(b"x")
        when = time.time() - days * 86_400
        os.utime(folder / name, (when, when))
    pull(reference(fake), registries, blobs=store)
    assert [path.name for path in partials(store)] == ["new"]


# What is not as it should be


def test_a_blob_of_other_content(
    fake: Fake, pushed: Image, store: BlobStore, registries: Registries
) -> None:
    layer = pushed.layers[0]
    fake.blobs["app"][layer.digest] = b"x" * layer.size
    found = pull(reference(fake), registries, blobs=store)
    with pytest.raises(ImageError, match="does not match its digest"):
        found.layers[0].open()
    assert layer.digest not in store
    assert partials(store) == []


@pytest.mark.parametrize(("extra", "message"), [(10, "is longer than"), (-10, "but its manifest")])
def test_a_blob_of_another_size(
    fake: Fake, pushed: Image, store: BlobStore, registries: Registries, extra: int, message: str
) -> None:
    layer = pushed.layers[0]
    data = fake.blobs["app"][layer.digest]
    fake.blobs["app"][layer.digest] = data + b"x" * extra if extra > 0 else data[:extra]
    found = pull(reference(fake), registries, blobs=store)
    with pytest.raises(ImageError, match=message):
        found.layers[0].open()
    assert layer.digest not in store


def test_a_config_of_other_content(
    fake: Fake, pushed: Image, store: BlobStore, registries: Registries
) -> None:
    fake.blobs["app"][pushed.config_digest] = b"{}"
    with pytest.raises(ImageError, match="does not match its digest"):
        pull(reference(fake), registries, blobs=store)


@pytest.mark.parametrize("named", ["tag", "digest"])
def test_a_manifest_of_another_digest(
    fake: Fake, pushed: Image, store: BlobStore, registries: Registries, named: str
) -> None:
    lying = lambda h: h.answer(  # noqa: E731
        200, b"{}", Docker_Content_Digest=pushed.digest, Content_Type=pushed.manifest_type
    )
    fake.on("GET", "/manifests/", lying)
    fake.on("HEAD", "/manifests/", lambda h: h.answer(404))
    wanted = reference(fake) if named == "tag" else reference(fake).at(pushed.digest)
    with pytest.raises(ImageError, match="does not match its digest"):
        pull(wanted, registries, blobs=store)


def test_what_is_not_there(fake: Fake, store: BlobStore, registries: Registries) -> None:
    with pytest.raises(NotThereError, match=r"app: pulling 1: the registry answered 404"):
        pull(reference(fake), registries, blobs=store)


def test_docker_schema_1(fake: Fake, store: BlobStore, registries: Registries) -> None:
    text = canonical({"schemaVersion": 1, "name": "app", "fsLayers": []})
    fake.put("app", "1", text, "application/vnd.docker.distribution.manifest.v1+prettyjws")
    with pytest.raises(ImageError, match="schema 1"):
        pull(reference(fake), registries, blobs=store)


def test_a_blob_on_a_storage_host(
    fake: Fake, pushed: Image, store: BlobStore, registries: Registries
) -> None:
    layer = pushed.layers[0]
    data = fake.blobs["app"][layer.digest]
    with serving(Fake()) as storage:
        fake.on("GET", layer.digest, redirect(f"http://{storage.host}/x?signature=abc"), times=9)
        storage.on("GET", "/x", cut_download(data, 2_000_000))
        storage.on("GET", "/x", cut_download(data, len(data)))
        found = pull(reference(fake), registries, blobs=store)
        assert content(found) == content(pushed)
        assert [one.headers.get("range") for one in storage.seen] == [None, "bytes=2000000-"]


# Indexes


@pytest.fixture
def both(fake: Fake, image: Image, tmp_path: Path, registries: Registries) -> Index:
    layers = random_image(tmp_path / "arm", 500, seed=3).layers
    arm = make_image(layers, ImageConfig(architecture="arm64"))
    index = Index((image, arm), {"org.example": "x"})
    push(index, [reference(fake)], registries)
    return index


def test_the_platform_is_chosen(
    fake: Fake, both: Index, store: BlobStore, registries: Registries
) -> None:
    for one in both.images:
        found = pull(reference(fake), registries, blobs=store, platform=one.platform)
        assert found.digest == one.digest
    assert pull(reference(fake), registries, blobs=store, prefer=ARM).platform == ARM
    with pytest.raises(InputError, match="has 2 images: linux/amd64, linux/arm64") as caught:
        pull(reference(fake), registries, blobs=store)
    assert "--platform" in caught.value.hint
    with pytest.raises(InputError, match="has no image for linux/s390x") as caught:
        pull(reference(fake), registries, blobs=store, platform=Platform("linux", "s390x"))
    assert "linux/amd64, linux/arm64" in caught.value.hint


def test_an_image_without_index_is_for_the_platform_too(
    fake: Fake, pushed: Image, store: BlobStore, registries: Registries
) -> None:
    assert pull(reference(fake), registries, blobs=store, prefer=ARM).platform == AMD
    with pytest.raises(InputError, match="is for linux/amd64, not for linux/arm64"):
        pull(reference(fake), registries, blobs=store, platform=ARM)


def test_the_whole_index(fake: Fake, both: Index, store: BlobStore, registries: Registries) -> None:
    found = pull_all(reference(fake), registries, blobs=store)
    assert isinstance(found, Index)
    assert found.digest == both.digest
    assert found.annotations == both.annotations
    prefetch(found, registries)
    assert [content(one) for one in found.images] == [content(one) for one in both.images]


def test_attestations_are_left_out(
    fake: Fake, both: Index, store: BlobStore, registries: Registries
) -> None:
    """As BuildKit writes them."""
    statement: Object = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": "sha256:" + "a" * 64,
        "size": 1,
        "platform": {"os": "unknown", "architecture": "unknown"},
        "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
    }
    items = [image.descriptor() for image in both.images]
    index = canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": [*items, statement]})
    fake.put("app", "2", index, INDEX)
    found = pull_all(reference(fake, "app:2"), registries, blobs=store)
    assert isinstance(found, Index)
    assert [image.digest for image in found.images] == [image.digest for image in both.images]
    assert found.digest != digest_of(index)
    assert pull(reference(fake, "app:2"), registries, blobs=store, platform=ARM).platform == ARM


def test_nested_indexes(fake: Fake, both: Index, store: BlobStore, registries: Registries) -> None:
    outer = canonical({"schemaVersion": 2, "manifests": [both.descriptor()]})
    fake.put("app", "2", outer, INDEX)
    assert pull(reference(fake, "app:2"), registries, blobs=store, platform=ARM).platform == ARM


def test_indexes_nested_without_end(fake: Fake, store: BlobStore, registries: Registries) -> None:
    inner: Object = {"mediaType": INDEX, "digest": "sha256:" + "0" * 64, "size": 0}
    for level in range(9):
        data = canonical({"schemaVersion": 2, "manifests": [inner]})
        inner = {**inner, "digest": fake.put("app", str(level), data, INDEX), "size": len(data)}
    with pytest.raises(ImageError, match="nested more than 4 deep"):
        pull(reference(fake, "app:8"), registries, blobs=store)


def test_the_origin_is_known_for_mounts(
    fake: Fake, pushed: Image, store: BlobStore, registries: Registries
) -> None:
    found = pull(reference(fake), registries, blobs=store)
    assert all(isinstance(layer.source, RemoteLayer) for layer in found.layers)
    on_top = make_image([], ImageConfig(), base=found)
    done = push(replace(on_top), [reference(fake, "other:1")], registries)
    assert done.sent == len(on_top.config_json)
    assert not any(layer.digest in store for layer in found.layers)
