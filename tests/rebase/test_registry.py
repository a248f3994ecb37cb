"""From a registry to the same repository: nothing of the environment travels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimpack.oci.image import Image
from slimpack.registry.connecting import Registries
from slimpack.registry.push import push
from slimpack.registry.reference import Reference
from slimpack.tree import bytes_entry
from tests.rebase.images import ENV, USUAL, base_of, image_on, library
from tests.registry.fake import Fake, serving
from tests.support.command import Done, call, variables


@pytest.fixture
def fake() -> Iterator[Fake]:
    with serving(Fake()) as running:
        yield running


@pytest.fixture
def image(tmp_path: Path, fake: Fake) -> Image:
    """An image in the registry, as app:1."""
    made = image_on(tmp_path, base_of(tmp_path), entries=[*ENV, bytes_entry("opt/env/x", b"x")])
    with Registries() as registries:
        push(made, [Reference.parse(f"{fake.host}/app:1")], registries)
    fake.seen.clear()
    return made


def run(folder: Path, *arguments: object) -> Done:
    return call(("rebase", *arguments), folder, variables(folder / "cache"))


def opened(fake: Fake, digest: str) -> int:
    """How often a blob was downloaded."""
    return len(fake.asked("GET", digest))


def test_only_the_base_travels(
    tmp_path: Path, fake: Fake, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = base_of(tmp_path, [*USUAL, bytes_entry("etc/fixed", b"")])
    expected = image_on(tmp_path, new, entries=[*ENV, bytes_entry("opt/env/x", b"x")])
    monkeypatch.setattr("slimpack.rebase.rebasing.assemble", lambda *_, **__: new)
    name = f"{fake.host}/app:1"

    checked = run(tmp_path, name, "--check", "--json")
    assert checked.returncode == 1, checked.stderr
    done = run(tmp_path, name, "--push", name, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["digest"] == told["pushed"]["digest"] == expected.digest
    base, env = image.layers
    assert opened(fake, base.digest) == 1  # both commands looked at it, one had to ask
    assert opened(fake, env.digest) == 0
    assert told["pushed"]["sent"] <= new.image.layers[0].size + len(expected.config_json)
    assert told["pushed"]["present"] >= env.size
    data, _ = fake.manifests["app", "1"]
    assert data == expected.manifest_json

    assert run(tmp_path, name, "--check").returncode == 0


def test_doubts_need_the_environment(
    tmp_path: Path, fake: Fake, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    rich = base_of(tmp_path, [*USUAL, library("libz.so.1")])
    with Registries() as registries:
        push(image_on(tmp_path, rich), [Reference.parse(f"{fake.host}/rich:1")], registries)
    monkeypatch.setattr("slimpack.rebase.rebasing.assemble", lambda *_, **__: base_of(tmp_path))
    fake.seen.clear()
    done = run(tmp_path, f"{fake.host}/rich:1", "--push", f"{fake.host}/rich:2", "--json")
    assert done.returncode == 0, done.stderr
    (told,) = json.loads(done.stdout)["images"]
    assert told["verified"]["passed"]
    assert opened(fake, image_on(tmp_path, rich).layers[1].digest) == 1


def test_an_image_in_a_registry_becomes_a_file(
    tmp_path: Path, fake: Fake, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = base_of(tmp_path, [*USUAL, bytes_entry("etc/fixed", b"")])
    monkeypatch.setattr("slimpack.rebase.rebasing.assemble", lambda *_, **__: new)
    done = run(tmp_path, f"{fake.host}/app:1", "-o", "out.tar")
    assert done.returncode == 0, done.stderr
    assert f"tags      {fake.host}/app:1" in done.stdout
    assert opened(fake, image.layers[1].digest) == 1
