"""podman: which one is taken, and ones that misbehave."""

from __future__ import annotations

import io
import os
import sys
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest
import requests

from slimpack.daemon.podman import Program, Socket, connect, load_into_podman
from slimpack.daemon.process import ProgramError
from slimpack.errors import DaemonError, InputError
from slimpack.oci.image import Image
from tests.daemon.images import small_image


class Fake:
    """Takes archives and names, as far as it is told to."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self.there: list[list[str]] = []
        self.names: dict[str, str] = {}
        self.loads: list[list[str]] = []
        self.errors: list[DaemonError] = []
        self.closed = False

    def layers(self) -> Iterable[Sequence[str]]:
        return self.there

    def load(self, data: Iterator[bytes]) -> None:
        with tarfile.open(fileobj=io.BytesIO(b"".join(data))) as tar:
            self.loads.append([name for name in tar.getnames() if name.startswith("blobs/sha256/")])
        if self.errors:
            raise self.errors.pop()
        self.names[self.image.config_digest] = self.image.config_digest

    def tag(self, image: str, name: str) -> None:
        self.names[name] = image

    def find(self, name: str) -> str:
        return self.names.get(name, "")

    def close(self) -> None:
        raise AssertionError("a podman that was given is not ours to close")


def test_layers_in_any_place_are_left_out(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    podman = Fake(image)
    podman.there = [["sha256:x"], ["sha256:y", image.layers[1].diff_id]]
    load_into_podman(image, ["a:1", "localhost/b"], podman=podman)
    (sent,) = podman.loads
    assert f"blobs/sha256/{image.layers[0].digest[7:]}" in sent
    assert f"blobs/sha256/{image.layers[1].digest[7:]}" not in sent
    assert set(podman.names) == {
        image.config_digest,
        "docker.io/library/a:1",
        "localhost/b:latest",
    }


def test_a_podman_that_cannot_do_without_gets_the_whole(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    podman = Fake(image)
    podman.there = [[layer.diff_id for layer in image.layers]]
    podman.errors = [ProgramError("Error: blob unknown")]
    load_into_podman(image, ["a:1"], podman=podman)
    assert [len(sent) for sent in podman.loads] == [2, 4]


def test_an_error_of_the_program(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    podman = Fake(image)
    podman.errors = [ProgramError("Error: write /x: no space left on device")]
    with pytest.raises(DaemonError, match="podman could not load the image") as caught:
        load_into_podman(image, ["a:1"], podman=podman)
    assert "no space left" in caught.value.details
    assert "podman system prune" in caught.value.hint


def test_an_image_that_is_not_there_afterwards(tmp_path: Path) -> None:
    class Forgetful(Fake):
        def load(self, data: Iterator[bytes]) -> None:
            list(data)

    image = small_image(tmp_path)
    with pytest.raises(DaemonError, match="podman took the image, but has no sha256:"):
        load_into_podman(image, ["a:1"], podman=Forgetful(image))


def test_another_image_under_the_name(tmp_path: Path) -> None:
    class Contrary(Fake):
        def tag(self, image: str, name: str) -> None:
            self.names[name] = "sha256:0"

    image = small_image(tmp_path)
    with pytest.raises(DaemonError, match=r"has sha256:0 as docker\.io/library/a:1, not"):
        load_into_podman(image, ["a:1"], podman=Contrary(image))


def test_a_bad_name_is_found_before_podman_is_bothered(tmp_path: Path) -> None:
    image = small_image(tmp_path)
    podman = Fake(image)
    with pytest.raises(InputError, match="not a name for an image"):
        load_into_podman(image, ["Bad Name"], podman=podman)
    assert not podman.loads


# --- its socket ---------------------------------------------------------------


class Client:
    """A client of podman's socket that fails with `error`."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def _fail(self, *arguments: object) -> Any:
        raise self.error

    load_image = images = inspect_image = tag = _fail

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (docker.errors.APIError("server error"), "podman refused: server error"),
        (requests.exceptions.ConnectionError("reset"), "lost podman while loading the image"),
    ],
)
def test_errors_of_the_socket(error: Exception, message: str) -> None:
    socket = Socket("unix:///x", Client(error))
    with pytest.raises(DaemonError, match=message):
        list(socket.layers())
    with pytest.raises(DaemonError, match=message):
        socket.load(iter([b"x"]))
    with pytest.raises(DaemonError, match=message):
        socket.find("a")


def test_an_image_that_was_removed_while_they_are_listed(tmp_path: Path) -> None:
    class Removing(Client):
        def images(self, *arguments: object) -> Any:
            return [{"Id": "sha256:a"}]

    socket = Socket("unix:///x", Removing(docker.errors.ImageNotFound("gone")))
    assert list(socket.layers()) == []
    assert socket.find("a") == ""


# --- which podman -------------------------------------------------------------


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No podman at all: no socket, and a PATH with nothing on it."""
    monkeypatch.delenv("CONTAINER_HOST", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    return tmp_path


def program(folder: Path, text: str) -> None:
    path = folder / "podman"
    path.write_text(f"#!{sys.executable}\nimport json, sys\n{text}\n")
    path.chmod(0o755)


def test_there_is_none(nowhere: Path) -> None:
    with pytest.raises(DaemonError, match="there is no podman") as caught:
        connect()
    assert "CONTAINER_HOST" in caught.value.hint


def test_the_program_where_no_socket_answers(nowhere: Path) -> None:
    program(nowhere, "")
    assert connect() == Program()
    # A socket that nobody listens at any more.
    (nowhere / "podman").unlink()
    (nowhere / "podman").mkdir()
    (nowhere / "podman" / "podman.sock").touch()
    with pytest.raises(DaemonError, match="there is no podman"):
        connect()


def test_ssh_is_left_to_the_program(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTAINER_HOST", "ssh://core@localhost/run/podman/podman.sock")
    program(nowhere, "")
    assert connect() == Program()


@pytest.mark.parametrize("address", ["unix:///no/such.sock", "tcp://127.0.0.1:9"])
def test_a_named_socket_that_does_not_answer(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("CONTAINER_HOST", address)
    program(nowhere, "")
    with pytest.raises(DaemonError, match=f"cannot reach podman at {address}") as caught:
        connect()
    assert "podman system service" in caught.value.hint


def test_a_socket_of_another_user(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**options: object) -> None:
        raise docker.errors.DockerException("PermissionError(13, 'Permission denied')")

    monkeypatch.setenv("CONTAINER_HOST", "unix:///run/podman/podman.sock")
    monkeypatch.setattr(docker, "APIClient", refuse)
    with pytest.raises(DaemonError) as caught:
        connect()
    assert "sudo" in caught.value.hint


@pytest.mark.parametrize("said", ["Error: x: image not known", "Error: no such image x"])
def test_the_program_knows_no_such_image(nowhere: Path, said: str) -> None:
    program(nowhere, f"sys.exit({said!r})")
    assert Program().find("x") == ""


def test_the_program_fails_to_look(nowhere: Path) -> None:
    program(nowhere, "sys.exit('Error: database is locked')")
    with pytest.raises(DaemonError, match="database is locked"):
        Program().find("x")


def test_the_programs_layers(nowhere: Path) -> None:
    answer = [{"RootFS": {"Layers": ["sha256:a"]}}, {"RootFS": {"Layers": None}}, {"RootFS": None}]
    program(
        nowhere,
        "if 'inspect' in sys.argv:\n    assert sys.argv[-2:] == ['one', 'two']\n"
        f"    print(json.dumps({answer!r}))\nelse:\n    print('one\\ntwo')",
    )
    assert Program().layers() == [["sha256:a"], [], []]
    program(nowhere, "sys.exit('gone' if 'inspect' in sys.argv else print('one'))")
    assert Program().layers() == []
    program(nowhere, "")
    assert Program().layers() == []
