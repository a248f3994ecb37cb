"""A cache in a registry that goes wrong in every way: noted, and built without."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import zstandard

from slimpack.cache import Cache
from slimpack.cache.artifacts import (
    MEMO_TYPE,
    MemoBlob,
    layer_manifest,
    layer_tag,
    memo_manifest,
    memo_tag,
)
from slimpack.cache.building import BuildCaches, open_caches
from slimpack.cache.record import record_of
from slimpack.cache.remote import RemoteCache, cache_reference
from slimpack.errors import ImageError, InputError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.digest import sha256
from slimpack.oci.image import MANIFEST_TYPE
from slimpack.oci.layer import Layer
from slimpack.registry.connecting import Registries
from slimpack.registry.reference import Reference
from tests.cache.plans import Maker, ask, content
from tests.registry.fake import Fake, Handler, cut_download, status

REPOSITORY = "team/cache"
KEY = "ab" * 32
NAMES = ("a", "b", "c")


@pytest.fixture
def place(fake: Fake) -> Reference:
    return cache_reference(f"{fake.host}/{REPOSITORY}")


class Machine:
    """A machine with an empty disk."""

    def __init__(self, folder: Path, registries: Registries) -> None:
        self.folder = folder
        self.registries = registries
        self.makers = [Maker(name) for name in NAMES]

    def caches(self, sources: Sequence[Reference] = (), to: Reference | None = None) -> BuildCaches:
        return open_caches(
            Cache(self.folder / "c"),
            BlobStore(self.folder / "spare"),
            shared={"plan"},
            sources=sources,
            to=to,
            registries=self.registries,
        )

    def build(self, caches: BuildCaches) -> list[Layer]:
        caches.layers.find([maker.key for maker in self.makers])
        if caches.memos.get("plan", KEY) is None:
            caches.memos.put("plan", KEY, b"the plan")
        return [ask(caches.layers, maker) for maker in self.makers]

    @property
    def made(self) -> int:
        return sum(maker.calls for maker in self.makers)


@pytest.fixture
def filled(place: Reference, registries: Registries, tmp_path: Path) -> list[Layer]:
    """What another machine has built, and shared."""
    machine = Machine(tmp_path / "first", registries)
    caches = machine.caches(to=place)
    layers = machine.build(caches)
    assert caches.share() == 4
    assert caches.notes.texts == ()
    return layers


@pytest.fixture
def machine(registries: Registries, tmp_path: Path) -> Machine:
    return Machine(tmp_path / "second", registries)


def test_a_fresh_machine_builds_nothing(
    fake: Fake, place: Reference, filled: list[Layer], machine: Machine
) -> None:
    fake.seen.clear()
    caches = machine.caches([place])
    layers = machine.build(caches)
    assert layers == filled
    assert machine.made == 0
    assert caches.memos.get("plan", KEY) == b"the plan"
    assert not fake.asked("GET", f"/blobs/{layers[0].digest}")
    # Bytes come when somebody reads them, and stay.
    assert [content(layer) for layer in layers] == [content(layer) for layer in filled]
    assert machine.made == 0
    assert len(fake.asked("GET", "/blobs/")) == 4
    content(layers[0])
    assert len(fake.asked("GET", "/blobs/")) == 4
    assert caches.notes.texts == ()


def test_what_is_known_here_is_not_asked_for(
    fake: Fake, place: Reference, filled: list[Layer], machine: Machine
) -> None:
    machine.build(machine.caches([place]))
    fake.seen.clear()
    machine.build(machine.caches([place]))
    assert fake.seen == []


def test_bytes_are_fetched_together_for_outputs_that_need_them(
    fake: Fake, place: Reference, filled: list[Layer], machine: Machine
) -> None:
    lost = filled[2].digest
    del fake.blobs[REPOSITORY][lost]
    caches = machine.caches([place])
    layers = machine.build(caches)
    assert set(caches.layers.missing()) == {maker.key for maker in machine.makers}
    caches.prefetch()
    assert set(caches.layers.missing()) == {machine.makers[2].key}
    assert machine.made == 0
    fake.seen.clear()
    assert [content(layer) for layer in layers] == [content(layer) for layer in filled]
    assert [one.path for one in fake.seen] == [f"/v2/{REPOSITORY}/blobs/{lost}"]
    assert [maker.calls for maker in machine.makers] == [0, 0, 1]
    caches.prefetch()
    machine.caches().prefetch()


def test_a_registry_that_goes_down_before_bytes_are_needed(
    fake: Fake, place: Reference, filled: list[Layer], machine: Machine
) -> None:
    caches = machine.caches([place])
    layers = machine.build(caches)
    fake.on("GET", "/blobs/", status(500), times=1000)
    caches.prefetch()
    assert [content(layer) for layer in layers] == [content(layer) for layer in filled]
    assert machine.made == 3
    assert len(caches.notes.texts) == 1


def test_what_others_say_stays_apart(
    fake: Fake, place: Reference, filled: list[Layer], machine: Machine
) -> None:
    # Somebody who may write there gives the layer b out for the layer a.
    maker = machine.makers[0]
    manifest = layer_manifest(maker.key, record_of(filled[1]), "a")
    fake.put(REPOSITORY, layer_tag(maker.key), manifest, MANIFEST_TYPE)
    assert machine.build(machine.caches([place]))[0] == filled[1]
    # Builds that do not name the repository know nothing of it.
    caches = machine.caches()
    assert machine.build(caches) == filled
    assert [one.calls for one in machine.makers] == [1, 1, 1]
    other = cache_reference(f"{fake.host}/team/other")
    assert machine.build(machine.caches([other])) == filled
    # Blobs are what their digests say, whoever brought them.
    before = len(fake.asked("GET", "/blobs/"))
    assert content(machine.build(machine.caches([place]))[1]) == content(filled[1])
    assert len(fake.asked("GET", "/blobs/")) == before


def test_only_what_is_new_is_made_and_shared(
    fake: Fake, place: Reference, filled: list[Layer], machine: Machine
) -> None:
    machine.makers[1] = Maker("new")
    caches = machine.caches([place], place)
    layers = machine.build(caches)
    assert [maker.calls for maker in machine.makers] == [0, 1, 0]
    fake.seen.clear()
    assert caches.share() == 4
    assert [one.path.rpartition("/")[2] for one in fake.asked("PUT", "/manifests/")] == [
        layer_tag(machine.makers[1].key)
    ]
    assert len(fake.asked("PUT", "/blobs/uploads/")) == 1
    assert layers[1].digest in fake.blobs[REPOSITORY]


def test_a_layer_of_the_image_is_mounted_and_not_sent_again(
    fake: Fake, place: Reference, machine: Machine
) -> None:
    caches = machine.caches(to=place)
    layers = machine.build(caches)
    for layer in layers:
        with layer.open() as stream:
            fake.add("team/app", stream.read())
    target = Reference.parse(f"{fake.host}/team/app:1")
    assert caches.share(pushed_to=[target, Reference.parse("elsewhere.example/app")]) == 4
    assert len(fake.asked("PUT", "/blobs/uploads/")) == 2  # the empty config and the plan
    assert {layer.digest for layer in layers} <= set(fake.blobs[REPOSITORY])
    assert caches.mount_from == (place,)


def test_a_miss_costs_one_request_each(fake: Fake, place: Reference, machine: Machine) -> None:
    caches = machine.caches([place])
    machine.build(caches)
    machine.build(caches)
    assert len(fake.asked("GET", "/manifests/")) == 4
    assert len(fake.seen) == 5  # and one to see that it is there
    assert machine.made == 3
    assert caches.notes.texts == ()


def test_the_first_cache_that_knows_counts(
    fake: Fake, place: Reference, filled: list[Layer], machine: Machine
) -> None:
    empty = cache_reference(f"{fake.host}/team/empty")
    caches = machine.caches([empty, place])
    layers = machine.build(caches)
    assert machine.made == 0
    content(layers[0])
    assert caches.memos.get("plan", KEY) == b"the plan"
    assert fake.asked("GET", f"{REPOSITORY}/blobs/{layers[0].digest}")
    assert not fake.asked("GET", "team/empty/blobs")
    assert caches.mount_from == (empty, place)


def test_a_registry_that_is_not_there(tmp_path: Path, machine: Machine) -> None:
    nowhere = cache_reference("127.0.0.1:1/team/cache")
    caches = machine.caches([nowhere], nowhere)
    for layer in machine.build(caches):
        content(layer)
    assert machine.made == 3
    assert caches.share() == 0
    (note,) = caches.notes.texts
    assert note.startswith("the cache 127.0.0.1:1/team/cache is not used: connecting to")


@pytest.mark.parametrize("code", [401, 403, 500, 429, 405])
def test_a_registry_that_refuses(fake: Fake, place: Reference, machine: Machine, code: int) -> None:
    fake.on("GET", "/manifests/", status(code), times=1000)
    caches = machine.caches([place])
    machine.build(caches)
    assert machine.made == 3
    (note,) = caches.notes.texts
    assert f"the registry answered {code}" in note
    before = len(fake.seen)
    assert caches.memos.get("plan", "cd" * 32) is None
    assert len(fake.seen) == before  # not asked again


def test_a_cache_that_may_only_be_read(
    fake: Fake, place: Reference, filled: list[Layer], machine: Machine
) -> None:
    fake.on("POST", "/uploads/", status(403, "DENIED"), times=1000)
    machine.makers[0] = Maker("new")
    caches = machine.caches([place], place)
    machine.build(caches)
    caches.share()
    assert sum(maker.calls for maker in machine.makers) == 1
    (note,) = caches.notes.texts
    assert "403" in note


def test_a_registry_that_does_not_see_a_blob_at_once(
    fake: Fake, place: Reference, machine: Machine
) -> None:
    fake.on("PUT", "/manifests/", status(400, "MANIFEST_BLOB_UNKNOWN"), times=2)
    caches = machine.caches(to=place)
    machine.build(caches)
    assert caches.share() == 4
    assert caches.notes.texts == ()


def test_a_short_failure_passes(
    fake: Fake, place: Reference, filled: list[Layer], machine: Machine
) -> None:
    fake.on("GET", "/manifests/layer", status(503), times=3)
    blob = fake.blobs[REPOSITORY][filled[0].digest]
    fake.on("GET", f"/blobs/{filled[0].digest}", cut_download(blob, 20))
    caches = machine.caches([place])
    assert content(machine.build(caches)[0]) == content(filled[0])
    assert machine.made == 0
    assert caches.notes.texts == ()


def test_a_blob_that_the_registry_lost_is_made_again(
    fake: Fake, place: Reference, filled: list[Layer], machine: Machine
) -> None:
    caches = machine.caches([place])
    layers = machine.build(caches)
    del fake.blobs[REPOSITORY][filled[0].digest]
    assert content(layers[0]) == content(filled[0])
    assert [maker.calls for maker in machine.makers] == [1, 0, 0]
    assert "404" in caches.notes.texts[0]
    assert content(layers[1]) == content(filled[1])
    assert [maker.calls for maker in machine.makers] == [1, 0, 0]


def altered(data: bytes) -> bytes:
    changed = bytearray(data)
    changed[len(data) // 2] ^= 1
    return bytes(changed)


def test_an_altered_blob_is_not_used(
    fake: Fake, place: Reference, filled: list[Layer], machine: Machine
) -> None:
    for digest, data in list(fake.blobs[REPOSITORY].items()):
        fake.blobs[REPOSITORY][digest] = altered(data)
    caches = machine.caches([place])
    layers = machine.build(caches)
    assert [content(layer) for layer in layers] == [content(layer) for layer in filled]
    assert machine.made == 3
    assert any("does not match its digest" in note for note in caches.notes.texts)
    stored = {path.name for path in (machine.folder / "c" / "blobs" / "sha256").iterdir()}
    assert stored == {layer.digest[7:] for layer in filled}


def test_a_record_that_lies_about_a_layer_is_found_out_when_it_is_made(
    fake: Fake, place: Reference, filled: list[Layer], machine: Machine
) -> None:
    maker, other = machine.makers[:2]
    record = record_of(filled[1])
    manifest = layer_manifest(maker.key, record, "a")
    fake.put(REPOSITORY, layer_tag(maker.key), manifest, MANIFEST_TYPE)
    caches = machine.caches([place])
    layers = machine.build(caches)
    assert layers[0].digest == filled[1].digest  # who can write there decides (docs/cache.md)
    del fake.blobs[REPOSITORY][filled[1].digest]
    with pytest.raises(ImageError, match="made again and came out different"):
        layers[0].open()
    assert (maker.calls, other.calls) == (1, 0)


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"[]",
        b"{" * 10_000,
        b" " * (5 << 20),
        json.dumps({"layers": [{}], "annotations": {}}).encode(),
        layer_manifest(
            "cd" * 32, record_of(Layer("x", "y", 1, "z", lambda: NotImplemented, 1)), ""
        ),
    ],
)
def test_hostile_manifests_are_misses(
    fake: Fake, place: Reference, machine: Machine, manifest: bytes
) -> None:
    for tag in (layer_tag(machine.makers[0].key), memo_tag("plan", KEY)):
        fake.put(REPOSITORY, tag, manifest, MANIFEST_TYPE)
    caches = machine.caches([place])
    machine.build(caches)
    assert machine.made == 3
    assert caches.notes.texts


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not zstd",
        zstandard.compress(b"a")[:-2],
        gzip.compress(b"a", mtime=0),
        zstandard.compress(bytes(200 << 20)),  # a bomb
    ],
)
def test_hostile_memos_are_misses(
    fake: Fake, place: Reference, machine: Machine, data: bytes
) -> None:
    blob = MemoBlob(fake.add(REPOSITORY, data), len(data))
    fake.put(REPOSITORY, memo_tag("plan", KEY), memo_manifest("plan", KEY, blob), MANIFEST_TYPE)
    remote = RemoteCache(place, machine.registries)
    assert remote.get_memo("plan", KEY) is None
    assert len(remote.notes.texts) == 1
    # One bad thing in a cache says nothing of the others.
    assert remote.put_memo("plan", KEY, b"good")
    assert remote.get_memo("plan", KEY) == b"good"


def test_a_blob_larger_than_it_says_is_not_read_to_its_end(
    fake: Fake, place: Reference, machine: Machine
) -> None:
    digest = fake.add(REPOSITORY, zstandard.compress(b"a"))
    manifest = memo_manifest("plan", KEY, MemoBlob(digest, 10))
    fake.put(REPOSITORY, memo_tag("plan", KEY), manifest, MANIFEST_TYPE)

    def endless(handler: Handler) -> None:
        handler.answer(200, bytes(8 << 20))

    fake.on("GET", "/blobs/", endless)
    remote = RemoteCache(place, machine.registries)
    assert remote.get_memo("plan", KEY) is None
    assert remote.notes.texts


def test_memos_are_compressed(fake: Fake, place: Reference, machine: Machine) -> None:
    remote = RemoteCache(place, machine.registries)
    data = b"a line of a plan\n" * 10_000
    assert remote.put_memo("plan", KEY, data)
    manifest = json.loads(fake.manifests[REPOSITORY, memo_tag("plan", KEY)][0])
    (blob,) = manifest["layers"]
    assert blob["mediaType"] == MEMO_TYPE
    assert blob["size"] < 1000
    assert RemoteCache(place, machine.registries).get_memo("plan", KEY) == data
    assert remote.get_memo("tree", KEY) is None


def test_what_is_there_is_not_written_again(
    fake: Fake, place: Reference, filled: list[Layer], machine: Machine
) -> None:
    caches = machine.caches(to=place)
    machine.build(caches)
    fake.seen.clear()
    assert caches.share() == 4
    assert not fake.asked("PUT")
    assert not fake.asked("POST")


def test_another_memo_under_the_tag_is_replaced(
    fake: Fake, place: Reference, machine: Machine
) -> None:
    remote = RemoteCache(place, machine.registries)
    assert remote.put_memo("plan", KEY, b"old")
    assert remote.put_memo("plan", KEY, b"new")
    assert remote.get_memo("plan", KEY) == b"new"
    assert sha256(b"{}") in fake.blobs[REPOSITORY]


@pytest.mark.parametrize(
    "text", ["host.example/cache:v1", f"host.example/cache@sha256:{'0' * 64}", "Host/Cache"]
)
def test_a_cache_is_a_repository(text: str) -> None:
    with pytest.raises(InputError):
        cache_reference(text)
