"""CUDA's libraries that open others, and those that are there twice: planted faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slimpack.cuda.families import FAMILIES, OPENS, family_of, split_name
from slimpack.verify.context import Context
from slimpack.verify.subject import Subject
from tests.elf.builder import make_elf
from tests.verify.subjects import (
    PREFIX,
    SITE,
    Link,
    Mode,
    check,
    conda_record,
    findings,
    subject,
)

LIB = f"{PREFIX}/lib"
NAME = "cuda-libraries"
PYTHON = {
    f"{PREFIX}/bin/python3.11": Mode(0o755, make_elf(
        interpreter="/lib64/ld-linux-x86-64.so.2", rpath="$ORIGIN/../lib", flags_1=0x08000000)),
    f"{LIB}/python3.11/os.py": "",
}  # fmt: skip
CUDNN = ("", "_graph", "_ops", "_cnn", "_adv", "_heuristic", "_engines_runtime_compiled",
         "_engines_precompiled")  # fmt: skip


def library(soname: str, *, data: bytes = b"", **fields: Any) -> bytes:
    return make_elf(soname=soname, data=((".rodata", data),) if data else (), **fields)


def cudnn(folder: str = LIB, **fields: Any) -> dict[str, Any]:
    return {
        f"{folder}/libcudnn{part}.so.9": library(f"libcudnn{part}.so.9", **fields) for part in CUDNN
    }


def nvrtc(builtins: str = "libnvrtc-builtins.so.13.0", folder: str = LIB) -> dict[str, Any]:
    inside = b"\0failed to open libnvrtc-builtins.so.13.0.\n\0libnvrtc-builtins.so.13.0\0"
    return {
        f"{folder}/libnvrtc.so.13": library("libnvrtc.so.13", data=inside),
        f"{folder}/{builtins}": library(builtins),
    }


def owned(name: str, *paths: str) -> dict[str, Any]:
    inside = [path.removeprefix(f"{PREFIX}/") for path in paths]
    return {f"{PREFIX}/conda-meta/{name}-1.0-0.json": conda_record(name, inside)}


def made(folder: Path, files: dict[str, Any]) -> Subject:
    return subject(folder, {**PYTHON, **files})


def test_all_is_there(tmp_path: Path) -> None:
    user = {f"{SITE}/user.abi3.so": make_elf(needed=("libcudnn.so.9", "libnvrtc.so.13"))}
    assert findings(NAME, made(tmp_path, {**cudnn(), **nvrtc(), **user})) == []


@pytest.mark.parametrize("part", [part for part in CUDNN if part])
def test_a_part_of_cudnn_is_missing(tmp_path: Path, part: str) -> None:
    files = cudnn()
    del files[f"{LIB}/libcudnn{part}.so.9"]
    told = findings(NAME, made(tmp_path, files))
    by = {f"{LIB}/libcudnn{one}.so.9" for one in ("", "_graph")} & files.keys()
    assert told
    assert {path for _, path, _ in told} <= by
    expected = "warning" if part == "_engines_precompiled" else "error"
    assert {severity for severity, _, _ in told} == {expected}
    assert all(f"opens libcudnn{part}.so.9 by name, which is not in " in text for *_, text in told)


def test_another_version_is_no_part(tmp_path: Path) -> None:
    files = cudnn()
    files[f"{LIB}/libcudnn_ops.so.8"] = files.pop(f"{LIB}/libcudnn_ops.so.9")
    assert [one[0] for one in findings(NAME, made(tmp_path, files))] == ["error"]


def test_a_part_where_the_loader_does_not_look(tmp_path: Path) -> None:
    folder, files = f"{SITE}/nvidia/cudnn/lib", cudnn()
    files[f"{folder}/libcudnn_ops.so.9"] = files.pop(f"{LIB}/libcudnn_ops.so.9")
    assert [one[:2] for one in findings(NAME, made(tmp_path, files))] == [
        ("error", f"{LIB}/libcudnn.so.9")
    ]
    # Of a wheel, all lie beside each other.
    (tmp_path / "second").mkdir()
    assert findings(NAME, made(tmp_path / "second", cudnn(folder))) == []


def test_a_part_that_is_not_beside_the_link(tmp_path: Path) -> None:
    target = f"{PREFIX}/targets/x86_64-linux/lib"
    files = nvrtc(folder=target)
    files[f"{LIB}/libnvrtc.so.13"] = Link("../targets/x86_64-linux/lib/libnvrtc.so.13")
    ((severity, path, _),) = findings(NAME, made(tmp_path, files))
    assert (severity, path) == ("error", f"{LIB}/libnvrtc.so.13")
    (tmp_path / "second").mkdir()
    builtins = "libnvrtc-builtins.so.13.0"
    files[f"{LIB}/{builtins}"] = Link(f"../targets/x86_64-linux/lib/{builtins}")
    assert findings(NAME, made(tmp_path / "second", files)) == []


def test_a_package_without_parts_by_design(tmp_path: Path) -> None:
    there = ("libcudnn.so.9", "_graph.so.9", "_runtime_compiled.so.9")
    files = {path: data for path, data in cudnn().items() if path.endswith(there)}
    files |= owned("libcudnn-jit", *files)
    assert findings(NAME, made(tmp_path, files)) == []


def test_the_compiler_s_builtins_are_of_its_very_version(tmp_path: Path) -> None:
    ((severity, path, message),) = findings(
        NAME, made(tmp_path, nvrtc("libnvrtc-builtins.so.13.1"))
    )
    assert (severity, path) == ("error", f"{LIB}/libnvrtc.so.13")
    assert message.startswith("opens libnvrtc-builtins.so.13.0 by name, which is not in ")


def test_what_was_missing_before_is_a_warning(tmp_path: Path) -> None:
    files = nvrtc("libnvrtc-builtins.so.13.1")
    (tmp_path / "before").mkdir()
    before = made(tmp_path / "before", files)
    now = made(tmp_path, files)
    (found,) = check(NAME).run(now, Context(before=lambda: before))
    assert found.severity == "warning"
    assert found.message.endswith("it was so before slimming")


def two() -> dict[str, Any]:
    """A wheel with its own cuBLAS beside that of conda."""
    wheel, conda = f"{SITE}/nvidia/cu13/lib/libcublas.so.13", f"{LIB}/libcublas.so.13"
    return {
        conda: Link("libcublas.so.13.1"),
        f"{conda}.1": library("libcublas.so.13"),
        wheel: library("libcublas.so.13"),
        f"{SITE}/torch/lib/libtorch_cuda.so": make_elf(
            needed=("libcublas.so.13",), rpath="$ORIGIN/../../nvidia/cu13/lib"),
        f"{SITE}/cupy/cublas.abi3.so": make_elf(needed=("libcublas.so.13",)),
        **owned("libcublas", conda, f"{conda}.1"),
        **owned("nvidia-cublas", wheel),
    }  # fmt: skip


def test_one_name_and_two_files(tmp_path: Path) -> None:
    ((severity, path, message),) = findings(NAME, made(tmp_path, two()))
    assert (severity, path) == ("warning", f"{LIB}/libcublas.so.13.1")
    assert f"/{LIB}/libcublas.so.13.1 (0.0 MB, libcublas) for cublas.abi3.so" in message
    assert (
        f"/{SITE}/nvidia/cu13/lib/libcublas.so.13 (0.0 MB, nvidia-cublas) for libtorch" in message
    )


def test_a_link_is_the_same_file(tmp_path: Path) -> None:
    files = two()
    files[f"{SITE}/nvidia/cu13/lib/libcublas.so.13"] = Link("../../../../../libcublas.so.13.1")
    assert findings(NAME, made(tmp_path, files)) == []


def test_what_opens_others_is_of_a_family() -> None:
    for stem, parts in OPENS.items():
        family = family_of(f"{stem}.so.1")
        assert family is not None
        assert all(family_of(f"{part.stem}.so.1") is family for part in parts)
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("libcublas.so.13.1.1.3", ("libcublas", "13.1.1.3")),
        ("libnvrtc.alt.so.13", ("libnvrtc.alt", "13")),
        ("libcudart.so", ("libcudart", "")),
        ("libcudart.so.13.py", ("", "")),
        ("libcudart_static.a", ("", "")),
    ],
)
def test_names_of_libraries(name: str, parts: tuple[str, str]) -> None:
    assert split_name(name) == parts
