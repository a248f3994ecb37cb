"""Is an image what it says?"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slimpack.errors import ImageError
from slimpack.oci.image import Image
from slimpack.oci.jsontext import canonical
from slimpack.oci.validate import layer_type, validate
from tests.oci.oci_images import BY_KIND, PLAIN, sample_image

ZERO = f"sha256:{'0' * 64}"


@pytest.mark.parametrize("kind", BY_KIND)
def test_a_good_image(tmp_path: Path, kind: str) -> None:
    validate(sample_image(tmp_path, BY_KIND[kind]), blobs=True)


def first_layer(**changes: Any) -> Callable[[Image], Image]:
    def change(image: Image) -> Image:
        return replace(image, layers=(replace(image.layers[0], **changes), *image.layers[1:]))

    return change


def raw_config(edit: Callable[[dict[str, Any]], object]) -> Callable[[Image], Image]:
    def change(image: Image) -> Image:
        config = json.loads(image.config_json)
        edit(config)
        return replace(image, raw_config=canonical(config))

    return change


def raw_manifest(edit: Callable[[dict[str, Any]], object]) -> Callable[[Image], Image]:
    def change(image: Image) -> Image:
        manifest = json.loads(image.manifest_json)
        edit(manifest)
        return replace(image, raw_manifest=canonical(manifest))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (first_layer(digest="md5:0"), "not a sha256 digest"),
        (first_layer(diff_id=""), "diffID of layer .* is not a sha256 digest"),
        (first_layer(media_type="text/plain"), "has the type 'text/plain'"),
        (first_layer(size=-1), "has the size -1"),
        (lambda image: replace(image, history=image.history[1:]), "history of 4 layers, but .* 5"),
        (raw_config(lambda c: c["history"].pop()), "history of 4 layers, but .* 5"),
        (raw_config(lambda c: c["rootfs"]["diff_ids"].reverse()), "other diffIDs"),
        (raw_config(lambda c: c["rootfs"]["diff_ids"].pop()), "other diffIDs"),
        (raw_config(lambda c: c["rootfs"].update(type="disk")), "has the type 'disk'"),
        (raw_config(lambda c: c.pop("rootfs")), "rootfs has the type None"),
        (raw_config(lambda c: c.update(os="")), "does not say its os"),
        (raw_config(lambda c: c.pop("architecture")), "does not say its architecture"),
        (raw_config(lambda c: c.update(history={})), "history is not a list of objects"),
        (raw_manifest(lambda m: m["layers"].pop()), "lists other layers"),
        (raw_manifest(lambda m: m["layers"].reverse()), "lists other layers"),
        (raw_manifest(lambda m: m["layers"][0].update(size=1)), "lists other layers"),
        (raw_manifest(lambda m: m["config"].update(digest=ZERO)), "names another config"),
        (raw_manifest(lambda m: m["config"].update(size=1)), "names another config"),
        (raw_manifest(lambda m: m.update(schemaVersion=1)), "schema version 1"),
        (raw_manifest(lambda m: m.update(mediaType="text/plain")), "has the type 'text/plain'"),
        (raw_manifest(lambda m: m["layers"][0].update(mediaType="text/plain")), "unknown type"),
    ],
)
def test_each_fault_is_named(
    tmp_path: Path, change: Callable[[Image], Image], message: str
) -> None:
    with pytest.raises(ImageError, match=message):
        validate(change(sample_image(tmp_path)), blobs=False)


def test_an_uncompressed_layer_is_its_own_diff_id(tmp_path: Path) -> None:
    image = first_layer(diff_id=ZERO)(sample_image(tmp_path, PLAIN))
    with pytest.raises(ImageError, match="is not compressed, yet has another diffID"):
        validate(image, blobs=False)


def test_blobs_are_read_only_when_asked_for(tmp_path: Path) -> None:
    image = sample_image(tmp_path)
    path = tmp_path / "sha256" / image.layers[2].digest[7:]
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    validate(image, blobs=False)
    with pytest.raises(ImageError, match=image.layers[2].digest):
        validate(image, blobs=True)


def test_a_wrong_diff_id_is_found_with_blobs(tmp_path: Path) -> None:
    image = first_layer(diff_id=ZERO)(sample_image(tmp_path))
    validate(image, blobs=False)
    with pytest.raises(ImageError, match="the tar of layer"):
        validate(image, blobs=True)


def test_layer_types_of_others() -> None:
    docker = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    assert layer_type(docker, "x") == "application/vnd.oci.image.layer.v1.tar+gzip"
    for foreign in (
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    ):
        with pytest.raises(ImageError, match="layer 7 is a foreign layer"):
            layer_type(foreign, "layer 7")
