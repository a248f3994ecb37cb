"""CycloneDX and SPDX, judged by the standards' own schemas and validators."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.error import SPDXParsingError
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from slimpack.sbom.cyclonedx import to_cyclonedx
from slimpack.sbom.inventory import inventory_of
from slimpack.sbom.model import FileItem, Inventory
from slimpack.sbom.spdx import to_spdx
from tests.sbom.images import SECRET, image_of, sample
from tests.support.channel import ROOT

Json = dict[str, Any]
WRITERS = {"cyclonedx": to_cyclonedx, "spdx": to_spdx}


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> Inventory:
    """Of the sample image."""
    return inventory_of(sample(tmp_path_factory.mktemp("image")), "serve:1.0")


def cyclonedx(inventory: Inventory) -> Json:
    """Return the document; the official JSON schema accepts it."""
    text = to_cyclonedx(inventory).decode()
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert error is None, error
    found: Json = json.loads(text)
    return found


def spdx(inventory: Inventory) -> Json:
    """Return the document; SPDX's own tools find nothing to say against it."""
    found: Json = json.loads(to_spdx(inventory))
    try:
        document = JsonLikeDictParser().parse(found)  # type: ignore[no-untyped-call]
    except SPDXParsingError as error:
        raise AssertionError(error.get_messages()) from error  # type: ignore[no-untyped-call]
    messages = validate_full_spdx_document(document)
    assert not messages, [message.validation_message for message in messages]
    return found


def test_cyclonedx_is_valid_and_complete(inventory: Inventory) -> None:
    found = cyclonedx(inventory)
    assert list(found)[:3] == ["$schema", "bomFormat", "specVersion"]
    root = found["metadata"]["component"]
    assert (root["type"], root["name"], root["version"]) == (
        "container",
        "serve:1.0",
        inventory.digest,
    )
    assert found["metadata"]["timestamp"] == "2023-11-14T22:13:20+00:00"
    parts = {part["bom-ref"]: part for part in found["components"]}
    assert set(parts) == {
        *(one.purl for one in inventory.components),
        "operating-system",
        "files-of-no-package",
    }
    for one in inventory.components:
        assert parts[one.purl]["purl"] == one.purl
        assert len(parts[one.purl].get("hashes", ())) == len(one.digests)
    files = parts["files-of-no-package"]["components"]
    assert [item["name"] for item in files] == [f"/{item.path}" for item in inventory.files]


def test_the_graph_of_cyclonedx_reaches_everything(inventory: Inventory) -> None:
    found = cyclonedx(inventory)
    graph = {item["ref"]: set(item.get("dependsOn", ())) for item in found["dependencies"]}
    reached: set[str] = set()
    waiting = [inventory.digest]
    while waiting:
        ref = waiting.pop()
        if ref not in reached:
            reached.add(ref)
            waiting += graph[ref]
    assert reached == set(graph) == {inventory.digest, *(p["bom-ref"] for p in found["components"])}


def test_licences_of_cyclonedx(inventory: Inventory) -> None:
    found = cyclonedx(inventory)
    said = {part["name"]: part.get("licenses") for part in found["components"]}
    assert said["python"] == [{"license": {"acknowledgement": "declared", "id": "Python-2.0"}}]
    assert said["mine"] == [{"license": {"acknowledgement": "declared", "name": "Our own"}}]
    assert said["numpy"] == [{"acknowledgement": "declared", "expression": "BSD-3-Clause AND 0BSD"}]


def test_a_distribution_that_conda_brought_is_inside_its_package(inventory: Inventory) -> None:
    (numpy,) = (part for part in cyclonedx(inventory)["components"] if part["name"] == "numpy")
    assert [part["purl"] for part in numpy["components"]] == ["pkg:pypi/numpy@2.4.6"]
    names = [part["name"] for part in spdx(inventory)["packages"]]
    assert names.count("numpy") == 2


def test_spdx_is_valid_and_complete(inventory: Inventory) -> None:
    found = spdx(inventory)
    purls = {
        reference["referenceLocator"]
        for package in found["packages"]
        for reference in package.get("externalRefs", ())
    }
    assert purls >= {one.purl for one in inventory.components}
    assert found["creationInfo"]["created"] == "2023-11-14T22:13:20Z"
    (mine,) = (package for package in found["packages"] if package["name"] == "mine")
    texts = {
        item["licenseId"]: item["extractedText"] for item in found["hasExtractedLicensingInfos"]
    }
    assert texts[mine["licenseDeclared"]] == "Our own"
    assert [item["fileName"] for item in found["files"]] == [
        f"./{item.path}" for item in inventory.files
    ]


def test_the_graph_of_spdx_reaches_everything(inventory: Inventory) -> None:
    found = spdx(inventory)
    graph: dict[str, list[str]] = {}
    for item in found["relationships"]:
        graph.setdefault(item["spdxElementId"], []).append(item["relatedSpdxElement"])
    reached: set[str] = set()
    waiting = ["SPDXRef-DOCUMENT"]
    while waiting:
        ref = waiting.pop()
        if ref not in reached:
            reached.add(ref)
            waiting += graph.get(ref, [])
    ids = [item["SPDXID"] for item in (*found["packages"], *found["files"])]
    assert len(ids) == len(set(ids))
    assert reached == {"SPDXRef-DOCUMENT", *ids}


@pytest.mark.parametrize("form", list(WRITERS))
def test_what_slimming_took_is_told(inventory: Inventory, form: str) -> None:
    text = WRITERS[form](inventory).decode()
    for said in ("10 files, 1000 bytes", "test suites of packages", "tk"):
        assert said in text
    assert SECRET not in text


@pytest.mark.parametrize("form", list(WRITERS))
def test_the_same_image_gives_the_same_bytes(tmp_path: Path, form: str) -> None:
    one = WRITERS[form](inventory_of(sample(tmp_path / "a"), "serve:1.0"))
    other = WRITERS[form](inventory_of(sample(tmp_path / "b"), "serve:1.0"))
    assert one == other
    program = (
        "import sys; from pathlib import Path; from tests.sbom.images import sample\n"
        f"from slimpack.sbom.{form} import to_{form} as write\n"
        "from slimpack.sbom.inventory import inventory_of\n"
        "sys.stdout.buffer.write(write(inventory_of(sample(Path(sys.argv[1])), 'serve:1.0')))\n"
    )
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / seed)],
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": "Asia/Tokyo", "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=True,
        )
        assert done.stdout == one


@pytest.mark.parametrize("form", list(WRITERS))
def test_another_document_has_another_id(inventory: Inventory, form: str) -> None:
    def identity(one: Inventory) -> str:
        document = json.loads(WRITERS[form](one))
        return str(document.get("serialNumber") or document["documentNamespace"])

    others = [
        replace(inventory, name="other:1"),
        replace(inventory, digest="sha256:" + "0" * 64),
        replace(inventory, notes=("something else",)),
    ]
    assert len({identity(one) for one in (inventory, *others)}) == 4


@pytest.mark.parametrize("check", [cyclonedx, spdx])
def test_an_image_with_nothing_to_tell(tmp_path: Path, check: Any) -> None:
    check(inventory_of(image_of(tmp_path, {"etc/hello": "world"})))
    empty = replace(inventory_of(image_of(tmp_path, {"etc/hello": "world"})), files=())
    check(empty)


@pytest.mark.parametrize("check", [cyclonedx, spdx])
def test_hostile_names_stay_inside_their_fields(tmp_path: Path, check: Any) -> None:
    name = 'x"}],"y\\\u2028\x07'
    found = inventory_of(image_of(tmp_path, {f"app/{name.replace(chr(7), '')}": ""}), name)
    check(replace(found, notes=(name.replace("\x07", ""),)))


def test_many_files_are_nested(inventory: Inventory) -> None:
    files = tuple(FileItem(f"app/{number}", "0" * 64, "0" * 40, 1) for number in range(20_000))
    found = cyclonedx_unchecked(replace(inventory, files=files))
    assert len(found["components"]) == len(inventory.components) + 2
    (nested,) = (part for part in found["components"] if part["type"] == "application")
    assert len(nested["components"]) == len(files)
    # They need nothing, and nobody needs them.
    assert not [item for item in found["dependencies"] if item["ref"].startswith("file:")]


def cyclonedx_unchecked(inventory: Inventory) -> Json:
    """Return a document that is too long for a validator written in Python."""
    found: Json = json.loads(to_cyclonedx(inventory))
    return found
