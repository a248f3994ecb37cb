"""Paths of a subject, compared with what the system itself says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimpack.tree import Tree, bytes_entry, directory_entry, symlink_entry
from slimpack.verify.lookup import Lookup

TREE = Tree(
    [
        bytes_entry("a/file", b""),
        directory_entry("empty"),
        symlink_entry("link", "a"),
        symlink_entry("a/up", "../link/file"),
        symlink_entry("absolute", "/a/file"),
        symlink_entry("out", "/etc/passwd"),
        symlink_entry("round", "about"),
        symlink_entry("about", "round"),
        symlink_entry("above", "../../a/file"),
        symlink_entry("home", "/opt/env/a"),
    ]
)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a/file", "a/file"),
        ("a/./file", "a/file"),
        ("/", ""),
        ("/a", "a"),
        ("/empty", "empty"),
        ("/link/file", "a/file"),
        ("/link/up", "a/file"),
        ("/absolute", "a/file"),
        ("/../../a/file", "a/file"),
        ("/above", "a/file"),
        ("/out", None),
        ("/round", None),
        ("/a/file/x", None),
        ("/a/file/..", None),
        ("/gone", None),
        ("/home/file", None),
    ],
)
def test_in_an_image(path: str, expected: str | None) -> None:
    assert Lookup(TREE).resolve(path) == expected


def test_in_a_folder_of_this_machine() -> None:
    lookup = Lookup(TREE, "/opt/env")
    assert lookup.resolve("/opt/env/a/file") == "a/file"
    assert lookup.resolve("home/file") == "a/file"
    assert lookup.resolve("/a/file") is None
    assert lookup.resolve("above") is None
    assert lookup.is_outside("/a/file")
    assert lookup.is_outside("/opt/environment")
    assert not lookup.is_outside("/opt/env/gone")


def test_relative_to_a_folder() -> None:
    assert Lookup(TREE).resolve("../link/file", "a") == "a/file"


PARTS = st.sampled_from(["a", "b", "c", "..", "."])


@settings(max_examples=200, deadline=None)
@given(
    links=st.dictionaries(st.sampled_from("abc"), st.lists(PARTS, min_size=1, max_size=4)),
    path=st.lists(PARTS, min_size=1, max_size=5),
)
def test_as_the_system_does(
    tmp_path_factory: pytest.TempPathFactory, links: dict[str, list[str]], path: list[str]
) -> None:
    # Two folders deep, so that a way up stays below the top.
    top = tmp_path_factory.mktemp("top")
    where = top.joinpath(*"123456789")
    (where / "a").mkdir(parents=True)
    (where / "a/b").write_text("")
    (where / "a/c").symlink_to("b")
    for name, target in links.items():
        if name != "a":
            (where / name).symlink_to("/".join(target))
    entries = [
        bytes_entry("1/2/3/4/5/6/7/8/9/a/b", b""),
        symlink_entry("1/2/3/4/5/6/7/8/9/a/c", "b"),
    ]
    entries += [
        symlink_entry(f"1/2/3/4/5/6/7/8/9/{name}", "/".join(target))
        for name, target in links.items()
        if name != "a"
    ]
    found = Lookup(Tree(entries), str(top)).resolve("/".join(path), "1/2/3/4/5/6/7/8/9")
    try:
        os.stat(f"{where}/{'/'.join(path)}")  # noqa: PTH116 (realpath goes back over files)
        expected = os.path.realpath(where / "/".join(path), strict=True)
    except OSError:
        assert found is None
        return
    assert found is not None
    assert (top / found).resolve() == Path(expected) == top / found
