"""The commands that docs/bundle.md shows for the far side, in their order."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.bundle.shipping import SERVE, bundle_of, packed
from tests.daemon.conftest import engine
from tests.daemon.images import own_image
from tests.registry.fake import Fake
from tests.support.channel import ROOT, Run
from tests.test_docs import blocks

__all__ = ["engine"]

TEXT = (ROOT / "docs/bundle.md").read_text(encoding="utf-8")
HOST = "registry.site:5000"
SECTIONS = TEXT.partition("## Apply")[2].partition("## Deltas")[0]
COMMANDS = [
    shlex.split(line)[1:]
    for block in blocks(SECTIONS, "sh")
    for line in block.splitlines()
    if line.startswith(("slimpack bundle apply ", "slimpack bundle inventory "))
]


@pytest.mark.engine
@pytest.mark.usefixtures("engine")
def test_the_commands_work_in_order(fake: Fake, run: Run, tmp_path: Path) -> None:
    bundle_of(tmp_path / "site.slimpack.tar", packed(own_image(tmp_path), SERVE), created=7)
    assert len(COMMANDS) > 5
    for command in COMMANDS:
        words = [word.replace(HOST, fake.host) for word in command]
        if "docker" in words:  # names of the tests' own there
            words = [word.replace("imported/", "slimpack-test/docs-") for word in words]
        assert run(*words, cwd=tmp_path).stdout, shlex.join(command)
