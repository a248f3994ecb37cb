from __future__ import annotations

import io
from dataclasses import replace
from typing import BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimpack.errors import RelocationError
from slimpack.tree import Entry, Tree, bytes_entry, symlink_entry
from slimpack.verify.prefixes import scanned

FORBIDDEN = (b"/scratch/b1",)


def read(tree: Tree, size: int) -> None:
    for entry in tree:
        with entry.open() as stream:
            while stream.read(size):
                pass


def leaks(data: bytes, size: int = 1 << 20, **options: object) -> bool:
    tree = scanned(Tree([bytes_entry("f", data)]), FORBIDDEN, origin="/opt/env", **options)  # type: ignore[arg-type]
    try:
        read(tree, size)
    except RelocationError:
        return True
    return False


@pytest.mark.parametrize("data", [b"/opt/env", b"x=/opt/env/bin", b"/opt/env\0", b"a /opt/env:b"])
def test_the_origin_is_found_as_a_whole_path(data: bytes) -> None:
    assert leaks(data)


@pytest.mark.parametrize("data", [b"/opt/env2", b"/opt/env-old/x", b"/opt/en", b"/opt/env.d"])
def test_another_path_is_not_the_origin(data: bytes) -> None:
    assert not leaks(data)


def test_a_file_as_packaged_may_speak_of_it_but_not_of_the_build() -> None:
    assert not leaks(b"install to /opt/env", vouched=lambda entry: True)
    assert leaks(b"/scratch/b1", vouched=lambda entry: True)


@given(st.binary(max_size=12), st.binary(max_size=12), st.integers(1, 30))
def test_chunks_do_not_matter(before: bytes, after: bytes, size: int) -> None:
    data = before + b"/opt/env" + after
    assert leaks(data, size) == leaks(data)


def test_a_reader_that_stops_at_the_size_does_not_escape() -> None:
    (entry,) = scanned(Tree([bytes_entry("f", b"/opt/env")]), FORBIDDEN, origin="/opt/env")
    with entry.open() as stream, pytest.raises(RelocationError, match="/f"):
        stream.read(entry.size)


def test_links_are_checked_at_once() -> None:
    with pytest.raises(RelocationError):
        scanned(Tree([symlink_entry("l", "/opt/env/x")]), FORBIDDEN, origin="/opt/env")
    scanned(Tree([symlink_entry("l", "/opt/env2/x")]), FORBIDDEN, origin="/opt/env")


def test_contents_stay_the_same() -> None:
    def opener() -> BinaryIO:
        return cast(BinaryIO, io.BytesIO(b"abc"))

    entry: Entry = replace(bytes_entry("f", b"abc"), opener=opener)
    (watched,) = scanned(Tree([entry]), FORBIDDEN, origin="/opt/env")
    assert watched.read() == b"abc"
