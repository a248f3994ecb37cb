from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from slimpack.env.meta import read_installed
from slimpack.env.pypi.editable import Overlay, build_editables
from slimpack.env.pypi.sources import copy_project
from slimpack.errors import InputError, InstallError
from tests.env.conftest import Base, snapshot
from tests.support.wheels import installed_wheel, project

SITE = "lib/python3.11/site-packages"
Build = Callable[..., tuple[Overlay, ...]]


@pytest.fixture
def prefix(base: Base, tmp_path: Path) -> Path:
    target = tmp_path / "prefix"
    shutil.copytree(base.prefix, target, symlinks=True, copy_function=os.link)
    return target


@pytest.fixture
def build(prefix: Path, tmp_path: Path, own_pip: None) -> Build:
    """Build the editables of the prefix; neither it nor the sources may change."""

    def call(*sources: Path) -> tuple[Overlay, ...]:
        before = [snapshot(folder) for folder in (prefix, *sources)]
        try:
            return build_editables(read_installed(prefix), prefix, scratch=tmp_path / "scratch")
        finally:
            assert [snapshot(folder) for folder in (prefix, *sources)] == before

    return call


def editable(prefix: Path, folder: Path, name: str, version: str = "1.0") -> None:
    """Install as pip does with -e: a finder, a .pth and a script."""
    site = prefix / SITE
    finder = f"__editable___{name}_finder.py"
    installed_wheel(
        site,
        name,
        version,
        RECORD=f"__editable__.{name}-{version}.pth,,\n{finder},,\n../../../bin/{name},,\n"
        "../../../bin/python3.11,,\n"
        f"{name}-{version}.dist-info/METADATA,,\n{name}-{version}.dist-info/RECORD,,\n",
        direct_url=json.dumps({"url": folder.as_uri(), "dir_info": {"editable": True}}),
    )
    (site / f"__editable__.{name}-{version}.pth").write_text(f"import {finder[:-3]}\n")
    (site / finder).write_text(f"MAPPING = {{{name!r}: {str(folder)!r}}}\n")
    (site / "__pycache__").mkdir(exist_ok=True)
    (site / "__pycache__" / f"{finder[:-3]}.cpython-311.pyc").write_bytes(b"x")
    (prefix / "bin" / name).write_text(f"#!{prefix}/bin/python\n# editable\n")


def test_an_editable_install_becomes_a_wheel(prefix: Path, build: Build, tmp_path: Path) -> None:
    folder = project(tmp_path / "my source", "gamma", scripts="gamma = gamma:main")
    editable(prefix, folder, "gamma")
    (overlay,) = build(folder)
    assert overlay.note == (
        f"gamma 1.0 was installed in editable mode from {folder}; it is packed as a wheel built "
        "from there"
    )
    assert overlay.removed == {
        "bin/gamma",
        f"{SITE}/__editable__.gamma-1.0.pth",
        f"{SITE}/__editable___gamma_finder.py",
        f"{SITE}/__pycache__/__editable___gamma_finder.cpython-311.pyc",
        f"{SITE}/gamma-1.0.dist-info/METADATA",
        f"{SITE}/gamma-1.0.dist-info/RECORD",
        f"{SITE}/gamma-1.0.dist-info/direct_url.json",
    }
    added = dict(overlay.added)
    assert added[f"{SITE}/gamma.py"].read_text() == (folder / "gamma.py").read_text()
    assert added["bin/gamma"].read_text().startswith(f"#!{prefix}/bin/python\n")
    assert os.access(added["bin/gamma"], os.X_OK)
    assert not overlay.dist.editable
    assert overlay.dist.owner == "pypi:gamma"
    assert set(overlay.dist.files) == set(added)
    origin = json.loads(added[f"{SITE}/gamma-1.0.dist-info/direct_url.json"].read_text())
    assert origin == {"url": folder.as_uri(), "dir_info": {}}


def test_nothing_editable_is_nothing(build: Build) -> None:
    assert build() == ()


def test_another_version_in_the_folder_is_told(prefix: Path, build: Build, tmp_path: Path) -> None:
    folder = project(tmp_path / "source", "gamma", "2.0")
    editable(prefix, folder, "gamma")
    (overlay,) = build(folder)
    assert "(which is now version 2.0)" in overlay.note
    assert overlay.dist.version == "2.0"
    assert f"{SITE}/gamma-2.0.dist-info/METADATA" in dict(overlay.added)


def test_a_folder_that_is_gone_is_named_with_what_to_do(
    prefix: Path, build: Build, tmp_path: Path
) -> None:
    editable(prefix, tmp_path / "gone", "gamma")
    with pytest.raises(
        InputError, match=f"gamma 1.0 .*{tmp_path}/gone, which is not there"
    ) as caught:
        build()
    assert "without -e" in caught.value.hint


def test_a_build_that_fails_shows_what_was_said(prefix: Path, build: Build, tmp_path: Path) -> None:
    folder = project(tmp_path / "b", "gamma", backend="raise RuntimeError('no compiler here')\n")
    editable(prefix, folder, "gamma")
    with pytest.raises(InstallError, match=r"gamma 1\.0, installed in editable mode") as caught:
        build(folder)
    assert "no compiler here" in caught.value.details


def test_the_backend_of_the_prefix_serves_where_none_can_be_fetched(
    prefix: Path, build: Build, tmp_path: Path
) -> None:
    folder = project(tmp_path / "s", "gamma", build_requires='"nobody-has-this-tool"')
    editable(prefix, folder, "gamma")
    (overlay,) = build(folder)  # its backend lies in the project
    assert overlay.dist.version == "1.0"
    backend = (folder / "backend.py").read_text()
    (folder / "backend.py").unlink()
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["nobody-has-this-tool"]\nbuild-backend = "kept_backend"\n'
    )
    with pytest.raises(InstallError) as caught:
        build(folder)
    assert "nobody-has-this-tool" in caught.value.details
    (prefix / SITE / "kept_backend.py").write_text(backend)
    (overlay,) = build(folder)
    assert overlay.dist.version == "1.0"


def test_a_develop_install_is_built_and_its_line_goes(
    prefix: Path, build: Build, tmp_path: Path
) -> None:
    folders = [project(tmp_path / name, name) for name in ("one", "two")]
    site = prefix / SITE
    for folder in folders:
        info = folder / f"{folder.name}.egg-info"
        info.mkdir()
        (info / "PKG-INFO").write_text(f"Name: {folder.name}\nVersion: 1.0\n")
        (site / f"{folder.name}.egg-link").write_text(f"{folder}\n.\n")
    easy = site / "easy-install.pth"
    easy.write_text("".join(f"{folder}\n" for folder in folders))
    one, two = build(*folders)
    assert one.removed == {f"{SITE}/one.egg-link", f"{SITE}/easy-install.pth"}
    assert two.removed == {f"{SITE}/two.egg-link"}
    assert f"{SITE}/two.py" in dict(two.added)
    easy.write_text("".join(f"{folder}\n" for folder in [*folders, tmp_path / "other"]))
    one, two = build(*folders)
    assert one.removed == {f"{SITE}/one.egg-link"}
    assert dict(one.added)[f"{SITE}/easy-install.pth"].read_text() == f"{tmp_path / 'other'}\n"


def test_a_version_from_git_is_found_in_the_copy(tmp_path: Path) -> None:
    folder = project(tmp_path / "source", "gamma")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    copy = copy_project(folder, tmp_path / "copy")
    done = subprocess.run(
        ["git", "status", "--porcelain"], cwd=copy, check=True, capture_output=True, text=True
    )
    assert "gamma.py" in done.stdout


def test_a_copy_leaves_out_what_builds_and_tools_left(tmp_path: Path) -> None:
    folder = project(tmp_path / "source", "gamma")
    for name in ("build/lib/stale", "build/bdist.linux", "gamma.egg-info", "__pycache__", ".tox"):
        (folder / name).mkdir(parents=True)
    (folder / "venv").mkdir()
    (folder / "venv" / "pyvenv.cfg").write_text("")
    (folder / "src" / "build").mkdir(parents=True)
    (folder / "src" / "build" / "__init__.py").write_text("")
    (tmp_path / "README").write_text("outside")
    (folder / "README").symlink_to("../README")
    (folder / "inner").symlink_to("gamma.py")
    os.mkfifo(folder / "fifo")
    (folder / ".git").write_text("gitdir: ../elsewhere/.git/worktrees/x\n")
    copy = copy_project(folder, tmp_path / "deep" / "er" / "copy")
    assert {path.name for path in copy.iterdir()} == {
        ".git",
        "README",
        "backend.py",
        "gamma.py",
        "inner",
        "project.txt",
        "pyproject.toml",
        "src",
    }
    assert (copy / "README").read_text() == "outside"
    assert (copy / "inner").readlink() == Path("gamma.py")
    assert (copy / "src" / "build" / "__init__.py").is_file()
    assert (copy / ".git").read_text() == f"gitdir: {tmp_path}/elsewhere/.git/worktrees/x\n"


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="cannot be copied"):
        copy_project(tmp_path / "missing", tmp_path / "copy")
