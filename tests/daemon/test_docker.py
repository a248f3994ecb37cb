"""Loading into a Docker engine: a real one, and ones that misbehave."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest
import requests

from slimpack.daemon.docker import load_into_docker
from slimpack.errors import DaemonError, ImageError, InputError
from slimpack.oci.archive import archive_chunks
from slimpack.oci.image import make_image
from slimpack.oci.read import read_image
from slimpack.oci.validate import validate
from slimpack.progress import SILENT
from tests.daemon.images import KINDS, fresh, own_image, small_image

# --- a real engine ------------------------------------------------------------


@pytest.mark.engine
@pytest.mark.parametrize("kind", KINDS)
def test_a_real_engine_takes_every_compression(tmp_path: Path, engine: Any, kind: str) -> None:
    image = own_image(tmp_path, kind)
    tags = [fresh(), fresh()]
    found = load_into_docker(image, tags)
    assert found in (image.config_digest, image.digest)
    for tag in tags:
        inspected = engine.inspect_image(tag)
        assert inspected["Id"] == found
        assert inspected["RootFS"]["Layers"] == [layer.diff_id for layer in image.layers]
        assert (inspected["Config"]["User"], inspected["Config"]["Env"]) == ("65532", ["A=1"])
    # A second time, over an open client, and with one more layer on top.
    assert load_into_docker(image, tags[:1], client=engine) == found
    higher = make_image([*image.layers, image.layers[1]], image.config)
    load_into_docker(higher, tags[1:], client=engine)
    expected = [layer.diff_id for layer in higher.layers]
    assert engine.inspect_image(tags[1])["RootFS"]["Layers"] == expected


@pytest.mark.engine
@pytest.mark.parametrize("kind", KINDS)
def test_a_real_engine_loads_the_archive_itself(tmp_path: Path, engine: Any, kind: str) -> None:
    """What `docker load -i` does; layers of zstd need Docker 23.0."""
    image = own_image(tmp_path, kind)
    tag = fresh()
    answer = list(engine.load_image(archive_chunks(image, [tag])))
    old = int(engine.info()["ServerVersion"].partition(".")[0]) < 23
    if kind == "zstd" and old:
        assert any("error" in line for line in answer)
    else:
        assert engine.inspect_image(tag)["Id"] in (image.config_digest, image.digest)


@pytest.mark.engine
def test_what_a_real_engine_saves_can_be_read(tmp_path: Path, engine: Any) -> None:
    image = small_image(tmp_path / "blobs")
    tag = fresh()
    load_into_docker(image, [tag])
    path = tmp_path / "saved.tar"
    with path.open("wb") as file:
        for chunk in engine.get_image(tag):
            file.write(chunk)
    found = read_image(path)
    validate(found, blobs=True)
    assert [x.diff_id for x in found.layers] == [x.diff_id for x in image.layers]
    assert found.config.entrypoint == image.config.entrypoint
    assert load_into_docker(found, [fresh()]) == engine.inspect_image(tag)["Id"]


@pytest.mark.engine
def test_a_real_engine_keeps_nothing_of_a_damaged_layer(tmp_path: Path, engine: Any) -> None:
    image = small_image(tmp_path)
    blob = tmp_path / "sha256" / image.layers[0].digest[7:]
    data = blob.read_bytes()
    blob.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    tag = fresh()
    with pytest.raises(ImageError, match=r"does not match its digest|is damaged"):
        load_into_docker(image, [tag])
    with pytest.raises(docker.errors.ImageNotFound):
        engine.inspect_image(tag)


@pytest.mark.engine
def test_a_real_engine_says_why_it_refuses(tmp_path: Path, engine: Any) -> None:
    image = small_image(tmp_path)
    windows = replace(image, config=replace(image.config, os="windows"))
    with pytest.raises(DaemonError, match=r"could not load|refused"):
        load_into_docker(windows, [fresh()])


# --- engines that misbehave ---------------------------------------------------


class FakeEngine:
    """Takes an archive and answers what it was told to."""

    def __init__(
        self, image_id: str = "", answer: Iterable[object] = (), version: str = "28.0.0"
    ) -> None:
        self.image_id = image_id
        self.answer = answer
        self.version = version
        self.received = b""
        self.asked: list[str] = []
        self.there: dict[str, list[str]] = {}
        self.store: list[list[str]] = []
        self.loads = 0

    @property
    def members(self) -> list[str]:
        with tarfile.open(fileobj=io.BytesIO(self.received)) as tar:
            return tar.getnames()

    def info(self) -> Mapping[str, object]:
        return {"ServerVersion": self.version, "DriverStatus": self.store}

    def images(self) -> list[dict[str, object]]:
        return [{"Id": name} for name in self.there]

    def load_image(self, data: Iterator[bytes], /) -> Iterable[object]:
        self.received = b"".join(data)
        self.loads += 1
        return self.answer

    def inspect_image(self, image: str, /) -> Mapping[str, object]:
        if image in self.there:
            return {"Id": image, "RootFS": {"Layers": self.there[image]}}
        self.asked.append(image)
        if not self.image_id:
            raise docker.errors.ImageNotFound("no such image")
        return {"Id": self.image_id}

    def close(self) -> None:
        raise AssertionError("a client that was given is not ours to close")


@pytest.mark.parametrize(
    ("version", "plain"),
    [("20.10.24+dfsg1", True), ("23.0.1", False), ("28.2.2", False), ("", True), ("dev", True)],
)
def test_engines_before_23_get_plain_layers(tmp_path: Path, version: str, plain: bool) -> None:
    image = small_image(tmp_path)
    engine = FakeEngine(image.config_digest, version=version)
    assert load_into_docker(image, ["a:1"], client=engine) == image.config_digest
    expected = [layer.diff_id if plain else layer.digest for layer in image.layers]
    names = engine.members
    assert [f"blobs/sha256/{digest[7:]}" for digest in expected] == names[-2:]
    assert f"blobs/sha256/{image.config_digest[7:]}" in names


def test_layers_that_the_engine_has_are_not_sent(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    low, high = (layer.diff_id for layer in image.layers)
    blobs = [f"blobs/sha256/{layer.digest[7:]}" for layer in image.layers]
    for there, sent in [
        ([], blobs),
        ([low], blobs[1:]),
        ([low, "sha256:other"], blobs[1:]),
        ([low, high, "sha256:more"], []),
        ([high], blobs),  # on another layer, and so not the same to the engine
        (["sha256:other", high], blobs),
    ]:
        engine = FakeEngine(image.config_digest)
        engine.there = {"sha256:a": ["sha256:x"], "sha256:b": there}
        load_into_docker(image, ["a:1"], client=engine)
        assert [name for name in engine.members if name in blobs] == sent
        assert engine.loads == 1


def test_a_store_of_containerd_gets_all_layers(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    engine = FakeEngine(image.digest)
    engine.store = [["driver-type", "io.containerd.snapshotter.v1"]]
    engine.there = {"sha256:b": [layer.diff_id for layer in image.layers]}
    load_into_docker(image, ["a:1"], client=engine)
    assert f"blobs/sha256/{image.layers[0].digest[7:]}" in engine.members


def test_an_engine_that_misses_a_layer_gets_the_whole(tmp_path: Path) -> None:
    class Forgetful(FakeEngine):
        def load_image(self, data: Iterator[bytes], /) -> Iterable[object]:
            super().load_image(data)
            return [{"error": "no such file"}] if self.loads == 1 else []

    image = small_image(tmp_path)
    engine = Forgetful(image.config_digest)
    engine.there = {"sha256:b": [image.layers[0].diff_id]}
    load_into_docker(image, ["a:1"], client=engine)
    assert engine.loads == 2
    assert f"blobs/sha256/{image.layers[0].digest[7:]}" in engine.members


def test_the_id_of_a_containerd_store_is_accepted(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    engine = FakeEngine(image.digest)
    assert load_into_docker(image, ["a:1", "b"], client=engine) == image.digest
    assert engine.asked == ["a:1", "b"]


def test_without_tags_the_image_is_found_by_its_id(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    engine = FakeEngine(image.config_digest)
    load_into_docker(image, [], client=engine)
    assert engine.asked == [image.config_digest]
    with pytest.raises(DaemonError, match=f"has no {image.config_digest}"):
        load_into_docker(image, [], client=FakeEngine())


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ({"error": "invalid diffID"}, "could not load the image: invalid diffID", ""),
        ({"errorDetail": {"message": "bad layer"}}, "could not load the image: bad layer", ""),
        ({"error": "write /x: no space left on device"}, "no space left", "docker system df"),
    ],
)
def test_an_error_in_the_answer(tmp_path: Path, line: object, message: str, hint: str) -> None:
    image = small_image(tmp_path)
    engine = FakeEngine(image.config_digest, [{"stream": "Loading"}, line, {"stream": "Loaded"}])
    with pytest.raises(DaemonError, match=message) as caught:
        load_into_docker(image, ["a:1"], client=engine)
    assert hint in caught.value.hint


def test_another_image_under_the_tag(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    with pytest.raises(DaemonError, match="has sha256:0 as a:1, not"):
        load_into_docker(image, ["a:1"], client=FakeEngine("sha256:0"))


def test_a_tag_that_is_not_there_afterwards(tmp_path: Path) -> None:
    with pytest.raises(DaemonError, match="has no a:1"):
        load_into_docker(small_image(tmp_path), ["a:1"], client=FakeEngine())


def test_a_connection_that_breaks(tmp_path: Path) -> None:
    class Breaking(FakeEngine):
        def load_image(self, data: Iterator[bytes], /) -> Iterable[object]:
            next(data)
            raise requests.exceptions.ConnectionError("connection reset")

    with pytest.raises(DaemonError, match="lost the Docker engine"):
        load_into_docker(small_image(tmp_path), ["a:1"], client=Breaking())


def test_an_engine_that_refuses(tmp_path: Path) -> None:
    class Refusing(FakeEngine):
        def load_image(self, data: Iterator[bytes], /) -> Iterable[object]:
            raise docker.errors.APIError("server error")

    with pytest.raises(DaemonError, match="refused the image: server error"):
        load_into_docker(small_image(tmp_path), ["a:1"], client=Refusing())


def test_a_bad_tag_is_found_before_the_engine_is_bothered(tmp_path: Path) -> None:
    engine = FakeEngine()
    with pytest.raises(InputError, match="not a name for an image"):
        load_into_docker(small_image(tmp_path), ["Bad Tag"], client=engine)
    assert engine.received == b""


def test_progress_tells_of_every_byte(tmp_path: Path) -> None:
    class Recorder:
        def __init__(self) -> None:
            self.expected: int | None = None
            self.done = 0

        @contextmanager
        def task(
            self, name: str, *, total: int | None = None, unit: str = "B"
        ) -> Iterator[Recorder]:
            self.expected = total
            yield self

        def advance(self, amount: int = 1) -> None:
            self.done += amount

        def total(self, amount: int) -> None:
            raise AssertionError("the total is known from the beginning")

        note = warn = SILENT.note

    image, recorder = small_image(tmp_path), Recorder()
    engine = FakeEngine(image.config_digest)
    load_into_docker(image, ["a:1"], progress=recorder, client=engine)
    assert recorder.done == recorder.expected == len(engine.received)


def test_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    with pytest.raises(DaemonError, match="cannot reach a Docker engine") as caught:
        load_into_docker(small_image(tmp_path), ["a:1"])
    place = f"unix://{tmp_path}/no.sock"
    told = f"cannot reach a Docker engine at {place}: No such file or directory"
    assert str(caught.value).splitlines()[0] == told
    assert "start Docker" in caught.value.hint
    assert "--output" in caught.value.hint


def test_an_address_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "carrier-pigeon://home")
    with pytest.raises(DaemonError, match="cannot reach a Docker engine"):
        load_into_docker(small_image(tmp_path), ["a:1"])


def test_an_engine_behind_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "ssh://me@host.invalid")
    with pytest.raises(DaemonError, match=r"at ssh://me@host\.invalid: .*ssh") as caught:
        load_into_docker(small_image(tmp_path), ["a:1"])
    assert "ssh -nNT -L" in caught.value.hint


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**options: object) -> None:
        cause = "('Connection aborted.', PermissionError(13, 'Permission denied'))"
        raise docker.errors.DockerException(f"Error while fetching server API version: {cause}")

    monkeypatch.setattr(docker, "APIClient", refuse)
    with pytest.raises(DaemonError) as caught:
        load_into_docker(small_image(tmp_path), ["a:1"])
    assert "group docker" in caught.value.hint
