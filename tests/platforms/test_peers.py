"""Other programs choose an image of an index by its platform."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from slimpack.oci.archive import write_archive
from slimpack.oci.image import make_image
from slimpack.oci.index import Index
from slimpack.oci.layout import write_layout
from tests.oci.oci_images import need, need_tool, sample_config, sample_image
from tests.oci.test_oci_peers import run

TAG = "slimpack-test/platforms:1.0"
PLACES = ("oci:layout", "oci-archive:image.tar")
ARCHITECTURES = ("amd64", "arm64")


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """Two images of the same layers, as layout/ and image.tar in tmp_path."""
    amd64 = sample_image(tmp_path / "blobs")
    arm64 = make_image(amd64.layers, replace(sample_config(), architecture="arm64"))
    made = Index((amd64, arm64))
    write_layout(made, tmp_path / "layout", [TAG])
    write_archive(made, tmp_path / "image.tar", [TAG])
    return made


@pytest.fixture
def podman() -> Iterator[list[str]]:
    """podman with a container storage of the test's own (it wants a short path)."""
    need_tool("podman")
    need(os.getuid() == 0, "podman needs root here")
    with tempfile.TemporaryDirectory() as folder:
        place = ["--root", f"{folder}/root", "--runroot", f"{folder}/run"]
        yield ["podman", *place, "--storage-driver", "vfs"]


@pytest.mark.parametrize("place", PLACES)
def test_skopeo_copies_one_of_them_or_all(tmp_path: Path, index: Index, place: str) -> None:
    need_tool("skopeo")
    for architecture, image in zip(ARCHITECTURES, index.images, strict=True):
        chosen = ("--override-os", "linux", "--override-arch", architecture)
        run("skopeo", "copy", *chosen, place, f"dir:{architecture}", folder=tmp_path)
        manifest = (tmp_path / architecture / "manifest.json").read_bytes()
        assert manifest == image.manifest_json
    run("skopeo", "copy", "--all", place, "oci:whole", folder=tmp_path)
    (told,) = json.loads((tmp_path / "whole/index.json").read_bytes())["manifests"]
    assert told["digest"] == index.digest


@pytest.mark.parametrize("place", PLACES)
def test_podman_pulls_one_of_them(
    tmp_path: Path, index: Index, podman: list[str], place: str
) -> None:
    for architecture, image in zip(ARCHITECTURES, index.images, strict=True):
        pull = ("pull", "-q", "--arch", architecture, place)
        found = run(*podman, *pull, folder=tmp_path).strip()
        assert f"sha256:{found}" == image.config_digest
        (told,) = json.loads(run(*podman, "image", "inspect", found, folder=tmp_path))
        assert told["Architecture"] == architecture
