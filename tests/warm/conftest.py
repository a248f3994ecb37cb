"""An environment of small packages that was built once, and its cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.channel import PLACEHOLDER, Executable, Symlink
from tests.elf.builder import make_elf
from tests.support.channel import MiniChannel
from tests.warm.lab import SITE, Lab

RULES = """
[[rule]]
name = "plugins"
reason = "libraries that nobody opens"
paths = ["lib/libplugin*.so*"]
when = "unmentioned"

[[rule]]
name = "big-data"
reason = "not wanted"
paths = ["share/data"]
"""
CONFIG = """
[image]
entrypoint = ["python", "/app/main.py"]
[slim]
profile = "serve"
rules = ["rules.toml"]
[[app.copy]]
from = "app"
to = "/app"
"""


def furnish(lab: Lab) -> None:
    """Make a project with packages of most kinds, for builds with the profile serve."""
    lab.python()
    lab.put(
        "alpha",
        {
            f"{SITE}/alpha/__init__.py": "import beta\n",
            f"{SITE}/alpha/tests/test_alpha.py": "import alpha\n",
            "include/alpha.h": "int alpha;\n",
        },
    )
    lab.put(
        "beta",
        {
            f"{SITE}/beta/__init__.py": "from beta.tests import helpers\n",
            f"{SITE}/beta/tests/__init__.py": "",
            f"{SITE}/beta/tests/helpers.py": "VALUE = 1\n",
            f"{SITE}/beta/tests/util.py": "VALUE = 2\n",
            f"{SITE}/beta/tests/test_core.py": "import beta\n",
            f"{SITE}/beta-1.0.dist-info/METADATA": "Name: beta\n",
            f"{SITE}/beta-1.0.dist-info/RECORD": "beta/__init__.py,,\nbeta-1.0.dist-info/RECORD,,",
            "share/beta/prefix.txt": f"{PLACEHOLDER}/share\n",
            "share/licenses/beta/LICENSE": "free\n" * 200,
            "bin/beta": Executable("#!/usr/bin/env python\nimport beta\n"),
        },
    )
    lab.put(
        "gamma",
        {
            "site-packages/gamma/__init__.py": "import os\n\ndef main():\n    return 0\n",
            "site-packages/gamma/data.txt": "data\n" * 300,
        },
        noarch="python",
        depends=("python",),
        entry_points=("gamma = gamma:main",),
    )
    lab.put(
        "links",
        {
            "lib/docs": Symlink("../share/data"),
            "share/links/one.txt": "one\n",
            f"{SITE}/links-1.0.dist-info/RECORD": "links.py,,\n../../../share/listed/a.txt,,\n",
            "bin/nothing": Symlink("../lib/nothing"),
            "bin/linked": Executable("#!/usr/bin/env missing-tool\n"),
        },
    )
    lab.put("listed", {"share/listed/a.txt": "a\n", "share/listed/b.txt": "b\n"})
    lab.put(
        "native",
        {
            "lib/libnative.so.1": make_elf(needed=("libc.so.6",)),
            "lib/libplugin1.so": make_elf(),
            "lib/libplugin2.so": make_elf(),
            f"{SITE}/native.py": "open('libplugin2.so')\n",
            "share/licenses/native/LICENSE": "free\n" * 200,
        },
    )
    lab.put("twin-one", {"share/twins/same.txt": "same\n", "share/twins/one.txt": "1\n"})
    lab.put("twin-two", {"share/twins/same.txt": "same\n", "share/twins/two.txt": "2\n"})
    lab.put("tzdata", {f"{SITE}/tzdata/zoneinfo/UTC": "utc\n"})
    lab.put("zones", {"share/zoneinfo/UTC": "utc\n"}, noarch="generic")
    lab.put("zulu", {"share/zulu/a.txt": "a\n", "share/zulu/b.bin": b"\0" * 5000})
    lab.config = CONFIG
    (lab.project / "rules.toml").write_text(RULES)
    (lab.project / "app").mkdir()
    (lab.project / "app/main.py").write_text("import alpha\n")
    (lab.project / "app/tool.py").write_text("x = 1\n")


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The project after its first build. Nobody may change it."""
    folder = tmp_path_factory.mktemp("furnished")
    lab = Lab(folder, MiniChannel(folder / "channel"))
    furnish(lab)
    lab.warm()
    return lab


@pytest.fixture
def lab(furnished: Lab, tmp_path: Path) -> Lab:
    """The project with a cache of the test's own, which knows the first build."""
    return furnished.copy(tmp_path)
