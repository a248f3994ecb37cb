"""Debian's files find their place in a conda prefix."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.channel import cpython, native
from benchmarks.channel.conda_format import PLACEHOLDER
from benchmarks.channel.errors import ChannelError
from benchmarks.channel.generated import stage_generated
from benchmarks.channel.recipes import LINUX_64, Recipe

from .test_deb import make_deb

PKG_CONFIG = b"prefix=/usr\nlibdir=/usr/lib/x86_64-linux-gnu\n"
NO_PATCHELF = Path("no-patchelf")


def stage(tmp_path: Path, recipe: Recipe, debs: list[Path]) -> tuple[Path, dict[str, bytes]]:
    root = tmp_path / "root"
    root.mkdir()
    licenses = native.stage_debian(recipe, debs, root, tmp_path / "tmp", LINUX_64, NO_PATCHELF)
    return root, licenses


def test_libraries_programs_headers_and_licenses_are_placed(tmp_path: Path) -> None:
    files = {
        "lib/x86_64-linux-gnu/libz.so.1.2": b"z",
        "usr/include/x86_64-linux-gnu/zconf.h": b"h",
        "usr/bin/ztool": b"#!/bin/sh\n",
        "usr/lib/x86_64-linux-gnu/pkgconfig/z.pc": PKG_CONFIG,
        "usr/share/doc/z/copyright": b"zlib",
        "usr/share/man/man1/z.1": b"",
        "usr/share/zinfo/a": b"a",
        "usr/share/zinfo/b": b"b",
    }
    links = {"usr/lib/x86_64-linux-gnu/libz.so": "/lib/x86_64-linux-gnu/libz.so.1.2"}
    recipe = Recipe(
        "z", "debian", files={"usr/share/zinfo/": "share/z/"}, exclude=("*/zinfo/b",),
        links={"share/z/c": "a"}, text={"etc/z.conf": "@PREFIX@/z"},
        concat={"share/z/all": "usr/share/zinfo/*"}, sonames=("libz.so.1.2",),
    )  # fmt: skip
    root, licenses = stage(tmp_path, recipe, [make_deb(tmp_path / "z.deb", files, links)])
    found = {p.relative_to(root).as_posix() for p in root.rglob("*") if not p.is_dir()}
    assert found == {
        "lib/libz.so.1.2", "lib/libz.so", "include/zconf.h", "bin/ztool", "lib/pkgconfig/z.pc",
        "share/z/a", "share/z/c", "share/z/all", "etc/z.conf",
    }  # fmt: skip
    assert (root / "lib/libz.so").readlink() == Path("libz.so.1.2")
    assert (root / "etc/z.conf").read_text() == f"{PLACEHOLDER}/z"
    assert (root / "lib/pkgconfig/z.pc").read_text() == f"prefix={PLACEHOLDER}\nlibdir=/usr/lib\n"
    assert licenses == {"z.copyright": b"zlib"}


def test_a_promised_library_must_be_there(tmp_path: Path) -> None:
    recipe = Recipe("z", "debian", sonames=("libz.so.1",))
    with pytest.raises(ChannelError, match=r"lib/libz.so.1 is promised"):
        stage(tmp_path, recipe, [make_deb(tmp_path / "z.deb", {"usr/bin/x": b""})])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'BINDIR': '/usr/bin',", "'BINDIR': '@/bin',"),
        ("'INSTALL': '/usr/bin/install -c',", "'INSTALL': '/usr/bin/install -c',"),
        ("'LIBDIR': '/usr/lib/x86_64-linux-gnu',", "'LIBDIR': '@/lib',"),
        ("'prefix': '/usr',", "'prefix': '@',"),
        ("prefix=\t\t/usr\n", "prefix=\t\t@\n"),
        ("'DESTDIRS': '/usr /usr/lib '", "'DESTDIRS': '@ @/lib '"),
        ("'WASM': './usr/lib/os.py'", "'WASM': './usr/lib/os.py'"),
        ("--libdir=/usr/lib/x86_64-linux-gnu' ", "--libdir=@/lib' "),
        ("/usrlocal /usr/local/lib", "/usrlocal /usr/local/lib"),
    ],
)
def test_only_the_prefix_itself_becomes_the_placeholder(text: str, expected: str) -> None:
    found = cpython.relocated(text, "x86_64-linux-gnu")
    assert found == expected.replace("@", PLACEHOLDER)


def test_generated_packages_take_their_folder(tmp_path: Path) -> None:
    stage_generated(Recipe("t", "generated", folder="prefix-text"), "1.0", tmp_path)
    script = tmp_path / "bin/prefix-text"
    assert script.read_text().startswith(f"#!{PLACEHOLDER}/bin/python")
    assert script.stat().st_mode & 0o111


def test_links_name_the_version(tmp_path: Path) -> None:
    recipe = Recipe("t", "generated", links={"lib/libt.so.{version}": "../t/libt.so.{version}"})
    stage_generated(recipe, "1.2", tmp_path)
    assert (tmp_path / "lib/libt.so.1.2").readlink() == Path("../t/libt.so.1.2")


def test_programs_hold_the_prefix_in_every_form(tmp_path: Path) -> None:
    recipe = Recipe("p", "generated", folder="prefix-probe", programs=("prefix-probe.c",))
    stage_generated(recipe, "1.0", tmp_path)
    data = (tmp_path / "bin/prefix-probe").read_bytes()
    marker = PLACEHOLDER.encode()
    assert marker + b"\0" in data
    assert marker + b"/a:" + marker + b"/b\0" in data
    assert str(tmp_path).encode() not in data
    assert [p.name for p in (tmp_path / "bin").iterdir()] == ["prefix-probe"]
