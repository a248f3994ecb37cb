"""Others read a bundle without slimpack: skopeo, podman, Docker, containerd, oras, cosign, tar.

The commands are those of its README.txt.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks.setup.registry import docker_registry
from slimpack.bundle.reader import open_bundle
from slimpack.daemon.containerd import Ctr
from slimpack.daemon.podman import Program
from slimpack.oci.artifact import Artifact, Document
from slimpack.oci.blobs import BlobStore
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import Image, make_image
from slimpack.oci.index import Index, images_of
from slimpack.oci.layout import write_artifacts, write_layout
from slimpack.oci.read import read_deliverable, read_image
from slimpack.oci.validate import validate
from slimpack.registry.connecting import Registries
from slimpack.registry.pull import pull_all
from slimpack.registry.reference import Reference
from tests.daemon.conftest import containerd, engine, folder, podman_program  # noqa: F401
from tests.daemon.images import LABEL
from tests.oci.oci_images import BY_KIND, need_tool, sample_config, sample_layers
from tests.support.channel import Run

pytestmark = pytest.mark.engine
NAME = "slimpack-test/bundle"
FULL = "registry.example.com:5000/team/bundle:1.0"


def call(*command: str, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


def made(path: Path, kind: str) -> tuple[Image, Index]:
    """Write a layout of an image with a document, and an index that shares its layers."""
    layers = sample_layers(path / "blobs", BY_KIND[kind])
    config = sample_config()
    label = {LABEL: "1"}
    image = make_image(layers, ImageConfig(labels=label, env=config.env, cmd=("a",)))
    both = tuple(
        make_image(layers[:-1], ImageConfig(architecture=name, labels=label))
        for name in ("amd64", "arm64")
    )
    write_layout(image, path / "layout", [f"{NAME}:1", FULL])
    write_layout(Index(both), path / "layout", [f"{NAME}:2"])
    note = Artifact("text/x-note", (Document("text/plain", b"a note"),), image.descriptor())
    write_artifacts([note], path / "layout")
    return image, Index(both)


@pytest.fixture(params=["zstd", "gzip"])
def bundle(request: pytest.FixtureRequest, run: Run, tmp_path: Path) -> tuple[Image, Index]:
    """The images of site.tar in tmp_path."""
    found = made(tmp_path / "made", request.param)
    run("bundle", "create", "made/layout", "-o", "site.tar", cwd=tmp_path)
    assert open_bundle(tmp_path / "site.tar").statement.images[0].attached
    return found


def test_skopeo_copies_each_image(bundle: tuple[Image, Index], tmp_path: Path) -> None:
    need_tool("skopeo")
    image, index = bundle
    for number, name in enumerate((f"{NAME}:1", FULL)):
        copy = ("skopeo", "--insecure-policy", "copy", "--all", f"oci-archive:site.tar:{name}")
        call(*copy, f"oci:copy{number}", cwd=tmp_path)
        found = read_image(tmp_path / f"copy{number}")
        validate(found, blobs=True)
        assert found.digest == image.digest
    with docker_registry(tmp_path / "registry") as host:
        source, target = f"oci-archive:site.tar:{NAME}:2", f"docker://{host}/bundle:2"
        copy = ("skopeo", "--insecure-policy", "copy", "--all", "--dest-tls-verify=false")
        call(*copy, source, target, cwd=tmp_path)
        with Registries() as registries:
            copied = pull_all(
                Reference.parse(f"{host}/bundle:2"), registries, blobs=BlobStore(tmp_path / "b")
            )
        assert copied.digest == index.digest


def test_podman_loads_all_images(
    bundle: tuple[Image, Index],
    tmp_path: Path,
    podman_program: Program,  # noqa: F811
) -> None:
    podman = podman_program.argv
    image, index = bundle
    call(*podman, "load", "-q", "-i", "site.tar", cwd=tmp_path)
    try:
        for name, one in ((f"docker.io/{NAME}:1", image), (FULL, image)):
            (found,) = json.loads(call(*podman, "image", "inspect", name, cwd=tmp_path))
            assert f"sha256:{found['Id']}" == one.config_digest
        (found,) = json.loads(call(*podman, "image", "inspect", f"{NAME}:2", cwd=tmp_path))
        assert f"sha256:{found['Id']}" == index.images[0].config_digest
    finally:
        call(*podman, "rmi", "--force", f"{NAME}:1", FULL, f"{NAME}:2", cwd=tmp_path)


def test_docker_loads_all_images(run: Run, tmp_path: Path, engine: Any) -> None:  # noqa: F811
    image, index = made(tmp_path / "made", "gzip")  # Docker 20.10 has no zstd
    run("bundle", "create", "made/layout", "-o", "site.tar", cwd=tmp_path)
    told = call("docker", "load", "-i", "site.tar", cwd=tmp_path)
    assert re.findall("Loaded image: (.*)", told) == [f"{NAME}:1", FULL, f"{NAME}:2"]
    names = {f"{NAME}:1": image, FULL: image, f"{NAME}:2": index.images[0]}
    for name, one in names.items():
        assert engine.inspect_image(name)["Id"] == one.config_digest


def test_containerd_imports_all_images(
    bundle: tuple[Image, Index],
    tmp_path: Path,
    containerd: Ctr,  # noqa: F811
) -> None:
    ctr = ("ctr", "--address", containerd.address, "--namespace", "bundles", "image")
    image, index = bundle
    call(*ctr, "import", "site.tar", cwd=tmp_path)
    try:
        listed = {
            line.split()[0]: line.split()[2]
            for line in call(*ctr, "ls", cwd=tmp_path).splitlines()[1:]
        }
        assert listed == {
            f"docker.io/{NAME}:1": image.digest,
            FULL: image.digest,
            f"docker.io/{NAME}:2": index.digest,
        }
    finally:
        names = [f"docker.io/{NAME}:1", FULL, f"docker.io/{NAME}:2"]
        call(*ctr, "rm", *names, cwd=tmp_path)


def test_oras_copies_an_image_with_its_documents(
    bundle: tuple[Image, Index], tmp_path: Path
) -> None:
    need_tool("oras")
    image, index = bundle
    (tmp_path / "bundle").mkdir()
    call("tar", "-xf", "site.tar", "-C", "bundle", cwd=tmp_path)
    inside = tmp_path / "bundle"
    with docker_registry(tmp_path / "registry") as host:
        copy = ("oras", "copy", "-r", "--to-plain-http", "--from-oci-layout")
        call(*copy, f".@{image.digest}", f"{host}/app:1", cwd=inside)
        call(*copy, f".@{index.digest}", f"{host}/app:2", cwd=inside)
        with Registries() as registries:
            for tag, digest in (("1", image.digest), ("2", index.digest)):
                reference = Reference.parse(f"{host}/app:{tag}")
                found = pull_all(reference, registries, blobs=BlobStore(tmp_path / "b"))
                assert found.digest == digest
                for one in images_of(found):
                    validate(one, blobs=True)
            (note,) = registries.of(host).referrers("app", image.digest)
            assert note["artifactType"] == "text/x-note"


def test_it_is_checked_with_plain_tools(run: Run, tmp_path: Path) -> None:
    """As README.txt says it, line by line, also from volumes."""
    need_tool("cosign")
    env = {"COSIGN_PASSWORD": "open sesame", "HOME": str(tmp_path)}
    call("cosign", "generate-key-pair", cwd=tmp_path, env=env)
    made(tmp_path / "made", "gzip")
    create = ("bundle", "create", "made/layout", "--key", "cosign.key", "-o", "FILE.tar")
    run(*create, "--volume-size", "100KiB", cwd=tmp_path, env=env)
    call("sh", "-ec", "cat FILE.tar.[0-9]* > FILE.tar", cwd=tmp_path)
    text = call("tar", "-xOf", "FILE.tar", "README.txt", cwd=tmp_path)
    check = text.partition("CHECK\n")[2].partition("slimpack checks all")[0]
    lines = check.replace("\\\n", " ").splitlines()
    commands = [line.strip() for line in lines if line.startswith("  ")]
    assert len(commands) == 4
    (tmp_path / "bundle").mkdir()
    commands[0] = commands[0].replace("mkdir bundle && ", "")
    (tmp_path / "bundle" / "cosign.pub").write_bytes((tmp_path / "cosign.pub").read_bytes())
    told = call("sh", "-ec", "\n".join(commands), cwd=tmp_path, env=env)
    assert told.endswith("\n1\n")
    assert "FAILED" not in told
    assert read_deliverable(tmp_path / "FILE.tar", ref=f"{NAME}:2")
    # Another statement is not what was signed.
    statement = tmp_path / "bundle" / "slimpack" / "bundle.json"
    statement.write_bytes(statement.read_bytes() + b" ")
    script = f"cd bundle; {commands[2]}"
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, check=False, capture_output=True)
    assert done.returncode != 0


def test_a_wrong_password_leaves_no_bundle(run: Run, tmp_path: Path) -> None:
    need_tool("cosign")
    env = {"COSIGN_PASSWORD": "open sesame", "HOME": str(tmp_path)}
    call("cosign", "generate-key-pair", cwd=tmp_path, env=env)
    made(tmp_path / "made", "gzip")
    create = ("bundle", "create", "made/layout", "--key", "cosign.key", "-o", "site.tar")
    done = run(*create, cwd=tmp_path, env={**env, "COSIGN_PASSWORD": "wrong"}, code=13)
    assert "COSIGN_PASSWORD" in done.stderr
    assert "wrong" not in done.stderr.replace("wrong password", "")
    run(*create[:4], "other.key", *create[5:], cwd=tmp_path, env=env, code=2)
    assert not (tmp_path / "site.tar").exists()


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials of this machine's user."""
    monkeypatch.setenv("HOME", str(tmp_path))
