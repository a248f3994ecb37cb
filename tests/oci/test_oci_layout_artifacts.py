"""Artifacts in an OCI layout: listed beside the image that they tell of, and gone with it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from slimpack.errors import ImageError, InputError
from slimpack.oci.artifact import Artifact, Document
from slimpack.oci.digest import hex_of
from slimpack.oci.image import Image
from slimpack.oci.layout import write_artifacts, write_layout
from slimpack.oci.read import read_image
from tests.oci.oci_images import files_below, need_tool, sample_image
from tests.oci.test_oci_peers import run

KIND = "application/vnd.cyclonedx+json"


def about(image: Image, text: str = "{}", kind: str = KIND) -> Artifact:
    return Artifact(kind, (Document(kind, text.encode()),), image.descriptor())


def listed(layout: Path) -> list[dict[str, object]]:
    found = json.loads((layout / "index.json").read_bytes())["manifests"]
    assert isinstance(found, list)
    return found


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """The sample image, in the layout `layout` of tmp_path."""
    made = sample_image(tmp_path / "blobs")
    write_layout(made, tmp_path / "layout", ["serve:1"])
    return made


def test_the_image_is_read_as_before(tmp_path: Path, image: Image) -> None:
    write_artifacts([about(image), about(image, kind="application/spdx+json")], tmp_path / "layout")
    assert read_image(tmp_path / "layout").digest == image.digest
    entries = listed(tmp_path / "layout")
    assert [entry.get("artifactType") for entry in entries[1:]] == [KIND, "application/spdx+json"]
    for entry in entries:
        blob = tmp_path / "layout" / "blobs" / "sha256" / hex_of(str(entry["digest"]))
        assert blob.stat().st_size == entry["size"]


def test_one_of_a_type_replaces_the_older(tmp_path: Path, image: Image) -> None:
    write_artifacts([about(image, "[1]")], tmp_path / "layout")
    before = files_below(tmp_path / "layout")
    write_artifacts([about(image, "[2]")], tmp_path / "layout")
    assert [entry["digest"] for entry in listed(tmp_path / "layout")] == [
        image.digest,
        about(image, "[2]").digest,
    ]
    assert len(files_below(tmp_path / "layout")) == len(before)


def test_the_same_again_changes_nothing(tmp_path: Path, image: Image) -> None:
    write_artifacts([about(image)], tmp_path / "layout")
    before = (tmp_path / "layout" / "index.json").read_bytes()
    names = files_below(tmp_path / "layout")
    write_artifacts([about(image)], tmp_path / "layout")
    assert (tmp_path / "layout" / "index.json").read_bytes() == before
    assert files_below(tmp_path / "layout") == names


def test_an_artifact_goes_with_its_image(tmp_path: Path, image: Image) -> None:
    write_artifacts([about(image)], tmp_path / "layout")
    other = replace(image, config=replace(image.config, user="1"))
    write_layout(other, tmp_path / "layout", ["serve:1"])
    assert [entry["digest"] for entry in listed(tmp_path / "layout")] == [other.digest]
    assert not (tmp_path / "layout" / "blobs" / "sha256" / hex_of(about(image).digest)).exists()


def test_an_artifact_stays_while_its_image_has_another_name(tmp_path: Path, image: Image) -> None:
    write_layout(image, tmp_path / "layout", ["serve:2"])
    write_artifacts([about(image)], tmp_path / "layout")
    write_layout(
        replace(image, config=replace(image.config, user="1")), tmp_path / "layout", ["serve:1"]
    )
    assert about(image).digest in [entry["digest"] for entry in listed(tmp_path / "layout")]
    assert read_image(tmp_path / "layout", ref="serve:2").digest == image.digest


def test_an_image_without_a_name_does_not_replace_artifacts(tmp_path: Path) -> None:
    made = sample_image(tmp_path / "blobs")
    write_layout(made, tmp_path / "layout")
    write_artifacts([about(made)], tmp_path / "layout")
    write_layout(made, tmp_path / "layout")
    assert len(listed(tmp_path / "layout")) == 2


def test_what_has_no_image_is_refused(tmp_path: Path, image: Image) -> None:
    other = replace(image, config=replace(image.config, user="1"))
    before = (tmp_path / "layout" / "index.json").read_bytes()
    with pytest.raises(ImageError, match="does not hold the image"):
        write_artifacts([about(other)], tmp_path / "layout")
    with pytest.raises(InputError, match="not an OCI layout"):
        write_artifacts([about(image)], tmp_path / "nowhere")
    assert (tmp_path / "layout" / "index.json").read_bytes() == before


def test_skopeo_and_oras_read_the_layout(tmp_path: Path, image: Image) -> None:
    need_tool("skopeo")
    need_tool("oras")
    write_artifacts([about(image)], tmp_path / "layout")
    shutil.rmtree(tmp_path / "blobs")
    run("skopeo", "--insecure-policy", "copy", "oci:layout:serve:1", "oci:copy", folder=tmp_path)
    found = run(
        *("oras", "discover", "--oci-layout", f"layout@{image.digest}", "--format", "json"),
        folder=tmp_path,
    )
    told = json.loads(found)
    (referrer,) = told.get("referrers") or told["manifests"]
    assert referrer["artifactType"] == KIND
    assert referrer["digest"] == about(image).digest
