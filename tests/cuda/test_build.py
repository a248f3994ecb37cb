"""Whole builds on the runtime for GPUs, from small packages: what is in the image in the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests

from slimpack.debian import find_mirrors
from slimpack.oci.image import Image
from slimpack.oci.read import read_image
from slimpack.oci.rootfs import merged_view
from tests.support.channel import MiniChannel, Run, missing

pytestmark = pytest.mark.network


@pytest.fixture(scope="module", autouse=True)
def network() -> None:
    url = f"{find_mirrors('bookworm').main}/dists/bookworm/InRelease"
    try:
        requests.get(url, timeout=20, stream=True).raise_for_status()
    except requests.RequestException as error:
        missing("NETWORK", f"no Debian mirror answers: {error}")


@pytest.fixture
def cuda(mini: MiniChannel) -> MiniChannel:
    for version in ("12.8", "13.0"):
        mini.add("cuda-version", {}, version=version, noarch="generic")
        libraries = {f"cuda-compat/libcuda.so.{version}.1": "not really"}
        mini.add("cuda-compat", libraries, version=f"{version}.0")
    mini.add("user", {"share/user": "x"}, depends=["cuda-version", "__cuda"])
    mini.add("plain", {"share/plain": "x"})
    return mini


def built(run: Run, folder: Path, config: str, **more: Any) -> tuple[Image, dict[str, Any]]:
    (folder / "slimpack.toml").write_text(config)
    arguments = ("build", "-o", "out.tar", "--engine", "rattler", "--json")
    done = run(*arguments, cwd=folder, **more)
    return read_image(folder / "out.tar"), json.loads(done.stdout)


def configuration(channel: str, spec: str, runtime: str = "cuda", env: str = "") -> str:
    return (
        f"[env]\nspecs = ['{spec}']\nchannels = ['{channel}']\n{env}\n"
        f"[image]\nruntime = '{runtime}'\n[slim]\nprofile = 'none'\n"
    )


def test_the_driver_that_is_required_follows_from_the_packages(
    cuda: MiniChannel, run: Run, tmp_path: Path
) -> None:
    image, told = built(run, tmp_path, configuration(cuda.url, "user", env='cuda = "12.8"'))
    env = dict(image.config.env)
    assert env["NVIDIA_REQUIRE_CUDA"] == "cuda>=12.0"
    assert env["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert env["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"
    assert env["LD_LIBRARY_PATH"] == "/usr/local/nvidia/lib:/usr/local/nvidia/lib64"
    view = merged_view(image)
    assert "opt/env/conda-meta/cuda-version-12.8-0.json" in view
    assert view["etc/ld.so.cache"].member.size == 0
    assert not any("GPU" in note for note in told["notes"])
    checks = {check["name"]: check for check in told["verified"]["checks"]}
    (found,) = checks["cuda-driver"]["findings"]
    assert found["message"].startswith("CUDA 12.8 needs a driver from 525.60.13 on")
    assert checks["nvidia-variables"]["passed"]
    assert checks["nvidia-variables"]["findings"] == []


def test_without_cuda_a_note_tells(cuda: MiniChannel, run: Run, tmp_path: Path) -> None:
    image, told = built(run, tmp_path, configuration(cuda.url, "plain"))
    assert "NVIDIA_REQUIRE_CUDA" not in dict(image.config.env)
    assert told["notes"][0].startswith("the runtime is for GPUs, but no package")


def test_another_runtime_sets_nothing_and_the_checks_tell(
    cuda: MiniChannel, run: Run, tmp_path: Path
) -> None:
    config = configuration(cuda.url, "user", "distroless", 'cuda = "12.8"')
    image, told = built(run, tmp_path, config)
    assert not any(name.startswith("NVIDIA_") for name, _ in image.config.env)
    checks = {check["name"]: check for check in told["verified"]["checks"]}
    assert [one["severity"] for one in checks["nvidia-variables"]["findings"]] == ["warning"] * 2


def test_compatibility_libraries_on_request(cuda: MiniChannel, run: Run, tmp_path: Path) -> None:
    asked = 'cuda = "13.0"\ncuda_compat = true'
    image, _ = built(run, tmp_path, configuration(cuda.url, "user", env=asked))
    view = merged_view(image)
    link = view["usr/local/cuda/compat"].member
    assert (link.kind, link.link) == ("symlink", "../../../opt/env/cuda-compat")
    assert "opt/env/cuda-compat/libcuda.so.13.0.1" in view
    required = dict(image.config.env)["NVIDIA_REQUIRE_CUDA"]
    assert required.startswith("cuda>=13.0 driver>=535,driver<536 ")


def test_an_image_by_reference_is_pulled(cuda: MiniChannel, run: Run, tmp_path: Path) -> None:
    """As `runtimes/cuda-runtime.toml` names NVIDIA's; here from where nobody answers."""
    reference = f"127.0.0.1:9/nvidia/cuda@sha256:{'0' * 64}"
    (tmp_path / "mine.toml").write_text(f'extends = "cuda-runtime"\nimage = "{reference}"\n')
    config = configuration(cuda.url, "user", "./mine.toml", 'cuda = "12.8"')
    (tmp_path / "slimpack.toml").write_text(config)
    done = run("build", "-o", "out.tar", cwd=tmp_path, code=12)
    assert "127.0.0.1:9" in done.stderr
