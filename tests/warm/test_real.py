"""The real Python, with packages that people use."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from benchmarks.channel.renew import one_line_more, renew
from slimpack.env.inputs.spec import EnvSpec
from slimpack.env.rattler.engine import RattlerEngine
from tests.support.channel import GLIBC, MiniChannel
from tests.warm.lab import Lab

pytestmark = pytest.mark.channel


def furnish(lab: Lab, engine: RattlerEngine, channel: str, *specs: str) -> None:
    """Take packages of a channel, with all that they need, into the lock."""
    lock = engine.solve(EnvSpec("t", (channel,), specs), "linux-64", GLIBC)
    for package in lock.packages:
        lab.packages[package.name] = Path(unquote(urlsplit(package.url).path))
    (lab.project / "app").mkdir()
    (lab.project / "app/main.py").write_text("import click\n")
    lab.config = '[slim]\nprofile = "serve"\n[[app.copy]]\nfrom = "app"\nto = "/app"\n'


def test_python(tmp_path: Path, channel: str, engine: RattlerEngine) -> None:
    lab = Lab(tmp_path, MiniChannel(tmp_path / "channel"), options=("--level", "1"))
    furnish(lab, engine, channel, "python 3.11.*", "click", "uvicorn")
    lab.warm()
    package = lab.packages["click"]
    lab.packages["click"] = renew(package, lab.channel.folder, one_line_more("click/core.py"))
    (lab.project / "app/main.py").write_text("import click, uvicorn\n")
    lab.swapped("click")
