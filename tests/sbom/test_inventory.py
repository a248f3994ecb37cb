"""What is read from an image: packages of three kinds, files, and who needs whom."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from slimpack.errors import ImageError
from slimpack.sbom import inventory as inventory_module
from slimpack.sbom.inventory import inventory_of
from slimpack.sbom.model import Component, Inventory
from tests.sbom.images import (
    APPLICATION,
    BASE,
    ENVIRONMENT,
    LAYERS,
    PREFIX,
    SECRET,
    conda,
    dist,
    image_of,
    sample,
)

LIBC = "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64&distro=debian-12&upstream=glibc%402.36-9"
BASE_FILES = "pkg:deb/debian/base-files@12.4%2Bdeb12u15?arch=amd64&distro=debian-12"
PYTHON = "pkg:conda/python@3.11.2?build=h0_0&channel=conda-forge&subdir=linux-64&type=conda"
OPENSSL = "pkg:conda/openssl@3.0.20?build=h0_0&channel=team&subdir=linux-64&type=conda"
NUMPY = "pkg:conda/numpy@2.4.6?build=h0_0&subdir=linux-64&type=conda"
SETUPTOOLS = "pkg:conda/setuptools@84.2.1?build=h0_0&channel=main&subdir=noarch&type=tar.bz2"
REQUESTS = "pkg:pypi/requests@2.32.0"
MINE = "pkg:pypi/mine@0.1"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Inventory:
    """Of the sample image."""
    return inventory_of(sample(tmp_path_factory.mktemp("image")), "127.0.0.1:5000/team/serve:1.0")


def part(inventory: Inventory, purl: str) -> Component:
    (one,) = (one for one in inventory.components if one.purl == purl)
    return one


def test_every_package_has_its_purl(found: Inventory) -> None:
    expected = {LIBC, BASE_FILES, PYTHON, OPENSSL, NUMPY, SETUPTOOLS, REQUESTS, MINE}
    assert {one.purl for one in found.components} == expected
    assert [one.purl for one in found.components] == sorted(expected)


def test_the_image_itself(found: Inventory) -> None:
    hex_digest = found.digest.removeprefix("sha256:")
    assert found.purl == (
        f"pkg:oci/serve@sha256:{hex_digest}?arch=amd64"
        "&repository_url=127.0.0.1:5000/team/serve&tag=1.0"
    )
    assert found.platform == "linux/amd64"
    assert found.created == "2023-11-14T22:13:20Z"
    assert len(found.layers) == 3
    assert found.system is not None
    assert (found.system.name, found.system.version) == ("debian", "12")


def test_who_needs_whom(found: Inventory) -> None:
    depends = {one.purl: set(one.depends) for one in found.components}
    assert depends == {
        LIBC: {BASE_FILES},  # the second of two alternatives; libgcc-s1 is not there
        BASE_FILES: set(),
        PYTHON: {OPENSSL, LIBC},  # __glibc is the base's C library
        OPENSSL: set(),
        NUMPY: {PYTHON, OPENSSL},
        SETUPTOOLS: set(),
        REQUESTS: {NUMPY},  # brought by conda; what only an extra asks for is left out
        MINE: {REQUESTS},
    }
    assert found.roots == (MINE, SETUPTOOLS) if MINE < SETUPTOOLS else (SETUPTOOLS, MINE)


def test_packages_in_a_circle_have_a_root_too(tmp_path: Path) -> None:
    image = image_of(
        tmp_path,
        {**conda("a", "1", depends=["b"]), **conda("b", "1", depends=["a"]), **conda("c", "1")},
    )
    assert [purl.partition("@")[0] for purl in inventory_of(image).roots] == [
        "pkg:conda/a",
        "pkg:conda/c",
    ]


def test_distributions_that_conda_brought_are_no_packages_of_their_own(found: Inventory) -> None:
    assert [one.purl for one in part(found, NUMPY).dists] == ["pkg:pypi/numpy@2.4.6"]
    assert part(found, SETUPTOOLS).dists == ()  # what it vendors is not installed
    assert not [one for one in found.components if one.name == "tomli"]


def test_licences(found: Inventory) -> None:
    said = {one.name: one.licence.expression for one in found.components}
    assert said == {
        "python": "Python-2.0",
        "openssl": "Apache-2.0",
        "numpy": "BSD-3-Clause AND 0BSD",
        "setuptools": "MIT",
        "requests": "Apache-2.0",
        "mine": said["mine"],
        "libc6": "(GPL-2.0-or-later OR MIT) AND LGPL-2.1-or-later",
        "base-files": "",
    }
    mine = part(found, MINE).licence
    assert mine.texts == ((mine.expression, "Our own"),)
    assert mine.expression.startswith("LicenseRef-Our-own-")


def test_files_of_licences_are_named(found: Inventory) -> None:
    files = dict(part(found, NUMPY).properties)["licence-file"]
    assert files.endswith("/numpy-2.4.6.dist-info/licenses/LICENSE.txt")
    libc = dict(part(found, LIBC).properties)
    assert libc["licence-file"] == "/usr/share/doc/libc6/copyright"


def test_digests_and_addresses(found: Inventory) -> None:
    assert part(found, PYTHON).digests == (("sha256", "ab" * 32),)
    assert part(found, SETUPTOOLS).digests == (("md5", "cd" * 16),)
    assert part(found, PYTHON).url == (
        "https://conda.anaconda.org/conda-forge/linux-64/python-3.11.2-h0_0.conda"
    )
    assert part(found, OPENSSL).url == (
        "https://conda.example.com/team/linux-64/openssl-3.0.20-h0_0.conda"
    )
    assert part(found, NUMPY).url == ""
    assert part(found, REQUESTS).homepage == "https://requests.example.org"


def test_nothing_secret_and_nothing_of_the_builder(found: Inventory) -> None:
    text = repr(found)
    assert SECRET not in text
    assert "file:" not in text
    assert "secret-project" not in text
    assert "somebody" not in text


def test_digests_that_only_the_build_knows(tmp_path: Path) -> None:
    image = sample(tmp_path)
    known = {"pkg:pypi/requests@2.32.0": "12" * 32, "pkg:conda/python@3.11.2": "34" * 32}
    got = inventory_of(image, digests=known)
    assert part(got, REQUESTS).digests == (("sha256", "12" * 32),)
    assert part(got, PYTHON).digests == (("sha256", "ab" * 32),)  # its own record wins


def test_what_slimming_took(found: Inventory) -> None:
    assert dict(part(found, NUMPY).properties)["removed:package-tests"] == "10 files, 1000 bytes"
    assert dict(part(found, REQUESTS).properties)["removed:package-tests"] == "2 files, 20 bytes"
    assert "removed:package-tests" not in dict(part(found, PYTHON).properties)
    assert dict(found.slimming) == {
        "slimming:profile": "safe",
        "slimming:reason:package-tests": "test suites of packages",
        "slimming:removed-package": "tk",
        "slimming:removed:package-tests": "15 files, 1320 bytes",
    }


def test_files_of_no_package(found: Inventory) -> None:
    files = {one.path: one for one in found.files}
    assert set(files) >= {"app/main.py", "app/empty", f"{PREFIX}/conda-meta/history"}
    assert not [path for path in files if path in BASE]  # the base's are the base's
    for path, text in APPLICATION.items():
        data = text if isinstance(text, bytes) else text.encode()
        assert files[path].sha256 == hashlib.sha256(data).hexdigest()
        assert files[path].size == len(data)


def test_only_so_many_files_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory_module, "MAX_FILES", 2)
    got = inventory_of(image_of(tmp_path, {f"app/{number}": "" for number in range(5)}))
    assert [one.path for one in got.files] == ["app/0", "app/1"]
    assert got.omitted_files == 3


def test_records_that_are_malformed_are_told(tmp_path: Path) -> None:
    broken = {
        f"{PREFIX}/conda-meta/a-1-0.json": "{",
        f"{PREFIX}/conda-meta/b-1-0.json": json.dumps({"name": 7, "version": "1", "files": []}),
        f"{PREFIX}/conda-meta/c-1-0.json": "[" * 100_000,
        "var/lib/dpkg/status.d/d": "Version: 1\n",
        **dist("e", "1"),
        f"{PREFIX}/lib/python3.11/site-packages/e-1.dist-info/direct_url.json": "[]",
    }
    got = inventory_of(image_of(tmp_path, {**broken, **conda("fine", "1")}))
    assert [one.name for one in got.components] == ["fine"]
    assert len(got.notes) == 5
    assert all(note.startswith("/") for note in got.notes)


def test_a_broken_slimming_record_is_refused(tmp_path: Path) -> None:
    image = image_of(tmp_path, {f"{PREFIX}/share/slimpack/slimming.json": "{}"})
    with pytest.raises(ImageError, match="not a slimming record"):
        inventory_of(image)


def test_a_base_that_dpkg_manages(tmp_path: Path) -> None:
    stanza = "Package: {}\nStatus: {}\nVersion: 1\nArchitecture: all\n"
    status = "\n".join(
        [
            stanza.format("here", "install ok installed"),
            stanza.format("gone", "deinstall ok config-files"),
            stanza.format("halfway", "install ok unpacked"),
        ]
    )
    files = {"var/lib/dpkg/status": status, "usr/lib/os-release": "ID=ubuntu\nVERSION_ID=24.04\n"}
    got = inventory_of(image_of(tmp_path, files))
    assert [one.purl for one in got.components] == [
        "pkg:deb/ubuntu/here@1?arch=all&distro=ubuntu-24.04"
    ]


def test_an_upper_layer_replaces_records(tmp_path: Path) -> None:
    image = image_of(tmp_path, *LAYERS, {f"{PREFIX}/conda-meta/.wh.numpy-2.4.6-h0_0.json": ""})
    names = [one.purl for one in inventory_of(image).components]
    assert NUMPY not in names
    assert "pkg:pypi/numpy@2.4.6" in names  # its files are still there, and nobody's


def test_an_image_without_any_package(tmp_path: Path) -> None:
    got = inventory_of(image_of(tmp_path, {"hello": "world"}))
    assert got.components == ()
    assert [one.path for one in got.files] == ["hello"]
    assert got.purl == ""


def test_one_package_in_two_environments_is_one_component(tmp_path: Path) -> None:
    one = conda("numpy", "2.4.6")
    other = {path.replace(PREFIX, "srv/env"): text for path, text in one.items()}
    got = inventory_of(image_of(tmp_path, {**one, **other}))
    assert len(got.components) == 1


def test_sample_has_no_notes(found: Inventory) -> None:
    assert found.notes == ()
    assert f"{PREFIX}/conda-meta/history" in ENVIRONMENT
