"""Results of stages: found as they were put, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimpack.cache.memo import MAX_DATA, Memo, digest_of, sealed, unsealed

KEY = "ab" * 32
OTHER = "cd" * 32


def test_what_was_put_is_found_by_another_build(tmp_path: Path) -> None:
    memo = Memo(tmp_path)
    assert memo.get("tree", KEY) is None
    memo.put("tree", KEY, b"data")
    memo.put("tree", OTHER, b"")
    later = Memo(tmp_path)
    assert later.get("tree", KEY) == b"data"
    assert later.get("tree", OTHER) == b""
    assert later.get("plan", KEY) is None
    assert memo.written == 4
    memo.put("tree", KEY, b"new")
    assert later.get("tree", KEY) == b"new"
    memo.remove("tree", KEY)
    memo.remove("tree", KEY)
    assert later.get("tree", KEY) is None


@pytest.mark.parametrize("cut", [0, 1, 15, 16, 40, 48, 60])
def test_a_truncated_file_is_removed(tmp_path: Path, cut: int) -> None:
    memo = Memo(tmp_path)
    memo.put("tree", KEY, b"some data of a stage")
    path = memo.path("tree", KEY)
    path.write_bytes(path.read_bytes()[:cut])
    assert memo.get("tree", KEY) is None
    assert not path.exists()


@given(data=st.binary(max_size=60), place=st.integers(0), change=st.integers(1, 255))
def test_no_changed_byte_is_believed(data: bytes, place: int, change: int) -> None:
    whole = sealed("tree", KEY, data)
    assert unsealed("tree", KEY, whole) == data
    place %= len(whole)
    changed = whole[:place] + bytes([whole[place] ^ change]) + whole[place + 1 :]
    assert unsealed("tree", KEY, changed) is None


def test_a_file_under_another_name_is_not_believed(tmp_path: Path) -> None:
    memo = Memo(tmp_path)
    memo.put("tree", KEY, b"data")
    for kind, key in (("tree", OTHER), ("plan", KEY)):
        path = memo.path(kind, key)
        path.parent.mkdir(parents=True)
        path.write_bytes(memo.path("tree", KEY).read_bytes())
        assert memo.get(kind, key) is None
        assert not path.exists()


def test_a_use_is_noted(tmp_path: Path) -> None:
    memo = Memo(tmp_path)
    memo.put("tree", KEY, b"data")
    os.utime(memo.path("tree", KEY), (1000, 1000))
    memo.get("tree", KEY)
    assert memo.path("tree", KEY).stat().st_mtime > 1_000_000


@pytest.mark.parametrize(
    ("kind", "key"),
    [("tree", "../" * 4), ("tree", "AB" * 32), ("../x", KEY), ("", KEY), ("tree", "ab\n" * 9)],
)
def test_names_that_would_lead_elsewhere_are_refused(tmp_path: Path, kind: str, key: str) -> None:
    memo = Memo(tmp_path)
    with pytest.raises(ValueError, match="not a kind and a key"):
        memo.put(kind, key, b"")


def test_a_folder_that_takes_nothing_is_one_note(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    memo = Memo(blocked)
    memo.put("tree", KEY, b"data")
    memo.put("tree", OTHER, b"data")
    assert memo.get("tree", KEY) is None
    (note,) = memo.notes.texts
    assert note.startswith(f"the cache {blocked} cannot be written (")
    assert memo.written == 0


def test_a_folder_in_the_place_of_a_file_is_no_data(tmp_path: Path) -> None:
    memo = Memo(tmp_path)
    memo.path("tree", KEY).mkdir(parents=True)
    assert memo.get("tree", KEY) is None
    memo.put("tree", KEY, b"data")
    assert memo.notes.texts


def test_what_is_too_large_is_not_kept(tmp_path: Path) -> None:
    memo = Memo(tmp_path)
    memo.put("tree", KEY, bytes(MAX_DATA + 1))
    assert not memo.path("tree", KEY).exists()
    memo.put("tree", KEY, b"")
    with memo.path("tree", KEY).open("r+b") as stream:
        stream.truncate(MAX_DATA + 100)  # sparse
    assert memo.get("tree", KEY) is None


def test_keys_tell_all_parts_apart() -> None:
    keys = [
        digest_of(),
        digest_of("a"),
        digest_of("a", ""),
        digest_of("", "a"),
        digest_of(["a"]),
        digest_of("1"),
        digest_of(1),
        digest_of(True),
        digest_of(None),
        digest_of({"a": 1}),
        digest_of({"a": "1"}),
        digest_of("\udc80"),
        digest_of("ä"),
    ]
    assert len(set(keys)) == len(keys)
    assert digest_of({"a": 1, "b": (2,)}) == digest_of({"b": [2], "a": 1})
    for odd in (b"bytes", Path("x"), {1: {2}}):
        with pytest.raises(TypeError):
            digest_of(odd)


class _Far:
    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def get_memo(self, kind: str, key: str) -> bytes | None:
        self.asked.append((kind, key))
        return b"far" if key == KEY else None


def test_another_place_is_asked_once_and_only_for_what_is_shared(tmp_path: Path) -> None:
    far = _Far()
    memo = Memo(tmp_path, far=far, shared={"plan"})
    assert memo.get("tree", KEY) is None
    assert memo.get("plan", OTHER) is None
    assert memo.get("plan", KEY) == b"far"
    assert memo.get("plan", KEY) == b"far"
    memo.put("plan", OTHER, b"own")
    assert far.asked == [("plan", OTHER), ("plan", KEY)]
    assert list(memo.used) == [("plan", KEY), ("plan", OTHER)]
