"""A cache in a real registry: pushed from, read by other tools, kept by its garbage collection."""

from __future__ import annotations

import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from slimpack.cache.artifacts import LAYER_ARTIFACT, layer_tag
from slimpack.cache.remote import cache_reference
from slimpack.oci.image import make_image
from slimpack.registry.connecting import Registries
from slimpack.registry.push import push
from slimpack.registry.reference import Reference
from slimpack.registry.retry import Retry
from tests.cache.plans import content
from tests.cache.test_remote import KEY, Machine
from tests.oci.oci_images import sample_config
from tests.registry.conftest import Anybody
from tests.support.channel import missing


def test_an_image_is_pushed_without_the_bytes_of_its_layers(
    registry: str, registries: Registries, tmp_path: Path
) -> None:
    place = cache_reference(f"{registry}/team/cache")
    target = Reference.parse(f"{registry}/team/app:1")
    first = Machine(tmp_path / "first", registries)
    caches = first.caches(to=place)
    image = make_image(first.build(caches), sample_config(), comment="slimpack")
    assert push(image, [target], registries).sent > sum(one.size for one in image.layers)
    assert caches.share(pushed_to=[target]) == 4
    assert caches.notes.texts == ()

    second = Machine(tmp_path / "second", registries)
    caches = second.caches([place], place)
    again = make_image(second.build(caches), sample_config(), comment="slimpack")
    assert again.digest == image.digest
    other = Reference.parse(f"{registry}/other/app:2")
    pushed = push(again, [other], registries, mount_from=caches.mount_from)
    assert pushed.mounted == sum(one.size for one in image.layers)
    assert pushed.sent == len(image.config_json)
    assert second.made == 0
    assert not (tmp_path / "second" / "c" / "blobs").exists()
    assert caches.share(pushed_to=[other]) == 4
    assert caches.notes.texts == ()


def test_garbage_collection_keeps_the_layers(
    registry: str, registries: Registries, tmp_path: Path
) -> None:
    place = cache_reference(f"{registry}/team/cache")
    first = Machine(tmp_path / "first", registries)
    caches = first.caches(to=place)
    layers = first.build(caches)
    assert caches.share() == 4
    lost = registries.of(registry).upload_bytes("team/cache", b"of no manifest")
    collected = subprocess.run(
        ["docker-registry", "garbage-collect", str(tmp_path / "registry" / "config.json")],
        check=True,
        capture_output=True,
        text=True,
    )
    assert lost in collected.stdout
    second = Machine(tmp_path / "second", registries)
    caches = second.caches([place])
    assert [content(one) for one in second.build(caches)] == [content(one) for one in layers]
    assert caches.memos.get("plan", KEY) == b"the plan"
    assert second.made == 0


def test_other_tools_read_what_is_there(
    registry: str, registries: Registries, tmp_path: Path
) -> None:
    if shutil.which("skopeo") is None:
        missing("PEERS", "skopeo is not installed")
    place = cache_reference(f"{registry}/team/cache")
    first = Machine(tmp_path / "first", registries)
    caches = first.caches(to=place)
    layers = first.build(caches)
    caches.share()
    name = f"docker://{place.name}:{layer_tag(first.makers[0].key)}"
    shown = subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", name],
        check=True,
        capture_output=True,
        text=True,
    )
    manifest = json.loads(shown.stdout)
    assert manifest["artifactType"] == LAYER_ARTIFACT
    assert manifest["layers"] == [
        {
            "mediaType": layers[0].media_type,
            "digest": layers[0].digest,
            "size": layers[0].size,
        }
    ]
    assert manifest["annotations"]["org.opencontainers.image.title"] == "a"


def test_many_machines_share_at_once(registry: str, registries: Registries, tmp_path: Path) -> None:
    place = cache_reference(f"{registry}/team/cache")

    def build(number: int) -> tuple[int, tuple[str, ...]]:
        with Registries(keychain=Anybody(None), retry=Retry(tries=10, pause=0.05)) as registries:
            machine = Machine(tmp_path / str(number), registries)
            caches = machine.caches([place], place)
            for layer in machine.build(caches):
                content(layer)
            return caches.share(), caches.notes.texts

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(build, range(6))) == [(4, ())] * 6
