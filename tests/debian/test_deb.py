"""Packages that lie: every one of them must be refused, none unpacked."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from slimpack.debian import deb as deb_module
from slimpack.debian.datatar import data_entries
from slimpack.debian.deb import open_deb, read_control, unpack
from slimpack.errors import RuntimeBaseError
from slimpack.tree import Entry, Kind

from .archive import PACK, Member, ar, deb, file, folder, link, special, tar

WHAT = "package thing 1.0-1"


def everything(_: str) -> bool:
    return True


def opened(path: Path, data: bytes) -> deb_module.Deb:
    path.write_bytes(data)
    return open_deb(path, WHAT)


def entries(
    folder: Path, members: Iterable[Member], keep: Callable[[str], bool] = everything
) -> dict[str, Entry]:
    """Unpack a package of these members."""
    package = opened(folder / "thing.deb", deb(members))
    path = folder / "data.tar"
    path.write_bytes(b"".join(unpack(package, package.data, deb_module.MAX_DATA, WHAT)))
    return {entry.path: entry for entry in data_entries(path, "thing", keep, WHAT)}


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz", ".zst"])
def test_every_compression_is_read(tmp_path: Path, suffix: str) -> None:
    data = deb([file("./usr/x", b"x" * 3_000_000)], suffix=suffix, control_suffix=suffix)
    package = opened(tmp_path / "thing.deb", data)
    assert read_control(package, WHAT)["control"].startswith(b"Package: thing\n")
    assert len(b"".join(unpack(package, package.data, 1 << 30, WHAT))) > 3_000_000


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_streams_that_follow_each_other_are_read(tmp_path: Path, suffix: str) -> None:
    whole = tar([file("./a", b"abc")])
    pack = PACK[suffix]
    data = ar(
        [
            ("debian-binary", b"2.0\n"),
            ("control.tar", tar([file("control", b"Package: a\n")])),
            (f"data.tar{suffix}", pack(whole[:700]) + pack(whole[700:])),
        ]
    )
    package = opened(tmp_path / "thing.deb", data)
    assert b"".join(unpack(package, package.data, 1 << 30, WHAT)) == whole


def test_members_become_entries(tmp_path: Path) -> None:
    found = entries(
        tmp_path,
        [
            folder("./"),
            folder("./usr/"),
            folder("./var/spool/", 0o1777),
            file("./usr/a", b"content", 0o755),
            link("./usr/b", "./usr/a", tarfile.LNKTYPE),
            link("./usr/c", "../usr/a"),
            link("./usr/d", "/usr/a"),
            file("./usr/Főtanúsítvány", b"\0"),
            file("./" + "deep/" * 40 + "file", b"long"),
        ],
    )
    assert "" not in found
    assert (found["usr/a"].mode, found["usr/a"].read(), found["usr/a"].owner) == (
        0o755,
        b"content",
        "thing",
    )
    assert (found["usr/b"].kind, found["usr/b"].read()) == (Kind.FILE, b"content")
    assert (found["usr/c"].link, found["usr/d"].link) == ("../usr/a", "/usr/a")
    assert found["usr/Főtanúsítvány"].size == 1
    assert found["var/spool"].mode == 0o1777
    assert found["deep/" * 40 + "file"].read() == b"long"


def test_folders_above_what_is_kept_are_kept(tmp_path: Path) -> None:
    members = [folder("./usr/"), folder("./usr/doc/"), file("./usr/doc/c"), file("./usr/doc/d")]
    assert list(entries(tmp_path, members, lambda path: path.endswith("/c"))) == [
        "usr",
        "usr/doc",
        "usr/doc/c",
    ]


def test_content_is_read_when_asked_for(tmp_path: Path) -> None:
    entry = entries(tmp_path, [file("./a", b"x" * 100_000), file("./b", b"y")])["a"]
    with entry.open() as stream:
        assert stream.read(3) == b"xxx"
        assert len(stream.read()) == 99_997
    (tmp_path / "data.tar").write_bytes(b"")
    with entry.open() as stream, pytest.raises(OSError, match="shorter than it was"):
        stream.read()


@pytest.mark.parametrize(
    ("member", "problem"),
    [
        (file("/etc/passwd"), "not a path inside"),
        (file("./../etc/passwd"), "not a normal path"),
        (file("./usr/../../x"), "not a normal path"),
        (file("./usr//x"), "not a normal path"),
        (file("./usr/./x"), "not a normal path"),
        (folder("//usr"), "not a path inside"),
        (file("./" + "x/" * 2500 + "x"), "longer than"),
        (link("./usr/l", "../../etc"), "out of the image"),
        (link("./l", ".."), "out of the image"),
        (link("./l", "/usr/../../x"), "out of the image"),
        (link("./l", ""), "link to nowhere"),
        (link("./h", "../x", tarfile.LNKTYPE), "not a normal path"),
        (link("./h", "/etc/shadow", tarfile.LNKTYPE), "not a path inside"),
        (link("./h", "./nothing", tarfile.LNKTYPE), "no file before it"),
        (special("./dev/sda", tarfile.BLKTYPE), "neither a plain file"),
        (special("./dev/tty", tarfile.CHRTYPE), "neither a plain file"),
        (special("./pipe", tarfile.FIFOTYPE), "neither a plain file"),
        (file("./su", mode=0o4755), "setuid"),
        (file("./sg", mode=0o2755), "setgid"),
        (file("./st", mode=0o1755), "sticky"),
        (folder("./local", 0o2775), "setgid"),
        (file("./mine", uid=1000), "belongs to 1000:0"),
        (file("./mine", gid=65534), "belongs to 0:65534"),
    ],
    ids=lambda value: value[0].name[:20] if isinstance(value, tuple) else "",
)
def test_hostile_members_are_refused(tmp_path: Path, member: Member, problem: str) -> None:
    with pytest.raises(RuntimeBaseError, match=problem) as caught:
        entries(tmp_path, [file("./first"), member])
    assert WHAT in caught.value.message


@pytest.mark.parametrize("member", [file("./su", mode=0o4755), special("./tty", tarfile.CHRTYPE)])
def test_what_is_left_out_need_not_be_fit(tmp_path: Path, member: Member) -> None:
    assert list(entries(tmp_path, [file("./a"), member], lambda path: path == "a")) == ["a"]


def test_a_left_out_path_must_still_be_a_path(tmp_path: Path) -> None:
    with pytest.raises(RuntimeBaseError, match="not a normal path"):
        entries(tmp_path, [file("./../x")], lambda _: False)


@pytest.mark.parametrize(
    "second", [file("./a", b"other"), folder("./a"), link("./a", "b"), file("a")]
)
def test_a_path_twice_is_refused(tmp_path: Path, second: Member) -> None:
    with pytest.raises(RuntimeBaseError, match="a is in it twice"):
        entries(tmp_path, [file("./a", b"one"), second])


def test_names_that_are_no_utf8_are_refused(tmp_path: Path) -> None:
    raw = bytearray(tar([file("./a", b"")]))
    raw[2:3] = b"\xff"
    raw[148:156] = b"%06o\0 " % (sum(raw[:148]) + sum(b" " * 8) + sum(raw[156:512]))
    path = tmp_path / "data.tar"
    path.write_bytes(raw)
    with pytest.raises(RuntimeBaseError, match=r"data\.tar is damaged"):
        data_entries(path, "thing", everything, WHAT)


def test_a_size_that_lies_is_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo("./big")
    member.size = 10 << 20
    path = tmp_path / "data.tar"
    path.write_bytes(member.tobuf() + b"only this".ljust(1024, b"\0"))
    with pytest.raises(RuntimeBaseError, match=r"ends after the end|damaged"):
        data_entries(path, "thing", everything, WHAT)


@pytest.mark.parametrize("where", [0, 1024])
def test_a_damaged_header_is_not_the_end(tmp_path: Path, where: int) -> None:
    """Not the first one either: the files after it would silently be missing."""
    raw = bytearray(tar([file("./a", b"one"), file("./b", b"two"), file("./c", b"three")]))
    raw[where : where + 4] = b"????"
    path = tmp_path / "data.tar"
    path.write_bytes(raw)
    with pytest.raises(RuntimeBaseError, match="damaged"):
        data_entries(path, "thing", everything, WHAT)


def test_sparse_files_are_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("./sparse")
        info.size = 4
        info.pax_headers = {"GNU.sparse.map": "0,4", "GNU.sparse.size": "1000000000000"}
        archive.addfile(info, io.BytesIO(b"data"))
    path = tmp_path / "data.tar"
    path.write_bytes(buffer.getvalue())
    with pytest.raises(RuntimeBaseError, match="refused"):
        data_entries(path, "thing", everything, WHAT)


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_bombs_are_stopped_at_the_limit(tmp_path: Path, suffix: str) -> None:
    package = opened(tmp_path / "thing.deb", deb([file("./zeros", bytes(64 << 20))], suffix=suffix))
    assert (tmp_path / "thing.deb").stat().st_size < 1 << 20
    target = io.BytesIO()
    with pytest.raises(RuntimeBaseError, match="more than the 8388608 bytes"):
        target.writelines(unpack(package, package.data, 8 << 20, WHAT))
    assert target.tell() <= 8 << 20


def test_a_control_bomb_is_stopped(tmp_path: Path) -> None:
    control = PACK[".xz"](tar([file("control", bytes(deb_module.MAX_CONTROL + 1))]))
    data = ar([("debian-binary", b"2.0\n"), ("control.tar.xz", control), ("data.tar", tar([]))])
    with pytest.raises(RuntimeBaseError, match="unpacks to more"):
        read_control(opened(tmp_path / "thing.deb", data), WHAT)


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_damaged_compression_is_refused(tmp_path: Path, suffix: str, damage: str) -> None:
    noise = bytes(range(256)) * 64
    packed = bytearray(PACK[suffix](tar([file("./a", noise)])))
    if damage == "cut":
        del packed[len(packed) // 2 :]
    else:
        packed[0] ^= 0xFF
    data = ar(
        [
            ("debian-binary", b"2.0\n"),
            ("control.tar", tar([file("control", b"Package: a\n")])),
            (f"data.tar{suffix}", bytes(packed)),
        ]
    )
    package = opened(tmp_path / "thing.deb", data)
    with pytest.raises(RuntimeBaseError, match="refused"):
        list(unpack(package, package.data, 1 << 30, WHAT))


BINARY = ("debian-binary", b"2.0\n")
CONTROL = ("control.tar", tar([file("control", b"Package: a\n")]))
DATA = ("data.tar", tar([]))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "no ar archive"),
        (b"<html>", "no ar archive"),
        (ar([]), "is missing"),
        (ar([BINARY, CONTROL]), "is missing"),
        (ar([BINARY, DATA]), "is missing"),
        (ar([CONTROL, DATA]), "does not begin with debian-binary"),
        (ar([("debian-binary", b"3.0\n"), CONTROL, DATA]), "not of deb format 2"),
        (ar([BINARY, CONTROL, DATA, DATA]), "two members data"),
        (ar([BINARY, CONTROL, DATA, CONTROL]), "two members control"),
        (ar([BINARY, CONTROL, DATA, BINARY]), "a member 'debian-binary'"),
        (ar([BINARY, CONTROL, DATA, ("extra", b"")]), "a member 'extra'"),
        (ar([BINARY, CONTROL, ("data.tarball", b"")]), "a member 'data.tarball'"),
        (ar([BINARY, CONTROL, DATA])[:-200], "larger than the file"),
        (ar([BINARY, CONTROL, DATA]) + b"trailing", "header at byte"),
        (ar([BINARY]).replace(b"4         `", b"-4        `"), "header at byte"),
    ],
)
def test_malformed_archives_are_refused(tmp_path: Path, data: bytes, problem: str) -> None:
    with pytest.raises(RuntimeBaseError, match=problem):
        opened(tmp_path / "thing.deb", data)


def test_underscore_members_are_passed_over(tmp_path: Path) -> None:
    data = ar([BINARY, CONTROL, ("_signature", b"odd"), DATA])
    assert opened(tmp_path / "thing.deb", data).data.codec == ""


def test_an_unknown_compression_is_refused(tmp_path: Path) -> None:
    package = opened(tmp_path / "thing.deb", ar([BINARY, CONTROL, ("data.tar.bz2", b"BZh9")]))
    with pytest.raises(RuntimeBaseError, match="'bz2' is not supported"):
        list(unpack(package, package.data, 1 << 20, WHAT))


@pytest.mark.parametrize(
    ("control", "problem"),
    [
        (tar([file("md5sums", b"")]), "no control file"),
        (tar([file("control", b"1"), file("./control", b"2")]), "twice"),
        (b"not a tar at all" * 100, "control.tar is damaged"),
    ],
)
def test_malformed_control_is_refused(tmp_path: Path, control: bytes, problem: str) -> None:
    package = opened(tmp_path / "thing.deb", ar([BINARY, ("control.tar", control), DATA]))
    with pytest.raises(RuntimeBaseError, match=problem):
        read_control(package, WHAT)
