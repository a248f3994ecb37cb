"""Names of packages in match specs, however these are written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slimpack.env.graph import dependencies
from slimpack.env.meta import read_installed
from slimpack.env.specs import spec_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("libffi", "libffi"),
        ("libffi >=3", "libffi"),
        ("libffi>=3", "libffi"),
        ("  libffi=3.4", "libffi"),
        ("conda-forge::libffi>=3", "libffi"),
        ("libffi[version='>=3']", "libffi"),
        ("libffi!=3.3,<4", "libffi"),
        ("libffi~=3.4", "libffi"),
        ("_libgcc_mutex 0.1 conda_forge", "_libgcc_mutex"),
        ("__glibc >=2.17", "__glibc"),
        ("PyYAML", "pyyaml"),
        ("", ""),
        (">=3", ""),
    ],
)
def test_the_name_is_what_stands_before_anything_else(text: str, name: str) -> None:
    assert spec_name(text) == name


def test_a_dependency_without_a_blank_is_one(tmp_path: Path) -> None:
    meta = tmp_path / "conda-meta"
    meta.mkdir()
    for name, depends in (("python", ["libffi>=3", "tk"]), ("libffi", []), ("tk", [])):
        record = {"name": name, "version": "1", "build": "0", "depends": depends, "files": []}
        (meta / f"{name}-1-0.json").write_text(json.dumps(record))
    found = dependencies(read_installed(tmp_path), {})
    assert found == {"python": ("libffi", "tk"), "libffi": (), "tk": ()}
