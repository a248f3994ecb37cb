"""Drivers, requirements and versions of CUDA."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from slimpack.config_file import read_config
from slimpack.cuda.driver import (
    FLOORS,
    SHIPPED,
    floor,
    is_driver_library,
    newest_of,
    numbers,
    shipped_with,
)
from slimpack.cuda.found import cuda_version, cuda_versions
from slimpack.cuda.requirement import oldest_cuda, read_requirement, requirement_for
from slimpack.runtimes import load_runtime
from tests.support.channel import ROOT


@pytest.mark.parametrize(
    "name",
    [
        *("libcuda.so", "libcuda.so.1", "libcuda.so.570.124.06", "libcudadebugger.so.1"),
        *("libnvidia-ml.so.1", "libnvidia-ptxjitcompiler.so.1", "libnvidia-nvvm.so.4"),
        *("libnvidia-pkcs11-openssl3.so.570.26", "libnvcuvid.so.1", "libGLX_nvidia.so.0"),
    ],
)
def test_libraries_of_the_driver(name: str) -> None:
    assert is_driver_library(name)


@pytest.mark.parametrize(
    "name",
    [
        *("libcudart.so.12", "libcudart.so", "libcublas.so.12", "libcuda.so.1.txt", "libnvvm.so"),
        *("libnvrtc.so.12", "libnvidia.so", "xlibcuda.so.1", "libGLX.so.0", "libcudadevrt.a"),
    ],
)
def test_libraries_of_cuda_and_of_others(name: str) -> None:
    assert not is_driver_library(name)


def test_drivers_of_each_version() -> None:
    assert (floor("12.8"), shipped_with("12.8.1")) == ("525.60.13", "570.26")
    assert (floor("13.0"), shipped_with("13.0")) == ("580.65.06", "580.65.06")
    assert (floor("14.2"), shipped_with("12.7"), floor("")) == ("", "", "")
    for (major, _), driver in SHIPPED.items():
        assert numbers(driver) >= numbers(FLOORS[major]) or major == 11
    versions = [numbers(driver) for _, driver in sorted(SHIPPED.items())]
    assert versions == sorted(versions)


def test_the_newest_version_that_a_driver_knows() -> None:
    assert newest_of("535.129.03") == (12, 2)
    assert (newest_of("570"), newest_of("570.1")) == ((12, 8), (12, 6))
    assert newest_of("580.65.06") == (13, 0)
    assert newest_of("1") == ()


@pytest.mark.parametrize(
    ("cuda", "compat", "expected"),
    [
        ("12.8", False, "cuda>=12.0"),
        ("12.8", True, "cuda>=12.0"),
        ("11.8", False, "cuda>=11.0"),
        ("13.1", False, "cuda>=13.0"),
        (
            *("13.1", True),
            "cuda>=13.0 driver>=535,driver<536 driver>=550,driver<551 "
            "driver>=570,driver<571 driver>=575,driver<576",
        ),
        ("15.0", True, "cuda>=15.0"),
        ("", False, ""),
    ],
)
def test_what_an_image_requires(cuda: str, compat: bool, expected: str) -> None:
    text = requirement_for(cuda, compat=compat)
    assert text == expected
    for alternative in read_requirement(text):
        assert alternative


def test_the_requirement_of_an_nvidia_image_is_read() -> None:
    text = "cuda>=13.0 brand=unknown,driver>=535,driver<536 brand=tesla,driver>=575,driver<576"
    first, second, third = read_requirement(text)
    assert [oldest_cuda(one) for one in (first, second, third)] == [(13, 0), (12, 2), (12, 9)]
    assert [(one.name, one.operator, one.value) for one in second] == [
        ("brand", "=", "unknown"),
        ("driver", ">=", "535"),
        ("driver", "<", "536"),
    ]
    assert read_requirement("  ") == ()
    assert oldest_cuda(read_requirement("brand=tesla,cuda!=12.0,cuda<13.0")[0]) == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cuda", "no condition such as"),
        ("cuda>=", "no condition such as"),
        (">=12", "no condition such as"),
        ("cuda>=12.0,,driver>=1", "no condition such as"),
        ("cuda>=twelve", "is no version"),
        ("kernel>=5", "nothing is known of 'kernel'"),
    ],
)
def test_a_requirement_that_the_toolkit_would_refuse(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_requirement(text)


@pytest.mark.parametrize(
    ("packages", "expected"),
    [
        ([("cuda-version", "12.8"), ("cuda-cudart", "12.8.90")], ("12.8",)),
        ([("cuda-cudart", "12.8.90")], ("12.8",)),
        ([("cudatoolkit", "11.8.0")], ("11.8",)),
        ([("nvidia-cuda-runtime-cu12", "12.6.77"), ("torch", "2.7")], ("12.6",)),
        ([("nvidia-cuda-runtime", "13.0.88")], ("13.0",)),
        ([("cuda-version", "12.8"), ("nvidia-cuda-runtime", "13.0.88")], ("12.8", "13.0")),
        ([("cuda-version", "12.8"), ("nvidia-cuda-nvrtc-cu12", "12.8.93")], ("12.8",)),
        ([("cuda-version", "odd"), ("python", "3.11.9")], ()),
        ([], ()),
    ],
)
def test_the_version_of_an_environment(
    packages: list[tuple[str, str]], expected: tuple[str, ...]
) -> None:
    assert cuda_versions(packages) == expected
    assert cuda_version(packages) == (expected[0] if expected else "")


def test_the_document_tells_the_same_drivers() -> None:
    text = (ROOT / "docs/cuda.md").read_text(encoding="utf-8")
    for (major, minor), driver in SHIPPED.items():
        assert major < 12 or f"| {major}.{minor} | {driver} |" in text
    for major, driver in FLOORS.items():
        assert f"| {major}.x | `{requirement_for(f'{major}.1')}` | {driver} |" in text


def test_the_configurations_of_the_document_are_read(tmp_path: Path) -> None:
    text = (ROOT / "docs/cuda.md").read_text(encoding="utf-8")
    path = tmp_path / "slimpack.toml"
    shown = re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for block in shown:
        path.write_text(block)
        if "extends" in block:
            assert load_runtime(path).gpu
        else:
            read_config(path)
    assert len(shown) >= 3
