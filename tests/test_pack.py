"""`slimpack pack` and `slimpack unpack`, as those use them who know conda-pack.

Names in brackets are those of conda-pack 0.9.2's own tests whose behaviour is
checked here, through our interface (docs/inputs.md lists which do not apply).
"""

from __future__ import annotations

import ast
import io
import json
import re
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from benchmarks.channel import PLACEHOLDER, Executable
from slimpack.archive.formats import Packing, format_of
from slimpack.cache import Cache
from slimpack.config import Config
from slimpack.errors import InputError, RelocationError
from slimpack.pack import PackResult, pack
from slimpack.unpack import unpack
from tests.support.channel import MiniChannel, Run

EPOCH = 315_532_800
Install = Callable[..., Path]
Pack = Callable[..., PackResult]


@pytest.fixture
def packed(cache_dir: Path, tmp_path: Path) -> Pack:
    """Pack a prefix: ``packed(prefix, "env.tar", level=1, dest_prefix="/opt/x")``."""

    def call(prefix: Path, name: str, *, force: bool = False, **options: object) -> PackResult:
        of_pack = ("dest_prefix", "arcroot", "exclude", "include", "bytecode")
        config = Config(folder=tmp_path).with_env(inputs=(str(prefix),))
        config = config.with_pack(**{key: options.pop(key) for key in of_pack if key in options})
        packing = Packing(format=format_of(f"{tmp_path}/{name}"), **options)  # type: ignore[arg-type]
        return pack(
            config, tmp_path / name, packing, cache=Cache(cache_dir), epoch=EPOCH, force=force
        )

    return call


def shell(command: str, cwd: Path, code: int = 0) -> str:
    done = subprocess.run(
        ["bash", "-c", command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def members(path: Path) -> dict[str, tarfile.TarInfo]:
    opened = path.open("rb")
    if path.name.endswith(".zst"):
        data = zstandard.ZstdDecompressor().stream_reader(opened).read()
        return {member.name: member for member in tarfile.open(fileobj=io.BytesIO(data))}
    return {member.name: member for member in tarfile.open(fileobj=opened)}


@pytest.mark.channel
@pytest.mark.parametrize("name", ["env.tar.gz", "env.tar.zst", "env.zip", "env.tar"])
def test_an_archive_works_as_one_of_conda_pack(
    python_prefix: Path, packed: Pack, tmp_path: Path, name: str
) -> None:
    """[test_roundtrip, test_format, test_activate]."""
    packed(python_prefix, name, level=None if name == "env.tar" else 1)
    folder = tmp_path / "a b" / "env"
    folder.mkdir(parents=True)
    programs = {"env.tar.gz": "tar -xzf", "env.tar.zst": "tar --zstd -xf", "env.tar": "tar -xf"}
    shell(f"{programs.get(name, 'unzip -q')} {tmp_path / name}", folder)
    assert (folder / "bin/uvicorn").read_text().startswith("#!/usr/bin/env python3.11\n")
    assert shell("bin/conda-unpack --help", folder).startswith("usage: conda-unpack")
    assert shell("bin/conda-unpack --version", folder).startswith("conda-unpack")
    script = (folder / "bin/conda-unpack").read_text()
    listed = re.search(r"^_prefix_records = (\[.*?^\])", script, re.MULTILINE | re.DOTALL)
    assert listed
    assert "bin/prefix-probe" in [path for path, _, _ in ast.literal_eval(listed[1])]
    out = shell(
        ". 'a b/env/bin/activate' && conda-unpack && uvicorn --version && prefix-text && "
        "python -c 'import sys, click; print(sys.prefix)' && . deactivate && echo Done",
        tmp_path,
    )
    assert out.splitlines()[-2:] == [str(folder), "Done"]
    assert (
        str(folder)
        in (folder / "lib/python3.11/_sysconfigdata__linux_x86_64-linux-gnu.py").read_text()
    )
    left = shell(f"grep -rlF {PLACEHOLDER[:60]} . --exclude-dir=conda-meta || true", folder)
    assert left.split() == ["./bin/conda-unpack"]


@pytest.mark.channel
def test_unpack_does_it_all(python_prefix: Path, packed: Pack, run: Run, tmp_path: Path) -> None:
    packed(python_prefix, "env.tar.zst", level=1)
    done = run("unpack", "env.tar.zst", "ünder there", cwd=tmp_path)
    assert f"activate  . '{tmp_path}/ünder there/bin/activate'" in done.stdout
    python = tmp_path / "ünder there/bin/python"
    assert shell(f"'{python}' -c 'import sys; print(sys.prefix)'", tmp_path).strip() == str(
        tmp_path / "ünder there"
    )
    assert (
        "Traceback" not in run("unpack", "env.tar.zst", "ünder there", cwd=tmp_path, code=2).stderr
    )
    run("unpack", "--force", "-q", "env.tar.zst", "ünder there", cwd=tmp_path)


@pytest.mark.channel
def test_a_script_that_unpacks_itself(python_prefix: Path, packed: Pack, tmp_path: Path) -> None:
    packed(python_prefix, "serve.sh", level=1)
    for sh in ("dash", "bash", "busybox sh"):
        target = tmp_path / sh.replace(" ", "-")
        shell(f"env -i PATH=/usr/bin:/bin {sh} ./serve.sh -p {target}", tmp_path)
        assert shell(f"{target}/bin/python -c 'import sys; print(sys.prefix)'", tmp_path) == (
            f"{target}\n"
        )
    assert unpack(tmp_path / "serve.sh", tmp_path / "again").rewritten


@pytest.mark.channel
def test_bytecode_is_used_where_it_is_unpacked(
    python_prefix: Path, packed: Pack, tmp_path: Path
) -> None:
    result = packed(python_prefix, "env.tar")
    assert result.bytecode.compiled + result.bytecode.kept + result.bytecode.moved > 400
    unpack(tmp_path / "env.tar", tmp_path / "env")
    modules = "json, click, uvicorn, email.message"
    python = tmp_path / "env/bin/python"
    done = subprocess.run(
        [python, "-v", "-c", f"import {modules}"], capture_output=True, text=True, check=True
    )
    assert not re.findall(r"# (?:wrote|could not create) '.*\.pyc'", done.stderr)
    stale = re.findall(r"# bytecode is stale for '(.*?)'", done.stderr)
    assert not stale
    assert "matches" in done.stderr
    without = packed(python_prefix, "small.tar", bytecode=False)
    assert without.size < result.size
    assert not [name for name in members(tmp_path / "small.tar") if name.endswith(".pyc")]


def test_an_environment_without_python(
    prefixed: MiniChannel, install: Install, packed: Pack, tmp_path: Path
) -> None:
    """[test_works_with_no_python]."""
    packed(install(prefixed, "prefixed"), "env.tar.gz")
    (tmp_path / "env").mkdir()
    shell("tar -xzf ../env.tar.gz && PATH=/usr/bin:/bin sh bin/conda-unpack", tmp_path / "env")
    assert (tmp_path / "env/share/config.txt").read_text() == f"root = {tmp_path}/env/share\n"
    data = (tmp_path / "env/lib/data.bin").read_bytes()
    assert data.startswith(f"\0{tmp_path}/env/lib:{tmp_path}/env/share\0".encode())
    assert len(data) == len(f"\0{PLACEHOLDER}/lib:{PLACEHOLDER}/share\0tail\0")


def test_a_script_that_names_the_prefix_twice_runs_in_a_place_with_a_blank(
    mini: MiniChannel, install: Install, packed: Pack, tmp_path: Path
) -> None:
    script = f"#!{PLACEHOLDER}/bin/sh -e\necho {PLACEHOLDER}/share\n"
    mini.add("twice", {"bin/twice": Executable(script)})
    packed(install(mini, "twice"), "env.tar")
    for folder in ("a b", "c"):
        unpack(tmp_path / "env.tar", tmp_path / folder)
        out = shell(f". '{folder}/bin/activate' && twice", tmp_path)
        assert out == f"{tmp_path / folder}/share\n"


def test_unpacking_works_again_after_each_move(
    prefixed: MiniChannel, install: Install, packed: Pack, tmp_path: Path
) -> None:
    packed(install(prefixed, "prefixed"), "env.tar")
    unpack(tmp_path / "env.tar", tmp_path / "one")
    for old, new in [("one", "two-with-a-longer-name"), ("two-with-a-longer-name", "3")]:
        (tmp_path / old).rename(tmp_path / new)
        shell(f"{new}/bin/conda-unpack", tmp_path)
        text = (tmp_path / new / "share/config.txt").read_text()
        assert text == f"root = {tmp_path}/{new}/share\n"
        assert f"{tmp_path}/{new}/lib:".encode() in (tmp_path / new / "lib/data.bin").read_bytes()


def test_dest_prefix_is_written_at_once(
    prefixed: MiniChannel, install: Install, packed: Pack, tmp_path: Path
) -> None:
    """[test_dest_prefix]."""
    packed(install(prefixed, "prefixed"), "env.tar", dest_prefix="/foo/bar/baz/biz", arcroot="x/y")
    found = members(tmp_path / "env.tar")
    assert "x/y/bin/conda-unpack" not in found
    assert {name.split("/")[0] for name in found} == {"x"}
    with tarfile.open(tmp_path / "env.tar") as tar:
        config = tar.extractfile("x/y/share/config.txt")
        tool = tar.extractfile("x/y/bin/tool")
        assert config
        assert tool
        assert config.read() == b"root = /foo/bar/baz/biz/share\n"
        assert tool.read().startswith(b"#!/foo/bar/baz/biz/bin/python3.11 -s\n")
    result = unpack(tmp_path / "env.tar", tmp_path / "env")
    assert (tmp_path / "env/x/y/share/config.txt").is_file()
    assert result.rewritten == 0


def test_exclude_and_include(
    prefixed: MiniChannel, install: Install, packed: Pack, tmp_path: Path
) -> None:
    """[test_include_exclude, test_pack]."""
    prefix = install(prefixed, "prefixed")
    packed(prefix, "all.tar")
    packed(prefix, "some.tar", exclude=("lib/*", "bin/link"), include=("*.txt",))
    gone = set(members(tmp_path / "all.tar")) - set(members(tmp_path / "some.tar"))
    assert gone == {"lib/data.bin", "bin/link"}


def test_records_of_conda_tell_nothing_of_this_machine(
    prefixed: MiniChannel, install: Install, packed: Pack, tmp_path: Path
) -> None:
    """[test_pack_with_conda: 'the conda-meta directory has been anonymized']."""
    prefix = install(prefixed, "prefixed")
    packed(prefix, "env.tar")
    unpack(tmp_path / "env.tar", tmp_path / "env")
    (record,) = (tmp_path / "env/conda-meta").glob("prefixed-*.json")
    data = json.loads(record.read_bytes())
    assert data["link"]["source"] == ""
    assert str(tmp_path) not in record.read_text()
    assert not data.get("extracted_package_dir")
    assert (tmp_path / "env/conda-meta/history").is_file()


def test_an_environment_with_conda_keeps_its_own_activation(
    mini: MiniChannel, install: Install, packed: Pack, tmp_path: Path
) -> None:
    """[test_pack_with_conda]."""
    mini.add(
        "conda",
        {
            "bin/conda": Executable("#!/bin/sh\necho conda\n"),
            "bin/activate": Executable("#!/bin/sh\n# conda's\n"),
            "bin/deactivate": Executable("#!/bin/sh\n# conda's\n"),
        },
    )
    prefix = install(mini, "conda")
    packed(prefix, "anywhere.tar")
    packed(prefix, "there.tar", dest_prefix="/opt/there")
    with tarfile.open(tmp_path / "anywhere.tar") as tar:
        activate = tar.extractfile("bin/activate")
        assert activate
        assert b"CONDA_PACK" in activate.read()
        assert "bin/conda" in tar.getnames()
    with tarfile.open(tmp_path / "there.tar") as tar:
        activate = tar.extractfile("bin/activate")
        assert activate
        assert activate.read() == b"#!/bin/sh\n# conda's\n"


def test_output_that_exists(
    prefixed: MiniChannel, install: Install, packed: Pack, tmp_path: Path
) -> None:
    """[test_force, test_errors_when_target_directory_not_exists_and_not_force]."""
    prefix = install(prefixed, "prefixed")
    (tmp_path / "env.tar").write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        packed(prefix, "env.tar")
    assert (tmp_path / "env.tar").read_text() == "mine"
    packed(prefix, "env.tar", force=True)
    assert members(tmp_path / "env.tar")
    packed(prefix, "made/on/the/way/env.tar")
    assert members(tmp_path / "made/on/the/way/env.tar")


@pytest.mark.parametrize("name", ["env.tar.zst", "env.tar.gz", "env.zip", "env.squashfs", "env.sh"])
def test_the_same_bytes_every_time(
    prefixed: MiniChannel, install: Install, packed: Pack, tmp_path: Path, name: str
) -> None:
    """[test_reproducible, test_format_parallel]: also from another prefix, with other threads."""
    first = packed(install(prefixed, "prefixed"), f"one-{name}", threads=1)
    other = install(prefixed, "prefixed", prefix=tmp_path / "a much longer name of a prefix")
    second = packed(other, f"two-{name}", threads=2)
    if name == "env.sh":  # its script names the folder that it makes
        return
    assert first.sha256 == second.sha256


def test_a_cleared_package_cache_does_not_matter(
    prefixed: MiniChannel, install: Install, packed: Pack, tmp_path: Path
) -> None:
    """[test_missing_package_cache]: conda-pack warns and leaves the old prefix in binaries."""
    prefix = install(prefixed, "prefixed")
    before = packed(prefix, "before.tar")
    shutil.rmtree(tmp_path / "pkgs")
    assert packed(prefix, "after.tar").sha256 == before.sha256


def test_files_that_are_missing_or_changed(
    prefixed: MiniChannel, install: Install, packed: Pack, run: Run, tmp_path: Path
) -> None:
    """[test_missing_files, test_missing_files_ignored]."""
    prefix = install(prefixed, "prefixed")
    (prefix / "lib/plain.txt").unlink()
    (prefix / "share/config.txt").write_text("mine\n")
    done = run("pack", prefix, "-o", "env.tar", cwd=tmp_path, code=2)
    assert "lib/plain.txt" in done.stderr
    assert "share/config.txt" in done.stderr
    assert not (tmp_path / "env.tar").exists()
    accept = ("--accept-changes", "lib/plain.txt", "--accept-changes", "share/*")
    run("pack", prefix, "-o", "env.tar", *accept, cwd=tmp_path)
    with tarfile.open(tmp_path / "env.tar") as tar:
        config = tar.extractfile("share/config.txt")
        assert config
        assert config.read() == b"mine\n"
        assert "lib/plain.txt" not in tar.getnames()


@pytest.mark.parametrize("fault", ["no prefix", "not there", "unknown format", "level"])
def test_bad_input(prefixed: MiniChannel, run: Run, tmp_path: Path, fault: str) -> None:
    """[test_from_prefix, test_output_and_format, test_pack_exceptions]."""
    (tmp_path / "empty").mkdir()
    arguments = {
        "no prefix": ("empty", "-o", "x.tar"),
        "not there": ("./nowhere", "-o", "x.tar"),
        "unknown format": ("empty", "-o", "x.foo"),
        "level": ("empty", "-o", "x.tar.zst", "--level", "99"),
    }[fault]
    done = run("pack", *arguments, cwd=tmp_path, code=2)
    assert done.stderr.startswith("error: ")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("x")]


def test_zip_has_copies_of_links_unless_asked(
    prefixed: MiniChannel, install: Install, packed: Pack, tmp_path: Path
) -> None:
    """[test_format, zip_symlinks]."""
    prefix = install(prefixed, "prefixed")
    packed(prefix, "copies.zip")
    packed(prefix, "links.zip", zip_symlinks=True)
    with zipfile.ZipFile(tmp_path / "copies.zip") as copies:
        assert copies.read("bin/link") == copies.read("bin/tool")
    with zipfile.ZipFile(tmp_path / "links.zip") as links:
        assert links.read("bin/link") == b"tool"


def test_a_placeholder_that_no_record_lists_stops_it(
    mini: MiniChannel, install: Install, packed: Pack, tmp_path: Path
) -> None:
    mini.add("p", {"lib/a.txt": "fine\n"})
    prefix = install(mini, "p")
    (prefix / "lib/notes.bin").write_bytes(b"\0\1" + PLACEHOLDER.encode() + b"\xff\0")
    with pytest.raises(RelocationError, match=r"lib/notes\.bin"):
        packed(prefix, "env.tar")
    assert not (tmp_path / "env.tar").exists()


def test_a_folder_is_an_environment_at_once(
    prefixed: MiniChannel, install: Install, packed: Pack, tmp_path: Path
) -> None:
    prefix = install(prefixed, "prefixed")
    result = packed(prefix, "site/", dest_prefix="/opt/site")
    assert (tmp_path / "site/share/config.txt").read_text() == "root = /opt/site/share\n"
    assert result.format == "folder"
    with pytest.raises(InputError, match="not empty"):
        packed(prefix, "site/")
    assert (tmp_path / "site").stat().st_mode & 0o777 == 0o755
