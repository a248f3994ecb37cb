from __future__ import annotations

import hashlib
import io
import json
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.channel import PLACEHOLDER, Executable, Symlink
from slimpack.env.meta import portable_record, read_installed
from slimpack.env.redact import redacted
from slimpack.errors import InputError, RelocationError
from slimpack.prefix.scripts import direct_shebang
from slimpack.relocate import Relocated, relocate, rewritten_files, with_records
from slimpack.tree import Entry, Kind, Tree, bytes_entry, symlink_entry
from slimpack.verify.prefixes import forbidden_paths, scanned
from tests.support.channel import MiniChannel

DEST = "/opt/env"
Install = Callable[..., Path]


def moved(prefix: Path, tmp_path: Path) -> Relocated:
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    relocated = relocate(prefix, DEST, installed=read_installed(prefix), scratch=scratch)
    return replace(relocated, tree=with_records(relocated.tree, relocated, DEST))


def read_all(tree: Tree) -> dict[str, bytes]:
    return {entry.path: entry.read() for entry in tree if entry.kind is Kind.FILE}


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mtime_ns,
            stat.S_IMODE(path.lstat().st_mode),
            path.read_bytes() if path.is_file() else b"",
        )
        for path in sorted(folder.rglob("*"))
    }


def test_large_files_are_not_read_into_memory() -> None:
    """A library of PyTorch has hundreds of megabytes."""

    class Pieces(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            assert 0 < size <= 1 << 20
            return super().read(size)

    data = b"x" * 3_000_000
    big = Entry("opt/env/lib/big.so", Kind.FILE, 0o755, "a", len(data), lambda: Pieces(data))
    found = rewritten_files(Tree([big]), Relocated(Tree([]), {}), DEST)
    assert found == {"lib/big.so": (hashlib.sha256(data).hexdigest(), len(data))}


def test_every_kind_of_prefix_is_rewritten(
    prefixed: MiniChannel, install: Install, tmp_path: Path
) -> None:
    prefix = install(prefixed, "prefixed")
    before = snapshot(prefix), snapshot(tmp_path / "pkgs")
    relocated = moved(prefix, tmp_path)
    files = read_all(relocated.tree)
    binary = f"\0{PLACEHOLDER}/lib:{PLACEHOLDER}/share\0tail\0".encode()
    data = files["opt/env/lib/data.bin"]
    assert data.startswith(b"\0/opt/env/lib:/opt/env/share\0\0")
    assert data.endswith(b"\0tail\0")
    assert len(data) == len(binary)
    assert files["opt/env/share/config.txt"] == b"root = /opt/env/share\n"
    assert files["opt/env/bin/tool"] == b"#!/opt/env/bin/python3.11 -s\nprint(1)\n"
    assert files["opt/env/bin/from-env"] == b"#!/opt/env/bin/tool\n"
    assert relocated.tree["opt/env/bin/tool"].mode == 0o755
    assert relocated.tree["opt/env/bin/link"].link == "tool"
    assert {entry.owner for entry in relocated.tree} == {"prefixed"}
    # Only the untouched file may be taken for what the package ships.
    assert set(relocated.sources) == {"opt/env/lib/plain.txt"}
    # The package cache holds hard links: nothing may have been written to either.
    assert (snapshot(prefix), snapshot(tmp_path / "pkgs")) == before


def test_nothing_names_the_build(prefixed: MiniChannel, install: Install, tmp_path: Path) -> None:
    prefix = install(prefixed, "prefixed")
    relocated = moved(prefix, tmp_path)
    for path, data in read_all(relocated.tree).items():
        assert str(tmp_path).encode() not in data, path
        assert b"placehold" not in data, path


def test_long_staging_prefix(prefixed: MiniChannel, install: Install, tmp_path: Path) -> None:
    """Beyond 127 bytes installers write a shell script instead of a shebang line."""
    mini = prefixed
    mini.add(
        "python",
        {"bin/python3.11": Executable("#!/bin/sh\n"), "bin/python": Symlink("python3.11")},
        version="3.11.0",
    )
    mini.add(
        "entry",
        {"site-packages/entry.py": "def main(): pass\n"},
        noarch="python",
        entry_points=["entry = entry:main"],
        depends=["python"],
    )
    prefix = install(mini, "prefixed", "entry", prefix=tmp_path / ("long" * 40) / "p")
    assert (prefix / "bin/entry").read_text().startswith("#!/bin/sh\n")
    files = read_all(moved(prefix, tmp_path).tree)
    assert files["opt/env/bin/entry"].startswith(b"#!/opt/env/bin/python3.11\n")
    assert b"exec'" not in files["opt/env/bin/entry"]
    assert files["opt/env/bin/tool"].startswith(b"#!/opt/env/bin/python3.11 -s\n")


@pytest.mark.parametrize("form", ["conda", "pip"])
def test_long_shebangs_of_other_installers(
    prefixed: MiniChannel, install: Install, tmp_path: Path, form: str
) -> None:
    prefix = install(prefixed, "prefixed")
    python = prefix / "bin/python3.11"
    tail = " #'''\n" if form == "conda" else "\n' '''\n"
    script = f"#!/bin/sh\n'''exec' {python} \"$0\" \"$@\"{tail}import sys\n"
    (prefix / "bin/script").write_text(script)
    (prefix / "bin/script").chmod(0o755)
    files = read_all(moved(prefix, tmp_path).tree)
    assert files["opt/env/bin/script"] == b"#!/opt/env/bin/python3.11\nimport sys\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"#!/usr/bin/env tool\n", b"#!/opt/env/bin/tool\n"),
        (b"#! /usr/bin/env  tool -x\r\n", b"#!/opt/env/bin/tool -x\n"),
        (b"#!/usr/bin/env -S tool -x\n", b"#!/opt/env/bin/tool -x\n"),
        (b"#!/usr/bin/env tool", b"#!/opt/env/bin/tool\n"),
        # More than one argument cannot be had without env; other programs are not ours.
        (b"#!/usr/bin/env -S tool -x -y\n", b"#!/usr/bin/env -S tool -x -y\n"),
        (b"#!/usr/bin/env A=1 tool\n", b"#!/usr/bin/env A=1 tool\n"),
        (b"#!/usr/bin/env perl\n", b"#!/usr/bin/env perl\n"),
        (b"#!/bin/sh\n", b"#!/bin/sh\n"),
    ],
)
def test_first_lines(tmp_path: Path, line: bytes, expected: bytes) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/tool").touch()
    script = bytes_entry("x", line, mode=0o755)
    entry = direct_shebang(script, DEST, lambda name: (tmp_path / "bin" / name).exists())
    assert entry.read() == expected
    assert entry.mode == 0o755


def test_absolute_links_move(prefixed: MiniChannel, install: Install, tmp_path: Path) -> None:
    prefix = install(prefixed, "prefixed")
    (prefix / "lib/absolute").symlink_to(prefix / "lib/plain.txt")
    assert moved(prefix, tmp_path).tree["opt/env/lib/absolute"].link == "/opt/env/lib/plain.txt"


def test_missing_package_cache_is_an_error(
    prefixed: MiniChannel, install: Install, tmp_path: Path
) -> None:
    prefix = install(prefixed, "prefixed")
    (tmp_path / "pkgs/prefixed-1.0-0").rename(tmp_path / "elsewhere")
    with pytest.raises(RelocationError, match="conda-pack cannot relocate") as caught:
        moved(prefix, tmp_path)
    assert "prefixed" in caught.value.details


@pytest.mark.parametrize("name", ["lib/plain.txt", "lib/data.bin", "share/config.txt"])
@pytest.mark.parametrize("damage", ["flip", "remove"])
def test_damaged_package_cache_is_an_error(
    prefixed: MiniChannel, install: Install, tmp_path: Path, name: str, damage: str
) -> None:
    prefix = install(prefixed, "prefixed")
    path = tmp_path / "pkgs/prefixed-1.0-0" / name
    data = bytearray(path.read_bytes())
    path.unlink()
    if damage == "flip":
        data[-1] ^= 1
        path.write_bytes(data)
    with pytest.raises(RelocationError) as caught:
        read_all(moved(prefix, tmp_path).tree)
    message = str(caught.value)
    assert name in message
    assert "prefixed" in message
    assert "cache" in message


def test_portable_trees_do_not_depend_on_where_they_were_staged(
    prefixed: MiniChannel, install: Install, tmp_path: Path
) -> None:
    found = []
    for name in ("one", "another place"):
        prefix = install(prefixed, "prefixed", prefix=tmp_path / name)
        (prefix / "share/pip.cfg").write_text(f"home = {prefix}/x\n")
        script = f"#!/bin/sh\n'''exec' \"{prefix}/bin/python\" \"$0\" \"$@\"\n' '''\nx\n"
        (prefix / "bin/script").write_text(script)
        scratch = tmp_path / f"scratch {name}"
        scratch.mkdir()
        installed = read_installed(prefix)
        relocated = relocate(prefix, None, installed=installed, scratch=scratch)
        files = read_all(with_records(relocated.tree, relocated, ""))
        assert files["bin/script"] == b"#!/usr/bin/env python\nx\n"
        assert ("share/pip.cfg", "text") in {(one.path, one.mode) for one in relocated.prefixes}
        found.append((files, relocated.prefixes))
    assert found[0] == found[1]
    record = json.loads(found[0][0]["conda-meta/prefixed-1.0-0.json"])
    [item] = [one for one in record["paths_data"]["paths"] if one["_path"] == "lib/data.bin"]
    assert item["prefix_placeholder"] == PLACEHOLDER
    assert "sha256_in_prefix" not in item


def scan(tree: Tree, prefix: Path, *, allow: tuple[str, ...] = ()) -> None:
    read_all(scanned(tree, forbidden_paths([str(prefix)], [PLACEHOLDER]), allow=allow))


@pytest.mark.parametrize("kind", ["staging", "placeholder", "conda's old placeholder"])
def test_a_path_that_no_metadata_lists_fails_the_build(
    prefixed: MiniChannel, install: Install, tmp_path: Path, kind: str
) -> None:
    secret = {
        "staging": str(tmp_path / "prefix"),
        "placeholder": PLACEHOLDER,
        "conda's old placeholder": "/opt/anaconda1" + "anaconda2anaconda3",
    }[kind]
    prefixed.add(
        "hiding",
        {"lib/hidden.bin": b"\xff\0" * 700_000 + secret.encode() + b"\0" * 10},
        prefix_files={},
    )
    prefix = install(prefixed, "hiding")
    tree = moved(prefix, tmp_path).tree
    with pytest.raises(RelocationError) as caught:
        scan(tree, prefix)
    assert "/opt/env/lib/hidden.bin (package hiding)" in caught.value.message
    assert 'allow_build_paths = ["/opt/env/lib/hidden.bin"]' in caught.value.hint
    scan(tree, prefix, allow=("/opt/env/lib/hid*",))


def test_scan_finds_a_path_across_chunks_and_in_links(tmp_path: Path) -> None:
    needle = b"/tmp/staging/prefix"
    for offset in range(40):
        entry = bytes_entry("f", b"x" * offset + needle + b"y" * 40)
        changed = scanned(Tree([entry]), (needle,))["f"]
        with changed.open() as stream, pytest.raises(RelocationError, match=r"/f \(no package\)"):
            list(iter(lambda: stream.read(7), b""))
    with pytest.raises(RelocationError):
        scanned(Tree([symlink_entry("l", needle.decode() + "/x")]), (needle,))
    clean = scanned(Tree([bytes_entry("f", needle[:-1])]), (needle,))["f"]
    assert clean.read() == needle[:-1]


def test_records_say_nothing_of_the_machine(
    prefixed: MiniChannel, install: Install, tmp_path: Path
) -> None:
    prefix = install(prefixed, "prefixed")
    tree = moved(prefix, tmp_path).tree
    record = json.loads(tree["opt/env/conda-meta/prefixed-1.0-0.json"].read())
    assert record["name"] == "prefixed"
    assert len(record["sha256"]) == 64
    assert record["url"] == "file:///linux-64/prefixed-1.0-0.conda"
    for item in record["paths_data"]["paths"]:
        entry = tree[f"opt/env/{item['_path']}"]
        if entry.kind is Kind.FILE:
            digest = hashlib.sha256(entry.read()).hexdigest()
            assert digest == item.get("sha256_in_prefix", item["sha256"])
            assert entry.size == item["size_in_bytes"]
    assert record["link"] == {"source": "", "type": 1}
    assert tree["opt/env/conda-meta/history"].read() == b""
    assert not [entry.path for entry in tree if "CACHEDIR" in entry.path]


def test_records_do_not_take_the_application_s_files_for_theirs(
    prefixed: MiniChannel, install: Install, tmp_path: Path
) -> None:
    """A path that is as long before its tail as the prefix is."""
    relocated = moved(install(prefixed, "prefixed"), tmp_path)
    foreign = bytes_entry("app/1234lib/plain.txt", b"another")
    tree = with_records(relocated.tree.merge([foreign]), relocated, DEST)
    name = "opt/env/conda-meta/prefixed-1.0-0.json"
    assert tree[name].read() == relocated.tree[name].read()


@pytest.mark.parametrize(
    "secret", ["https://bob:s3cret@conda.example/x/", "https://conda.example/t/tk-s3cret/x/"]
)
def test_credentials_of_channels_stay_out(secret: str) -> None:
    record = {"url": f"{secret}noarch/a-1-0.conda", "channel": secret, "files": []}
    kept = json.loads(portable_record(json.dumps(record).encode(), {}))
    assert kept["url"] == "https://conda.example/x/noarch/a-1-0.conda"
    assert kept["channel"] == "https://conda.example/x/"
    assert redacted(f"cannot read {secret}: no") == "cannot read https://conda.example/x/: no"


def test_bytecode_in_the_place_of_a_source_is_the_package_s() -> None:
    record = {
        "files": ["m/a.py", "m/b.py", "m/c.py", "m/c.pyc", "m/d.txt"],
        "paths_data": {"paths": [{"_path": "m/a.py", "sha256": "0"}, {"_path": "m/b.py"}]},
    }
    there = {"m/a.pyc", "m/b.py", "m/b.pyc", "m/c.pyc"}
    kept = json.loads(portable_record(json.dumps(record).encode(), {}, there))
    assert kept["files"] == ["m/a.pyc", "m/b.py", "m/c.pyc"]
    assert kept["paths_data"]["paths"] == [{"_path": "m/b.py"}]


def test_the_order_of_a_record_does_not_follow_the_installer_s() -> None:
    """rattler lists a package's files in any order where another claims one of its paths."""
    records = [
        {"files": names, "paths_data": {"paths": [{"_path": name} for name in names]}}
        for names in (["m/a", "m/b"], ["m/b", "m/a"])
    ]
    one, other = (portable_record(json.dumps(record).encode(), {}) for record in records)
    assert one == other
    assert json.loads(one)["files"] == ["m/a", "m/b"]


def test_urls_of_real_channels_stay() -> None:
    record = {"url": "https://conda.example/x/noarch/a-1-0.conda", "channel": "https://c/x/"}
    assert json.loads(portable_record(json.dumps(record).encode(), {}))["url"] == record["url"]


def test_two_packages_with_a_file_of_the_same_name(
    mini: MiniChannel, install: Install, tmp_path: Path
) -> None:
    mini.add("loser", {"share/differs": "1", "share/same": "x", "share/own": "l"})
    mini.add("winner", {"share/differs": "2", "share/same": "x"}, depends=["loser"])
    prefix = install(mini, "winner")
    installed = read_installed(prefix)
    tree = moved(prefix, tmp_path).tree
    files = read_all(tree)
    there = (prefix / "share/differs").read_bytes()
    assert files["opt/env/share/differs"] == there
    assert tree["opt/env/share/differs"].owner == ("winner" if there == b"2" else "loser")
    assert files["opt/env/share/own"] == b"l"
    assert not [path for path in files if "clobber" in path]
    assert [path for path, _, _ in installed.replacements] == ["share/differs"]
    for name in ("winner", "loser"):
        record = json.loads(files[f"opt/env/conda-meta/{name}-1.0-0.json"])
        assert not [path for path in record["files"] if "clobber" in path]
        assert not [item for item in record["paths_data"]["paths"] if "clobber" in item["_path"]]


def test_files_that_two_records_claim(mini: MiniChannel, install: Install, tmp_path: Path) -> None:
    mini.add("one", {"share/same": "1"})
    mini.add("two", {"share/other": "2"})
    prefix = install(mini, "one", "two")
    record = prefix / "conda-meta/two-1.0-0.json"
    data = json.loads(record.read_text())
    data["files"].append("share/same")
    record.write_text(json.dumps(data))
    installed = read_installed(prefix)
    assert installed.shared == {"share/same": ("one", "two")}
    assert installed.owners["share/same"] == "one"
    assert "share/same" not in installed.digests


def test_what_is_no_prefix(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a conda environment"):
        read_installed(tmp_path)
    (tmp_path / "conda-meta").mkdir()
    (tmp_path / "conda-meta/x.json").write_text("{}")
    with pytest.raises(InputError, match="not a conda-meta record"):
        read_installed(tmp_path)
    (tmp_path / "conda-meta/x.json").write_text("[")
    with pytest.raises(InputError, match="not a conda-meta record"):
        read_installed(tmp_path)
