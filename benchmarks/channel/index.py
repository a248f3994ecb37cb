"""Write ``repodata.json`` and ``repodata.json.zst`` of a channel, with py-rattler."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import zstandard

from benchmarks.channel.errors import ChannelError

# py-rattler's event loop sometimes crashes the interpreter at exit, after the work is done: it
# runs in a process of its own, which leaves without the interpreter's clean-up.
_WORKER = """
import asyncio, os, sys
from rattler.index import index_fs
asyncio.run(index_fs(sys.argv[1], write_zst=True, write_shards=False, force=True))
sys.stdout.flush()
os._exit(0)
"""


def index_channel(channel: Path) -> None:
    """Index every ``<channel>/<subdir>/`` folder; ``noarch`` is made if it is missing."""
    (channel / "noarch").mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", _WORKER, str(channel.resolve())]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise ChannelError(f"cannot index the channel {channel}: {lines[-1]}")
    for path in channel.glob("*/repodata.json"):
        data = normalized(path.read_bytes())
        replace(path, data)
        replace(path.with_name("repodata.json.zst"), zstandard.ZstdCompressor(19).compress(data))


def normalized(repodata: bytes) -> bytes:
    """Return an index without the time at which it was made: the same packages give the same bytes.

    Installers copy that time into ``conda-meta``, and so it would reach the image.
    """
    table = json.loads(repodata)
    for section in ("packages", "packages.conda"):
        for record in table.get(section, {}).values():
            record.pop("indexed_timestamp", None)
    return json.dumps(table, sort_keys=True, separators=(",", ":")).encode()


def replace(path: Path, data: bytes) -> None:
    """Write a file at once."""
    draft = path.with_name(f".{path.name}.tmp")
    draft.write_bytes(data)
    draft.replace(path)
