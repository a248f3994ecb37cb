"""Other programs that read what slimpack writes; the tests run against them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from benchmarks.setup.apt import SetupError, call, install
from benchmarks.setup.engine import BUILD
from slimpack.debian import DebianSource, find_mirrors
from slimpack.debian.fetch import Fetcher
from slimpack.debian.keyring import debian_keyring
from slimpack.debian.resolve import Resolver
from slimpack.debian.store import Store
from slimpack.progress import SILENT

# Program -> its Debian package.
PEERS = {
    "skopeo": "skopeo",
    "podman": "podman",
    "buildah": "buildah",
    "docker-registry": "docker-registry",
    "ctr": "containerd",
    # A link of a certain speed, for benchmarks.
    "ip": "iproute2",
    "tc": "iproute2",
    # What runs a command in an image's own root file system, and what watches it.
    "bwrap": "bubblewrap",
    "unshare": "util-linux",
    "strace": "strace",
    # Runs the programs of an image for another processor.
    "qemu-aarch64-static": "qemu-user-static",
    # Shells that activate environments, and programs that unpack archives.
    "zsh": "zsh",
    "fish": "fish",
    "mksh": "mksh",
    "ksh93": "ksh93u+m",
    "posh": "posh",
    "yash": "yash",
    "busybox": "busybox",
    "mksquashfs": "squashfs-tools",
    "squashfuse": "squashfuse",
    "eu-elflint": "elfutils",
    "zip": "zip",
    "unzip": "unzip",
    "xz": "xz-utils",
    "bzip2": "bzip2",
    "git": "git",
    "zstd": "zstd",
    # A browser that shows reports, and what lets tests use its keyboard.
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
}


@dataclass(frozen=True)
class NewerPeer:
    """A program that Debian 12 lacks, or has too old: Debian 13's package of it.

    All are Go programs whose packages need nothing that Debian 12 has not.
    works: whether a program that is recent enough answers.
    """

    package: str
    works: Callable[[], bool]


_COMPOSE_COMMANDS = (("docker", "compose"), ("docker-compose",))


def ensure_peers() -> None:
    """Install the programs that are missing."""
    absent = {package for program, package in PEERS.items() if shutil.which(program) is None}
    install(sorted(absent))


def compose_command() -> str:
    """Return how Compose 2 is called here, "" if it is not there.

    Not every ``docker`` looks for its plug-ins where Debian puts them; the
    program is found on PATH as well.
    """
    for command in _COMPOSE_COMMANDS:
        version = _output(*command, "version", "--short")
        if version and not version.removeprefix("v").startswith("1."):
            return " ".join(command)
    return ""


def _output(*command: str) -> str:
    """Return what a program prints, "" if it is not there or fails."""
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


NEWER_PEERS = (
    NewerPeer("docker-compose", lambda: bool(compose_command())),
    NewerPeer("docker-buildx", lambda: bool(_output("docker", "buildx", "version"))),
    NewerPeer("oras", lambda: bool(_output("oras", "version"))),
    NewerPeer("siftool", lambda: bool(_output("siftool", "version"))),
    NewerPeer("cosign", lambda: bool(_output("cosign", "version"))),
)


def ensure_newer_peers() -> None:
    """Install those that are missing, verified as the packages of a base are."""
    absent = [peer for peer in NEWER_PEERS if not peer.works()]
    if not absent:
        return
    wanted = tuple(peer.package for peer in absent)
    if os.geteuid() or shutil.which("dpkg") is None:
        raise SetupError(f"install {', '.join(wanted)} by hand (as root this is done with dpkg)")
    for path in newer_packages(*wanted):
        call("dpkg", "--install", str(path))
    broken = [peer.package for peer in absent if not peer.works()]
    if broken:
        raise SetupError(f"installed, but they do not run: {', '.join(broken)}")


def newer_packages(*names: str) -> list[Path]:
    """Download packages of Debian 13, verified as those of a base are; return their files."""
    source = DebianSource(("trixie",), ("main",), names)
    mirrors = find_mirrors(source.suites[0])
    store, fetcher = Store(BUILD / "setup"), Fetcher()
    resolver = Resolver(store, mirrors, debian_keyring(), fetcher, SILENT)
    architecture = _output("dpkg", "--print-architecture")
    packages, _ = resolver.resolve(source, architecture, timedelta(days=1))
    return [
        fetcher.blob(
            store,
            mirrors.url(package.archive),
            package.filename,
            sha256=package.sha256,
            size=package.size,
        )
        for package in packages
    ]


def zstd_dockerd() -> str:
    """Return a dockerd that pulls zstd layers, which Docker does from version 23 on.

    The one on PATH, else that of Debian 13, unpacked and not installed: it needs nothing that
    Debian 12 has not. Raises SetupError where neither can be had.
    """
    if _unpacks_zstd("dockerd"):
        return "dockerd"
    if shutil.which("dpkg-deb") is None:
        raise SetupError("install Docker 23 or newer by hand (with dpkg-deb it is unpacked here)")
    (package,) = newer_packages("docker.io")
    folder = BUILD / "setup" / f"docker-{package.name[:12]}"
    program = folder / "usr" / "sbin" / "dockerd"
    if not program.exists():
        call("dpkg-deb", "--extract", str(package), str(folder))
    if not _unpacks_zstd(str(program)):
        raise SetupError(f"{program} does not run here, or is older than Docker 23")
    return str(program)


def _unpacks_zstd(dockerd: str) -> bool:
    """Tell whether a dockerd runs here and is new enough; ``Docker version 26.1.5, build ...``."""
    found = re.match(r"Docker version (\d+)\.", _output(dockerd, "--version"))
    return found is not None and int(found[1]) >= 23
