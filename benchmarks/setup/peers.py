"""Other programs that read what slimpack writes; the tests run against them."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import timedelta

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
    # What runs a command in an image's own root file system, and what watches it.
    "bwrap": "bubblewrap",
    "unshare": "util-linux",
    "strace": "strace",
    # Shells that activate environments, and programs that unpack archives.
    "zsh": "zsh",
    "fish": "fish",
    "mksh": "mksh",
    "ksh93": "ksh93u+m",
    "posh": "posh",
    "yash": "yash",
    "busybox": "busybox",
    "mksquashfs": "squashfs-tools",
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
# Debian 12 has Compose 1, which pytest-docker cannot use. The package of
# Debian 13 is a static program in a .deb that needs nothing else.
_COMPOSE = DebianSource(("trixie",), ("main",), ("docker-compose",))
_COMMANDS = (("docker", "compose"), ("docker-compose",))


def ensure_peers() -> None:
    """Install the programs that are missing."""
    install([package for program, package in PEERS.items() if shutil.which(program) is None])


def compose_command() -> str:
    """Return how Compose 2 is called here, "" if it is not there.

    Not every ``docker`` looks for its plug-ins where Debian puts them; the
    program is found on PATH as well.
    """
    for command in _COMMANDS:
        if shutil.which(command[0]) is None:
            continue
        done = subprocess.run(
            [*command, "version", "--short"], check=False, capture_output=True, text=True
        )
        if done.returncode == 0 and not done.stdout.strip().removeprefix("v").startswith("1."):
            return " ".join(command)
    return ""


def ensure_compose() -> None:
    """Install Docker Compose 2 if it is missing, verified as the packages of a base are."""
    if compose_command():
        return
    if os.geteuid() or shutil.which("dpkg") is None:
        raise SetupError("install Docker Compose 2 by hand (as root this is done with dpkg)")
    mirrors = find_mirrors(_COMPOSE.suites[0])
    store, fetcher = Store(BUILD / "setup"), Fetcher()
    resolver = Resolver(store, mirrors, debian_keyring(), fetcher, SILENT)
    architecture = subprocess.run(
        ["dpkg", "--print-architecture"], check=True, capture_output=True, text=True
    ).stdout.strip()
    (package,), _ = resolver.resolve(_COMPOSE, architecture, timedelta(days=1))
    path = fetcher.blob(
        store,
        mirrors.url(package.archive),
        package.filename,
        sha256=package.sha256,
        size=package.size,
    )
    call("dpkg", "--install", str(path))
    if not compose_command():
        raise SetupError(f"docker-compose {package.version} was installed, but does not run")
