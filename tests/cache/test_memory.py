"""Scratch folders in memory: private, gone afterwards, and only where there is room."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from slimpack.cache import memory
from slimpack.cache.memory import free_memory, memory_scratch


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that counts as a tmpfs with room for a million bytes."""
    monkeypatch.setattr(memory, "_is_fit", lambda _, size, __: size <= 1_000_000 * memory._SHARE)
    return tmp_path


def test_a_folder_is_private_and_gone_afterwards(place: Path) -> None:
    with memory_scratch(1_000_000, 10, place) as scratch:
        assert scratch is not None
        assert scratch.is_relative_to(place / f"slimpack-{os.geteuid()}")
        (scratch / "file").write_bytes(b"1")
        own = place / f"slimpack-{os.geteuid()}"
        assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert not scratch.exists()


def test_without_room_there_is_none(place: Path) -> None:
    with memory_scratch(1_000_001, 10, place) as scratch:
        assert scratch is None
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("trap", ["open", "link", "file"])
def test_what_somebody_else_may_have_made_is_not_used(place: Path, trap: str) -> None:
    own = place / f"slimpack-{os.geteuid()}"
    if trap == "open":
        own.mkdir()
        own.chmod(0o755)
    elif trap == "link":
        (place / "elsewhere").mkdir(mode=0o700)
        own.symlink_to("elsewhere")
    else:
        own.touch(0o700)
    with memory_scratch(1, 1, place) as scratch:
        assert scratch is None


def test_what_a_killed_build_left_goes(place: Path) -> None:
    with memory_scratch(1, 1, place):
        pass
    left = place / f"slimpack-{os.geteuid()}" / "tmp" / "bleft"
    left.mkdir()
    with memory_scratch(1, 1, place):
        assert not left.exists()


def test_a_folder_on_a_disk_is_no_memory(tmp_path: Path) -> None:
    with memory_scratch(1, 1, tmp_path) as scratch:
        assert scratch is None


def test_the_tightest_group_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = free_memory()
    assert machine > 0
    group = tmp_path / "above"
    group.mkdir()
    (group / "memory.max").write_text("5000\n")
    (group / "memory.current").write_text("2000\n")
    (group / "within").mkdir()
    (group / "within" / "memory.max").write_text("max\n")
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path)
    monkeypatch.setattr(memory, "_own_groups", lambda: {"": "/above/within"})
    assert free_memory() == 3000
