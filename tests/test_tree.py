from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimpack.tree import (
    Entry,
    Kind,
    Tree,
    bytes_entry,
    check_path,
    directory_entry,
    file_entry,
    hardlink_entry,
    identified,
    parents,
    symlink_entry,
    under,
)


def test_sorted_and_unique() -> None:
    tree = Tree([bytes_entry("b", b"2"), bytes_entry("a", b"1"), directory_entry("c")])
    assert [entry.path for entry in tree] == ["a", "b", "c"]
    assert (tree.size, tree.files, len(tree)) == (2, 2, 3)
    with pytest.raises(ValueError, match="two entries for a"):
        Tree([bytes_entry("a", b""), bytes_entry("a", b"")])


class _Pieces(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert 0 < size <= 1 << 20
        return super().read(size)


def test_a_digest_is_taken_of_pieces() -> None:
    data = bytes(range(256)) * 10_000
    entry = Entry("big", Kind.FILE, 0o644, size=len(data), opener=lambda: _Pieces(data))
    assert entry.sha256() == hashlib.sha256(data).hexdigest()
    assert identified(entry).identity == f"sha256:{entry.sha256()}"


def test_nothing_below_a_file() -> None:
    with pytest.raises(ValueError, match="lies below a, a symlink"):
        Tree([symlink_entry("a", "/etc"), bytes_entry("a/passwd", b"")])


@pytest.mark.parametrize("path", ["", "/a", "a/", "a//b", "./a", "a/../b", "a\0b", ".."])
def test_refuses_paths_that_are_not_normal(path: str) -> None:
    with pytest.raises(ValueError):
        check_path(path)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="/\0")), min_size=1))
def test_accepted_paths_stay_inside_the_root(parts: list[str]) -> None:
    path = "/".join(parts)
    try:
        check_path(path)
    except ValueError:
        assert any(part in ("", ".", "..") for part in parts)
    else:
        assert os.path.normpath(f"/root/{path}").startswith("/root/")
        assert parents(path) == ["/".join(parts[:n]) for n in range(1, len(parts))]


def test_entry_of_a_file_does_not_depend_on_umask(tmp_path: Path) -> None:
    for mode, expected in ((0o600, 0o644), (0o666, 0o644), (0o700, 0o755), (0o4755, 0o755)):
        path = tmp_path / f"{mode:o}"
        path.write_bytes(b"x")
        path.chmod(mode)
        assert file_entry("f", path).mode == expected
    (tmp_path / "link").symlink_to("600")
    link = file_entry("l", tmp_path / "link")
    assert (link.kind, link.link, link.mode) == (Kind.SYMLINK, "600", 0o777)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ValueError, match="neither a file"):
        file_entry("x", tmp_path / "fifo")


def test_entry_checks_itself() -> None:
    with pytest.raises(ValueError, match="have an opener"):
        Entry("a", Kind.FILE, 0o644)
    with pytest.raises(ValueError, match="have a target"):
        Entry("a", Kind.DIRECTORY, 0o755, link="b")
    with pytest.raises(ValueError, match="has no content"):
        directory_entry("a").open()


def test_hard_links_repeat_a_file_and_have_no_content() -> None:
    link = hardlink_entry("b", "a", mode=0o640, owner="p", uid=1, gid=2)
    assert (link.kind, link.link, link.size, link.opener) == (Kind.HARDLINK, "a", 0, None)
    assert (link.mode, link.owner, link.uid, link.gid) == (0o640, "p", 1, 2)
    with pytest.raises(ValueError, match="b is a hardlink and has no content"):
        link.open()


@pytest.mark.parametrize("target", ["", "/a", "../a", "a/", "b"])
def test_hard_links_lead_to_another_path_of_the_image(target: str) -> None:
    with pytest.raises(ValueError):
        hardlink_entry("b", target, mode=0o644)


def test_only_files_have_a_size() -> None:
    with pytest.raises(ValueError, match="a hardlink has no size"):
        Entry("b", Kind.HARDLINK, 0o644, size=1, link="a")
    with pytest.raises(ValueError, match="a directory has no size"):
        Entry("b", Kind.DIRECTORY, 0o755, size=1)


def test_trees_have_no_hard_links() -> None:
    with pytest.raises(ValueError, match="b: a tree has no hard links"):
        Tree([bytes_entry("a", b"1"), hardlink_entry("b", "a", mode=0o644)])


def test_merge_replaces_and_filter_keeps() -> None:
    tree = Tree([bytes_entry("a", b"1"), bytes_entry("b", b"2")])
    merged = tree.merge([bytes_entry("b", b"33")])
    assert merged["b"].read() == b"33"
    assert tree["b"].read() == b"2"
    assert [e.path for e in merged.filter(lambda e: e.size == 2)] == ["b"]


def test_under() -> None:
    assert under("/opt/env", "bin/x") == "opt/env/bin/x"
    assert under("/", "bin/x") == "bin/x"
