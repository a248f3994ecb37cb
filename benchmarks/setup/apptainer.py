"""Apptainer, in a root file system of its own: Debian has it in sid alone, for a newer glibc.

So the rest is Debian 13's. sid moves on: when it has another version, the pins here are
to be renewed from its Packages index. Until then that is no fault of what is tested: the
reason is kept in `GONE`, and the tests that want Apptainer are skipped with it.

``python -m benchmarks.setup.apptainer FOLDER COMMAND...`` runs a command there as an ordinary
user, as on a cluster, with FOLDER as its folder. It needs root to begin with, user namespaces
and FUSE.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from benchmarks.setup.apt import SetupError
from benchmarks.setup.engine import BUILD
from slimpack.debian import DebianSource, find_mirrors
from slimpack.debian.fetch import Fetcher, NotFoundError
from slimpack.debian.keyring import debian_keyring
from slimpack.debian.model import ResolvedPackage
from slimpack.debian.resolve import Resolver
from slimpack.debian.store import Store
from slimpack.progress import SILENT

ROOT = BUILD / "apptainer"
GONE = BUILD / "apptainer-is-gone"
USER = 1000
# Version 1.4.5-2, as sid's signed index named it.
_APPTAINER = {
    "amd64": ResolvedPackage(
        "apptainer",
        "1.4.5-2",
        "amd64",
        "26cf96e08fccb0e50ea0f285a5a19f940ee873d167a0680584fe6eba7d197d65",
        "pool/main/a/apptainer/apptainer_1.4.5-2_amd64.deb",
        18690072,
    ),
    "arm64": ResolvedPackage(
        "apptainer",
        "1.4.5-2",
        "arm64",
        "77c6645e6a51630fd9ce61faab09e415b02d0073bd62e1e029ca21e2a422aff6",
        "pool/main/a/apptainer/apptainer_1.4.5-2_arm64.deb",
        16107348,
    ),
}
_PACKAGES = (
    *("squashfuse", "squashfs-tools", "base-files", "dash", "libc6", "libgcc-s1"),
    *("libseccomp2", "libsqlite3-0", "libsquashfuse0", "libfuse3-4", "liblz4-1"),
    *("liblzma5", "liblzo2-2", "libxxhash0", "libzstd1", "zlib1g"),
)
# What Apptainer takes from the host, which has no more than that here.
_FILES = {
    "etc/passwd": "root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/work:/bin/sh\n",
    "etc/group": "root:x:0:\nuser:x:1000:\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/resolv.conf": "",
    "etc/localtime": "",
}
_NEW_MOUNTS, _BIND, _TREE, _PRIVATE, _DETACH = 0x20000, 4096, 16384, 1 << 18, 2
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_FUSE = os.makedev(10, 229)
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


def apptainer_command(folder: Path) -> list[str]:
    """Return the words that run what follows them beside Apptainer, in `folder` as /work."""
    return [sys.executable, "-m", "benchmarks.setup.apptainer", str(folder)]


def apptainer_works() -> bool:
    """Tell whether it is there and answers."""
    if os.geteuid() or not (ROOT / "usr/bin/apptainer").exists():
        return False
    done = subprocess.run(
        [*apptainer_command(BUILD), "apptainer", "--version"],
        cwd=BUILD.parent,
        check=False,
        capture_output=True,
    )
    return done.returncode == 0


def ensure_apptainer() -> None:
    """Unpack Debian's package and what it needs, verified as the packages of a base are."""
    if apptainer_works():
        return
    if os.geteuid() or shutil.which("dpkg-deb") is None:
        raise SetupError("Apptainer is set up by root, on Debian; the tests want no other")
    source = DebianSource(("trixie",), ("main",), _PACKAGES)
    mirrors = find_mirrors(source.suites[0])
    store, fetcher = Store(BUILD / "setup"), Fetcher()
    resolver = Resolver(store, mirrors, debian_keyring(), fetcher, SILENT)
    done = subprocess.run(
        ["dpkg", "--print-architecture"], check=True, capture_output=True, text=True
    )
    architecture = done.stdout.strip()
    if architecture not in _APPTAINER:
        raise SetupError(f"no Apptainer for {architecture} is known here")
    packages, _ = resolver.resolve(source, architecture, timedelta(days=1))
    shutil.rmtree(ROOT, ignore_errors=True)
    GONE.unlink(missing_ok=True)
    for package in (_APPTAINER[architecture], *packages):
        try:
            path = fetcher.blob(
                store,
                mirrors.url(package.archive),
                package.filename,
                sha256=package.sha256,
                size=package.size,
            )
        except NotFoundError as error:
            if package.name != "apptainer":
                raise
            GONE.write_text(f"Debian has another Apptainer now, renew its pins: {error.message}")
            return
        subprocess.run(["dpkg-deb", "--extract", str(path), str(ROOT)], check=True)
    for name, text in _FILES.items():
        (ROOT / name).write_text(text)
    if not apptainer_works():
        raise SetupError("Apptainer is unpacked, but does not run here")


def enter(folder: Path, command: list[str]) -> None:
    """Become `command`, in the root file system with `folder` as /work."""
    libc = ctypes.CDLL(None, use_errno=True)

    def checked(result: int) -> None:
        if result:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
        words = (source.encode(), target.encode(), kind.encode())
        checked(libc.mount(*words, ctypes.c_ulong(flags), data.encode()))

    checked(libc.unshare(_NEW_MOUNTS))
    mount("", "/", "", _PRIVATE | _TREE)
    root = str(ROOT)
    mount(root, root, "", _BIND)
    for name in ("work", "tmp", "old"):
        (ROOT / name).mkdir(exist_ok=True)
    for name in ("proc", "sys"):
        mount(f"/{name}", f"{root}/{name}", "", _BIND | _TREE)
    mount(str(folder.resolve()), f"{root}/work", "", _BIND)
    mount("tmp", f"{root}/tmp", "tmpfs", data="mode=1777")
    mount("dev", f"{root}/dev", "tmpfs", data="mode=755")
    for name in _DEVICES:
        (ROOT / "dev" / name).touch()
        mount(f"/dev/{name}", f"{root}/dev/{name}", "", _BIND)
    for name in ("pts", "shm", "mqueue"):
        (ROOT / "dev" / name).mkdir()
    mount("devpts", f"{root}/dev/pts", "devpts", data="newinstance,ptmxmode=0666")
    links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd"}
    links |= {name: f"/proc/self/fd/{at}" for at, name in enumerate(("stdin", "stdout", "stderr"))}
    for name, target in links.items():
        (ROOT / "dev" / name).symlink_to(target)
    os.mknod(f"{root}/dev/fuse", 0o20666, _FUSE)
    (ROOT / "dev/fuse").chmod(0o666)  # for everybody, as it is on a cluster
    os.chdir(root)
    checked(libc.syscall(_PIVOT_ROOT[os.uname().machine], b".", b"old"))
    checked(libc.umount2(b"/old", _DETACH))
    os.chdir("/work")
    os.setgroups([])
    os.setgid(USER)
    os.setuid(USER)
    kept = {name: value for name, value in os.environ.items() if name.startswith("TEST_")}
    os.execvpe(command[0], command, {"PATH": "/usr/bin:/usr/sbin", "HOME": "/work", **kept})


if __name__ == "__main__":
    enter(Path(sys.argv[1]), sys.argv[2:])
