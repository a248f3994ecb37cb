"""What a base lacks that another one has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from slimpack.base import Base
from slimpack.own import Own, configure
from slimpack.rebase.abi import Glibc, Lack, lacks
from slimpack.rebase.surface import Surface
from slimpack.tree import Entry, bytes_entry, directory_entry, symlink_entry
from tests.elf.builder import make_elf
from tests.rebase.images import MULTIARCH, OWN, PASSWD, USUAL, base_of, library


def surface(base: Base) -> Surface:
    return Surface(base.image, base.view)


def found(
    folder: Path,
    old: Sequence[Entry],
    new: Sequence[Entry],
    own: Own = OWN,
    glibc: Glibc = Glibc("2.36", "2.36"),  # noqa: B008 (frozen)
) -> list[Lack]:
    before, after = base_of(folder, old), base_of(folder, new)
    return list(lacks(surface(before), surface(after), own, configure(own, after), glibc))


def without(*paths: str) -> list[Entry]:
    return [entry for entry in USUAL if entry.path not in paths]


def test_the_same_base_lacks_nothing(tmp_path: Path) -> None:
    assert found(tmp_path, USUAL, USUAL) == []


def test_more_is_no_lack(tmp_path: Path) -> None:
    more = [*USUAL, library("libz.so.1"), bytes_entry("etc/more", b"")]
    assert found(tmp_path, USUAL, more) == []


@pytest.mark.parametrize(
    ("old", "new", "back"),
    [
        ("2.36", "2.36", False),
        ("2.36", "2.41", False),
        ("2.9", "2.36", False),
        ("2.36", "2.9", True),
        ("2.36", "2.31", True),
        ("2.36", "", True),
        ("", "2.31", False),
        ("", "", False),
    ],
)
def test_an_older_glibc(tmp_path: Path, old: str, new: str, back: bool) -> None:
    assert Glibc(old, new).goes_back is back
    lack = found(tmp_path, USUAL, USUAL, glibc=Glibc(old, new))
    assert [one.certain for one in lack] == [True] * back


def test_a_library_that_is_gone(tmp_path: Path) -> None:
    old = [*USUAL, library("libz.so.1")]
    assert found(tmp_path, old, USUAL) == [Lack("it has no libz.so.1", certain=False)]


def test_a_library_in_another_folder_of_the_loader(tmp_path: Path) -> None:
    old, new = library("libz.so.1"), library("libz.so.1", path="usr/lib/libz.so.1")
    assert found(tmp_path, [*USUAL, old], [*USUAL, new]) == []
    nowhere = library("libz.so.1", path="opt/lib/libz.so.1")
    assert found(tmp_path, [*USUAL, old], [*USUAL, nowhere])
    configured = [
        bytes_entry("etc/ld.so.cache", b"x"),
        bytes_entry("etc/ld.so.conf", b"include /etc/ld.so.conf.d/*.conf\n"),
        bytes_entry("etc/ld.so.conf.d/opt.conf", b"/opt/lib\n"),
    ]
    assert found(tmp_path, [*USUAL, old], [*USUAL, nowhere, *configured]) == []


def test_folders_that_are_links(tmp_path: Path) -> None:
    """As Debian since 13: /lib and /lib64 lead into /usr."""
    merged = [
        *without("lib64/ld-linux-x86-64.so.2"),
        symlink_entry("lib", "usr/lib"),
        symlink_entry("lib64", "usr/lib64"),
        symlink_entry("usr/lib64/ld-linux-x86-64.so.2", f"/{MULTIARCH}/ld-linux-x86-64.so.2"),
    ]
    assert found(tmp_path, USUAL, merged) == []


def test_libraries_that_are_found_by_a_path_only(tmp_path: Path) -> None:
    vendor = [library(name, path=f"opt/vendor/{name}") for name in ("libb.so.1", "liba.so")]
    gone = Lack("it has no /opt/vendor/liba.so and 1 more", certain=False)
    assert found(tmp_path, [*USUAL, *vendor], USUAL) == [gone]
    moved = symlink_entry("opt/vendor", "/srv/vendor")
    there = [library(name, path=f"srv/vendor/{name}") for name in ("libb.so.1", "liba.so")]
    assert found(tmp_path, [*USUAL, *vendor], [*USUAL, moved, *there]) == []
    converter = library("X.so", path=f"{MULTIARCH}/gconv/X.so")
    assert found(tmp_path, [*USUAL, converter], USUAL) == []


def test_versions_that_are_gone(tmp_path: Path) -> None:
    place = f"{MULTIARCH}/libc.so.6"
    newer = library("libc.so.6", "GLIBC_2.2.5", "GLIBC_2.34", "GLIBC_2.38")
    assert found(tmp_path, USUAL, [*without(place), newer]) == []
    older = library("libc.so.6", "GLIBC_2.2.5")
    (lack,) = found(tmp_path, USUAL, [*without(place), older])
    assert lack == Lack("its libc.so.6 has no version GLIBC_2.34", certain=False)


def test_names_of_libraries_that_nothing_is_linked_with(tmp_path: Path) -> None:
    other = symlink_entry(f"{MULTIARCH}/libc-2.36.so", "libc.so.6")
    assert found(tmp_path, [*USUAL, other], USUAL) == []


def test_libraries_for_other_machines_do_not_count(tmp_path: Path) -> None:
    arm = bytes_entry(f"{MULTIARCH}/libz.so.1", make_elf(soname="libz.so.1", machine=183))
    assert found(tmp_path, [*USUAL, arm], USUAL) == []
    (lack,) = found(tmp_path, [*USUAL, library("libz.so.1")], [*USUAL, arm])
    assert lack.what == "it has no libz.so.1"


def test_no_loader(tmp_path: Path) -> None:
    (lack,) = found(tmp_path, USUAL, without("lib64/ld-linux-x86-64.so.2"))
    assert "/lib64/ld-linux-x86-64.so.2" in lack.what


@pytest.mark.parametrize(
    "path", ["etc/ssl/certs/ca-certificates.crt", "usr/share/zoneinfo/UTC", "tmp"]
)
def test_data_that_every_image_may_want(tmp_path: Path, path: str) -> None:
    (lack,) = found(tmp_path, USUAL, without(path))
    assert lack.certain
    assert found(tmp_path, without(path), without(path)) == []


def test_variables_that_name_files_of_the_base(tmp_path: Path) -> None:
    env = (("CERTS", "/opt/env/x:/etc/certs.pem"), ("NOT", "etc/certs.pem"), ("URL", "//etc"))
    own = replace(OWN, env=env)
    old = [*USUAL, bytes_entry("etc/certs.pem", b"")]
    (lack,) = found(tmp_path, old, USUAL, own)
    assert lack == Lack("it has no /etc/certs.pem, which the variable CERTS names")
    assert found(tmp_path, USUAL, USUAL, own) == []


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", []),
        ("nonroot", ["user nonroot"]),
        ("65532:65532", ["user 65532", "group 65532"]),
        ("1000", []),
    ],
)
def test_users(tmp_path: Path, user: str, expected: list[str]) -> None:
    new = [
        *without("etc/passwd", "etc/group"),
        bytes_entry("etc/passwd", PASSWD.splitlines()[0] + b"\n"),
        bytes_entry("etc/group", b"root:x:0:\n"),
    ]
    lack = found(tmp_path, USUAL, new, replace(OWN, user=user))
    assert [one.what for one in lack] == [
        f"it has no {what}, as whom the image runs" for what in expected
    ]


def test_a_file_of_users_of_the_image_itself(tmp_path: Path) -> None:
    own = replace(OWN, user="nonroot", places=(*OWN.places, "/etc/passwd"))
    new = [*without("etc/passwd"), bytes_entry("etc/passwd", b"root:x:0:0:::\n")]
    assert [lack.certain for lack in found(tmp_path, USUAL, new, own)] == [False]


@pytest.mark.parametrize("program", ["tini", "/usr/bin/tini"])
def test_a_program_of_the_base(tmp_path: Path, program: str) -> None:
    own = replace(OWN, entrypoint=(program, "--"), cmd=("python",))
    old = [*USUAL, bytes_entry("usr/bin/tini", b"", mode=0o755)]
    (lack,) = found(tmp_path, old, USUAL, own)
    assert lack.what == f"it has no {program}, which the image starts"
    assert found(tmp_path, old, old, own) == []
    ours = replace(OWN, entrypoint=("/opt/env/bin/python",))
    assert found(tmp_path, old, USUAL, ours) == []


def test_files_where_the_image_has_its_own(tmp_path: Path) -> None:
    (lack,) = found(tmp_path, USUAL, [*USUAL, bytes_entry("opt/env/x", b"")])
    assert lack == Lack("it has /opt/env/x, where the image has files of its own", certain=True)
    (lack,) = found(tmp_path, USUAL, [*USUAL, bytes_entry("app/x", b"")])
    assert not lack.certain
    assert found(tmp_path, USUAL, [*USUAL, directory_entry("app")]) == []
    (lack,) = found(tmp_path, USUAL, [*USUAL, symlink_entry("opt", "srv")])
    assert lack.what == "its /opt is a symlink, and the image has files below it"


def test_a_damaged_library_is_none(tmp_path: Path) -> None:
    bad = bytes_entry(f"{MULTIARCH}/libz.so.1", b"\x7fELF" + b"\xff" * 100)
    (lack,) = found(tmp_path, [*USUAL, library("libz.so.1")], [*USUAL, bad])
    assert lack.what == "it has no libz.so.1"


def test_large_libraries_are_read_from_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slimpack.rebase.surface._IN_MEMORY", 10)
    assert "libc.so.6" in surface(base_of(tmp_path)).libraries
