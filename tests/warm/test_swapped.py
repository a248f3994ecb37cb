"""One package changes: the image is what a build from nothing gives."""

from __future__ import annotations

import pytest

from benchmarks.channel import PLACEHOLDER, Executable, Symlink
from tests.elf.builder import make_elf
from tests.warm.lab import SITE, VERSION, Files, Lab


def test_nothing(lab: Lab) -> None:
    lab.known()


@pytest.mark.parametrize(
    ("name", "files", "gone"),
    [
        pytest.param("alpha", {f"{SITE}/alpha/__init__.py": "import beta # now\n"}, (), id="line"),
        pytest.param("alpha", {}, ("include/alpha.h",), id="dropped-file-gone"),
        pytest.param(
            "beta",
            {
                f"{SITE}/beta/core.py": "import alpha\n",
                f"{SITE}/beta/__pycache__/old.cpython-30.pyc": b"x",
                f"{SITE}/beta-1.0.dist-info/RECORD": "beta/__init__.py,,\nbeta/gone.py,,\n",
                f"{SITE}/beta-1.0.dist-info/METADATA": "Name: beta\nVersion: 1\n",
                "share/beta/prefix.txt": f"at {PLACEHOLDER}/lib\n",
                "share/beta/é\u3042.txt": "x" * 200,
                "bin/beta": Executable("#!/usr/bin/env python\n"),
            },
            (),
            id="files-of-many-kinds",
        ),
        pytest.param("gamma", {"site-packages/gamma/b.py": "x = 1\n"}, (), id="noarch"),
        pytest.param(
            "zulu",
            {
                "include/zulu.h": "int zulu;\n",
                "share/zulu/LICENSE": "free\n" * 200,  # as others have it
                "share/zulu/b.bin": b"\1" * 3_000_000,
            },
            (),
            id="bigger",
        ),
        pytest.param("zulu", {}, ("share/zulu/b.bin", "share/zulu/a.txt"), id="nothing-left"),
    ],
)
def test_swapped(lab: Lab, name: str, files: Files, gone: tuple[str, ...]) -> None:
    lab.change(name, files, *gone)
    lab.swapped(name)


@pytest.mark.parametrize(
    ("name", "files", "gone"),
    [
        pytest.param("zulu", {f"{SITE}/zulu/tests/test_a.py": "x = 1\n"}, (), id="new-tests"),
        pytest.param("zulu", {f"{SITE}/zulu.py": "import alpha.tests.test_alpha\n"}, (), id="asks"),
        pytest.param("alpha", {}, (f"{SITE}/alpha/tests/test_alpha.py",), id="tests-gone"),
        pytest.param("zulu", {"share/zulu/a.txt": "needs libplugin1.so\n"}, (), id="names-library"),
        pytest.param("zulu", {"lib/libzulu.so": make_elf()}, (), id="library"),
        pytest.param("zulu", {"share/zulu/link": Symlink("a.txt")}, (), id="link"),
        pytest.param("zulu", {"lib/.libnative.so.1.hmac": "00\n"}, (), id="seal"),
        pytest.param("zulu", {"bin/missing-tool": Executable("#!/bin/x\n")}, (), id="tool"),
        pytest.param("zulu", {"share/data/x.txt": "x\n"}, (), id="link-to-what-goes"),
        pytest.param("zulu", {"share/zoneinfo/right/UTC": "x\n"}, (), id="zone"),
        pytest.param(
            "zones", {"share/zoneinfo/right/UTC": "x\n"}, ("share/zoneinfo/UTC",), id="zones"
        ),
        pytest.param("zulu", {"etc/conda/activate.d/z.sh": "export Z=1\n"}, (), id="activation"),
        pytest.param("zulu", {"etc/conda/env_vars.d/z.json": '{"Z": "2"}'}, (), id="variables"),
        pytest.param("zulu", {"conda-meta/state": '{"env_vars": {"Z": "2"}}'}, (), id="state"),
        pytest.param("python", {f"lib/python{VERSION}/x.py": "x = 1\n"}, (), id="python"),
        pytest.param(
            "beta",
            {f"{SITE}/beta/tests/helpers.py": "from beta.tests import util\n"},
            (),
            id="tests-that-stay-ask-for-more",
        ),
        pytest.param("twin-one", {}, ("share/twins/same.txt",), id="shared-by-the-first"),
        pytest.param("twin-two", {}, ("share/twins/same.txt",), id="shared-by-the-other"),
        pytest.param("listed", {}, ("share/listed/a.txt",), id="in-a-RECORD-of-another"),
        pytest.param("zulu", {"share/twins/one.txt": "mine\n"}, (), id="taken-over"),
        pytest.param(
            "zulu",
            {f"{SITE}/zulu-1.0.dist-info/RECORD": "zulu.py,,\nbeta/__init__.py,,\n"},
            (),
            id="a-RECORD-that-lists-another's",
        ),
        pytest.param(
            "zulu", {f"{SITE}/alpha/__pycache__/x.cpython-30.pyc": b"x"}, (), id="old-bytecode"
        ),
        pytest.param("zulu", {f"{SITE}/alpha/more.py": "from .tests import x\n"}, (), id="folder"),
    ],
)
def test_the_same_as_from_nothing(lab: Lab, name: str, files: Files, gone: tuple[str, ...]) -> None:
    lab.change(name, files, *gone)
    lab.right()
