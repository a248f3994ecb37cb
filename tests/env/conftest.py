"""A prefix with the local channel's Python, for what pip does on top of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from slimpack.env.inputs.spec import EnvSpec
from slimpack.env.locks.lock import Lock, PypiPackage
from slimpack.env.meta import Installed, read_installed
from slimpack.env.pypi.install import install
from slimpack.env.pypi.resolve import Resolution, resolve
from slimpack.env.rattler.engine import RattlerEngine
from slimpack.progress import SILENT, Progress
from tests.support.channel import GLIBC


@dataclass(frozen=True)
class Base:
    """An environment with Python and click from the local channel."""

    prefix: Path
    lock: Lock
    engine: RattlerEngine

    @property
    def installed(self) -> Installed:
        return read_installed(self.prefix)


@pytest.fixture(scope="session")
def base(
    channel: str, engine: RattlerEngine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Base]:
    """A prefix for every test that only reads it; at the end it must be as it was."""
    spec = EnvSpec("t", (channel,), ("python 3.11.*", "click"), source="environment.yml")
    lock = engine.solve(spec, "linux-64", GLIBC)
    prefix = tmp_path_factory.mktemp("base") / "prefix"
    engine.install(lock, prefix)
    before = snapshot(prefix)
    yield Base(prefix, lock, engine)
    assert snapshot(prefix) == before


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Return (size, mtime) of everything below a folder, to see whether anything was written."""
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for above, folders, files in os.walk(folder)
        for path in (Path(above), *(Path(above, name) for name in (*folders, *files)))
    }


@pytest.fixture
def own_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the machine's configuration of pip play no part."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_RETRIES", "0")


Resolve = Callable[..., Resolution]
Install = Callable[..., Path]


@pytest.fixture
def pip_resolve(base: Base, tmp_path: Path, own_pip: None) -> Resolve:
    """Resolve ``pip:`` lines on `base`, with the wheels of ``tmp_path/wheels``."""
    (tmp_path / "wheels").mkdir(exist_ok=True)

    def call(*lines: str, subdir: str = "linux-64", glibc: str = "2.36") -> Resolution:
        return resolve(
            ["--find-links wheels", *lines],
            folder=tmp_path,
            prefix=base.prefix,
            installed=base.installed,
            subdir=subdir,
            glibc=glibc,
            scratch=tmp_path / "scratch",
            source="environment.yml",
        )

    return call


@pytest.fixture
def pip_install(base: Base, tmp_path: Path, own_pip: None) -> Install:
    """Put pip packages on top of `base`, in a folder of the test's own.

    Its files are hard links to those of `base`, as an installer makes them to its
    cache: what writes through a link changes `base`, which is looked at in the end.
    real: install the conda packages anew, for what depends on their prefix.
    """

    def call(
        *packages: PypiPackage,
        name: str = "prefix",
        subdir: str = "linux-64",
        glibc: str = "2.36",
        real: bool = False,
        progress: Progress = SILENT,
        before: Callable[[Path], object] = lambda prefix: None,
    ) -> Path:
        prefix = tmp_path / name
        if real:
            base.engine.install(base.lock, prefix)
        elif not prefix.exists():
            shutil.copytree(base.prefix, prefix, symlinks=True, copy_function=os.link)
        before(prefix)
        install(
            packages,
            prefix=prefix,
            installed=read_installed(prefix),
            subdir=subdir,
            glibc=glibc,
            scratch=tmp_path / f"scratch-{name}",
            progress=progress,
        )
        return prefix

    return call
