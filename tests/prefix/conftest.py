"""An environment of a few packages with a Python distribution, and what happens to it."""

from __future__ import annotations

import base64
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.channel import Executable, Symlink
from tests.support.channel import MiniChannel

SITE = "lib/python3.11/site-packages"


@pytest.fixture
def packages(prefixed: MiniChannel) -> MiniChannel:
    """`prefixed`, a ``python`` that is none, and the noarch package ``wheel-like`` 1.0."""
    prefixed.add(
        "python",
        {"bin/python3.11": Executable("#!/bin/sh\n"), "bin/python": Symlink("python3.11")},
        version="3.11.0",
    )
    dist = "site-packages/wheel_like-1.0.dist-info"
    prefixed.add(
        "wheel-like",
        {
            "site-packages/wheel_like/__init__.py": "version = 1\n",
            "site-packages/wheel_like/old.py": "old = 1\n",
            "site-packages/wheel_like/same.py": "same = 1\n",
            f"{dist}/METADATA": "Metadata-Version: 2.1\nName: wheel-like\nVersion: 1.0\n",
            f"{dist}/RECORD": "",
            f"{dist}/INSTALLER": "conda\n",
        },
        noarch="python",
        entry_points=["wl = wheel_like:main"],
        depends=["python"],
    )
    return prefixed


@pytest.fixture(scope="session")
def masters() -> list[Path]:
    """The folder of the one installation that all tests copy, once there is one."""
    return []


@pytest.fixture
def env(
    request: pytest.FixtureRequest, masters: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The installed environment, its package cache gone; the test's own copy, always there."""
    if not masters:
        packages: MiniChannel = request.getfixturevalue("packages")
        install: Callable[..., Path] = request.getfixturevalue("install")
        root = tmp_path_factory.mktemp("env")
        install(packages, "prefixed", "wheel-like", prefix=root / "prefix").rename(root / "master")
        shutil.rmtree(request.getfixturevalue("tmp_path") / "pkgs")
        masters.append(root)
    prefix = masters[0] / "prefix"
    shutil.rmtree(prefix, ignore_errors=True)
    shutil.copytree(masters[0] / "master", prefix, symlinks=True)
    return prefix


def pip_install(prefix: Path, name: str, version: str, files: dict[str, str]) -> None:
    """Write a distribution as pip does: files, then a RECORD with their digests."""
    folder = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    content = {**files, f"{folder}/METADATA": metadata, f"{folder}/INSTALLER": "pip\n"}
    rows = []
    for path, text in content.items():
        place = prefix / SITE / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)  # never write through a hard link
        place.write_text(text)
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        rows.append(f"{path},sha256={digest.decode()},{len(text)}")
    record = prefix / SITE / folder / "RECORD"
    record.unlink(missing_ok=True)
    record.write_text("\n".join([*rows, f"{folder}/RECORD,,"]) + "\n")


def pip_uninstall(prefix: Path, name: str, version: str) -> None:
    """Remove what pip removes of the conda package."""
    shutil.rmtree(prefix / SITE / name)
    shutil.rmtree(prefix / SITE / f"{name}-{version}.dist-info")
    (prefix / "bin/wl").unlink()
