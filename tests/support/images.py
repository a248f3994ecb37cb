"""Images that tests build with the command line."""

from __future__ import annotations

import json
import os
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.running import measure
from tests.support.command import variables


@dataclass(frozen=True)
class Built:
    """What one run of ``slimpack build`` made.

    result: its --json. memory: bytes of the largest process that it was made of.
    """

    tag: str
    tar: Path
    layout: Path
    result: dict[str, Any]
    memory: int


def build(folder: Path, where: Path, cache: Path, *arguments: str) -> Built:
    """Run ``slimpack build`` in the folder `where`; outputs go to `folder`."""
    tag = f"slimpack-test/engine:{uuid.uuid4().hex}"
    tar, layout = folder / "image.tar", folder / "layout"
    command = [sys.executable, "-m", "slimpack", "build", "--tag", tag, "--json"]
    done = measure(
        [*command, "--output", str(tar), "--output", f"{layout}/", *arguments],
        cwd=where,
        env={**os.environ, **variables(cache)},
    )
    made = {"result": json.loads(done.output), "memory": done.memory}
    (folder / "made.json").write_text(json.dumps(made))
    return read_built(folder)


def read_built(folder: Path) -> Built:
    """Return what `build` made in a folder."""
    made = json.loads((folder / "made.json").read_text())
    tag = made["result"]["references"][0]
    return Built(tag, folder / "image.tar", folder / "layout", **made)
