"""Where placeholders stand, and the arithmetic of putting paths there."""

from __future__ import annotations

from pathlib import Path

import pytest
from conda_pack.prefixes import binary_replace, text_replace
from hypothesis import given
from hypothesis import strategies as st

from slimpack.errors import RelocationError
from slimpack.portable import unpack_program
from slimpack.portable.records import PrefixedFile, find_records
from slimpack.portable.unpack_program import Record, find_steps
from slimpack.tree import Tree, bytes_entry, symlink_entry

OLD = b"/placeholder_of_packages"
# What surrounds a placeholder: bytes that could be mistaken for parts of paths, too.
AROUND = st.lists(
    st.sampled_from([OLD, b"\0", b"/", b"a", b"/a", b"bc", b"\xff", b"/placeholder", b"\n"])
).map(b"".join)
PREFIX = st.sampled_from(
    [b"/", b"/a", b"/ab", b"/a/b", b"/placeholder", b"/abc bc", b"/\xc3\xa9", OLD]
)


def record(data: bytes, mode: str) -> Record:
    return Record(b"f", OLD, mode, len(data), find_steps(data, OLD, mode))


def test_offsets_of_text_and_binary() -> None:
    place = OLD.decode()
    tree = Tree(
        [
            bytes_entry("text", b"a" + OLD + b"b" + OLD),
            bytes_entry("binary", OLD + b":" + OLD + b"/x\0\0y" + OLD),
            bytes_entry("clean", b"nothing"),
            symlink_entry("link", "text"),
        ]
    )
    names = ["text", "link", "clean", "gone"]
    listed = [PrefixedFile(name, place, "text") for name in [*names, "text"]]
    found = find_records(tree, [*listed, PrefixedFile("binary", place, "binary")])
    assert [(item.path, item.mode, item.size) for item in found] == [
        ("binary", "binary", 6 + 3 * len(OLD)),
        ("text", "text", 2 + 2 * len(OLD)),
    ]
    size = len(OLD)
    assert found[0].offsets == (0, size + 1, 2 * size + 6)
    assert found[0].steps == ((0, 0, 0), (1, 2, 2), (3, 0, 1))
    assert found[1].offsets == (1, size + 2)


@pytest.mark.parametrize("name", ["a\nb", "a\rimport os", "a\udcff"])
def test_names_that_the_program_cannot_hold_are_refused(name: str) -> None:
    tree = Tree([bytes_entry(name, OLD)])
    with pytest.raises(RelocationError, match="such a name"):
        find_records(tree, [PrefixedFile(name, OLD.decode(), "text")])


def test_two_placeholders_in_one_file_are_refused() -> None:
    tree = Tree([bytes_entry("f", OLD + b"/other")])
    with pytest.raises(RelocationError, match="two different"):
        find_records(
            tree, [PrefixedFile("f", OLD.decode(), "text"), PrefixedFile("f", "/other", "text")]
        )


@given(AROUND, st.sampled_from(["text", "binary"]), PREFIX)
def test_first_time_is_what_conda_pack_does(data: bytes, mode: str, new: bytes) -> None:
    data += b"\0"  # conda-pack leaves a string alone that the file's end ends
    ours = unpack_program.rewritten(data, record(data, mode), [], new)
    if mode == "text":
        assert ours == text_replace(data, OLD.decode(), new.decode())
    else:
        assert ours == binary_replace(data, OLD, new)


@given(AROUND, st.sampled_from(["text", "binary"]), st.lists(PREFIX, min_size=1))
def test_any_number_of_moves_is_as_good_as_one(data: bytes, mode: str, moves: list[bytes]) -> None:
    item = record(data, mode)
    moved = data
    known: list[bytes] = []
    for new in moves:
        # Whatever was known before may still be in the list: a run may have been cut off.
        known = [new, *(prefix for prefix in known if prefix != new)]
        moved = unpack_program.rewritten(moved, item, known, new)
        assert unpack_program.rewritten(moved, item, known, new) == moved
        assert moved == unpack_program.rewritten(data, item, [new], new)
    assert unpack_program.rewritten(moved, item, known, OLD) == data


@given(AROUND, st.sampled_from(["text", "binary"]), PREFIX, st.binary(max_size=60))
def test_another_file_is_refused_or_has_the_prefix(
    data: bytes, mode: str, new: bytes, other: bytes
) -> None:
    item = record(data, mode)
    try:
        after = unpack_program.rewritten(other, item, [new], new)
    except unpack_program.RefusedError as error:
        assert error.changed
    else:
        assert after == other or (item.steps and OLD in other)


def test_too_long_for_a_binary() -> None:
    data = b"a" + OLD + b"\0"
    with pytest.raises(unpack_program.RefusedError, match=r"has 25 bytes, this binary holds 24"):
        unpack_program.rewritten(data, record(data, "binary"), [], OLD + b"x")
    assert unpack_program.rewritten(data, record(data, "text"), [], OLD + b"x")


def test_a_file_with_a_name_that_looks_like_the_prefix_is_not_searched(tmp_path: Path) -> None:
    """After the first run ``/e`` is in the file; the words with /e in them stay."""
    data = OLD + b"/etc /e /else"
    item = record(data, "text")
    moved = unpack_program.rewritten(data, item, [], b"/e")
    assert moved == b"/e/etc /e /else"
    assert unpack_program.rewritten(moved, item, [b"/new", b"/e"], b"/new") == b"/new/etc /e /else"
