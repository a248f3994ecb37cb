"""Records of packages that anybody may have written: read, or refused with a ValueError."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimpack.sbom.packages import Found, read_conda, read_debian, read_dist, read_os_release

KNOWN = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What `slimpack.sbom.inventory` takes for a record that cannot be read."""

WORDS = st.text(max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
CONDA = ("name", "version", "build", "subdir", "url", "sha256", "md5", "license", "depends")


def read(reader: Callable[..., Found], *arguments: object) -> Found | None:
    try:
        return reader(*arguments)
    except KNOWN:
        return None


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(CONDA, VALUES) | {"files": VALUES}))
def test_any_conda_record(record: dict[str, object]) -> None:
    good = {"name": "a", "version": "1", "files": []}
    for fields in (record, {**record, **good}):
        data = json.dumps(fields).encode()
        found = read(read_conda, "opt/conda-meta/a-1-0.json", data)
        if found:
            assert found.component.purl.startswith("pkg:conda/")
            assert found.place == "opt"


@given(st.binary(max_size=200), st.binary(max_size=60))
def test_any_metadata(text: bytes, origin: bytes) -> None:
    path, beside = "lib/a-1.dist-info/METADATA", "lib/a-1.dist-info/direct_url.json"
    for metadata in (text, b"Name: a\nVersion: 1\n" + text):
        for more in ({}, {beside: origin}):
            read(read_dist, path, {path: metadata, **more})


@given(VALUES)
def test_any_direct_url(value: object) -> None:
    path, beside = "lib/a-1.dist-info/METADATA", "lib/a-1.dist-info/direct_url.json"
    records = {path: b"Name: a\nVersion: 1\n", beside: json.dumps(value).encode()}
    found = read(read_dist, path, records)
    assert found is None or found.component.name == "a"


@given(st.text(max_size=200))
def test_any_control_file(text: str) -> None:
    for stanza in (text, f"Package: a\nVersion: 1\nDepends: {text}\n"):
        read(read_debian, "var/lib/dpkg/status.d/a", stanza, None)


@given(st.binary(max_size=200))
def test_any_os_release(data: bytes) -> None:
    found = read_os_release(data)
    assert found is None or found.name
    named = read_os_release(b"ID=debian\n" + data)
    assert named is None or named.name


@pytest.mark.parametrize(
    ("depends", "needs"),
    [
        ("libc6 (>= 2.36), zlib1g", (("libc6",), ("zlib1g",))),
        ("a | b:any (<< 2) | c", (("a", "b", "c"),)),
        ("", ()),
        (" , ,", ()),
    ],
)
def test_dependencies_of_debian(depends: str, needs: tuple[tuple[str, ...], ...]) -> None:
    stanza = f"Package: a\nVersion: 1\nDepends: {depends}\n"
    assert read_debian("x", stanza, None).needs == needs


@pytest.mark.parametrize(
    ("origin", "purl", "url"),
    [
        (
            {
                "url": "https://host.example/r.git",
                "vcs_info": {"vcs": "git", "commit_id": "a" * 40},
            },
            "pkg:pypi/a@1?vcs_url=git%2Bhttps://host.example/r.git%40" + "a" * 40,
            "",
        ),
        (
            {
                "url": "https://host.example/a-1-py3-none-any.whl",
                "archive_info": {"hashes": {"sha256": "ab" * 32}},
            },
            "pkg:pypi/a@1",
            "https://host.example/a-1-py3-none-any.whl",
        ),
        ({"url": "file:///home/me/a", "dir_info": {"editable": True}}, "pkg:pypi/a@1", ""),
        (
            {"url": "ssh://git@host.example/r", "vcs_info": {"vcs": "git", "commit_id": "1"}},
            "pkg:pypi/a@1",
            "",
        ),
    ],
)
def test_where_a_distribution_came_from(origin: dict[str, object], purl: str, url: str) -> None:
    path, beside = "lib/a-1.dist-info/METADATA", "lib/a-1.dist-info/direct_url.json"
    records = {path: b"Name: a\nVersion: 1\n", beside: json.dumps(origin).encode()}
    part = read_dist(path, records).component
    assert (part.purl, part.url) == (purl, url)
    assert bool(part.digests) is ("archive_info" in origin)


def test_licences_of_a_distribution() -> None:
    def expression(text: str) -> str:
        record = f"Name: a\nVersion: 1\n{text}".encode()
        return read_dist("x/METADATA", {"x/METADATA": record}).component.licence.expression

    assert expression("License-Expression: MIT\nLicense: Other\n") == "MIT"
    assert expression("License: BSD-3-Clause\n") == "BSD-3-Clause"
    several = (
        "Classifier: License :: OSI Approved :: MIT License\n"
        "Classifier: License :: OSI Approved :: ISC License (ISCL)\n"
        "Classifier: License :: OSI Approved\n"
    )
    assert expression(several) == "ISC AND MIT"
    assert (
        expression("License: a\n b\nClassifier: License :: OSI Approved :: MIT License\n") == "MIT"
    )
    assert expression("") == ""
