from __future__ import annotations

from pathlib import Path

import pytest
from packaging.tags import Tag

from slimpack.env.meta import Installed, InstalledPackage
from slimpack.env.pypi.interpreter import Interpreter, check_wheel, interpreter, unfit
from slimpack.errors import InputError, InstallError


def package(name: str, version: str, build: str) -> InstalledPackage:
    return InstalledPackage(name, version, build, "linux-64", "", "", "", "", ())


def target(
    *packages: InstalledPackage, subdir: str = "linux-64", glibc: str = "2.36"
) -> Interpreter:
    return interpreter(Path("/nowhere"), Installed(packages), subdir=subdir, glibc=glibc)


def test_the_conda_record_says_which_python_it_is() -> None:
    plain = target(package("python", "3.11.2", "h123_0_cpython"))
    assert (plain.abi, plain.release, plain.threads) == ("cp311", (3, 11), "")
    assert plain.site == "lib/python3.11/site-packages"
    assert not plain.runs
    free = target(package("python", "3.13.0", "h1_0_cp313t"))
    assert (free.abi, free.site) == ("cp313t", "lib/python3.13t/site-packages")
    by_abi = target(
        package("python", "3.14.0rc1", "h1_0"), package("python_abi", "3.14", "8_cp314t")
    )
    assert by_abi.number == "3.14.0"
    assert (by_abi.abi, by_abi.release) == ("cp314t", (3, 14))


def test_tags_end_at_the_glibc_of_the_base() -> None:
    found = target(package("python", "3.11.2", "0_cpython"), subdir="linux-aarch64", glibc="2.28")
    assert found.platforms[:2] == ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64")
    assert found.platforms[-3:] == (
        "manylinux_2_17_aarch64",
        "manylinux2014_aarch64",
        "linux_aarch64",
    )
    assert Tag("cp311", "cp311", "manylinux_2_28_aarch64") in found.tags
    assert Tag("cp38", "abi3", "manylinux2014_aarch64") in found.tags
    assert Tag("py3", "none", "any") in found.tags
    assert Tag("cp311", "cp311", "manylinux_2_29_aarch64") not in found.tags
    assert Tag("cp311", "cp311", "manylinux_2_28_x86_64") not in found.tags
    assert Tag("cp312", "abi3", "manylinux2014_aarch64") not in found.tags


def test_old_x86_wheels_are_taken() -> None:
    assert "manylinux1_x86_64" in target(package("python", "3.11.2", "0")).platforms


@pytest.mark.parametrize(
    ("packages", "subdir", "glibc", "message"),
    [
        ((), "linux-64", "2.36", "this environment has none"),
        ((package("python", "3.9.1", "0_73_pypy"),), "linux-64", "2.36", "has PyPy"),
        ((package("python", "3.11.2", "0"),), "osx-64", "2.36", "osx-64 are not supported"),
        ((package("python", "3.11.2", "0"),), "linux-64", "", "this one has none"),
    ],
)
def test_what_pip_cannot_serve_is_told(
    packages: tuple[InstalledPackage, ...], subdir: str, glibc: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        target(*packages, subdir=subdir, glibc=glibc)


def test_why_a_wheel_does_not_fit() -> None:
    found = target(package("python", "3.11.2", "0"))
    assert unfit(["cp311-cp311-manylinux_2_39_x86_64"], found) == (
        "needs glibc 2.39, and the base has 2.36"
    )
    assert unfit(["cp312-cp312-manylinux_2_17_x86_64"], found) == (
        "is not for linux-64 with Python 3.11.2"
    )
    check_wheel("a-1-cp311-cp311-manylinux_2_17_x86_64.manylinux_2_39_x86_64.whl", found)
    with pytest.raises(InstallError, match="not the name of a wheel"):
        check_wheel("a.whl", found)
