"""Inventories: of a bundle, a layout, repositories; written, read again, refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimpack.bundle.inventory import MEDIA_TYPE, Inventory, Listed, parse_inventory
from slimpack.bundle.model import Blob
from slimpack.bundle.stock import bundle_inventory, layout_inventory, registry_inventory
from slimpack.errors import BundleError
from slimpack.oci.index import images_of
from slimpack.oci.layout import write_layout
from slimpack.registry.connecting import Registries
from slimpack.registry.push import push
from slimpack.registry.reference import Reference
from tests.bundle.shipping import (
    SERVE,
    bundle_of,
    document,
    image_of,
    index_of,
    packed,
    signature,
)
from tests.registry.fake import Fake
from tests.support.channel import Run


def test_of_a_bundle(tmp_path: Path) -> None:
    index = index_of(tmp_path, 1)
    bundle = bundle_of(
        tmp_path / "b.tar",
        packed(index, documents=[document(index)]),
        absent=[index.images[0].layers[0].digest],
        created=7,
    )
    found = bundle_inventory(bundle)
    assert [one.names for one in found.images] == [(SERVE,)]
    assert found.images[0].descriptor["digest"] == index.digest
    layers = {one.digest: one for image in images_of(index) for one in image.layers}
    configs = {image.config_digest for image in index.images}
    assert {blob.digest for blob in found.blobs} == {*layers, *configs}
    assert dict(found.diff_ids) == {digest: one.diff_id for digest, one in layers.items()}
    assert (found.created, found.digest) == (7, bundle.digest)
    assert parse_inventory(found.to_json(), "it") == found


def test_of_a_layout(tmp_path: Path) -> None:
    one, two = image_of(tmp_path, 1), index_of(tmp_path, 2)
    write_layout(one, tmp_path / "out", ["one:1", "one:2"])
    write_layout(two, tmp_path / "out", ["two:1"])
    found = layout_inventory(tmp_path / "out")
    assert {one.descriptor["digest"]: one.names for one in found.images} == {
        one.digest: ("docker.io/library/one:1", "docker.io/library/one:2"),
        two.digest: ("docker.io/library/two:1",),
    }
    assert (found.created, found.digest) == (None, "")


def test_of_a_registry(fake: Fake, registries: Registries, tmp_path: Path) -> None:
    one, two = image_of(tmp_path, 1), image_of(tmp_path, 2)
    for name, image in {"app:1": one, "app:2": two, "app:3": two, "other:1": one}.items():
        push(image, [Reference.parse(f"{fake.host}/{name}")], registries)
    told = signature(one)
    fake.put("app", told.attached.tag, told.manifest, str(told.attached.descriptor["mediaType"]))
    found = registry_inventory([Reference(fake.host, "app")], registries)
    assert {item.descriptor["digest"]: item.names for item in found.images} == {
        one.digest: (f"{fake.host}/app:1",),
        two.digest: (f"{fake.host}/app:2", f"{fake.host}/app:3"),
    }
    (only,) = registry_inventory([Reference(fake.host, "app", "1")], registries).images
    assert only.descriptor["digest"] == one.digest


def test_the_command(fake: Fake, run: Run, registries: Registries, tmp_path: Path) -> None:
    one, two = image_of(tmp_path, 1), image_of(tmp_path, 2)
    push(one, [Reference.parse(f"{fake.host}/app:1")], registries)
    push(two, [Reference.parse(f"{fake.host}/app:2")], registries)
    write_layout(two, tmp_path / "out", ["two:1"])
    bundle_of(tmp_path / "b.tar", packed(one), created=5)
    command = ("bundle", "inventory", "-o", "i.json", "--json")
    for places, images, created in (
        ([f"registry={fake.host}/app"], 2, None),
        ([f"registry={fake.host}/app:1"], 1, None),
        ([f"registry={fake.host}/app@{one.digest}"], 1, None),
        (["layout=out"], 1, None),
        (["b.tar"], 1, 5),
        (["b.tar", "layout=out"], 2, 5),
        ([f"registry={fake.host}/app", "b.tar", "layout=out"], 2, 5),
    ):
        done = json.loads(run(*command, *places, cwd=tmp_path).stdout)
        assert (done["images"], done["created"]) == (images, created)
        found = parse_inventory((tmp_path / "i.json").read_bytes(), "i.json")
        assert len(found.images) == images
        assert len(found.blobs) == done["blobs"] == 4 * images
    run("bundle", "inventory", "-q", "-o", "i.json", "docker=", cwd=tmp_path, code=2)
    run("bundle", "inventory", "-q", "-o", "i.json", "absent.tar", cwd=tmp_path, code=2)
    run("bundle", "inventory", "-q", "-o", "i.json", "layout=absent", cwd=tmp_path, code=2)


DIGESTS = st.binary(min_size=32, max_size=32).map(lambda data: f"sha256:{data.hex()}")
BLOBS = st.builds(Blob, DIGESTS, st.integers(0, 1 << 60))


@given(
    st.lists(BLOBS, max_size=5, unique_by=lambda blob: blob.digest),
    st.lists(st.text(max_size=20), max_size=3),
    DIGESTS,
    st.none() | st.integers(0, 10**10),
)
def test_what_is_written_is_read_again(
    blobs: list[Blob], names: list[str], digest: str, created: int | None
) -> None:
    images = (Listed(tuple(names), {"mediaType": "x", "digest": digest, "size": 1}),)
    diff_ids = tuple(sorted((blob.digest, digest) for blob in blobs[:2]))
    found = Inventory(images, tuple(sorted(blobs)), diff_ids, created, digest)
    assert parse_inventory(found.to_json(), "it") == found


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | DIGESTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["digest", "size", "diffID", "names", "descriptor", "x"]), inner
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["images", "blobs", "created", "digest"]), JSON))
def test_anything_else_is_refused_and_explained(value: dict[str, Any]) -> None:
    text = json.dumps({"schemaVersion": 1, "mediaType": MEDIA_TYPE, **value}).encode()
    try:
        found = parse_inventory(text, "it")
    except BundleError as error:
        assert error.message
    else:
        assert parse_inventory(found.to_json(), "it") == found


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not valid JSON"),
        (b"[]", "not a JSON object"),
        (b"{}", "is no inventory"),
        (b'{"schemaVersion": 2, "mediaType": "%s"}' % MEDIA_TYPE.encode(), "is no inventory"),
        (b" " * (65 << 20), "too large"),
    ],
)
def test_what_is_none(data: bytes, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        parse_inventory(data, "it")


def test_a_blob_that_comes_twice() -> None:
    blob = {"digest": f"sha256:{'0' * 64}", "size": 1}
    text = json.dumps({"schemaVersion": 1, "mediaType": MEDIA_TYPE, "blobs": [blob, blob]})
    with pytest.raises(BundleError, match="twice"):
        parse_inventory(text.encode(), "it")
