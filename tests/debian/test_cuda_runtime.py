"""The runtime for GPUs, assembled from the real archive: every way to bring a driver in works.

A library stands in for the driver's; ldconfig is this machine's, run as the NVIDIA
container toolkit does (libnvidia-container's nvc_ldcache.c, the toolkit's update-ldcache
and cuda-compat hooks). Skipped where no mirror answers, unless SLIMPACK_REQUIRE_NETWORK=1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from slimpack.compat import compat_link
from slimpack.debian import DebianBase, assemble_base
from slimpack.runtimes import load_runtime
from slimpack.tree import Tree, bytes_entry

from .conftest import write

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc to build a program"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to chroot"),
]
PROGRAM = r"""
#include <dlfcn.h>
#include <stdio.h>

int main(void) {
    const char *(*where)(void);
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
    if (!driver) { puts(dlerror()); return 1; }
    where = (const char *(*)(void))dlsym(driver, "where");
    puts(where());
    return 0;
}
"""
RUNTIME = load_runtime("cuda")
MULTIARCH = "usr/lib/x86_64-linux-gnu"
DRIVER = "libcuda.so.570.26"


@pytest.fixture(scope="module")
def base(network: None, tmp_path_factory: pytest.TempPathFactory) -> DebianBase:
    return assemble_base(RUNTIME, "linux/amd64", cache_dir=tmp_path_factory.mktemp("cache"))


@pytest.fixture
def root(base: DebianBase, tmp_path: Path) -> Path:
    """The base, unpacked, with a program that opens the driver and says which it got."""
    root = tmp_path / "root"
    write(base.tree, root)
    (tmp_path / "program.c").write_text(PROGRAM)
    subprocess.run(["gcc", "-o", root / "program", tmp_path / "program.c"], check=True)
    return root


def driver(root: Path, folder: str, says: str, *links: str) -> None:
    """Put what stands in for the driver into a folder of the root."""
    place = root / folder
    place.mkdir(parents=True, exist_ok=True)
    source = root.parent / f"{says}.c"
    source.write_text(f'const char *where(void) {{ return "{says}"; }}\n')
    command = ["gcc", "-shared", "-Wl,-soname,libcuda.so.1", "-o", str(place / DRIVER), str(source)]
    subprocess.run(command, check=True)
    for link in links:
        (place / link).symlink_to(DRIVER)


def ldconfig(root: Path, *folders: str) -> None:
    program = shutil.which("ldconfig") or "/sbin/ldconfig"
    arguments = ("-r", str(root), "-f", "/etc/ld.so.conf", "-C", "/etc/ld.so.cache", *folders)
    subprocess.run([program, *arguments], check=True, capture_output=True)


def opened(root: Path, *, env: bool = False) -> str:
    """Return which driver the program got. env: with the runtime's own variables."""
    chroot = shutil.which("chroot") or "/usr/sbin/chroot"
    variables = dict(RUNTIME.env) if env else {}
    command = [chroot, str(root), "/program"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def test_what_the_toolkit_looks_at_is_there(base: DebianBase) -> None:
    # Which folder driver libraries go to, by libnvidia-container: Debian's multiarch one.
    assert base.tree["etc/debian_version"].read()[:3] == b"12."
    assert base.tree["etc/ld.so.conf"].read().strip() == b"include /etc/ld.so.conf.d/*.conf"
    names = sorted(e.path for e in base.tree if e.path.startswith("etc/ld.so.conf.d/"))
    assert names[0] == "etc/ld.so.conf.d/00-nvidia.conf"
    assert base.tree["etc/ld.so.cache"].size == 0
    assert f"{MULTIARCH}/libc.so.6" in base.tree or "lib/x86_64-linux-gnu/libc.so.6" in base.tree


def test_without_a_driver_nothing_is_found(root: Path) -> None:
    assert "libcuda.so.1: cannot open shared object file" in opened(root, env=True)
    ldconfig(root)
    assert "libcuda.so.1: cannot open shared object file" in opened(root)


def test_the_toolkit_s_older_way(root: Path) -> None:
    """Files in the multiarch folder; the links and the cache are ldconfig's work."""
    driver(root, MULTIARCH, "multiarch")
    ldconfig(root, f"/{MULTIARCH}", "/usr/lib/i386-linux-gnu")
    assert opened(root) == opened(root, env=True) == "multiarch"


def test_the_toolkit_s_newer_way_on_a_host_that_is_no_debian(root: Path) -> None:
    """Files where the host has them, which this loader would not search by itself."""
    driver(root, "usr/lib64", "lib64")
    assert "cannot open" in opened(root)
    (root / "etc/ld.so.conf.d/00-nvcr-1.conf").write_text("/usr/lib64\n")
    ldconfig(root)
    assert opened(root) == "lib64"


def test_the_device_plugin_s_way(root: Path) -> None:
    """A folder is shown, and nobody runs ldconfig."""
    driver(root, "usr/local/nvidia/lib64", "plugin", "libcuda.so.1")
    assert "cannot open" in opened(root)
    assert opened(root, env=True) == "plugin"


def test_the_driver_s_folder_comes_first(root: Path) -> None:
    driver(root, "usr/local/nvidia/lib64", "plugin", "libcuda.so.1")
    driver(root, MULTIARCH, "multiarch", "libcuda.so.1")
    ldconfig(root)
    assert opened(root) == "plugin"


def test_compatibility_libraries_come_first_when_the_toolkit_says_so(root: Path) -> None:
    driver(root, "opt/env/cuda-compat", "compat")
    driver(root, MULTIARCH, "multiarch", "libcuda.so.1")
    write(
        Tree(compat_link(Tree([bytes_entry(f"opt/env/cuda-compat/{DRIVER}", b"")]), "/opt/env")),
        root,
    )
    ldconfig(root)
    assert opened(root) == "multiarch"
    (root / "etc/ld.so.conf.d/00-compat-1.conf").write_text("/usr/local/cuda/compat\n")
    ldconfig(root)
    assert opened(root) == "compat"
    # Older toolkits look for these files from outside, without a change of root.
    assert list((root / "usr/local/cuda/compat").glob("lib*.so.*"))
