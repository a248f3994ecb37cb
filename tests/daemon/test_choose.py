"""Which engine is taken, and ``slimpack load`` with each."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import docker
import pytest

from slimpack.daemon import ENGINES, choose, load
from slimpack.daemon.containerd import Ctr
from slimpack.daemon.podman import Program
from slimpack.errors import DaemonError, InputError
from slimpack.oci.archive import write_archive
from tests.daemon.images import fresh, own_image, small_image
from tests.support.channel import ROOT
from tests.support.command import call, start, variables

VARIABLES = ("DOCKER_HOST", "CONTAINER_HOST", "CONTAINERD_ADDRESS")


@pytest.fixture(autouse=True)
def nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """No engine that a variable names."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_engines_by_name() -> None:
    assert [choose(name).name for name in ENGINES] == ["docker", "podman", "containerd"]


def test_an_engine_that_there_is_not() -> None:
    with pytest.raises(InputError, match="there is no engine 'rkt'") as caught:
        choose("rkt")
    assert "podman" in caught.value.hint


@pytest.mark.parametrize(("variable", "engine"), [*zip(VARIABLES, ENGINES, strict=True)])
def test_what_a_variable_names_is_taken(
    monkeypatch: pytest.MonkeyPatch, variable: str, engine: str
) -> None:
    monkeypatch.setenv(variable, "unix:///no/such.sock")
    assert choose().name == engine


@pytest.fixture
def absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No engine at all."""

    def refuse(**options: object) -> None:
        raise docker.errors.DockerException("no socket")

    monkeypatch.setattr(docker, "APIClient", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))


def put(folder: Path, program: str) -> None:
    (folder / program).write_text("#!/bin/sh\n")
    (folder / program).chmod(0o755)


def test_the_first_that_answers(tmp_path: Path, absent: None) -> None:
    put(tmp_path, "ctr")
    assert choose().name == "containerd"
    put(tmp_path, "podman")
    assert choose().name == "podman"


def test_none_answers(tmp_path: Path, absent: None) -> None:
    with pytest.raises(DaemonError, match="there is no container engine") as caught:
        load(small_image(tmp_path), ["a:1"])
    for engine in ENGINES:
        assert f"{engine}: " in caught.value.details
    for text in (*VARIABLES, "--output"):
        assert text in caught.value.hint


@pytest.fixture
def archive(tmp_path: Path) -> tuple[Path, str, str]:
    """A tar of an image, its name and its config's digest."""
    image = own_image(tmp_path / "blobs")
    name = fresh()
    write_archive(image, tmp_path / "image.tar", [name])
    return tmp_path / "image.tar", name, image.config_digest


@pytest.mark.engine
def test_load_into_docker(tmp_path: Path, archive: tuple[Path, str, str], engine: Any) -> None:
    path, name, _ = archive
    done = call(("load", path, "--json"), tmp_path, variables(tmp_path))
    assert json.loads(done.stdout)["engine"] == "docker"
    assert engine.inspect_image(name)["Id"] == json.loads(done.stdout)["image_id"]


@pytest.mark.engine
def test_load_into_podman(
    tmp_path: Path, archive: tuple[Path, str, str], podman_socket: str, podman_program: Program
) -> None:
    path, name, image_id = archive
    env = {"CONTAINER_HOST": podman_socket}
    done = start(("load", path, "--engine", "podman", "-q"), tmp_path, variables(tmp_path, env))
    assert (done.returncode, done.stdout) == (0, f"{image_id}\n"), done.stderr
    assert podman_program.find(f"docker.io/{name}") == image_id


@pytest.mark.engine
def test_load_into_containerd(
    tmp_path: Path, archive: tuple[Path, str, str], containerd: Ctr
) -> None:
    path, name, _ = archive
    env = {"CONTAINERD_ADDRESS": containerd.address, "CONTAINERD_NAMESPACE": containerd.namespace}
    done = call(("load", path), tmp_path, variables(tmp_path, env))
    assert "engine    containerd" in done.stdout
    assert f"docker.io/{name} " in containerd.call("images", "ls")


def test_load_without_an_engine(tmp_path: Path, archive: tuple[Path, str, str]) -> None:
    env = {"CONTAINERD_ADDRESS": str(tmp_path / "no.sock"), "PATH": str(tmp_path)}
    done = call(("load", archive[0]), tmp_path, variables(tmp_path, env))
    assert done.returncode == 8
    assert "cannot reach containerd" in done.stderr
    assert "hint: " in done.stderr


@pytest.mark.engine
def test_the_commands_of_the_document_work(
    tmp_path: Path,
    archive: tuple[Path, str, str],
    engine: Any,
    podman_socket: str,
    podman_program: Program,
    containerd: Ctr,
) -> None:
    text = (ROOT / "docs/daemons.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    places = {
        "CONTAINERD_ADDRESS": containerd.address,
        "CONTAINERD_NAMESPACE": containerd.namespace,
        "CONTAINER_HOST": podman_socket,
    }
    for line in block.splitlines():
        program, *arguments = shlex.split(line, comments=True)
        assert program == "slimpack"
        env = places if "--engine" in arguments else {}
        done = call(tuple(arguments), tmp_path, variables(tmp_path, env))
        assert done.returncode == 0, done.stderr
    assert podman_program.find("docker.io/library/serve:1.1") == archive[2]
