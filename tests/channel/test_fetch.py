"""Files of the local channel's sources, fetched for several platforms at once."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from benchmarks.channel import fetch
from benchmarks.channel.lock import LockedFile


def test_one_file_for_several_platforms_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"for all of them" * 100_000
    together = threading.Barrier(4)

    def read(address: str) -> bytes:
        together.wait(timeout=30)
        return data

    monkeypatch.setattr(fetch, "read_url", read)
    pin = LockedFile("1", "pool/tool_1_all.deb", hashlib.sha256(data).hexdigest())
    for turn in range(3):
        cache = tmp_path / str(turn)
        fetch.fetch_debian(cache, "mirror", [pin] * 4)
        assert [one.read_bytes() for one in cache.rglob("*") if one.is_file()] == [data]
