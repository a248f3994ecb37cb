"""The commands of docs/platforms.md, in their order, on a small project."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from slimpack.oci.index import images_of
from slimpack.oci.read import read_deliverable
from tests.support.channel import ROOT, Run

pytestmark = [pytest.mark.channel, pytest.mark.network, pytest.mark.sandbox]

TEXT = (ROOT / "docs/platforms.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = [shlex.split(line) for line in "".join(BLOCKS).splitlines()]
CONFIG = """
[env]
spec = "environment.yml"
channels = ["{channel}"]
glibc = "2.36"
[image]
name = "small"
tags = ["1"]
entrypoint = ["python", "/app/main.py"]
[verify]
enabled = false
[[app.copy]]
from = "app"
to = "/app"
"""


def test_the_commands_do_what_is_said(channel: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/main.py").write_text("import json, click\nprint(json.dumps({}))\n")
    (tmp_path / "environment.yml").write_text("dependencies: [python =3.11, click]\n")
    (tmp_path / "slimpack.toml").write_text(CONFIG.format(channel=channel))
    for program, *arguments in COMMANDS:
        assert program == "slimpack"
        run(*arguments, cwd=tmp_path)
    archives = [tmp_path / "dist" / name for name in ("image.tar", "layout", "small.tar")]
    whole, layout, small = (images_of(read_deliverable(path)) for path in archives)
    for images in (whole, layout, small):
        assert [image.platform.architecture for image in images] == ["amd64", "arm64"]
    assert [image.digest for image in whole] == [image.digest for image in layout]
    for one, other in zip(whole, small, strict=True):
        assert other.size < 0.7 * one.size
    lock = (tmp_path / "pixi.lock").read_text()
    assert "linux-64:" in lock
    assert "linux-aarch64:" in lock
    assert [command[1] for command in COMMANDS] == ["build", "lock", "trace", "trace", "build"]
