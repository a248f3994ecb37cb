"""Other tools read and run what the command line writes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.running import docker
from slimpack.oci.archive import write_archive
from slimpack.oci.read import read_image
from tests.oci.oci_images import GZIP, SHARED_FILES, sharing_image
from tests.support.channel import missing
from tests.support.images import Built, build

pytestmark = [pytest.mark.engine, pytest.mark.channel]

VERSION = "import sys; print(sys.prefix, sys.version_info[:2])"
SHOWN = "/opt/env (3, 11)\n"
# Which of these a machine allows depends on its cgroups and on its limits, not on
# the image. Lower limits than the default ones need no privilege.
_LIMITS = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024")
PODMAN_WAYS = (
    ("podman", "run", "--network=none"),
    ("podman", "run", "--network=none", *_LIMITS, "--cgroups=disabled"),
    ("podman", "--runtime=runc", "run", "--network=none", *_LIMITS),
)


def output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


def need(program: str) -> None:
    if shutil.which(program) is None:
        missing("ENGINE", f"{program} is not installed")


@pytest.fixture(scope="session")
def storage() -> Iterator[list[str]]:
    """Options for a container storage of podman's and buildah's that ends with the tests."""
    if os.geteuid():
        missing("ENGINE", "podman and buildah are tested as root only")
    # podman refuses a --runroot of more than 50 characters.
    with tempfile.TemporaryDirectory(prefix="slimpack-test-") as folder:
        places = ["--root", f"{folder}/root", "--runroot", f"{folder}/run"]
        yield [*places, "--storage-driver", "overlay"]
        # Both leave a mount behind, and what is mounted cannot be removed.
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for place in reversed([mount for mount in mounts if mount.startswith(f"{folder}/")]):
            subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture(scope="session")
def small(
    docker_engine: None, channel: str, cache_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Built]:
    """An image with little more than Python in it, in gzip layers."""
    folder = tmp_path_factory.mktemp("small")
    spec = folder / "environment.yml"
    spec.write_text("name: small\nchannels: [conda-forge]\ndependencies: [python =3.11]\n")
    built = build(folder, folder, cache_dir, str(spec), "-c", channel, "--compression", "gzip")
    yield built
    docker("image", "rm", "--force", built.tag, check=False)


@pytest.mark.parametrize("form", ["oci", "oci-archive", "docker-archive"])
def test_skopeo_inspects_it(serve: Built, form: str) -> None:
    need("skopeo")
    place = serve.layout if form == "oci" else serve.tar
    found = json.loads(output("skopeo", "inspect", f"{form}:{place}"))
    image = read_image(serve.tar)
    if form == "docker-archive":
        assert found["Layers"] == [layer.diff_id for layer in image.layers]
    else:
        assert found["Digest"] == serve.result["digest"]
        assert found["Layers"] == [layer["digest"] for layer in serve.result["layers"]]
    assert (found["Os"], found["Architecture"]) == tuple(serve.result["platform"].split("/"))
    assert found["Labels"]["org.opencontainers.image.title"] == "iris classifier"
    assert any(variable.startswith("PATH=/opt/env/bin") for variable in found["Env"])


def test_podman_runs_it(serve: Built, storage: list[str]) -> None:
    need("podman")
    output("podman", *storage, "load", "--quiet", "--input", str(serve.tar))
    name = f"docker.io/{serve.tag}"
    (found,) = json.loads(output("podman", *storage, "image", "inspect", name))
    assert f"sha256:{found['Id']}" == serve.result["image_id"]
    failures = []
    for program, *way in PODMAN_WAYS:
        command = [program, *storage, *way, "--rm", "--read-only", "--tmpfs=/tmp"]
        done = subprocess.run(
            [*command, "--entrypoint=python", name, "-c", "import main, os; print(os.getuid())"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            assert done.stdout == "65532\n"
            return
        # Exit code 1 is the program's own: then it is the image that is wrong.
        assert done.returncode in (125, 126, 127), done.stderr
        failures.append(done.stderr.strip())
    missing("ENGINE", f"podman can run nothing here: {failures}")


def test_podman_takes_it_as_an_oci_archive(small: Built, storage: list[str]) -> None:
    need("podman")
    image = output("podman", *storage, "pull", "--quiet", f"oci-archive:{small.tar}")
    assert f"sha256:{image.strip()}" == small.result["image_id"]


def test_buildah_takes_it(small: Built, storage: list[str]) -> None:
    need("buildah")
    image = output("buildah", *storage, "pull", "--quiet", f"oci-archive:{small.tar}").strip()
    assert f"sha256:{image}" == small.result["image_id"]
    found = json.loads(output("buildah", *storage, "inspect", "--type", "image", image))
    assert found["FromImageDigest"] == small.result["digest"]
    assert found["OCIv1"]["config"]["User"] == "65532"


def test_docker_loads_gzip_layers_from_a_file(small: Built) -> None:
    docker("load", "--input", str(small.tar))
    found = docker("image", "inspect", "--format", "{{.Id}}", small.tag).stdout.strip()
    assert found == small.result["image_id"]
    run = ["run", "--rm", "--read-only", "--network=none", small.tag]
    assert docker(*run, "python", "-c", VERSION).stdout == SHOWN


def test_docker_makes_one_file_of_hard_links(docker_engine: None, tmp_path: Path) -> None:
    tag = "slimpack-test/sharing:1"
    write_archive(sharing_image(tmp_path / "blobs", GZIP), tmp_path / "image.tar", [tag])
    docker("load", "--input", str(tmp_path / "image.tar"))
    container = docker("create", tag).stdout.strip()
    try:
        docker("export", "--output", str(tmp_path / "files.tar"), container)
    finally:
        docker("rm", container)
        docker("image", "rm", "--force", tag)
    with tarfile.open(tmp_path / "files.tar") as tar:
        found = {path: tar.extractfile(path) for path in SHARED_FILES}
        assert {path: file.read() for path, file in found.items() if file} == SHARED_FILES
        assert sum(tar.getmember(path).islnk() for path in SHARED_FILES) == len(SHARED_FILES) - 1
