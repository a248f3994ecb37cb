"""pip packages of locks in a bundle: pip takes them on the far side, and nothing else."""

from __future__ import annotations

import hashlib
import os
import subprocess
import venv
from pathlib import Path

import pytest

from slimpack.bundle.packages import BundledLock, package_extras
from slimpack.bundle.wheelhouse import PipPart, requirements, wheelhouse_extras
from slimpack.env.locks.lock import Lock, PypiPackage
from slimpack.env.pypi.archives import PypiFile, fetch_pypi
from slimpack.env.rattler.engine import RattlerEngine, with_pypi
from slimpack.errors import BundleError, InputError, InstallError
from tests.bundle.near import cut_off, served, unpacked, write_extras
from tests.support.channel import GLIBC, MiniChannel
from tests.support.wheels import project, sdist, wheel


@pytest.fixture
def no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_RETRIES", "0")


def package(file: Path, name: str, url: str, version: str = "1.0") -> PypiPackage:
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return PypiPackage(name, version, f"{url}/{file.name}", digest)


def lock_of(mini: MiniChannel, tmp_path: Path, *pypi: PypiPackage) -> Lock:
    mini.add("python", {"bin/python": ""}, version="3.11.2", build="0_cp311")
    engine = RattlerEngine(tmp_path / "pkgs", tmp_path / "repodata")
    return with_pypi(engine.solve(mini.spec("python"), "linux-64", GLIBC), pypi)


def test_pip_installs_from_it_without_network(
    mini: MiniChannel, tmp_path: Path, no_index: None
) -> None:
    wheels = tmp_path / "wheels"
    one = wheel(wheels, "alpha")
    packed = sdist(wheels, project(tmp_path / "d", "delta"), "delta")
    with served(wheels) as url:
        lock = lock_of(
            *(mini, tmp_path, package(one, "alpha", url), package(packed, "delta", url)),
            PypiPackage("far", "2.0", "git+https://me:secret@git.example/far@" + "a" * 40),
        )
        found = package_extras([BundledLock("serve", (lock,))], tmp_path / "fetched")
    sources, missing = sorted(found.notes, key=len, reverse=True)
    assert "serve: sources, which the far side has to build" in sources + missing
    assert "delta 1.0" in sources + missing
    assert "far (git+https://git.example/far@" in sources + missing
    site = unpacked(write_extras(tmp_path / "site.tar", *found.extras), tmp_path / "site")
    names = {path.name for path in (site / "wheelhouse").iterdir()}
    assert names == {one.name, packed.name, "requirements-serve.txt"}
    text = (site / "wheelhouse/requirements-serve.txt").read_text()
    assert "secret" not in text
    assert "# not here: far @ git+https://git.example/far@" in text
    venv.create(tmp_path / "venv", with_pip=True)
    pip = (tmp_path / "venv/bin/pip", "install", "-q", "--no-index", "--find-links", "wheelhouse")
    asked = ("--no-deps", "--require-hashes", "-r", "wheelhouse/requirements-serve.txt")
    cut_off(*pip, *asked, cwd=site, env={"PIP_NO_INDEX": ""})
    shown = subprocess.run(
        [tmp_path / "venv/bin/pip", "list"], capture_output=True, text=True, check=True
    ).stdout
    assert {"alpha", "delta"} <= {line.split()[0] for line in shown.splitlines()}
    # Another file under the name of one is not taken.
    (site / "wheelhouse" / one.name).write_bytes(wheel(tmp_path / "x", "alpha", "1.0").read_bytes())
    with (site / "wheelhouse" / one.name).open("ab") as stream:
        stream.write(b"x")
    done = cut_off(*pip, "--force-reinstall", *asked, cwd=site, env={"PIP_NO_INDEX": ""}, code=1)
    assert "HASH" in done.stderr.upper()


def test_a_file_that_was_replaced_is_refused(
    mini: MiniChannel, tmp_path: Path, no_index: None
) -> None:
    wheels = tmp_path / "wheels"
    one = wheel(wheels, "alpha")
    packed = sdist(wheels, project(tmp_path / "d", "delta"), "delta")
    with served(wheels) as url:
        for file, name in ((one, "alpha"), (packed, "delta")):
            for where in (url, wheels.as_uri()):
                lock = lock_of(mini, tmp_path, package(file, name, where))
                whole = file.read_bytes()
                file.write_bytes(whole + b"x")
                with pytest.raises(InstallError, match=f"{name} 1.0: "):
                    fetch_pypi(lock, tmp_path / f"to-{name}-{where == url}")
                file.write_bytes(whole)
        lock = lock_of(mini, tmp_path, package(packed, "delta", f"{url}/none"))
        with pytest.raises(InstallError, match="cannot be fetched"):
            fetch_pypi(lock, tmp_path / "none")


def file_of(tmp_path: Path, name: str, version: str, data: bytes) -> PypiFile:
    path = tmp_path / f"{name}-{len(data)}"
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    file = f"{name}-{version}-py3-none-any.whl"
    return PypiFile(PypiPackage(name, version, f"https://a/{file}", digest), file, path, len(data))


def test_platforms_share_what_they_can(tmp_path: Path) -> None:
    pure, one, two = (
        file_of(tmp_path, "pure", "1", b"p"),
        file_of(tmp_path, "native", "1", b"n"),
        file_of(tmp_path, "native", "2", b"nn"),
    )
    text = requirements([PipPart("linux-64", (pure, one)), PipPart("linux-aarch64", (pure, two))])
    assert [line for line in text.splitlines() if "==" in line and "--hash" not in line] == [
        'native==1 ; platform_machine == "x86_64" \\',
        'native==2 ; platform_machine == "aarch64" \\',
        "pure==1 \\",
    ]
    other = file_of(tmp_path, "pure", "1", b"other")
    with pytest.raises(BundleError, match="is there twice"):
        wheelhouse_extras({"a": [PipPart("linux-64", (pure,))], "b": [PipPart("x", (other,))]})


def test_names_of_locks(tmp_path: Path, mini: MiniChannel) -> None:
    lock = lock_of(mini, tmp_path)
    for names in (["a", "a"], ["../a"], [""]):
        with pytest.raises(InputError, match="cannot name a lock"):
            package_extras([BundledLock(name, (lock,)) for name in names], tmp_path / str(names))
