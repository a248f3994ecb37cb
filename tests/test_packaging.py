"""What is in the wheel, and that it works away from the source."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    done = subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, check=False, cwd="/"
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packaging")


@pytest.fixture(scope="module")
def wheel(folder: Path) -> Path:
    # Without isolation nothing is downloaded; the backend is in the group "test".
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder / "wheel", ROOT)
    (made,) = (folder / "wheel").iterdir()
    return made


@pytest.fixture(scope="module")
def sdist(folder: Path) -> Path:
    code = f"import hatchling.build as b; b.build_sdist({str(folder / 'sdist')!r})"
    (folder / "sdist").mkdir()
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)
    (made,) = (folder / "sdist").iterdir()
    return made


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def below(folder: str, under: str = "") -> set[str]:
    """Return the tracked kinds of files below a folder of the repository."""
    return {
        f"{under or folder}/{path.relative_to(ROOT / folder)}"
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_the_package_and_the_runtimes_and_nothing_else(wheel: Path) -> None:
    package = {name for name in names(wheel) if ".dist-info/" not in name}
    assert package == below("slimpack") | below("runtimes", "slimpack/_runtimes")
    assert "slimpack/py.typed" in package
    assert "slimpack/_runtimes/distroless.toml" in package
    assert any(name.startswith("slimpack/debian/keys/") for name in package)


def test_it_works_installed(wheel: Path, folder: Path) -> None:
    # Beside the dependencies of this environment, but not in it.
    target = folder / "installed"
    pip("install", "--no-deps", "--no-index", "--target", target, wheel)

    def run(program: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, str(target / "bin" / program), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(target)},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("slimpack", "--version") == run("conda-slimpack", "--version")
    assert "distroless " in run("slimpack", "runtime", "list")
    code = "import slimpack.runtimes; print(slimpack.runtimes.__file__)"
    where = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(target)},
    ).stdout.strip()
    assert where == str(target / "slimpack" / "runtimes.py")


def test_the_source_archive_makes_the_same_wheel(wheel: Path, sdist: Path, folder: Path) -> None:
    with tarfile.open(sdist) as archive:
        members = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "LICENSE", "README.md", "runtimes/distroless.toml"} <= members
    again = folder / "again"
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", again, sdist)
    (made,) = again.iterdir()
    assert made.name == wheel.name
    assert names(made) == names(wheel)
