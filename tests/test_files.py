from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from slimpack.errors import SlimpackError
from slimpack.files import atomic_file


def write(path: Path, data: bytes) -> None:
    with atomic_file(path) as stream:
        stream.write(data)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def test_a_fifo_is_written_to(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(fifo.read_bytes()))
    reader.start()
    write(fifo, b"data")
    reader.join(10)
    assert got == [b"data"]
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_a_folder_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(SlimpackError, match="cannot write"):
        write(tmp_path / "folder", b"data")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
