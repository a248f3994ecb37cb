"""Names, versions and requirements cross from PyPI and Debian to conda without loss."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

from benchmarks.channel import names


@pytest.mark.parametrize(
    ("debian", "conda"),
    [
        ("1:1.2.13.dfsg-1", "1.2.13"),
        ("3.4.4-1", "3.4.4"),
        ("3.0.20-1~deb12u2", "3.0.20"),
        ("12.2.0-14+deb12u1", "12.2.0"),
        ("23.0.1+dfsg-1", "23.0.1"),
        ("1.3.3+ds-1", "1.3.3"),
        ("2026b-0+deb12u1", "2026b"),
        ("3.11.2-6+deb12u8", "3.11.2"),
        ("1:4.4.33-2", "4.4.33"),
    ],
)
def test_the_upstream_part_of_a_debian_version_is_kept(debian: str, conda: str) -> None:
    assert names.debian_to_conda_version(debian) == conda


@pytest.mark.parametrize(
    ("pep440", "conda"),
    [
        ("", ""),
        (">=1.26.4,<2.7", "<2.7,>=1.26.4"),
        ("==2.50.4", "==2.50.4"),
        ("===2.50.4", "==2.50.4"),
        ("==1.4.*", "1.4.*"),
        ("!=1.4.*", "!=1.4.*"),
        ("~=1.4.2", "1.4.*,>=1.4.2"),
        ("~=1.4", "1.*,>=1.4"),
    ],
)
def test_specifiers_become_match_specs(pep440: str, conda: str) -> None:
    assert names.conda_version_spec(SpecifierSet(pep440)) == conda


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_a_compatible_release_means_the_same_in_both_worlds(
    major: int, minor: int, other: int, patch: int
) -> None:
    spec = names.conda_version_spec(SpecifierSet(f"~={major}.{minor}"))
    stem, floor = spec.split(",")
    version = f"{major}.{other}.{patch}"
    in_conda = version.startswith(stem.removesuffix("*")) and floor == f">={major}.{minor}"
    assert in_conda
    assert SpecifierSet(f"~={major}.{minor}").contains(version) == (other >= minor)


def test_requirements_are_left_out_by_pattern() -> None:
    requires = ["nvidia-cudnn-cu13==9.24; platform_system == 'Linux'", "CUDA_toolkit[a]", "sympy"]
    assert names.leave_out(requires, ["nvidia-*", "cuda-toolkit"]) == ["sympy"]
    assert names.leave_out(requires, []) == requires


def test_markers_choose_dependencies_for_the_packaged_python() -> None:
    requires = [
        'exceptiongroup>=1; python_version < "3.11"',
        'typing_extensions>=4.16; python_version < "3.13"',
        'colorama; sys_platform == "win32"',
        'httptools>=0.6; extra == "standard"',
        "Click>=7",
    ]
    environment = names.marker_environment("3.11", "x86_64")
    known = {"typing-extensions": "typing_extensions"}
    plain = names.conda_dependencies(requires, known, environment)
    assert plain == ["click >=7", "typing_extensions >=4.16"]
    extra = names.conda_dependencies(requires, known, environment, ["standard"])
    assert extra == ["click >=7", "httptools >=0.6", "typing_extensions >=4.16"]


@pytest.mark.parametrize(
    ("tag", "floor"),
    [
        ("manylinux_2_27_x86_64.manylinux_2_28_x86_64", "2.27"),
        ("manylinux2014_x86_64.manylinux_2_17_x86_64", "2.17"),
        ("manylinux1_x86_64", "2.5"),
        ("manylinux2010_x86_64", "2.12"),
        ("linux_x86_64", "2.17"),
    ],
)
def test_the_platform_tag_gives_the_oldest_glibc(tag: str, floor: str) -> None:
    assert names.glibc_floor(tag) == floor


def test_next_minor() -> None:
    assert names.next_minor("3.9") == "3.10"
