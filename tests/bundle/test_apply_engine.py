"""Bundles brought to real engines, and to a far side that nothing else leads to."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slimpack.daemon.podman import Program
from slimpack.oci.index import Index
from tests.bundle.shipping import bundle_of, document, packed
from tests.daemon.conftest import containerd, engine, folder, podman_program, podman_socket
from tests.daemon.images import fresh, own_image, program_image, relabelled
from tests.support.channel import ROOT, Run, missing

__all__ = ["containerd", "engine", "folder", "podman_program", "podman_socket"]

pytestmark = pytest.mark.engine


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short name, for sockets; what engines mounted in it is unmounted."""
    with tempfile.TemporaryDirectory(prefix="slimpack-far-") as name:
        yield Path(name)
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for place in reversed([mount for mount in mounts if mount.startswith(f"{name}/")]):
            subprocess.run(["umount", "--lazy", place], check=True)


def test_a_far_side_without_a_route(short: Path, tmp_path: Path) -> None:
    if os.geteuid():
        missing("ENGINE", "a network of one's own needs root")
    for program in ("unshare", "dockerd", "docker", "podman", "ctr", "skopeo", "docker-registry"):
        if shutil.which(program) is None:
            missing("ENGINE", f"{program} is not installed")
    image, says = program_image(tmp_path)
    bundle_of(
        short / "site.slimpack.tar",
        packed(image, "docker.io/library/far:1.0", documents=[document(image)]),
    )
    argv = [sys.executable, "-m", "tests.bundle.far_side", str(short), "far:1.0"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["unshare", "--net", *argv],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["routes"] == []
    assert found["registry"]["digest"] == found["layout"]["digest"] == image.digest
    assert found["docker"]["says"] == says.strip()
    assert found["podman"]["id"] == image.config_digest
    assert f"docker.io/library/far:1.0 {image.manifest_type} {image.digest}" in " ".join(
        found["containerd"]["images"].split()
    )
    for kind in ("registry", "layout", "docker", "podman", "containerd"):
        assert found[kind]["sent"] >= image.layers[0].size
        assert found[kind]["again"] == 0


@pytest.mark.parametrize("kind", ["docker", "podman"])
def test_an_engine_is_sent_what_it_lacks(
    request: pytest.FixtureRequest, run: Run, tmp_path: Path, kind: str
) -> None:
    own: Any = request.getfixturevalue("engine" if kind == "docker" else "podman_program")
    address = "" if kind == "docker" else request.getfixturevalue("podman_socket")
    env = {"CONTAINER_HOST": address} if address else {}
    old = own_image(tmp_path)
    name = fresh()
    full = f"docker.io/{name}"
    for image in (old, relabelled(old)):
        other = replace(image, config=replace(image.config, architecture="s390x"))
        index = Index((image, other))
        bundle_of(tmp_path / "b.tar", packed(index, full, documents=[document(index)]))
        command = ("bundle", "apply", "b.tar", "--to", kind, "--json", "--rename", f"{name}={name}")
        dry = json.loads(run(*command, "--dry-run", cwd=tmp_path, env=env).stdout)
        done = json.loads(run(*command, "--inventory", "i.json", cwd=tmp_path, env=env).stdout)
        assert {**dry, "dry_run": False} == done
        size = sum(layer.size for layer in image.layers)
        assert done["sent"] == (size if image is old else 0)
        (moved,) = done["images"][0]["names"]
        assert moved["before"] != moved["after"]
        found = own.find(name) if isinstance(own, Program) else own.inspect_image(name)["Id"]
        assert found == moved["after"]
        assert found in (image.config_digest, image.digest)
        inventory = json.loads((tmp_path / "i.json").read_text())
        assert inventory["blobs"] == []
        assert inventory["images"][0]["names"] == [full]


def test_a_delta_is_not_for_engines(engine: Any, run: Run, tmp_path: Path) -> None:
    image, name = own_image(tmp_path), fresh()
    absent = image.layers[1].digest
    bundle_of(tmp_path / "b.tar", packed(image, f"docker.io/{name}"), absent=[absent])
    done = run("bundle", "apply", "b.tar", "--to", "docker", cwd=tmp_path, code=14)
    assert absent in done.stderr
    assert "to a layout or a registry" in done.stderr


def test_an_engine_runs_one_platform(engine: Any, run: Run, tmp_path: Path) -> None:
    image = own_image(tmp_path)
    others = [
        replace(image, config=replace(image.config, architecture=one)) for one in ("s390x", "mips")
    ]
    bundle_of(tmp_path / "b.tar", packed(Index(tuple(others)), f"docker.io/{fresh()}"))
    done = run("bundle", "apply", "b.tar", "--to", "docker", cwd=tmp_path, code=2)
    assert "an engine keeps images of its own platform" in done.stderr
