"""Other programs read what we write.

What skopeo 1.9, podman 4.3, buildah 1.28 and Docker 20.10 take (Debian 12), by
the compression of the layers:

==========================================  ====  ====  =====
reader                                      zstd  gzip  plain
==========================================  ====  ====  =====
skopeo inspect, every form                  yes   yes   yes
skopeo copy to an OCI form                  yes   yes   yes
skopeo copy, OCI form to docker-archive     no    yes   yes
skopeo copy, docker-archive to any          yes   yes   yes
podman load, buildah pull                   yes   yes   yes
docker load and docker pull (before 23.0)   no    yes   yes
==========================================  ====  ====  =====

zstd:chunked is read as zstd is, eStargz as gzip.

`slimpack.daemon` therefore gives old engines plain layers (tests/daemon/).
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimpack.oci.archive import write_archive
from slimpack.oci.image import Image
from slimpack.oci.layout import write_layout
from slimpack.oci.read import read_image
from slimpack.oci.rootfs import read_files
from slimpack.oci.validate import validate
from tests.oci.oci_images import (
    BY_KIND,
    LAZY,
    SHARED_FILES,
    need,
    need_tool,
    sample_image,
    sharing_image,
)

TAG = "slimpack-test/peers:1.0"


def run(*command: str, folder: Path) -> str:
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{' '.join(command)}: {result.stderr}"
    return result.stdout


@pytest.fixture(params=[*BY_KIND, *LAZY])
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Image:
    """The sample image, as layout/ and image.tar in tmp_path."""
    made = sample_image(tmp_path / "blobs", {**BY_KIND, **LAZY}[request.param])
    write_layout(made, tmp_path / "layout", [TAG])
    write_archive(made, tmp_path / "image.tar", [TAG])
    return made


@pytest.mark.parametrize("place", ["oci:layout", f"oci:layout:{TAG}", "oci-archive:image.tar"])
def test_skopeo_inspects_the_oci_forms(tmp_path: Path, image: Image, place: str) -> None:
    need_tool("skopeo")
    found = json.loads(run("skopeo", "inspect", place, folder=tmp_path))
    assert found["Digest"] == image.digest
    assert found["Layers"] == [layer.digest for layer in image.layers]
    assert (found["Architecture"], found["Os"]) == ("amd64", "linux")
    assert found["Env"] == ["PATH=/opt/env/bin", "A=1=2"]
    assert found["Created"] == "2023-11-14T22:13:20Z"


@pytest.mark.parametrize("place", ["docker-archive:image.tar", f"docker-archive:image.tar:{TAG}"])
def test_skopeo_inspects_the_docker_archive(tmp_path: Path, image: Image, place: str) -> None:
    need_tool("skopeo")
    found = json.loads(run("skopeo", "inspect", place, folder=tmp_path))
    assert found["Layers"] == [layer.diff_id for layer in image.layers]
    assert found["Labels"] == {"org.example": "yes"}


@pytest.mark.parametrize(
    "place", ["oci:layout", "oci-archive:image.tar", "docker-archive:image.tar"]
)
def test_skopeo_copies_every_layer(tmp_path: Path, image: Image, place: str) -> None:
    need_tool("skopeo")
    run("skopeo", "--insecure-policy", "copy", place, "oci:copy", folder=tmp_path)
    found = read_image(tmp_path / "copy")
    validate(found, blobs=True)
    assert [x.diff_id for x in found.layers] == [x.diff_id for x in image.layers]
    compressed = image.layers[0].digest != image.layers[0].diff_id  # else skopeo compresses
    if compressed and place != "docker-archive:image.tar":
        assert found.digest == image.digest


@pytest.fixture
def storage() -> Iterator[list[str]]:
    """Options for a container storage of the test's own (podman wants a short path)."""
    need(os.getuid() == 0, "podman and buildah need root here")
    with tempfile.TemporaryDirectory() as folder:
        yield ["--root", f"{folder}/root", "--runroot", f"{folder}/run", "--storage-driver", "vfs"]


def test_podman_loads_it(tmp_path: Path, image: Image, storage: list[str]) -> None:
    need_tool("podman")
    podman = ["podman", *storage]
    out = run(*podman, "load", "-q", "-i", "image.tar", folder=tmp_path)
    assert f"docker.io/{TAG}" in out
    (found,) = json.loads(run(*podman, "image", "inspect", TAG, folder=tmp_path))
    assert f"sha256:{found['Id']}" == image.config_digest
    assert found["RootFS"]["Layers"] == [layer.diff_id for layer in image.layers]
    assert found["User"] == "65532:65532"
    mounted = Path(run(*podman, "image", "mount", TAG, folder=tmp_path).strip())
    try:
        assert (mounted / "app" / "main.py").read_bytes() == b"print('hello')\n"
        assert (mounted / "tmp").stat().st_mode & 0o7777 == 0o1777
        assert (mounted / "home" / "nonroot").stat().st_uid == 65532
    finally:
        run(*podman, "image", "umount", TAG, folder=tmp_path)


def test_buildah_pulls_it(tmp_path: Path, image: Image, storage: list[str]) -> None:
    need_tool("buildah")
    out = run("buildah", *storage, "pull", "-q", "oci-archive:image.tar", folder=tmp_path)
    assert f"sha256:{out.strip()}" == image.config_digest


@pytest.fixture(params=[*BY_KIND, *LAZY])
def sharing(request: pytest.FixtureRequest, tmp_path: Path) -> Image:
    """An image with hard links, as image.tar in tmp_path."""
    made = sharing_image(tmp_path / "blobs", {**BY_KIND, **LAZY}[request.param])
    write_archive(made, tmp_path / "image.tar", [TAG])
    return made


def test_skopeo_keeps_hard_links(tmp_path: Path, sharing: Image) -> None:
    need_tool("skopeo")
    copy = ["skopeo", "--insecure-policy", "copy", "oci-archive:image.tar", "oci:copy"]
    run(*copy, "--dest-compress-format=gzip", folder=tmp_path)
    found = read_image(tmp_path / "copy")
    assert [x.diff_id for x in found.layers] == [x.diff_id for x in sharing.layers]
    assert read_files(found, lambda path: True) == SHARED_FILES


def test_podman_makes_one_file_of_hard_links(
    tmp_path: Path, sharing: Image, storage: list[str]
) -> None:
    need_tool("podman")
    podman = ["podman", *storage]
    run(*podman, "load", "-q", "-i", "image.tar", folder=tmp_path)
    mounted = Path(run(*podman, "image", "mount", TAG, folder=tmp_path).strip())
    try:
        files = [mounted / path for path in SHARED_FILES]
        assert [file.read_bytes() for file in files] == list(SHARED_FILES.values())
        assert {(file.stat().st_mode & 0o7777, file.stat().st_nlink) for file in files} == {
            (0o644, len(files))
        }
    finally:
        run(*podman, "image", "umount", TAG, folder=tmp_path)
