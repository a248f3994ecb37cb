"""NVIDIA's wheels become packages in conda-forge's layout."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from benchmarks.channel import cuda, elf
from benchmarks.channel.conda_format import read_info
from benchmarks.channel.errors import ChannelError
from benchmarks.channel.recipes import Recipe
from tests.elf.builder import make_elf

TARGET = "targets/x86_64-linux/lib"


@pytest.fixture
def patched(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Search paths that were set, by file; nothing is changed."""
    found: dict[str, str] = {}
    monkeypatch.setattr(elf, "set_rpath", lambda path, rpath, _: found.update({path.name: rpath}))
    return found


@pytest.fixture
def wheel(tmp_path: Path, patched: dict[str, str]) -> Path:
    path = tmp_path / "nvidia_demo-12.0.4.66-py3-none-manylinux2014_x86_64.whl"
    members = {
        "nvidia/cu13/lib/libdemo.so.12": make_elf(soname="libdemo.so.12", runpath="$ORIGIN"),
        "nvidia/cu13/lib/libother.so.0": make_elf(soname="libother.so.0", rpath="$ORIGIN"),
        "nvidia/cu13/lib/libdemo_static.a": b"!<arch>\n",
        "nvidia/cu13/include/demo.h": b"",
        "nvidia/cu13/nvvm/bin/tool": b"#!/bin/sh\n",
        "nvidia_demo-12.0.4.66.dist-info/METADATA": b"",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def stage(recipe: Recipe, wheel: Path) -> dict[str, str]:
    """Paths below the prefix; links with their targets."""
    root = wheel.parent / "root"
    root.mkdir()
    cuda.stage_cuda(recipe, wheel, "12.0.4.66", root, Path("no-patchelf"))
    return {
        path.relative_to(root).as_posix(): str(path.readlink()) if path.is_symlink() else ""
        for path in root.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def test_libraries_go_to_the_target_and_links_to_lib(wheel: Path, patched: dict[str, str]) -> None:
    recipe = Recipe("libdemo", "cuda", exclude=("*.a",), sonames=("libdemo.so.12",))
    assert stage(recipe, wheel) == {
        f"{TARGET}/libdemo.so.12.0.4.66": "",
        f"{TARGET}/libdemo.so.12": "libdemo.so.12.0.4.66",
        # Not the start of the version: nobody knows more of it.
        f"{TARGET}/libother.so.0": "",
        "lib/libdemo.so.12": f"../{TARGET}/libdemo.so.12",
        "lib/libdemo.so.12.0.4.66": f"../{TARGET}/libdemo.so.12.0.4.66",
        "lib/libother.so.0": f"../{TARGET}/libother.so.0",
    }
    assert patched == {"libdemo.so.12.0.4.66": "$ORIGIN", "libother.so.0": "$ORIGIN"}


def test_a_package_for_any_platform_brings_no_links(wheel: Path) -> None:
    recipe = Recipe("demo_linux-64", "cuda", exclude=("*other*",), noarch="generic")
    assert set(stage(recipe, wheel)) == {
        f"{TARGET}/{name}" for name in ("libdemo.so.12", "libdemo.so.12.0.4.66", "libdemo_static.a")
    }


def test_a_recipe_says_where_folders_go(wheel: Path) -> None:
    recipe = Recipe(
        "demo-dev",
        "cuda",
        files={"include/": "include/", "nvvm/": "nvvm/"},
        links={"lib/libdemo.so": "libdemo.so.12"},
    )
    assert stage(recipe, wheel) == {
        "include/demo.h": "",
        "nvvm/bin/tool": "",
        "lib/libdemo.so": "libdemo.so.12",
    }
    assert (wheel.parent / "root/nvvm/bin/tool").stat().st_mode & 0o111
    assert not (wheel.parent / "root/include/demo.h").stat().st_mode & 0o111


def test_mistakes_in_a_recipe_are_named(wheel: Path) -> None:
    with pytest.raises(ChannelError, match=r"demo: nothing in nvidia_demo.* lies where"):
        stage(Recipe("demo", "cuda", files={"lib64/": "lib/"}), wheel)
    wheel.parent.joinpath("root").rmdir()
    with pytest.raises(ChannelError, match=r"demo: lib/libx.so.1 is promised"):
        stage(Recipe("demo", "cuda", sonames=("libx.so.1",)), wheel)


def test_packages_of_the_channel_have_conda_forges_shape(cuda_channel: str) -> None:
    folder = Path(cuda_channel.removeprefix("file://"))

    def info(name: str) -> tuple[dict[str, object], dict[str, dict[str, object]], set[str]]:
        (package,) = folder.glob(f"*/{name}-[0-9]*.conda")
        files = read_info(package)
        paths = {item["_path"]: item for item in json.loads(files["info/paths.json"])["paths"]}
        return json.loads(files["info/index.json"]), paths, set(files)

    index, paths, files = info("cuda-nvrtc")
    real = f"{TARGET}/libnvrtc.so.{index['version']}"
    assert {path: item["path_type"] for path, item in paths.items() if "libnvrtc.so" in path} == {
        real: "hardlink",
        f"{TARGET}/libnvrtc.so.13": "softlink",
        f"lib/libnvrtc.so.{index['version']}": "softlink",
        "lib/libnvrtc.so.13": "softlink",
    }
    assert "cuda-version >=13.0,<13.1.0a0" in index["depends"]  # type: ignore[operator]
    assert {"info/run_exports.json", "info/licenses/License.txt"} <= files
    index, paths, _ = info("cuda-version")
    assert (index["version"], index["constrains"], paths) == ("13.0", ["__cuda >=13"], {})
    # The links are in one package, what they lead to in another.
    index, paths, _ = info("cuda-cudart")
    assert set(paths) == {"lib/libcudart.so.13", f"lib/libcudart.so.{index['version']}"}
    assert f"{TARGET}/libcudart.so.13" in info("cuda-cudart_linux-64")[1]
    assert "targets/x86_64-linux/include/cuda_runtime.h" in info("cuda-cudart-dev_linux-64")[1]
