"""SLSA provenance: what it says of a build, and what it must not say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slimpack import __version__
from slimpack.env.inputs.identify import Input, InputKind
from slimpack.provenance import BUILD_TYPE, Run, known_digests, lock_facts, provenance
from slimpack.sbom.inventory import inventory_of
from slimpack.sbom.model import Inventory
from slimpack.slim.ruleset import Rule, Rules
from tests.sbom.facts import LOCK, facts
from tests.sbom.images import SECRET, sample

Json = dict[str, Any]


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> Inventory:
    """Of the sample image."""
    return inventory_of(sample(tmp_path_factory.mktemp("image")), "serve:1.0")


def predicate(data: bytes) -> Json:
    found: Json = json.loads(data)["predicate"]
    return found


def test_the_statement(inventory: Inventory, tmp_path: Path) -> None:
    found = json.loads(provenance(inventory, facts(tmp_path)))
    assert found["_type"] == "https://in-toto.io/Statement/v1"
    assert found["predicateType"] == "https://slsa.dev/provenance/v1"
    hex_digest = inventory.digest.removeprefix("sha256:")
    assert found["subject"] == [{"name": "serve:1.0", "digest": {"sha256": hex_digest}}]
    assert set(found["predicate"]) == {"buildDefinition", "runDetails"}


def test_what_went_in(inventory: Inventory, tmp_path: Path) -> None:
    definition = predicate(provenance(inventory, facts(tmp_path)))["buildDefinition"]
    assert definition["buildType"] == BUILD_TYPE
    items = {item["name"]: item for item in definition["resolvedDependencies"]}
    assert len(items) == len(inventory.components)
    assert items["python"] == {
        "name": "python",
        "uri": "pkg:conda/python@3.11.2?build=h0_0&channel=conda-forge&subdir=linux-64&type=conda",
        "digest": {"sha256": "ab" * 32},
        "downloadLocation": "https://conda.anaconda.org/conda-forge/linux-64/"
        "python-3.11.2-h0_0.conda",
    }
    assert items["libc6"]["digest"] == {"sha256": "56" * 32}
    assert items["numpy"]["digest"] == {"sha256": "ab" * 32}


def test_digests_of_wheels_come_with_the_inventory(tmp_path: Path) -> None:
    known = known_digests(facts(tmp_path))
    assert known == {
        "pkg:pypi/requests@2.32.0": "12" * 32,
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14": "56" * 32,
    }
    inventory = inventory_of(sample(tmp_path), "serve:1.0", digests=known)
    definition = predicate(provenance(inventory, facts(tmp_path)))["buildDefinition"]
    items = {item["name"]: item for item in definition["resolvedDependencies"]}
    assert items["requests"]["digest"] == {"sha256": "12" * 32}
    assert "digest" not in items["mine"]


def test_what_was_asked_for(inventory: Inventory, tmp_path: Path) -> None:
    external = predicate(provenance(inventory, facts(tmp_path)))["buildDefinition"][
        "externalParameters"
    ]
    (file,) = external["input"]["files"]
    assert external["input"]["kind"] == "environment.yml"
    assert file["name"] == "environment.yml"
    assert len(file["digest"]["sha256"]) == 64
    assert external["configuration"]["env"]["channels"] == [
        "conda-forge",
        "https://conda.example.com/team",
        "private",
    ]
    assert external["configuration"]["app"]["copy"] == ["/app"]
    assert external["configuration"]["image"]["env"] == ["TOKEN"]


def test_what_the_tool_decided(inventory: Inventory, tmp_path: Path) -> None:
    found = predicate(provenance(inventory, facts(tmp_path)))
    internal = found["buildDefinition"]["internalParameters"]
    assert internal["prefix"] == "/opt/env"
    assert internal["sourceDateEpoch"] == 1_700_000_000
    assert internal["compression"]["kind"] == "zstd"
    assert internal["slimming"]["profile"] == "safe"
    assert len(internal["slimming"]["rules"]["sha256"]) == 64
    assert internal["lock"] == {"platform": "linux-64", "sha256": lock_facts(LOCK).sha256}
    versions = found["runDetails"]["builder"]["version"]
    assert versions["slimpack"] == __version__
    assert set(versions) == {"slimpack", "py-rattler", "conda-pack", "python-zstandard"}


def test_nothing_of_the_machine_and_nothing_secret(inventory: Inventory, tmp_path: Path) -> None:
    text = provenance(inventory, facts(tmp_path)).decode()
    assert str(tmp_path) not in text
    assert SECRET not in text
    assert "file:" not in text


def test_another_folder_gives_the_same_bytes(inventory: Inventory, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    one, other = (provenance(inventory, facts(tmp_path / name)) for name in ("a", "b"))
    assert one == other


def test_the_run_is_told_where_it_is_known(inventory: Inventory, tmp_path: Path) -> None:
    plain = predicate(provenance(inventory, facts(tmp_path)))["runDetails"]
    assert "metadata" not in plain
    run = Run(
        "https://ci.example.com/builder", "https://ci.example.com/run/7", "2026-01-02T03:04:05Z"
    )
    told = predicate(provenance(inventory, facts(tmp_path), run))["runDetails"]
    assert told["builder"]["id"] == "https://ci.example.com/builder"
    assert told["metadata"] == {
        "invocationId": "https://ci.example.com/run/7",
        "startedOn": "2026-01-02T03:04:05Z",
    }


def test_a_lock_is_known_by_what_it_pins() -> None:
    moved = replace(LOCK, text="version: 6 # from elsewhere\n")
    assert lock_facts(moved) == lock_facts(LOCK)
    other = replace(LOCK, packages=(replace(LOCK.packages[0], sha256="00" * 32),))
    assert lock_facts(other).sha256 != lock_facts(LOCK).sha256


def test_other_rules_have_another_digest(inventory: Inventory, tmp_path: Path) -> None:
    def rules(one: Rules | None) -> Any:
        data = provenance(inventory, replace(facts(tmp_path), rules=one))
        return predicate(data)["buildDefinition"]["internalParameters"]["slimming"].get("rules")

    assert rules(None) is None
    assert rules(Rules()) != rules(Rules((Rule("a", "b"),)))


def test_a_base_that_was_an_image(inventory: Inventory, tmp_path: Path) -> None:
    base = ("gcr.io/distroless/base-nossl-debian12", f"sha256:{'9' * 64}")
    made = replace(facts(tmp_path), base=base, debian=())
    first = predicate(provenance(inventory, made))["buildDefinition"]["resolvedDependencies"][0]
    assert first == {
        "name": base[0],
        "digest": {"sha256": "9" * 64},
        "annotations": {"as": "base"},
    }


def test_match_specs_lose_their_secrets(inventory: Inventory, tmp_path: Path) -> None:
    specs = (
        "numpy >=2",
        f"https://u:{SECRET}@h.example.com/t/{SECRET}/c/noarch/a-1-0.conda#md5",
        f"{tmp_path}/b-1-0.conda",
    )
    source = Input(InputKind.SPECS, None, specs=specs)
    data = provenance(inventory, replace(facts(tmp_path), source=source))
    told = predicate(data)["buildDefinition"]["externalParameters"]["input"]
    assert told == {
        "kind": "match specs",
        "specs": ["numpy >=2", "https://h.example.com/c/noarch/a-1-0.conda", "b-1-0.conda"],
    }
