from __future__ import annotations

import time

import pytest

from slimpack.archive import links
from slimpack.archive.links import LinkError, Links, with_copies, without_links
from slimpack.errors import InputError
from slimpack.oci.tar import with_parents
from slimpack.tree import Entry, Tree, bytes_entry, symlink_entry


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("plain/file", "plain/file"),
        ("link", "dir/file"),
        ("up/file", "file"),
        ("chain", "dir/file"),
        ("gone/else", "nowhere/else"),
        ("root", ""),
        ("dir/back", ""),
    ],
)
def test_links_lead_where_a_kernel_would_go(path: str, place: str) -> None:
    known = {
        "link": "dir/file",
        "up": "dir/..",
        "chain": "./link",
        "gone": "nowhere",
        "root": ".",
        "dir/back": "..",
    }
    assert Links(known).follow(path) == place


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ({"l": ".."}, "out of"),
        ({"l": "a/../.."}, "out of"),
        ({"l": "/etc"}, "absolute"),
        ({"l": "missing/../../etc"}, "out of"),
        # Each alone stays inside by its letters; together they do not.
        ({"l": "deep/up/../..", "deep/up": "..", "deep": "."}, "out of"),
        ({"d/l": "s/..", "d/s": ".", "l": "d/l/../.."}, "out of"),
        ({"l": "l"}, "circle"),
        ({"l": "m", "m": "l"}, "circle"),
        ({f"l{i}" if i else "l": f"l{i + 1}/../l{i + 1}" for i in range(60)}, "circle"),
    ],
)
def test_links_that_leave_or_loop_are_refused(known: dict[str, str], why: str) -> None:
    with pytest.raises(LinkError, match=why):
        Links(known).follow("l")


def test_links_through_many_links_take_no_time() -> None:
    """Walked anew for each of them, it would be a hundred million steps."""
    chain = {f"c{n}": f"{'d/../' * 800}c{n + 1}" for n in range(38)}
    many = Links({**{f"l{n}": "c0" for n in range(3000)}, **chain})
    start = time.process_time()
    assert {many.follow(f"l{n}") for n in range(3000)} == {"c38"}
    assert time.process_time() - start < 5


def names(*entries: Entry) -> dict[str, str]:
    return {
        entry.path: entry.link or (entry.read().decode() if entry.opener else "/")
        for entry in without_links(with_parents(entries))
    }


def test_links_become_what_they_lead_to() -> None:
    entries = (
        bytes_entry("lib/a.so.1", b"a"),
        symlink_entry("lib/a.so", "a.so.1"),
        symlink_entry("lib64", "lib"),
        symlink_entry("python", "lib64/a.so"),
    )
    assert names(*entries) == {
        "lib": "/",
        "lib/a.so": "a",
        "lib/a.so.1": "a",
        "lib64": "/",
        "lib64/a.so": "a",
        "lib64/a.so.1": "a",
        "python": "a",
    }
    tree, origins = with_copies(Tree(entries))
    assert {entry.path for entry in tree} == set(names(*entries))
    assert origins == {
        "lib/a.so": "lib/a.so.1",
        "lib64/a.so": "lib/a.so.1",
        "lib64/a.so.1": "lib/a.so.1",
        "python": "lib/a.so.1",
    }


def test_links_without_a_copy_stay_links() -> None:
    assert names(
        bytes_entry("a/file", b"x"),
        symlink_entry("a/self", "."),
        symlink_entry("a/up", ".."),
        symlink_entry("a/gone", "missing"),
        symlink_entry("a/out", "../../etc"),
        symlink_entry("a/loop", "loop"),
    ) == {
        "a": "/",
        "a/file": "x",
        "a/self": ".",
        "a/up": "..",
        "a/gone": "missing",
        "a/out": "../../etc",
        "a/loop": "loop",
    }


def test_folders_that_lead_into_each_other_end() -> None:
    found = names(symlink_entry("a/b", "../b"), symlink_entry("b/a", "../a"))
    assert found == {
        "a": "/",
        "a/b": "/",
        "a/b/a": "/",
        "a/b/a/b": "../b",
        "b": "/",
        "b/a": "/",
        "b/a/b": "/",
        "b/a/b/a": "../a",
    }


def test_copies_of_copies_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "_MAX_COPIES", 10_000)
    doubling = [
        symlink_entry(f"d{level}/{side}", f"../d{level + 1}")
        for level in range(40)
        for side in "ab"
    ]
    with pytest.raises(InputError, match="more than 10000 files"):
        list(without_links(with_parents([*doubling, bytes_entry("d40/file", b"")])))


def test_a_path_of_two_thousand_folders_has_no_recursion() -> None:
    deep = "a/" * 2000 + "file"
    assert len(list(without_links(with_parents([bytes_entry(deep, b"")])))) == 2001
