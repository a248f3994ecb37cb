"""Every command that docs/report.md shows is run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from slimpack.cli import cli
from slimpack.oci.archive import write_archive
from tests.report.samples import image, layers, sample
from tests.support.channel import ROOT, Run

TEXT = (ROOT / "docs/report.md").read_text(encoding="utf-8")


def test_the_commands_work_as_shown(tmp_path: Path, run: Run) -> None:
    write_archive(sample(tmp_path), tmp_path / "serve.tar", ("serve:1.0",))
    old = image(*layers(tmp_path, version="0.9"))
    write_archive(old, tmp_path / "old.tar", ("serve:0.9",))
    (block,) = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    commands = [shlex.split(line, comments=True) for line in block.splitlines()]
    assert len(commands) >= 7
    for program, *arguments in commands:
        assert program == "slimpack"
        done = run(*arguments, cwd=tmp_path)
        assert done.stdout
    assert (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_the_options_exist() -> None:
    known = {
        name
        for command in ("report", "diff")
        for item in cli.commands[command].params
        for name in item.opts
    }
    shown = set(re.findall(r"`(--[a-z-]+)(?: FILE)?`", TEXT))
    assert {"--verify", "--start-up", "--exit-code", "--json"} <= shown
    assert shown <= known
