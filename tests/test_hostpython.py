"""Who writes the bytecode of an environment for another platform."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.channel import Executable
from slimpack.bytecode import bytecode_notes, with_bytecode
from slimpack.cache import Cache
from slimpack.config import EnvConfig
from slimpack.content import compiler_of
from slimpack.env.meta import Installed, InstalledPackage
from slimpack.environment import Environment
from slimpack.hostpython import HostPython, found_here, host_python, is_foreign, python_spec
from slimpack.platforms import SUBDIRS, here
from slimpack.progress import SILENT
from slimpack.tree import Tree, bytes_entry
from tests.support.channel import MiniChannel

VERSION = ".".join(map(str, sys.version_info[:3]))
OTHER = "linux-aarch64" if here() == "linux/amd64" else "linux-64"


def python(version: str = VERSION, build: str = "h1_0_cpython", **more: str) -> InstalledPackage:
    fields = {"subdir": OTHER, "url": "", "license": "", "noarch": "", "extracted": "", **more}
    return InstalledPackage("python", version, build, files=(), **fields)  # type: ignore[arg-type]


def fake(folder: Path, name: str, told: str) -> Path:
    """An interpreter that says no more than its cache tag and its version."""
    program = folder / name
    program.write_text(f"#!/bin/sh\necho {told}\n")
    program.chmod(0o755)
    return program


def test_an_environment_is_foreign_by_its_python() -> None:
    assert is_foreign(Installed((python(),)))
    assert not is_foreign(Installed((python(subdir=SUBDIRS[here()]),)))
    assert not is_foreign(Installed((python(subdir=""),)))  # an old record
    assert not is_foreign(Installed(()))


@pytest.mark.parametrize(
    ("build", "spec"),
    [
        ("h999f9d6_0_cpython", "python ==3.13.1 *_cpython"),
        ("h9a34b6e_102_cp313t", "python ==3.13.1 *_cp313t"),
        ("h5ee71fb_0", "python ==3.13.1"),
        ("1_73_pypy", "python ==3.13.1 *_pypy"),
    ],
)
def test_the_same_kind_of_interpreter_is_asked_for(build: str, spec: str) -> None:
    assert python_spec(python("3.13.1", build)) == spec


def test_of_this_machines_interpreters_the_same_version_comes_first(tmp_path: Path) -> None:
    near = fake(tmp_path, "near", "cpython-311 3.11.9")
    same = fake(tmp_path, "same", "cpython-311 3.11.2")
    far = fake(tmp_path, "far", "cpython-312 3.12.0")
    broken = tmp_path / "broken"
    wanted = python("3.11.2")
    found = found_here(wanted, [broken, far, near, same], "the channel is gone")
    assert found.program == same
    assert f"written by {same} (the channel is gone)" in found.note
    found = found_here(wanted, [broken, far, near], "the channel is gone")
    assert found.program == near
    assert "Python 3.11.9 of this machine, not by 3.11.2" in found.note
    assert "the channel is gone" in found.note
    found = found_here(wanted, [broken, far], "the channel is gone")
    assert found.program is None
    assert "no bytecode in it" in found.note
    assert "no Python 3.11 either" in found.note


def find(installed: Installed, tmp_path: Path, channels: tuple[str, ...] = ()) -> HostPython:
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    cache = Cache(tmp_path / "cache")
    config = EnvConfig(engine="rattler", channels=channels)
    return host_python(installed, config, cache=cache, scratch=scratch, progress=SILENT)


def channel_with_python(mini: MiniChannel, *subdirs: str) -> Installed:
    """A channel with a Python for some platforms; that of this machine is the tests' own."""
    runs = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
    for subdir in subdirs:
        files = {"bin/python": Executable(runs)}
        mini.add("python", files, version=VERSION, build="h2_0_cpython", subdir=subdir)
    url = f"{mini.url}/{OTHER}/python-{VERSION}-h1_0_cpython.conda"
    return Installed((python(url=url),))


def test_the_same_version_is_installed_for_this_machine(mini: MiniChannel, tmp_path: Path) -> None:
    installed = channel_with_python(mini, OTHER, SUBDIRS[here()])
    found = find(installed, tmp_path)
    assert found == HostPython(tmp_path / "scratch/host-python/bin/python")


def test_without_it_in_the_channel_one_of_this_machine_serves(
    mini: MiniChannel, tmp_path: Path
) -> None:
    found = find(channel_with_python(mini, OTHER), tmp_path)
    assert found.program is not None
    assert f"{found.program} (Python {VERSION} for this machine" in found.note
    assert "another machine may write other bytes" in found.note


@pytest.mark.parametrize("url", ["", f"file:///{OTHER}/python-1-0.conda", "https://h/python.conda"])
def test_a_channel_that_nothing_tells_can_be_named(
    mini: MiniChannel, tmp_path: Path, url: str
) -> None:
    found = find(Installed((python(url=url),)), tmp_path)
    assert "nothing tells from which channel it came; --channel does" in found.note
    channel_with_python(mini, SUBDIRS[here()])
    found = find(Installed((python(url=url),)), tmp_path, channels=(mini.url,))
    assert found.note == ""


def test_a_python_that_nobody_has_leaves_sources_without_bytecode(tmp_path: Path) -> None:
    """Also those that came with bytecode: no time stamp of theirs is right in an image."""
    installed = Installed((python("3.99.1"),))
    environment = Environment(
        source="t",
        engine="",
        prefix=tmp_path,
        origin="",
        installed=installed,
        host_python=lambda: find(installed, tmp_path),
    )
    compiler = compiler_of(environment)
    assert compiler is not None
    source = bytes_entry("opt/env/lib/python3.99/m.py", b"x = 1")
    shipped = bytes_entry("opt/env/lib/python3.99/__pycache__/m.cpython-399.pyc", b"old")
    tree, report = with_bytecode(
        Tree([source, shipped]),
        compiler,
        dest_prefix="opt/env",
        scratch=tmp_path,
        checked=False,
        progress=SILENT,
    )
    assert list(tree) == [source]
    assert report.dropped == 1
    (note,) = bytecode_notes(report)
    assert "no Python 3.99 either (install one, and build again)" in note
