"""The tar reader: reads what others write, refuses what is malformed."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimpack.errors import ImageError
from slimpack.oci.tar import write_tar
from slimpack.oci.untar import Member, TarReader
from slimpack.tree import bytes_entry


def read(archive: bytes) -> list[tuple[Member, bytes]]:
    reader = TarReader(io.BytesIO(archive), "test")
    return [(member, reader.read(member.size)) for member in reader]


def info(
    name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = ""
) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.size, found.linkname = kind, size, link
    return found


def archived(*members: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=form) as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"c" * member.size))
    return out.getvalue()


_NAME = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=70).filter(
        lambda part: part not in (".", "..")
    ),
    min_size=1,
    max_size=5,
).map("/".join)


@settings(deadline=None)
@given(
    st.lists(st.tuples(_NAME, st.integers(0, 1500)), max_size=8),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
)
def test_reads_what_tarfile_writes(files: list[tuple[str, int]], form: int) -> None:
    found = read(archived(*(info(name, size=size) for name, size in files), form=form))
    assert [(member.path, content) for member, content in found] == [
        (name, b"c" * size) for name, size in files
    ]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_kinds_and_links(form: int) -> None:
    archive = archived(
        info("./", tarfile.DIRTYPE),
        info("./d/", tarfile.DIRTYPE),
        info("/d/f", size=600),
        info("d/s", tarfile.SYMTYPE, link="/d/f"),
        info("d/h", tarfile.LNKTYPE, link="./d/f"),
        info("d/null", tarfile.CHRTYPE),
        form=form,
    )
    assert [(m.path, m.kind, m.size, m.link) for m, _ in read(archive)] == [
        ("", "directory", 0, ""),
        ("d", "directory", 0, ""),
        ("d/f", "file", 600, ""),
        ("d/s", "symlink", 0, "/d/f"),
        ("d/h", "hardlink", 0, "d/f"),
        ("d/null", "other", 0, ""),
    ]


def test_large_numbers_of_gnu_and_pax() -> None:
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        member = info("f")
        member.uid = 2**31
        assert read(archived(member, form=form))[0][0].uid == 2**31


def test_offsets_point_at_the_content() -> None:
    out = io.BytesIO()
    write_tar([bytes_entry("a", b"first"), bytes_entry("b" * 200, b"second")], out, mtime=0)
    archive = out.getvalue()
    found = [archive[m.offset : m.offset + m.size] for m, _ in read(archive)]
    assert found == [b"first", b"second"]


def with_checksum(header: bytes) -> bytes:
    blank = header[:148] + b" " * 8 + header[156:]
    return header[:148] + b"%06o\0 " % sum(blank) + header[156:]


@pytest.mark.parametrize("name", ["../etc/x", "a/../../x", "a/.."])
def test_names_that_leave_the_root_are_refused(name: str) -> None:
    with pytest.raises(ImageError, match="outside of its root"):
        read(archived(info(name)))
    with pytest.raises(ImageError, match="outside of its root"):
        read(archived(info("f", tarfile.LNKTYPE, link=name)))


@pytest.mark.parametrize("cut", [100, 600, 1100])
def test_archives_that_end_early_are_refused(cut: int) -> None:
    with pytest.raises(ImageError, match="cut off"):
        read(archived(info("f", size=900))[:cut])


def test_other_files_are_refused() -> None:
    with pytest.raises(ImageError, match="not a tar archive"):
        read(b"hello, world" * 100)
    broken = bytearray(archived(info("f")))
    broken[0] ^= 1
    with pytest.raises(ImageError, match="checksum"):
        read(bytes(broken))


@pytest.mark.parametrize("kind", [b"x", b"L", b"g"])
def test_huge_extended_headers_are_refused_before_they_are_read(kind: bytes) -> None:
    header = info("f", kind, size=2 << 20).tobuf(tarfile.USTAR_FORMAT)
    with pytest.raises(ImageError, match="extended header of 2097152 bytes"):
        read(header)


@pytest.mark.parametrize(
    "record",
    [b"99 path=x\n", b"0 path=x\n", b"path=x\n", b"9 path=xx", b"8 pathx\n", b"11 size=-1\n\n"],
)
def test_malformed_pax_records_are_refused(record: bytes) -> None:
    pax = info("p", b"x", size=len(record)).tobuf(tarfile.USTAR_FORMAT) + record.ljust(512, b"\0")
    with pytest.raises(ImageError, match=r"malformed|invalid size"):
        read(pax + archived(info("f")))


def test_names_longer_than_any_path_are_refused() -> None:
    record = b"path=" + b"x" * 5000 + b"\n"
    record = b"%d %b" % (len(record) + 5, record)
    pax = info("p", b"x", size=len(record)).tobuf(tarfile.USTAR_FORMAT)
    with pytest.raises(ImageError, match="too long"):
        read(pax + record.ljust(-(-len(record) // 512) * 512, b"\0") + archived(info("f")))


def test_sparse_files_and_unknown_types_are_refused() -> None:
    record = b"22 GNU.sparse.major=1\n"
    pax = info("p", b"x", size=len(record)).tobuf(tarfile.USTAR_FORMAT) + record.ljust(512, b"\0")
    with pytest.raises(ImageError, match="sparse"):
        read(pax + archived(info("f")))
    with pytest.raises(ImageError, match="unknown type"):
        read(archived(info("f", b"S")))


# A size of -512 would never end: the reader would go back to the header.
@pytest.mark.parametrize("number", [b"0000009zzzz", b"-0000001000", b"+0000000010", b"00000000_10"])
def test_numbers_that_are_none_are_refused(number: bytes) -> None:
    header = bytearray(info("f").tobuf(tarfile.USTAR_FORMAT))
    header[124:136] = number + b"\0"
    with pytest.raises(ImageError, match="bad number"):
        read(with_checksum(bytes(header)))


@settings(deadline=None)
@given(st.binary(max_size=3000))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        members = read(data)
    except ImageError:
        return
    assert members == [] or len(data) >= 512


@settings(deadline=None)
@given(st.integers(0, 1023), st.integers(0, 255))
def test_any_damage_to_headers_is_read_or_refused(position: int, value: int) -> None:
    archive = bytearray(archived(info("\u00e9" * 60, size=40)))
    archive[position] = value
    try:
        found = read(bytes(archive))
    except ImageError:
        return
    assert all(len(content) == member.size for member, content in found)


def _extended(records: bytes) -> bytes:
    """A pax header with these records, as nobody would write it."""
    header = info("x", tarfile.XHDTYPE)
    header.size = len(records)
    return header.tobuf(tarfile.USTAR_FORMAT) + records + bytes(-len(records) % 512)


def test_records_without_a_meaning_take_no_memory() -> None:
    records = b"".join(b"%d k%07d=v\n" % (14, number) for number in range(50_000))
    member = archived(info("a"), form=tarfile.USTAR_FORMAT)
    ((found, _),) = read(_extended(records) + member)
    assert found.path == "a"
    with pytest.raises(ImageError, match="too many extended headers"):
        read(_extended(b"6 a=b\n") * 9 + member)
