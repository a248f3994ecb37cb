"""SBOMs of an image that slimpack really built."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from slimpack.oci.read import read_image
from slimpack.sbom.inventory import inventory_of
from slimpack.sbom.model import Inventory
from tests.sbom.test_documents import cyclonedx, spdx
from tests.support.channel import Run
from tests.support.images import Built

pytestmark = [pytest.mark.channel, pytest.mark.network]


@pytest.fixture(scope="module")
def inventory(python_image: Built) -> Inventory:
    """Of an image with Python and click on distroless."""
    return inventory_of(read_image(python_image.tar), "serve:1.0")


def test_every_package_of_the_build_is_listed(inventory: Inventory, python_image: Built) -> None:
    kinds = [part.kind for part in inventory.components]
    assert kinds.count("conda") == python_image.result["packages"]
    assert kinds.count("debian") >= 5
    assert inventory.notes == ()
    assert all(part.digests for part in inventory.components if part.kind == "conda")
    nameless = {
        part.name
        for part in inventory.components
        if part.kind == "conda" and not part.licence.named
    }
    assert nameless <= {"_libgcc_mutex", "_openmp_mutex", "python_abi"}


def test_both_formats_are_valid(inventory: Inventory) -> None:
    found = cyclonedx(inventory)
    (click,) = (part for part in found["components"] if part["name"] == "click")
    assert [part["purl"].partition("@")[0] for part in click["components"]] == ["pkg:pypi/click"]
    assert [part for part in found["components"] if part["type"] == "operating-system"]
    spdx(inventory)


def test_no_path_of_this_machine(
    inventory: Inventory, python_image: Built, channel: str, cache_dir: Path
) -> None:
    text = json.dumps([cyclonedx(inventory), spdx(inventory)])
    for path in (str(cache_dir), str(python_image.tar.parent), channel.removeprefix("file://")):
        assert path not in text


def test_every_form_of_the_image_has_the_same_sbom(
    python_image: Built, run: Run, tmp_path: Path
) -> None:
    made = run("sbom", python_image.tar, cwd=tmp_path).stdout
    assert run("sbom", python_image.layout, cwd=tmp_path).stdout == made
    done = run("sbom", python_image.tar, "-o", tmp_path / "serve.cdx.json", cwd=tmp_path)
    assert "application/vnd.cyclonedx+json" in done.stdout
    assert (tmp_path / "serve.cdx.json").read_text() == made
    assert json.loads(made)["metadata"]["component"]["name"] == python_image.tag


def test_a_docker_archive_has_one_too(python_image: Built, run: Run, tmp_path: Path) -> None:
    with tarfile.open(python_image.tar) as both, tarfile.open(tmp_path / "d.tar", "w") as plain:
        for member in both:
            if member.name not in ("index.json", "oci-layout"):
                plain.addfile(member, both.extractfile(member) if member.isfile() else None)
    found: dict[str, Any] = json.loads(run("sbom", "d.tar", cwd=tmp_path).stdout)
    whole = json.loads(run("sbom", python_image.tar, cwd=tmp_path).stdout)
    assert found["components"] == whole["components"]


def test_what_is_no_image(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_text("nothing")
    assert "x.tar" in run("sbom", "x.tar", cwd=tmp_path, code=7).stderr
    run("sbom", "nowhere.tar", cwd=tmp_path, code=2)
    run("sbom", "x.tar", "--format", "other", cwd=tmp_path, code=2)
