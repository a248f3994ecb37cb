"""Run commands of an image on this machine's GPU, in the sandbox that verify takes.

``python -m benchmarks.gpu.image_check IMAGE --out FILE -- python main.py -- python selftest.py``
unpacks the image, shows its programs the GPU as NVIDIA's container toolkit does
(`slimpack.sandbox.gpu`), and writes what they printed as JSON. Exit code 1 when one fails.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from slimpack.oci.read import read_image
from slimpack.sandbox import choose_sandbox, find_gpu
from slimpack.verify.context import Runner
from slimpack.verify.opening import open_image

_TAIL = 4000  # characters of output that are kept
_SECONDS = 240.0


def ran(runner: Runner, argv: Sequence[str]) -> dict[str, Any]:
    """Run one command as the image's user does, and as verify runs smoke tests."""
    done = runner.run(argv, timeout=_SECONDS, gpu=True)
    return {
        "argv": list(argv),
        "returncode": done.returncode,
        "timed_out": done.timed_out,
        "seconds": round(done.seconds, 1),
        "stdout": done.stdout.decode("utf-8", "replace")[-_TAIL:],
        "stderr": done.stderr.decode("utf-8", "replace")[-_TAIL:],
    }


def check(path: Path, commands: Sequence[Sequence[str]], sandbox: str) -> dict[str, Any]:
    """Run all commands, each in a root of its own."""
    image = read_image(path)
    gpu = find_gpu()
    chosen = choose_sandbox(sandbox)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        subject = open_image(image, folder / "root", str(path))
        with chosen.prepare(subject.root, image) as prepared:
            runner = Runner(prepared, subject, gpu)
            found = [ran(runner, argv) for argv in commands]
    return {
        "image": image.digest,
        "compressed": image.size,
        "sandbox": chosen.name,
        "kernel": platform.release(),
        "gpu": asdict(gpu) if gpu else None,
        "commands": found,
    }


def main() -> int:
    """Read the command line, run, print and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("image", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sandbox", default="auto")
    own, *rest = (
        list(words)
        for split, words in groupby(sys.argv[1:], lambda word: word == "--")
        if not split
    )
    options = parser.parse_args(own)
    result = check(options.image, rest, options.sandbox)
    text = json.dumps(result, indent=1)
    options.out.write_text(f"{text}\n", encoding="utf-8")
    print(text)
    return 0 if all(one["returncode"] == 0 for one in result["commands"]) else 1


if __name__ == "__main__":
    raise SystemExit(main())
