"""The GPU in a sandbox: a device and a library stand in for NVIDIA's."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimpack.errors import DaemonError
from slimpack.sandbox import Command, Gpu, Options, Sandbox, find_gpu
from slimpack.sandbox.docker import ENGINE
from slimpack.sandbox.gpu import bound, library_folder
from slimpack.sandbox.podman import ENGINES
from tests.sandbox.conftest import Here, find

MULTIARCH = "usr/lib/x86_64-linux-gnu"
LIBRARIES = (
    *("libcuda.so.570.26", "libnvidia-ml.so.570.26", "libnvidia-ptxjitcompiler.so.570.26"),
    *("libcuda.so.535.54.03", "libnvidia-glcore.so.570.26", "libcudart.so.12", "libc.so.6"),
)
LINKS = {
    "libcuda.so.1": "libcuda.so.570.26",
    "libcuda.so": "libcuda.so.1",
    "libnvidia-ml.so.1": "libnvidia-ml.so.570.26",
    "libnvidia-nvvm.so.4": "gone",
}


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    """A folder like /dev of a machine with one GPU."""
    folder = tmp_path / "dev"
    (folder / "nvidia-caps").mkdir(parents=True)
    names = ("nvidiactl", "nvidia0", "nvidia-uvm", "nvidia-fs0", "null", "nvidia-caps/nvidia-cap1")
    for name in names:
        (folder / name).symlink_to("/dev/null")
    return folder


@pytest.fixture
def driver(tmp_path: Path) -> Path:
    """A folder with the driver, and with what lies beside it."""
    folder = tmp_path / "driver"
    folder.mkdir()
    for name in LIBRARIES:
        (folder / name).write_text(name)
    for name, target in LINKS.items():
        (folder / name).symlink_to(target)
    return folder


def test_what_the_machine_has(dev: Path, driver: Path) -> None:
    gpu = find_gpu(dev, ["/nowhere", str(driver)])
    assert gpu is not None
    assert [name for _, name in gpu.devices] == [
        *("nvidia-uvm", "nvidia0", "nvidiactl", "nvidia-caps/nvidia-cap1"),
    ]
    assert gpu.driver == "570.26"
    assert {name: Path(host).name for host, name in gpu.libraries} == {
        "libcuda.so": "libcuda.so.570.26",
        "libcuda.so.1": "libcuda.so.570.26",
        "libcuda.so.570.26": "libcuda.so.570.26",
        "libnvidia-ml.so.1": "libnvidia-ml.so.570.26",
        "libnvidia-ml.so.570.26": "libnvidia-ml.so.570.26",
        "libnvidia-ptxjitcompiler.so.570.26": "libnvidia-ptxjitcompiler.so.570.26",
    }


def test_a_machine_whose_libraries_have_short_names(dev: Path, tmp_path: Path) -> None:
    """As a container has them that the driver was bound into by name."""
    for name in ("libcuda.so.1", "libnvidia-ml.so.1", "libnvidia-nvvm.so.570.26"):
        (tmp_path / name).write_text(name)
    gpu = find_gpu(dev, [str(tmp_path)])
    assert gpu is not None
    assert len(gpu.libraries) == 3


@pytest.mark.parametrize("missing", ["nvidiactl", "nvidia0", "driver"])
def test_a_machine_without(dev: Path, driver: Path, missing: str) -> None:
    folders = [str(driver)]
    if missing == "driver":
        (driver / "libcuda.so.1").unlink()
    else:
        (dev / missing).unlink()
    assert find_gpu(dev, folders) is None
    assert find_gpu(dev / "gone", folders) is None


def test_this_machine_s_answer_fits_its_devices() -> None:
    gpu = find_gpu()
    if not Path("/dev/nvidiactl").exists():
        assert gpu is None
    elif gpu is not None:
        assert any(name == "libcuda.so.1" for _, name in gpu.libraries)


def made(dev: Path, driver: Path) -> Gpu:
    gpu = find_gpu(dev, [str(driver)])
    assert gpu is not None
    return gpu


def test_mount_points_are_gone_afterwards(dev: Path, driver: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / MULTIARCH).mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "etc/debian_version").write_text("12\n")
    shipped = root / MULTIARCH / "libnvidia-ml.so.1"
    shipped.write_text("of the image")
    with bound(root, made(dev, driver)) as binds:
        assert (root / MULTIARCH / "libcuda.so.1").read_bytes() == b""
        assert all(path.startswith(f"{MULTIARCH}/") for _, path in binds)
    assert list((root / MULTIARCH).iterdir()) == [shipped]
    assert shipped.read_text() == "of the image"


def test_the_folder_of_libraries(tmp_path: Path) -> None:
    assert library_folder(tmp_path) == "usr/lib64"
    (tmp_path / "usr/lib/aarch64-linux-gnu").mkdir(parents=True)
    assert library_folder(tmp_path) == "usr/lib64"
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/debian_version").write_text("12\n")
    assert library_folder(tmp_path) == "usr/lib/aarch64-linux-gnu"


@pytest.fixture(params=["nonroot", "0:0"])
def user(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[Gpu]:
    """Something like a GPU that every user can reach; /dev/zero is its device."""
    folder = Path("/tmp") / f"slimpack-gpu-{os.getpid()}"
    folder.mkdir()
    (folder / "libcuda.so.570.26").write_text("the driver")
    (folder / "libcuda.so.570.26").chmod(0o666)
    yield Gpu(
        devices=(("/dev/zero", "nvidiactl"), ("/dev/null", "nvidia-caps/nvidia-cap1")),
        libraries=((str(folder / "libcuda.so.570.26"), "libcuda.so.1"),),
    )
    (folder / "libcuda.so.570.26").unlink()
    folder.rmdir()


@pytest.mark.sandbox
def test_a_command_meets_devices_and_driver(
    namespaces: Sandbox, here: Here, shown: Gpu, user: str
) -> None:
    with namespaces.prepare(here.root, here.image) as prepared:

        def run(*argv: str, gpu: bool = True) -> str:
            options = Options(gpu=shown if gpu else None)
            done = prepared.run(Command(("/bin/tool", *argv), user=user), options)
            return (done.stdout + done.stderr).decode()

        assert run("show", "/usr/lib64/libcuda.so.1") == "the driver"
        assert run("writable", "/dev/nvidiactl") == ""
        assert "Read-only file system" in run("writable", "/usr/lib64/libcuda.so.1")
        assert "nvidia-cap1" in run("list", "/dev/nvidia-caps")
        assert {"bus", "devices"} <= set(run("list", "/sys").split())
        assert "No such file" in run("show", "/sys/fs/cgroup/cgroup.procs")
        # Nothing of it stays.
        assert "No such file" in run("show", "/usr/lib64/libcuda.so.1", gpu=False)
        assert "No such file" in run("stat", "/dev/nvidiactl", gpu=False)
        assert run("list", "/sys", gpu=False).split() == ["devices"]


@pytest.mark.sandbox
@pytest.mark.parametrize("name", ["docker", "podman"])
def test_an_engine_without_the_toolkit_is_explained(name: str, here: Here, shown: Gpu) -> None:
    """No NVIDIA container toolkit here: what engines are asked for, and what they answer."""
    listed = subprocess.run([name, "info"], capture_output=True, text=True, check=False).stdout
    if "nvidia" in listed.lower():
        pytest.skip("this engine has the NVIDIA container toolkit")
    with find(name).prepare(here.root, here.image) as prepared:
        with pytest.raises(DaemonError, match=f"{name} could not make the sandbox") as caught:
            prepared.run(Command(("/bin/tool", "list", "/"), user="0:0"), Options(gpu=shown))
        assert "install the NVIDIA container toolkit" in caught.value.hint


def test_what_engines_are_asked_for() -> None:
    assert ENGINE.gpu == ("--gpus", "all")
    assert {engine.gpu for engine in ENGINES} == {("--device", "nvidia.com/gpu=all")}
