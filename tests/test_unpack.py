"""slimpack unpack: what an archive of a stranger cannot do, and what is left of it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from slimpack.errors import ArchiveError, InputError, SlimpackError
from slimpack.unpack import unpack
from tests.archive.planted import Member, file, tarred
from tests.archive.samples import listing
from tests.portable.environments import FILES, expected, make

META = file("conda-meta/history", b"")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An environment as a tar, in a folder of its own."""
    root = make(tmp_path / "source")
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    members = [file(str(path.relative_to(root)), path.read_bytes(), mode=0o755) for path in files]
    (tmp_path / "work").mkdir()
    return planted(tmp_path / "work", members)


def planted(folder: Path, members: list[Member]) -> Path:
    path = folder / "env.tar"
    path.write_bytes(tarred(members))
    return path


def listed(*records: tuple[str, str, str]) -> Member:
    """A conda-unpack of conda-pack's."""
    lines = ",\n".join(map(repr, records))
    return file("bin/conda-unpack", f"_prefix_records = [\n{lines}\n]\n".encode())


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("named", ["env", "a/b/env", "./x/../env", "env/"])
def test_files_name_the_normal_path(
    named: str, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(archive.parent)
    result = unpack(archive, Path(named) if named != "env/" else Path("env"))
    assert result.prefix == os.path.abspath(named)  # noqa: PTH100
    assert result.prefix.encode() in (Path(named) / "bin/a tool").read_bytes()


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_modes_do_not_depend_on_the_umask(mask: int, archive: Path) -> None:
    old = os.umask(mask)
    try:
        unpack(archive, archive.parent / "env")
    finally:
        os.umask(old)
    env = archive.parent / "env"
    assert env.stat().st_mode & 0o7777 == 0o755
    assert {path.stat().st_mode & 0o7777 for path in env.rglob("*")} == {0o755, 0o644}


@pytest.mark.parametrize(
    ("folder", "prefix", "why"),
    [
        ("env", "relative", "no absolute path"),
        ("env", "/a\nb", "more than one line"),
        ("a\nb", "", "more than one line"),
        (".", "", "folder that you are in|not empty"),
    ],
)
def test_places_that_are_none(
    folder: str, prefix: str, why: str, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(archive.parent)
    with pytest.raises(InputError, match=why):
        unpack(archive, Path(folder), prefix=prefix)
    assert listing(archive.parent) == ["env.tar"]


def test_from_a_folder_that_is_gone(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = archive.parent / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(SlimpackError, match="cannot write env"):
        unpack(archive, Path("env"))
    unpack(archive, archive.parent / "env")


HOSTILE: dict[str, tuple[list[Member], str]] = {
    "no-environment": ([file("a")], "no environment in the archive"),
    "escape-in-a-name": (
        [META, listed(("x\x1b[2J", "/p", "text"))],
        r"'x\\x1b\[2J': it is not there",
    ),
    "escape-in-two": (
        [file("a\x1b/conda-meta/x"), file("b/conda-meta/x")],
        r"environments in the archive: 'a\\x1b', 'b'",
    ),
    "state-is-a-folder": (
        [META, file("conda-meta/unpacked-prefix/x"), file("a", b"/p"), listed(("a", "/p", "text"))],
        "unpacked-prefix: Is a directory",
    ),
    "deep": ([META, *(file(f"{n}/{'a/' * 2000}f") for n in range(50))], "128 folders deep"),
}


@pytest.mark.parametrize(("members", "why"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_archives_leave_nothing(members: list[Member], why: str, tmp_path: Path) -> None:
    path = planted(tmp_path, members)
    with pytest.raises(ArchiveError, match=why) as caught:
        unpack(path, tmp_path / "new/er/env")
    assert ".tmp" not in str(caught.value)
    assert listing(tmp_path) == ["env.tar"]


def test_what_a_script_says_is_shown_harmlessly(tmp_path: Path) -> None:
    script = file("bin/x", b"#!/a\x1b[2J\xff/bin/python\n")
    path = planted(tmp_path, [META, file("bin/python"), script])
    assert unpack(path, tmp_path / "env").notes == (
        r"this archive was packed for '/a\x1b[2J\udcff' and works there only",
    )


def test_an_environment_that_was_unpacked_before(archive: Path, tmp_path: Path) -> None:
    """Its state comes along, and tells what is in the files."""
    unpack(archive, tmp_path / "first")
    again = planted(
        tmp_path, [file(path, data) for path, data in contents(tmp_path / "first").items()]
    )
    unpack(again, tmp_path / "second")
    found = contents(tmp_path / "second")
    assert found.keys() == contents(tmp_path / "first").keys()
    assert digests_of(found) == expected(str(tmp_path / "second"))


def digests_of(found: dict[str, bytes]) -> dict[str, str]:
    return {path: hashlib.sha256(found[path]).hexdigest() for path in FILES}
