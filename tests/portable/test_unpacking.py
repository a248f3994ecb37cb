"""The library's side of conda-unpack: other people's programs are read, never run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimpack.errors import ArchiveError
from slimpack.portable import unpack_program
from slimpack.portable.script import NAME
from slimpack.portable.unpacking import (
    PrefixedPath,
    Report,
    Unpacking,
    guess_prefix,
    read_records,
    rewrite,
)
from tests.portable.environments import FILES, LONG, digests, expected, make

# As conda-pack 0.3 to 0.9 writes it, shortened where nobody looks.
CONDA_PACK = """#!/usr/bin/env python
import re
PAT = r'[%s]'

_prefix_records = [
{records}
]

if __name__ == '__main__':
    raise SystemExit("must not be run")
"""


def program(root: Path, text: str) -> Path:
    place = root / NAME
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, "utf-8")
    return root


def conda_pack(root: Path, *records: object) -> Path:
    return program(root, CONDA_PACK.format(records=",\n".join(map(repr, records))))


def test_ours_is_rewritten_any_number_of_times(tmp_path: Path) -> None:
    root = make(tmp_path / "env")
    found = read_records(root)
    assert found is not None
    assert {file.path for file in found.files} == set(FILES)
    for prefix in ("/a", "/ab", "/e é", "/a"):
        assert rewrite(root, found, prefix) == Report(len(FILES), ())
        assert rewrite(root, found, prefix) == Report(0, ())
        assert digests(root) == expected(prefix)
    # The program goes on from there.
    subprocess.run([sys.executable, root / NAME], check=True)
    assert digests(root) == expected(str(root))


def test_conda_packs_is_rewritten_once(tmp_path: Path) -> None:
    root = make(tmp_path / "env")
    conda_pack(root, *((path, old, mode) for path, (_, old, mode) in FILES.items()))
    found = read_records(root)
    assert found is not None
    assert all(file.steps is None for file in found.files)
    assert rewrite(root, found, "/e") == Report(len(FILES), ())
    assert digests(root) == expected("/e")
    assert rewrite(root, found, "/other") == Report(0, ())
    assert digests(root) == expected("/e")


def test_a_real_program_of_conda_pack(tmp_path: Path) -> None:
    """Through conda-pack's own Packer, so that its next format is noticed."""
    from conda_pack import core

    class Folder:
        def add(self, source: str, target: str) -> None:
            place = tmp_path / "env" / target
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(Path(source).read_bytes())

    packer = core.Packer(str(tmp_path / "build"), Folder())
    packer.prefixes = [(path, old, mode) for path, (_, old, mode) in FILES.items()]
    packer.finish()
    found = read_records(tmp_path / "env")
    assert found == Unpacking(
        tuple(PrefixedPath(path, old, mode) for path, (_, old, mode) in FILES.items())  # type: ignore[arg-type]
    )
    packer.prefixes = []
    packer.finish()
    assert read_records(tmp_path / "env") == Unpacking(())


def test_failures_are_told(tmp_path: Path) -> None:
    root = make(tmp_path / "env")
    found = read_records(root)
    assert found is not None
    (root / "etc/é.conf").unlink()
    report = rewrite(root, found, "/" + "l" * 200)
    assert report.rewritten == len(FILES) - 2
    assert sorted(report.failed) == [
        ("etc/é.conf", "it is not there"),
        ("lib/large.so", "the prefix has 201 bytes, this binary holds 121"),
    ]
    with pytest.raises(ValueError, match="absolute"):
        rewrite(root, found, "here")


def test_a_folder_that_refuses(tmp_path: Path) -> None:
    root = make(tmp_path / "env")
    found = read_records(root)
    assert found is not None
    (root / "conda-meta/unpacked-prefix").mkdir()
    with pytest.raises(ArchiveError, match=r"cannot write .*unpacked-prefix"):
        rewrite(root, found, "/e")


def test_no_program(tmp_path: Path) -> None:
    assert read_records(tmp_path) is None


@pytest.mark.parametrize(
    "record",
    [
        ("../x", LONG, "text"),
        ("/etc/passwd", LONG, "text"),
        ("a//b", LONG, "text"),
        ("", LONG, "text"),
        ("a\nb", LONG, "text"),
        ("a\rb", LONG, "text"),
        ("a\0b", LONG, "text"),
        ("a\ud800", LONG, "text"),
        ("a", "", "text"),
        ("a", "/", "text"),
        ("a", "relative", "text"),
        ("a", "/a\nb", "text"),
        ("a", LONG, "unknown"),
        ("a", LONG),
        ("a", LONG, "text", "more"),
        ("a", LONG, 1),
        "abc",
        1,
    ],
)
def test_hostile_lists_of_conda_pack(record: object, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="bin/conda-unpack"):
        read_records(conda_pack(tmp_path, record))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#!/bin/sh\n",
        "_prefix_records = [\n",
        "_prefix_records = [\n__import__('os').abort()\n]\n",
        "_prefix_records = [\n" + "(" * 5000 + "\n]\n",
        "_prefix_records = [\n" + "-" * 100_000 + "1\n]\n",
        "\n#= table 1\n#t 10 1 a\n",
        "\n#= table 1\n#p /p\n#t 10 x a\n",
        "\n#= table 1\n#p /p\n#t 10 -1 a\n",
        "\n#= table 1\n#p /p\n#b 10 1 a\n",
        "\n#= table 1\n#p /p\n#t 10\n",
        "\n#= table 1\n#p /p\n#t 10 1 ../a\n",
        "\n#= table 1\n#p p\n#t 10 1 a\n",
        "\n#= table 1\n#x\n",
        "\n#= table 1\n#p /p\n#t 2 0 a\n#t 2 0 a\n",
        # A count that is not that of the steps would ask for terabytes of padding.
        "\n#= table 1\n#p /p\n#b 9 0:0:1000000000000 a\n",
        "\n#= table 1\n#p /p\n#b 9 0:0:0 a\n",
        "_prefix_records = [\n" * 500_000,
        "_prefix_records = [\n('a', '/p', 'text'),\n('a', '/p', 'text')\n]\n",
        "_prefix_records = [\n('a', '/p" + "p" * 20_000 + "', 'text')\n]\n",
    ],
)
def test_malformed_programs(text: str, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="bin/conda-unpack"):
        read_records(program(tmp_path, text))


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, ours: bool
) -> None:
    root = tmp_path_factory.getbasetemp() / "any"
    (root / "bin").mkdir(parents=True, exist_ok=True)
    (root / NAME).write_bytes(b"\n#= table 1\n#p /p\n" * ours + data)
    try:
        found = read_records(root)
    except ArchiveError:
        return
    assert found is not None


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text(LONG)
    root = tmp_path / "env"
    conda_pack(root, ("etc/passwd", LONG, "text"))
    (root / "etc").symlink_to(tmp_path)
    with pytest.raises(ArchiveError, match="through the link 'etc'"):
        read_records(root)
    (root / "etc").unlink()
    (root / "etc").mkdir()
    found = read_records(root)
    assert found is not None
    (root / "etc/passwd").symlink_to(outside)  # after the look
    assert rewrite(root, found, "/e").failed == (("etc/passwd", "a link is in the way"),)
    assert outside.read_text() == LONG
    (root / NAME).unlink()
    (root / NAME).symlink_to(outside)
    with pytest.raises(ArchiveError, match="through the link 'bin/conda-unpack'"):
        read_records(root)


def test_what_would_take_all_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = conda_pack(tmp_path / "env", ("a", "/p", "text"))
    found = read_records(root)
    assert found is not None
    (root / "a").write_bytes(b"/p" * 1001)
    monkeypatch.setattr(unpack_program, "MAX_STEPS", 1000)
    assert rewrite(root, found, "/e").failed == (("a", "it holds the prefix more than 1000 times"),)
    (root / "conda-meta/unpacked-prefix").write_bytes(b"/a\n" * 30_000)
    with pytest.raises(ArchiveError, match=r"unpacked-prefix: File too large"):
        rewrite(root, found, "/e")
    with (root / "a").open("wb") as stream:
        stream.truncate((1 << 30) + 1)
    with pytest.raises(ArchiveError, match="bytes that can be rewritten"):
        read_records(root)


def test_a_program_that_is_too_large(tmp_path: Path) -> None:
    root = program(tmp_path, "")
    with (root / NAME).open("wb") as stream:
        stream.truncate((16 << 20) + 1)
    with pytest.raises(ArchiveError, match="not a file of at most"):
        read_records(root)


def script(root: Path, name: str, start: str) -> None:
    (root / "bin").mkdir(exist_ok=True)
    (root / "bin" / name).write_bytes(start.encode() + b"\xff\n")


def test_the_prefix_of_an_archive_that_has_no_program(tmp_path: Path) -> None:
    assert guess_prefix(tmp_path) is None
    script(tmp_path, "a", "#!/opt/my env/bin/python3.11\nimport x\n")
    assert guess_prefix(tmp_path) is None  # no such interpreter here
    (tmp_path / "bin/python3.11").write_bytes(b"\x7fELF")
    (tmp_path / "bin/perl").symlink_to("perl5")
    assert guess_prefix(tmp_path) == "/opt/my env"
    script(tmp_path, "b", "#! /opt/env/bin/perl -w\n")
    script(tmp_path, "c", "#!/bin/sh\n'''exec' \"/opt/env/bin/python3.11\" \"$0\" \"$@\"\n' '''\n")
    script(tmp_path, "d", "#!/usr/bin/env python3.11\n")
    script(tmp_path, "e", "#!/usr/bin/python3\n")
    script(tmp_path, "f", "no script\n")
    (tmp_path / "bin/g").symlink_to("/etc/passwd")
    (tmp_path / "bin/h").mkdir()
    assert guess_prefix(tmp_path) == "/opt/env"


def test_what_is_not_listed_stays(tmp_path: Path) -> None:
    root = conda_pack(tmp_path, ("a", LONG, "text"))
    for name in "ab":
        (root / name).write_text(LONG)
    found = read_records(root)
    assert found is not None
    rewrite(root, found, "/e")
    assert ((root / "a").read_text(), (root / "b").read_text()) == ("/e", LONG)
