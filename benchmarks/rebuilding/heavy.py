"""Peak memory with workload W3, whose largest file has 300 MB: PyTorch."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.demo import ROOT, say
from benchmarks.running import measure

_WORKLOADS = ROOT / "benchmarks" / "workloads"
_COLD, _SAME, _LINE = "cold", "nothing changed", "application line changed"
_LIMITED = "--no-verify"


def peaks(folder: Path, channel: Path) -> dict[str, int]:
    """Build W3 in `folder` in several cases; return what was done -> bytes of the largest process.

    channel: with all workloads. Nothing is trained: what is asked is what slimpack takes.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("w3", "checks"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(_WORKLOADS / name, folder / name, ignore=ignored)
    _without_training(folder / "w3")
    found = {}
    for options in ((_LIMITED,), ()):
        for case in (_COLD, _SAME, _LINE):
            if case == _LINE:
                with (folder / "w3" / "app" / "main.py").open("a") as stream:
                    stream.write("\n# one line more\n")
            label = " ".join(("W3", *options, case))
            say(label)
            found[label] = _build(folder, channel, options)
    return found


def told(found: Mapping[str, int]) -> Iterator[str]:
    """Yield lines for the reader of the results."""
    if found:
        yield ""
        yield "Peak memory with W3 (PyTorch), of the largest process; with verification the image's"
        yield "own Python counts, too, which imports all modules. Asked: at most 400 MB."
        yield ""
        yield "| build | MB |"
        yield "| --- | ---: |"
        for label, size in found.items():
            yield f"| {label} | {size / 1e6:.0f} |"


def _build(folder: Path, channel: Path, options: tuple[str, ...]) -> int:
    command = (
        *(sys.executable, "-m", "slimpack", "build", "--channel", channel.as_uri()),
        *("--output", f"{folder / 'out.tar'}", "--quiet", "--progress", "none", *options),
    )
    cache = folder / "-".join(("cache", *options))
    env = {**os.environ, "PYTHONPATH": str(ROOT), "SLIMPACK_CACHE_DIR": str(cache)}
    return measure(command, cwd=folder / "w3", env=env).memory


def _without_training(config: Path) -> None:
    """Let the application be its sources: no model, which nobody asks for here."""
    path = config / "slimpack.toml"
    lines = path.read_text("utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith("prepare = ")]
    path.write_text("".join(kept), "utf-8")
