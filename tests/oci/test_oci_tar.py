"""The tar writer: what it writes is what others read."""

from __future__ import annotations

import io
import random
import subprocess
import tarfile
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimpack.errors import ImageError
from slimpack.oci.digest import sha256
from slimpack.oci.tar import tar_header, tar_size, with_parents, write_tar
from slimpack.oci.untar import TarReader
from slimpack.tree import (
    Entry,
    Kind,
    bytes_entry,
    directory_entry,
    hardlink_entry,
    symlink_entry,
)
from tests.oci.oci_images import MTIME, need_tool, sample_tree

_SEGMENT = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12),
    st.text("ab-_.", min_size=1, max_size=180),
).filter(lambda part: part not in (".", ".."))
_PATH = st.lists(_SEGMENT, min_size=1, max_size=4).map("/".join)


@st.composite
def entries(draw: st.DrawFn) -> list[Entry]:
    found: dict[str, Entry] = {}
    for path in sorted(draw(st.lists(_PATH, max_size=12, unique=True))):
        kind = draw(st.sampled_from(Kind))
        files = [entry for entry in found.values() if entry.kind is Kind.FILE]
        mode = draw(st.integers(0, 0o7777))
        if kind is Kind.FILE:
            size = draw(st.sampled_from([0, 1, 511, 512, 513, 1500]))
            entry = bytes_entry(path, b"x" * size, mode=mode)
        elif kind is Kind.SYMLINK:
            entry = symlink_entry(path, draw(_PATH))
        elif kind is Kind.HARDLINK and files:
            target = draw(st.sampled_from(files))
            entry = hardlink_entry(path, target.path, mode=target.mode)
        else:
            entry = directory_entry(path, mode=mode, uid=draw(st.integers(0, 2**31)), gid=3)
        found[path] = entry
    blocked = [path for path, entry in found.items() if entry.kind is not Kind.DIRECTORY]
    kept = [e for p, e in found.items() if not any(p.startswith(f"{b}/") for b in blocked)]
    paths = {entry.path for entry in kept}
    return [e for e in kept if e.kind is not Kind.HARDLINK or e.link in paths]


def written(members: list[Entry], mtime: int = MTIME) -> bytes:
    out = io.BytesIO()
    assert write_tar(members, out, mtime=mtime) == len(out.getvalue())
    return out.getvalue()


@settings(deadline=None)
@given(entries())
def test_tarfile_reads_back_what_was_written(members: list[Entry]) -> None:
    archive = written(members)
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
        found = tar.getmembers()
        content = {m.name: tar.extractfile(m).read() for m in found if m.isreg()}  # type: ignore[union-attr]
    expected = with_parents(members)
    assert [m.name for m in found] == [e.path for e in expected]
    assert [(m.mode, m.uid, m.gid, m.mtime, m.uname, m.gname) for m in found] == [
        (e.mode, e.uid, e.gid, MTIME, "", "") for e in expected
    ]
    links = {m.name: (m.issym(), m.linkname) for m in found if m.issym() or m.islnk()}
    assert links == {e.path: (e.kind is Kind.SYMLINK, e.link) for e in expected if e.link}
    assert [m.name for m in found if m.isdir()] == [
        e.path for e in expected if e.kind is Kind.DIRECTORY
    ]
    assert content == {e.path: e.read() for e in expected if e.kind is Kind.FILE}


@settings(deadline=None)
@given(entries())
def test_size_is_known_in_advance(members: list[Entry]) -> None:
    assert tar_size(members) == len(written(members))


@settings(deadline=None)
@given(entries(), st.randoms(use_true_random=False))
def test_order_of_input_does_not_matter(members: list[Entry], rng: random.Random) -> None:
    shuffled = list(members)
    rng.shuffle(shuffled)
    assert written(shuffled) == written(members)


@settings(max_examples=30, deadline=None)
@given(entries())
def test_gnu_tar_lists_the_same(members: list[Entry]) -> None:
    need_tool("tar")
    listing = subprocess.run(
        ["tar", "-tf", "-", "--quoting-style=literal", "--null"],
        input=written(members),
        capture_output=True,
        check=True,
    )
    expected = "".join(
        e.path + ("/\n" if e.kind is Kind.DIRECTORY else "\n") for e in with_parents(members)
    )
    assert listing.stdout == expected.encode()


def test_short_ascii_names_need_no_pax_record() -> None:
    long = "a" * 99 + "/" + "b" * 100  # fits prefix and name
    archive = written([bytes_entry(long, b""), symlink_entry("l", "t" * 100)])
    assert len(archive) == 512 * (1 + 1 + 1 + 2)
    assert b"PaxHeader" not in archive


@pytest.mark.parametrize(
    "entry",
    [
        bytes_entry("a" * 101, b""),
        bytes_entry("\u00e9", b""),
        symlink_entry("l", "t" * 101),
        hardlink_entry("l", "t" * 101, mode=0o644),
        hardlink_entry("l", "\u00e9", mode=0o644),
        directory_entry("d", uid=8**7),
        directory_entry("d" * 100),  # a directory's slash is the 101st character
    ],
)
def test_other_names_get_one(entry: Entry) -> None:
    assert b"PaxHeader" in tar_header(entry, 0)


@pytest.mark.parametrize("size", [8**11 - 1, 8**11, 9 << 40])
def test_sizes_beyond_8_gib(size: int) -> None:
    entry = Entry("big", Kind.FILE, 0o644, size=size, opener=io.BytesIO)
    header = tar_header(entry, 0)
    assert (b"PaxHeader" in header) == (size >= 8**11)
    with tarfile.open(fileobj=io.BytesIO(header), mode="r:") as tar:
        member = tar.next()
    assert member is not None
    assert member.size == size
    assert tar_size([entry]) == len(header) + size + -size % 512 + 1024


def test_names_that_are_not_utf8_survive() -> None:
    name = b"caf\xe9-\xff" * 20
    entry = bytes_entry(name.decode("utf-8", "surrogateescape"), b"x")
    with tarfile.open(fileobj=io.BytesIO(written([entry])), mode="r:") as tar:
        assert [m.name.encode("utf-8", "surrogateescape") for m in tar] == [name]


def test_parents_are_written_once_and_an_entry_of_their_own_wins() -> None:
    members = with_parents(
        [
            bytes_entry("tmp/a/x", b""),
            bytes_entry("tmp/a/y", b""),
            directory_entry("tmp", mode=0o1777),
        ]
    )
    assert [(m.path, m.mode) for m in members] == [
        ("tmp", 0o1777),
        ("tmp/a", 0o755),
        ("tmp/a/x", 0o644),
        ("tmp/a/y", 0o644),
    ]


def test_two_entries_of_one_path_are_refused() -> None:
    with pytest.raises(ImageError, match="claim etc/x"):
        tar_size([bytes_entry("etc/x", b""), bytes_entry("etc/x", b"")])


def test_an_entry_below_a_file_is_refused() -> None:
    with pytest.raises(ImageError, match="a/b/c lies below a/b, a file"):
        tar_size([bytes_entry("a/b/c", b""), bytes_entry("a/b", b"")])


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (bytes_entry("else", b""), "b is a hard link to a, which is not in the same layer"),
        (directory_entry("a"), "b is a hard link to a, a directory"),
        (bytes_entry("a/x", b""), "b is a hard link to a, a directory"),
        (symlink_entry("a", "x"), "b is a hard link to a, a symlink"),
        (bytes_entry("a", b"", mode=0o755), "another mode or owner"),
        (replace(bytes_entry("a", b""), uid=1), "another mode or owner"),
        (replace(bytes_entry("a", b""), gid=1), "another mode or owner"),
    ],
)
def test_a_hard_link_to_anything_but_its_file_is_refused(target: Entry, message: str) -> None:
    link = hardlink_entry("b", "a", mode=0o644)
    with pytest.raises(ImageError, match=message):
        with_parents([link, target])
    with pytest.raises(ImageError, match=message):
        written([link, target])


def test_a_hard_link_to_a_link_is_refused() -> None:
    file, link = bytes_entry("a", b"x"), hardlink_entry("b", "a", mode=0o644)
    with pytest.raises(ImageError, match="c is a hard link to b, a hardlink"):
        written([file, link, hardlink_entry("c", "b", mode=0o644)])


def test_members_stand_where_the_compressor_finds_them_again() -> None:
    expected = [
        directory_entry("a"),
        directory_entry("a/__pycache__"),
        directory_entry("a/b"),
        directory_entry("bin"),
        bytes_entry("LICENSE", b""),
        bytes_entry("a/x.py", b""),
        bytes_entry("a/__pycache__/x.cpython-311.opt-1.pyc", b""),
        bytes_entry("a/__pycache__/x.cpython-311.pyc", b""),
        symlink_entry("a/y.py", "x.py"),
        bytes_entry("a/b/z.txt", b""),
        bytes_entry("a/b/lib.so.1", b"x"),
        bytes_entry("bin/run", b"x", mode=0o755),
        hardlink_entry("a/again.so", "bin/run", mode=0o755),
    ]
    for members in (expected, expected[::-1]):
        assert with_parents(members) == expected


def test_an_entry_below_a_hard_link_is_refused() -> None:
    link = hardlink_entry("b", "a", mode=0o644)
    with pytest.raises(ImageError, match="b/c lies below b, a hardlink"):
        written([bytes_entry("a", b"x"), link, bytes_entry("b/c", b"")])


@settings(max_examples=30, deadline=None)
@given(entries())
def test_our_own_reader_reads_back_what_was_written(members: list[Entry]) -> None:
    kinds = {"file": Kind.FILE, "directory": Kind.DIRECTORY}
    kinds |= {"symlink": Kind.SYMLINK, "hardlink": Kind.HARDLINK}
    reader = TarReader(io.BytesIO(written(members)), "test")
    found = [(m.path, kinds[m.kind], m.mode, m.uid, m.gid, m.size, m.link) for m in reader]
    assert found == [
        (e.path, e.kind, e.mode, e.uid, e.gid, e.size, e.link) for e in with_parents(members)
    ]


@pytest.mark.parametrize("size", [0, 3, (1 << 20) + 3])
def test_content_shorter_than_its_size_is_refused(size: int) -> None:
    entry = Entry("usr/f", Kind.FILE, 0o644, size=size + 5, opener=lambda: io.BytesIO(bytes(size)))
    with pytest.raises(ImageError, match="usr/f ended 5 bytes before"):
        written([entry])


@pytest.mark.parametrize("size", [1, 5, (1 << 20) - 1, 1 << 20])
def test_content_longer_than_its_size_is_refused(size: int) -> None:
    entry = Entry("usr/f", Kind.FILE, 0o644, size=size, opener=lambda: io.BytesIO(bytes(size + 1)))
    with pytest.raises(ImageError, match="usr/f has more than its"):
        written([entry])


def test_a_file_that_cannot_be_opened_is_named() -> None:
    def gone() -> io.BytesIO:
        raise FileNotFoundError(2, "No such file or directory")

    entry = Entry("usr/f", Kind.FILE, 0o644, size=1, opener=gone)
    with pytest.raises(ImageError, match="usr/f: No such file"):
        written([entry])


def test_a_stream_that_gives_little_at_a_time_is_read_to_its_end() -> None:
    class Trickle(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 7))

    entry = Entry("f", Kind.FILE, 0o644, size=1000, opener=lambda: Trickle(b"z" * 1000))
    assert written([entry]) == written([bytes_entry("f", b"z" * 1000)])


@pytest.mark.parametrize("mtime", [-1, 8**11])
def test_times_that_tar_cannot_hold(mtime: int) -> None:
    with pytest.raises(ImageError, match="cannot hold the time"):
        written([], mtime)


def test_progress_adds_up_to_the_size() -> None:
    seen: list[int] = []
    members = [bytes_entry("f", bytes(3 << 20)), bytes_entry("g", b"x")]
    total = write_tar(members, io.BytesIO(), mtime=0, advance=seen.append)
    assert sum(seen) == total == tar_size(members)
    assert len(seen) > 1


def test_golden_digest() -> None:
    """Changes of this digest change every image that anybody has built: have a reason."""
    assert sha256(written(list(sample_tree()))) == GOLDEN


GOLDEN = "sha256:eb762293bb76e89e5afd4cd41afc7ddcd0f5aae20687d6a5602285d00902623d"
