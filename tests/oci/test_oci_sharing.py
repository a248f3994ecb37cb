"""Equal files of a layer become hard links; nobody who unpacks it sees a difference."""

from __future__ import annotations

import ctypes
import io
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimpack.errors import ImageError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import make_image
from slimpack.oci.layer import build_layer
from slimpack.oci.plan import LayerPlan, plan_layers
from slimpack.oci.rootfs import read_files
from slimpack.oci.sharing import MIN_SIZE, Duplicate, Shared, duplicates, share, share_all
from slimpack.oci.tar import tar_size, write_tar
from slimpack.tree import Entry, Kind, Tree, bytes_entry, directory_entry, symlink_entry
from tests.oci.oci_images import MTIME, need_tool

LICENCE = b"Permission is hereby granted. " * 40
LIBRARY = b"\x7fELF" + bytes(range(256)) * 8


def plan_of(*entries: Entry) -> LayerPlan:
    owners = tuple(sorted({entry.owner for entry in entries}))
    return LayerPlan("test", tuple(sorted(entries, key=lambda entry: entry.path)), owners)


def links(plan: LayerPlan) -> dict[str, str]:
    return {entry.path: entry.link for entry in plan.entries if entry.kind is Kind.HARDLINK}


def linked(*entries: Entry) -> dict[str, str]:
    return links(share(plan_of(*entries))[0])


def archive(plan: LayerPlan) -> bytes:
    out = io.BytesIO()
    write_tar(plan.entries, out, mtime=MTIME)
    return out.getvalue()


def test_equal_files_become_links_to_the_first_path() -> None:
    plan, shared = share(
        plan_of(
            bytes_entry("c/licence", LICENCE, owner="c"),
            bytes_entry("a/licence", LICENCE, owner="a"),
            bytes_entry("b/licence", LICENCE, owner="b"),
            bytes_entry("b/other", LICENCE[::-1], owner="b"),
        )
    )
    assert links(plan) == {"b/licence": "a/licence", "c/licence": "a/licence"}
    assert shared == Shared(2, 2 * len(LICENCE))
    assert plan.size == 2 * len(LICENCE)
    assert [entry.owner for entry in plan.entries] == ["a", "b", "b", "c"]
    assert (plan.name, plan.owners) == ("test", ("a", "b", "c"))


@pytest.mark.parametrize(
    "other",
    [
        bytes_entry("b", LICENCE, mode=0o755),
        replace(bytes_entry("b", LICENCE), uid=65532),
        replace(bytes_entry("b", LICENCE), gid=65532),
        bytes_entry("b", LICENCE[:-1] + b"!"),
        bytes_entry("b", b"!" + LICENCE[1:]),
        bytes_entry("b", LICENCE + b"!"),
        symlink_entry("b", "a"),
        directory_entry("b"),
    ],
)
def test_what_differs_in_anything_stays_a_file(other: Entry) -> None:
    assert linked(bytes_entry("a", LICENCE), other) == {}


@pytest.mark.parametrize(("size", "expected"), [(0, 0), (MIN_SIZE - 1, 0), (MIN_SIZE, 1)])
def test_small_files_stay_files(size: int, expected: int) -> None:
    assert len(linked(bytes_entry("a", b"x" * size), bytes_entry("b", b"x" * size))) == expected


def test_a_link_that_costs_more_than_the_content_is_not_made() -> None:
    far = "a" * 150 + "/file"  # the name of a target beyond 100 bytes needs a pax record: 1 KiB
    assert linked(bytes_entry(far, b"x" * 1024), bytes_entry("b", b"x" * 1024)) == {}
    assert linked(bytes_entry(far, b"x" * 1025), bytes_entry("b", b"x" * 1025)) == {"b": far}


def test_programs_and_libraries_are_linked_inside_one_folder_only() -> None:
    assert linked(
        bytes_entry("lib/p/libx.so", LIBRARY),
        bytes_entry("lib/p/libx.so.1", LIBRARY),
        bytes_entry("lib/q/libx.so", LIBRARY),
        bytes_entry("lib/q/libx.so.1", LIBRARY),
    ) == {"lib/p/libx.so.1": "lib/p/libx.so", "lib/q/libx.so.1": "lib/q/libx.so"}


def test_the_dynamic_linker_takes_hard_links_for_one_library(tmp_path: Path) -> None:
    """Why libraries of two folders are left alone."""
    library = find_spec("zstandard.backend_c")
    assert library is not None
    assert library.origin is not None
    places = [tmp_path / name / "lib.so" for name in ("first", "copy", "link")]
    for place in places:
        place.parent.mkdir()
    for place in places[:2]:
        shutil.copy(library.origin, place)
    places[2].hardlink_to(places[0])
    first, copy, link = (ctypes.CDLL(str(place))._handle for place in places)
    assert first == link
    assert first != copy


def test_a_library_is_told_by_its_content_however_it_is_read() -> None:
    class Trickle(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 1))

    def trickling(path: str) -> Entry:
        size = len(LIBRARY)
        return Entry(path, Kind.FILE, 0o644, size=size, opener=lambda: Trickle(LIBRARY))

    assert linked(trickling("p/x"), bytes_entry("q/x", LIBRARY)) == {}
    assert linked(trickling("p/x"), bytes_entry("p/y", LIBRARY)) == {"p/y": "p/x"}


def test_owners_that_stand_apart_are_left_alone() -> None:
    entries = [
        bytes_entry("app/a", LICENCE, owner="application"),
        bytes_entry("app/b", LICENCE, owner="application"),
        bytes_entry("opt/a", LICENCE, owner="p"),
        bytes_entry("opt/b", LICENCE, owner="p"),
    ]
    plan, shared = share(plan_of(*entries), apart=("application",))
    assert links(plan) == {"opt/b": "opt/a"}
    assert shared == Shared(1, len(LICENCE))


def test_no_link_leads_out_of_its_layer() -> None:
    tree = Tree(bytes_entry(f"opt/f{i}", LICENCE, owner="p") for i in range(5))
    plans, shared = share_all(plan_layers(tree, max_layer_bytes=2 * len(LICENCE)))
    assert [links(plan) for plan in plans] == [
        {"opt/f1": "opt/f0"},
        {"opt/f3": "opt/f2"},
        {},
    ]
    assert shared == Shared(2, 2 * len(LICENCE))
    assert share_all([]) == ([], Shared())


def counting(path: str, data: bytes, opened: list[str], owner: str = "") -> Entry:
    def opener() -> BinaryIO:
        opened.append(path)
        return io.BytesIO(data)

    return Entry(path, Kind.FILE, 0o644, owner, len(data), opener)


def test_only_what_may_be_equal_is_read_and_once() -> None:
    opened: list[str] = []
    share(
        plan_of(
            counting("a", bytes(1000), opened),
            counting("b", bytes(1000), opened),
            counting("alone", bytes(1001), opened),
            counting("small1", bytes(9), opened),
            counting("small2", bytes(9), opened),
            replace(counting("other", bytes(1000), opened), mode=0o755),
        )
    )
    assert opened == ["a", "b"]


def test_a_file_that_is_not_as_long_as_it_says_is_an_error() -> None:
    short = Entry("b", Kind.FILE, 0o644, size=1000, opener=lambda: io.BytesIO(bytes(999)))
    with pytest.raises(ImageError, match="b ended 1 bytes before"):
        share(plan_of(bytes_entry("a", bytes(1000)), short))


_CONTENTS = [b"", b"x", b"x" * 511, b"x" * 512, b"y" * 512, b"x" * 1024, b"x" * 1500, LIBRARY]
_NAMES = st.one_of(
    st.text("ab", min_size=1, max_size=3),
    st.sampled_from(["n" * 90, "m" * 140, "\u00e9"]),
)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    found: dict[str, Entry] = {}
    paths = st.lists(_NAMES, min_size=1, max_size=3).map("/".join)
    for path in draw(st.lists(paths, max_size=20, unique=True)):
        if draw(st.integers(0, 9)):
            mode = draw(st.sampled_from([0o644, 0o755]))
            found[path] = bytes_entry(path, draw(st.sampled_from(_CONTENTS)), mode=mode)
        else:
            found[path] = symlink_entry(path, draw(_NAMES))
    return Tree(
        entry
        for path, entry in found.items()
        if not any(path.startswith(f"{other}/") for other in found)
    )


def unpacked(data: bytes, folder: Path) -> dict[str, tuple[int, str, bytes]]:
    """Unpack with the standard library; return path -> mode, link target, content."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        tar.extractall(folder, filter="fully_trusted")
    found = {}
    for path in sorted(folder.rglob("*")):
        link = str(path.readlink()) if path.is_symlink() else ""
        content = path.read_bytes() if path.is_file() and not link else b""
        mode = 0 if link else path.lstat().st_mode
        found[str(path.relative_to(folder))] = (mode, link, content)
    return found


@settings(deadline=None, max_examples=60)
@given(trees())
def test_the_layer_unpacks_to_the_same_and_is_never_larger(tree: Tree) -> None:
    for plan in plan_layers(tree):
        linked_plan, shared = share(plan)
        with tempfile.TemporaryDirectory() as before, tempfile.TemporaryDirectory() as after:
            expected = unpacked(archive(plan), Path(before))
            assert unpacked(archive(linked_plan), Path(after)) == expected
        assert len(archive(linked_plan)) == tar_size(linked_plan.entries) <= tar_size(plan.entries)
        assert shared.files == len(links(linked_plan))
        assert shared.size == plan.size - linked_plan.size
        if shared.files:
            assert tar_size(linked_plan.entries) < tar_size(plan.entries)


@settings(deadline=None, max_examples=60)
@given(trees())
def test_the_same_plan_gives_the_same_links_and_they_stay(tree: Tree) -> None:
    for plan in plan_layers(tree):
        once = share(plan)[0]
        assert links(share(plan)[0]) == links(once)
        assert share(once) == (once, Shared())


def test_gnu_tar_makes_one_file_of_it(tmp_path: Path) -> None:
    need_tool("tar")
    entries = [bytes_entry(f"{name}/licence", LICENCE) for name in ("a", "b", "c" * 120)]
    plan, _ = share(plan_of(*entries))
    subprocess.run(["tar", "-xf", "-", "-C", tmp_path], input=archive(plan), check=True)
    files = [tmp_path / entry.path for entry in entries]
    assert [file.read_bytes() for file in files] == [LICENCE] * 3
    assert len({file.stat().st_ino for file in files}) == 1


def test_the_image_reads_back_with_its_links(tmp_path: Path) -> None:
    plan, _ = share(plan_of(*(bytes_entry(f"{name}/x", LICENCE, owner=name) for name in "abc")))
    layer = build_layer("t", plan.entries, blobs=BlobStore(tmp_path), mtime=MTIME)
    image = make_image([layer], ImageConfig())
    found = read_files(image, lambda path: True)
    assert found == {f"{name}/x": LICENCE for name in "abc"}


def test_identical_libraries_of_two_packages_are_found() -> None:
    other = LIBRARY[:-1] + b"!"
    big = LIBRARY * 4
    tree = Tree(
        [
            bytes_entry("lib/a/libgomp.so.1", LIBRARY, owner="a"),
            bytes_entry("lib/b/libgomp-1f2e.so.1.0.0", LIBRARY, owner="b"),
            bytes_entry("lib/b/copy.so", LIBRARY, owner="b"),
            bytes_entry("lib/c/differs.so", other, owner="c"),
            bytes_entry("lib/c/libgomp.so.1.txt", LIBRARY, owner="c", mode=0o755),
            bytes_entry("lib/c/notes", LIBRARY, owner="c"),
            bytes_entry("lib/p/big.so", big, owner="p"),
            bytes_entry("lib/q/big.so", big, owner="q"),
            bytes_entry("lib/p/script.so", LICENCE, owner="p"),  # text for the linker
            bytes_entry("lib/q/script.so", LICENCE, owner="q"),
            bytes_entry("lib/r/one.so", LIBRARY[::-1] * 2, owner="r"),
            bytes_entry("lib/r/two.so", LIBRARY[::-1] * 2, owner="r"),
            symlink_entry("lib/s/libgomp.so", "../a/libgomp.so.1", owner="s"),
        ]
    )
    found = duplicates(tree)
    assert [(d.size, d.wasted, d.copies) for d in found] == [
        (len(big), len(big), (("p", "lib/p/big.so"), ("q", "lib/q/big.so"))),
        (
            len(LIBRARY),
            3 * len(LIBRARY),
            (
                ("a", "lib/a/libgomp.so.1"),
                ("b", "lib/b/copy.so"),
                ("b", "lib/b/libgomp-1f2e.so.1.0.0"),
                ("c", "lib/c/libgomp.so.1.txt"),
            ),
        ),
    ]
    assert found == duplicates(reversed(list(tree)))


def test_libraries_of_one_package_are_not_even_read() -> None:
    opened: list[str] = []
    entries = [counting(f"lib/{i}.so", LIBRARY, opened, owner="a") for i in range(3)]
    assert duplicates(entries) == ()
    assert opened == []


def test_a_duplicate_tells_what_it_wastes() -> None:
    assert Duplicate("0" * 64, 10, (("a", "x"), ("b", "y"), ("c", "z"))).wasted == 20
