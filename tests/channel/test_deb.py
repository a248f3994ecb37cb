"""Debian's formats: stanzas, apt's sources, archives."""

from __future__ import annotations

import io
import lzma
import tarfile
from pathlib import Path

import pytest

from benchmarks.channel import deb, resolve
from benchmarks.channel.errors import ChannelError

SOURCES = """\
Types: deb
# a comment
URIs: http://mirror.example/debian/
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main
"""


def ar(members: dict[str, bytes]) -> bytes:
    parts = [b"!<arch>\n"]
    for name, data in members.items():
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{644:<8}{len(data):<10}`\n"
        parts += [header.encode(), data, b"\n" * (len(data) % 2)]
    return b"".join(parts)


def make_deb(path: Path, files: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size, info.mode = len(data), 0o755 if "bin/" in name else 0o644
            tar.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(f"./{name}")
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    control = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd"}
    path.write_bytes(ar(control | {"data.tar.xz": lzma.compress(packed.getvalue())}))
    return path


def test_stanzas_are_split_and_continued() -> None:
    text = "Package: a\nSHA256:\n aa 1 x\n bb 2 y\n\n\nPackage: b\nDescription: c: d\n"
    first, second = deb.parse_stanzas(text)
    assert deb.checksums(first, "SHA256") == {"x": "aa", "y": "bb"}
    assert second == {"Package": "b", "Description": "c: d"}


def test_the_mirror_comes_from_the_environment_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d/debian.sources").write_text(SOURCES)
    monkeypatch.delenv(deb.MIRROR_VARIABLE, raising=False)
    assert deb.find_mirror("bookworm", tmp_path) == "http://mirror.example/debian"
    assert deb.find_mirror("trixie", tmp_path) == deb.DEFAULT_MIRROR
    monkeypatch.setenv(deb.MIRROR_VARIABLE, "http://other.example/debian/")
    assert deb.find_mirror("bookworm", tmp_path) == "http://other.example/debian"


def test_one_line_sources_are_read() -> None:
    text = """
# deb http://no.example/debian bookworm main
deb [arch=amd64 signed-by=/x] http://yes.example/debian/ bookworm main contrib
deb http://other.example/debian bookworm-security main
deb-src http://source.example/debian bookworm main
"""
    assert deb.mirrors_of_list(text, "bookworm") == ["http://yes.example/debian"]


def test_disabled_sources_are_not_used() -> None:
    assert deb.mirrors_of_sources("Enabled: no\n" + SOURCES, "bookworm") == []


def test_archives_unpack_at_their_merged_place(tmp_path: Path) -> None:
    files = {"lib/x86_64-linux-gnu/libz.so.1.2": b"z", "usr/bin/tool": b"t"}
    archive = make_deb(tmp_path / "z.deb", files, {"lib/x86_64-linux-gnu/libz.so.1": "libz.so.1.2"})
    deb.unpack([archive], tmp_path / "out")
    library = tmp_path / "out/usr/lib/x86_64-linux-gnu"
    assert (library / "libz.so.1").read_bytes() == b"z"
    assert (tmp_path / "out/usr/bin/tool").stat().st_mode & 0o777 == 0o755
    assert not (tmp_path / "out/lib").exists()


def test_a_path_that_climbs_out_is_refused(tmp_path: Path) -> None:
    archive = make_deb(tmp_path / "bad.deb", {"usr/../../evil": b"x"})
    with pytest.raises(ChannelError, match="unsafe path"):
        deb.unpack([archive], tmp_path / "out")


def test_a_file_that_is_no_archive_is_refused() -> None:
    with pytest.raises(ChannelError, match="not an ar archive"):
        deb.ar_members(b"<html>")


def test_packages_are_found_in_an_index() -> None:
    index = "Package: a\nVersion: 1\nFilename: pool/a_1.deb\nSHA256: aa\n\nPackage: b\n"
    assert resolve.select_debs(index, ["a"])["a"].name == "a_1.deb"
    with pytest.raises(ChannelError, match="no package missing"):
        resolve.select_debs(index, ["a", "missing"])


def test_only_archives_of_a_source_package_are_pinned() -> None:
    index = (
        "Package: p\nVersion: 1-2\nDirectory: pool/p\nChecksums-Sha256:\n"
        " aa 9 p_1-2.dsc\n bb 9 p_1.orig.tar.gz\n cc 9 p_1.orig.tar.gz.asc\n"
        " dd 9 p_1-2.debian.tar.xz\n"
    )
    pins = resolve.select_sources(index, ["p"])["p"]
    assert [(pin.path, pin.sha256) for pin in pins] == [
        ("pool/p/p_1-2.debian.tar.xz", "dd"),
        ("pool/p/p_1.orig.tar.gz", "bb"),
    ]
