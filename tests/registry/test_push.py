"""Pushing to a registry in this process: what travels, in which order, and what goes wrong."""

from __future__ import annotations

import io
import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from slimpack.errors import ImageError, InputError, RegistryError
from slimpack.oci.artifact import Artifact, Document
from slimpack.oci.config import ImageConfig
from slimpack.oci.digest import ByteStream
from slimpack.oci.image import BASE_NAME, Image, make_image
from slimpack.oci.index import Index
from slimpack.progress import SILENT, Task
from slimpack.registry.connecting import Registries
from slimpack.registry.credentials import Credentials
from slimpack.registry.failures import DeniedError, PassingError
from slimpack.registry.push import push, push_artifact
from slimpack.registry.reference import Reference
from slimpack.registry.retry import StoppedError
from tests.oci.oci_images import sample_config
from tests.registry.conftest import Sessions, random_image, reference
from tests.registry.fake import Fake, Handler, cut_upload, keep, redirect, serving, status
from tests.registry.tokens import BasicGuard


class Counting:
    """Progress that adds up."""

    def __init__(self) -> None:
        self.done = 0
        self.all = 0

    def task(self, name: str, *, total: int | None = None, unit: str = "B") -> object:
        self.all += total or 0
        counting = self

        class _Task:
            def __enter__(self) -> Task:
                return self

            def __exit__(self, *rest: object) -> None:
                pass

            def advance(self, amount: int = 1) -> None:
                counting.done += amount

            def total(self, amount: int) -> None:
                counting.all += amount

        return _Task()

    note = SILENT.note
    warn = SILENT.warn


def whole(fake: Fake, image: Image, repository: str = "app", name: str = "1") -> bool:
    """Tell whether the registry has all of an image, byte for byte."""
    blobs = {image.config_digest: image.config_json}
    for layer in image.layers:
        with layer.open() as stream:
            blobs[layer.digest] = stream.read()
    there = fake.blobs[repository]
    manifest = fake.manifests.get((repository, name), (b"", ""))[0]
    return manifest == image.manifest_json and all(there.get(d) == blobs[d] for d in blobs)


def unreadable(image: Image) -> Image:
    """Return the image with layers that must not be opened."""

    def source() -> ByteStream:
        raise AssertionError("a layer was opened")

    layers = tuple(replace(layer, source=source) for layer in image.layers)
    return replace(image, layers=layers, raw_config=image.config_json)


def test_all_of_it_arrives_and_the_manifest_last(
    fake: Fake, image: Image, registries: Registries
) -> None:
    counting = Counting()
    pushed = push(image, [reference(fake)], registries, progress=counting)  # type: ignore[arg-type]
    assert whole(fake, image)
    blobs = sum(layer.size for layer in image.layers) + len(image.config_json)
    assert (pushed.digest, pushed.sent, pushed.mounted, pushed.present) == (
        image.digest,
        blobs,
        0,
        0,
    )
    assert (counting.done, counting.all) == (blobs, blobs)
    writes = [one for one in fake.seen if one.method == "PUT"]
    assert "/manifests/1" in writes[-1].path
    assert all("/blobs/" in one.path for one in writes[:-1])
    # What was put there is looked at once more.
    assert (fake.seen[-1].method, fake.seen[-1].path) == ("HEAD", "/v2/app/manifests/1")


def test_nothing_is_read_that_the_registry_has(
    fake: Fake, image: Image, registries: Registries
) -> None:
    push(image, [reference(fake)], registries)
    again = push(unreadable(image), [reference(fake, "app:2")], registries)
    assert again.sent == again.mounted == 0
    assert again.present == image.size - len(image.manifest_json)
    assert whole(fake, image, name="2")


def test_only_what_is_new_travels(fake: Fake, tmp_path: Path, registries: Registries) -> None:
    old = random_image(tmp_path / "old", 1000, 2000)
    push(old, [reference(fake)], registries)
    more = random_image(tmp_path / "new", 1500, seed=2)
    new = make_image(more.layers, sample_config(), base=unreadable(old))
    pushed = push(new, [reference(fake, "app:2")], registries)
    assert pushed.sent == more.layers[0].size + len(new.config_json)


def test_several_tags_and_repositories(fake: Fake, image: Image, registries: Registries) -> None:
    names = ("app:1", "app:2", "other/app:3")
    pushed = push(image, [reference(fake, name) for name in names], registries)
    assert pushed.references == tuple(f"{fake.host}/{name}" for name in names)
    assert whole(fake, image, "app", "2")
    assert whole(fake, image, "other/app", "3")
    # The second repository takes everything from the first one.
    assert pushed.sent == pushed.mounted
    assert len(fake.asked("PUT", "/blobs/")) == len(image.layers) + 1


def test_a_digest_reference(fake: Fake, image: Image, registries: Registries) -> None:
    pushed = push(image, [reference(fake).at(image.digest)], registries)
    assert pushed.references == (f"{fake.host}/app@{image.digest}",)
    assert whole(fake, image, name=image.digest)


def test_another_digest_is_refused_before_anything_is_sent(
    fake: Fake, image: Image, registries: Registries
) -> None:
    with pytest.raises(InputError, match="names another digest"):
        push(image, [reference(fake).at("sha256:" + "0" * 64)], registries)
    assert fake.seen == []


def test_an_index_comes_after_its_images(
    fake: Fake, image: Image, tmp_path: Path, registries: Registries
) -> None:
    arm = make_image(
        random_image(tmp_path / "arm", 500, seed=3).layers, ImageConfig(architecture="arm64")
    )
    index = Index((image, arm))
    pushed = push(index, [reference(fake)], registries)
    assert pushed.digest == index.digest
    puts = [one.path for one in fake.asked("PUT", "/manifests/")]
    assert puts == [f"/v2/app/manifests/{name}" for name in (image.digest, arm.digest, "1")]
    assert fake.manifests["app", "1"] == (index.manifest_json, index.media_type)


def test_layers_are_mounted(fake: Fake, image: Image, registries: Registries) -> None:
    push(image, [reference(fake, "base:1")], registries)
    pushed = push(
        unreadable(image),
        [reference(fake)],
        registries,
        mount_from=[reference(fake, "nothing"), reference(fake, "base")],
    )
    assert pushed.sent == 0
    assert pushed.mounted == image.size - len(image.manifest_json)
    # The upload that the registry began where there was nothing to mount is given up.
    assert len(fake.asked("DELETE", "uploads")) == len(image.layers) + 1


def test_layers_are_mounted_from_the_base_that_is_named(
    fake: Fake, image: Image, registries: Registries
) -> None:
    push(image, [reference(fake, "base:1")], registries)
    named = replace(unreadable(image), annotations={BASE_NAME: f"{fake.host}/base:1"})
    assert push(named, [reference(fake)], registries).sent == 0


def test_a_mount_that_is_not_allowed_is_an_upload(
    fake: Fake, image: Image, registries: Registries
) -> None:
    fake.on("POST", "from=secret", status(403, "DENIED"), times=99)
    push(image, [reference(fake)], registries, mount_from=[reference(fake, "secret")])
    assert whole(fake, image)


@pytest.mark.parametrize("number", [408, 429, 500, 502, 503, 504])
@pytest.mark.parametrize(
    ("method", "pattern"),
    [
        ("HEAD", "/blobs/sha256"),
        ("POST", "/uploads/"),
        ("PUT", "/uploads/"),
        ("PUT", "/manifests/"),
        ("HEAD", "/manifests/"),
    ],
)
def test_what_passes_is_tried_again(
    fake: Fake, image: Image, registries: Registries, method: str, pattern: str, number: int
) -> None:
    fake.on(method, pattern, status(number), times=2)
    push(image, [reference(fake)], registries)
    assert whole(fake, image)


def test_a_connection_that_breaks_in_mid_blob(
    fake: Fake, image: Image, registries: Registries
) -> None:
    fake.on("PUT", "/uploads/", cut_upload(1_000_000), times=2)
    counting = Counting()
    push(image, [reference(fake)], registries, progress=counting)  # type: ignore[arg-type]
    assert whole(fake, image)
    assert counting.done == counting.all  # no byte was told of twice


def test_a_blob_that_arrived_although_the_answer_was_lost(
    fake: Fake, image: Image, registries: Registries
) -> None:
    def keep_and_cut(handler: Handler) -> None:
        fake.add("app", handler.body())
        handler.cut()

    fake.on("PUT", "/uploads/", keep_and_cut, times=4)
    push(image, [reference(fake)], registries)
    assert whole(fake, image)
    assert len(fake.asked("PUT", "/uploads/")) == len(image.layers) + 1


def test_an_upload_that_the_registry_forgot(
    fake: Fake, image: Image, registries: Registries
) -> None:
    fake.on("PUT", "/uploads/", status(404, "BLOB_UPLOAD_UNKNOWN"))
    push(image, [reference(fake)], registries)
    assert whole(fake, image)


def test_retry_after_is_kept_to(fake: Fake, image: Image, sessions: Sessions) -> None:
    registries = sessions()
    waited: list[float | None] = []
    stopped = registries.retry.stopped

    class Waiting(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waited.append(timeout)
            return stopped.is_set()

    object.__setattr__(registries.retry, "stopped", Waiting())
    fake.on("PUT", "/manifests/", status(429, "TOOMANYREQUESTS", Retry_After="7"))
    push(image, [reference(fake)], registries)
    assert 7 in waited


def test_nobody_waits_for_an_hour(fake: Fake, image: Image, registries: Registries) -> None:
    fake.on("PUT", "/manifests/", status(429, "TOOMANYREQUESTS", Retry_After="3600"))
    with pytest.raises(PassingError, match="answered 429"):
        push(image, [reference(fake)], registries)
    assert len(fake.asked("PUT", "/manifests/")) == 1


def test_what_does_not_pass_is_an_error(fake: Fake, image: Image, registries: Registries) -> None:
    fake.on("PUT", "/manifests/", status(500), times=99)
    with pytest.raises(RegistryError, match=r"pushing 1: the registry answered 500 \(X: as the"):
        push(image, [reference(fake)], registries)
    assert len(fake.asked("PUT", "/manifests/")) == registries.retry.tries


@pytest.mark.parametrize("number", [400, 403, 405, 413, 501])
def test_a_refusal_is_not_tried_again(
    fake: Fake, image: Image, registries: Registries, number: int
) -> None:
    fake.on("PUT", "/manifests/", status(number), times=99)
    with pytest.raises(RegistryError, match=f"answered {number}") as caught:
        push(image, [reference(fake)], registries)
    assert isinstance(caught.value, DeniedError) == (number == 403)
    assert len(fake.asked("PUT", "/manifests/")) == 1


def test_a_failed_layer_stops_the_others_and_leaves_no_manifest(
    fake: Fake, image: Image, registries: Registries
) -> None:
    fake.on("PUT", "/uploads/", status(413), times=1)
    with pytest.raises(RegistryError, match="answered 413"):
        push(image, [reference(fake)], registries)
    assert fake.manifests == {}
    with pytest.raises(StoppedError):
        registries.of(fake.host).has_blob("app", image.layers[0].digest)


def test_a_damaged_layer_is_not_pushed(fake: Fake, image: Image, registries: Registries) -> None:
    layer = image.layers[0]

    def damaged() -> ByteStream:
        with layer.open() as stream:
            data = bytearray(stream.read())
        data[-1] ^= 1
        return io.BytesIO(data)

    broken = replace(image, layers=(replace(layer, source=damaged), *image.layers[1:]))
    with pytest.raises(ImageError, match="does not match its digest"):
        push(broken, [reference(fake)], registries)
    assert layer.digest not in fake.blobs["app"]
    assert fake.manifests == {}


def test_a_layer_that_cannot_be_read(fake: Fake, image: Image, registries: Registries) -> None:
    """It is no broken connection, and not tried again."""
    layer = image.layers[0]
    opened: list[bool] = []

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    def failing() -> ByteStream:
        opened.append(True)
        return Failing()

    broken = replace(image, layers=(replace(layer, source=failing), *image.layers[1:]))
    with pytest.raises(ImageError, match="cannot be read: Input/output error"):
        push(broken, [reference(fake)], registries)
    assert len(opened) == 1


@pytest.mark.parametrize("pattern", ["/uploads/", "/manifests/"])
def test_a_registry_that_stored_something_else(
    fake: Fake, image: Image, registries: Registries, pattern: str
) -> None:
    other = "sha256:" + "1" * 64
    fake.on("PUT", pattern, lambda handler: handler.answer(201, Docker_Content_Digest=other))
    with pytest.raises(ImageError, match="stored 'sha256:1111"):
        push(image, [reference(fake)], registries)


def test_a_tag_that_leads_elsewhere_afterwards(
    fake: Fake, image: Image, registries: Registries
) -> None:
    other = "sha256:" + "1" * 64
    wrong = lambda handler: handler.answer(200, Docker_Content_Digest=other)  # noqa: E731
    fake.on("HEAD", "/manifests/1", wrong, times=99)
    with pytest.raises(RegistryError, match=r"not sha256:.* as it was pushed") as caught:
        push(image, [reference(fake)], registries)
    assert "somebody else" in caught.value.hint


def test_an_upload_to_another_host_gets_no_credentials(
    fake: Fake, image: Image, sessions: Sessions
) -> None:
    fake.guard = BasicGuard("me", "pass-word-9")
    with serving(Fake()) as storage:
        target = f"http://{storage.host}/v2/app/blobs/uploads/1?signature=x"
        fake.on("POST", "/uploads/", lambda h: h.answer(202, Location=target), times=99)
        storage.on("PUT", "", keep(fake, "app"), times=99)
        push(image, [reference(fake)], sessions(Credentials("me", "pass-word-9")))
        assert whole(fake, image)
        assert len(storage.seen) == len(image.layers) + 1
        assert {one.authorization for one in storage.seen} == {""}
    assert all(one.authorization for one in fake.asked("POST"))


def test_an_upload_is_redirected_with_its_body(
    fake: Fake, image: Image, registries: Registries
) -> None:
    with serving(Fake()) as storage:
        for layer in image.layers:
            query = f"digest={layer.digest.replace(':', '%3A')}"
            target = f"http://{storage.host}/put?{query}"
            fake.on("PUT", query, redirect(target))
        storage.on("PUT", "/put", keep(fake, "app"), times=99)
        push(image, [reference(fake)], registries)
        assert len(storage.seen) == len(image.layers)
    assert whole(fake, image)


# Artifacts


def notes(image: Image, text: bytes = b"hello") -> Artifact:
    return Artifact("text/x-note", (Document("text/plain", text),), image.descriptor())


@pytest.mark.parametrize("api", [True, False])
def test_artifacts_are_listed_as_referrers(
    fake: Fake, image: Image, registries: Registries, api: bool
) -> None:
    fake.referrers = api
    push(image, [reference(fake)], registries)
    digests = [
        push_artifact(notes(image, text), reference(fake), registries) for text in (b"a", b"b")
    ]
    assert push_artifact(notes(image, b"a"), reference(fake), registries) == digests[0]
    registry = registries.of(fake.host)
    found = registry.referrers("app", image.digest, "text/x-note")
    assert [item["digest"] for item in found] == digests
    assert registry.referrers("app", image.digest, "text/other") == []
    assert registry.referrers("app", "sha256:" + "0" * 64) == []
    # The image's own tag stays, and the list has a tag only where it has to.
    assert fake.manifests["app", "1"][0] == image.manifest_json
    tag = f"sha256-{image.digest[7:]}"
    assert (("app", tag) in fake.manifests) is not api
    assert registry.read_blob("app", notes(image, b"a").documents[0].digest) == b"a"


def test_two_writers_of_one_list(fake: Fake, image: Image, registries: Registries) -> None:
    """Somebody else replaces the list just after we wrote it: ours is added again."""
    fake.referrers = False
    push(image, [reference(fake)], registries)
    tag = f"sha256-{image.digest[7:]}"
    theirs = {"mediaType": "x", "digest": "sha256:" + "7" * 64, "size": 1}

    def overwritten(handler: Handler) -> None:
        handler.body()
        index = {"schemaVersion": 2, "manifests": [theirs]}
        data = json.dumps(index).encode()
        digest = fake.put("app", tag, data, "application/vnd.oci.image.index.v1+json")
        assert digest
        handler.answer(201)

    fake.on("PUT", tag, overwritten)
    fake.on("HEAD", tag, lambda handler: handler.answer(200))
    ours = push_artifact(notes(image), reference(fake), registries)
    found = registries.of(fake.host).referrers("app", image.digest)
    assert [item["digest"] for item in found] == [theirs["digest"], ours]


def test_a_tag_of_its_own(fake: Fake, image: Image, registries: Registries) -> None:
    artifact = replace(notes(image), subject=None)
    push_artifact(artifact, Reference(fake.host, "app"), registries, tag="note")
    assert fake.manifests["app", "note"][0] == artifact.manifest_json
    assert ("app", f"sha256-{image.digest[7:]}") not in fake.manifests
