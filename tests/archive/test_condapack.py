"""Archives that conda-pack itself made of a real prefix."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import conda_pack
import pytest

from benchmarks.channel import PLACEHOLDER, Executable, Symlink
from slimpack.archive.extract import extract, find_environment
from slimpack.progress import SILENT
from tests.archive.samples import Facts
from tests.support.channel import MiniChannel


@pytest.fixture
def prefix(mini: MiniChannel, install: Callable[..., Path]) -> Path:
    mini.add(
        "thing",
        {
            "bin/thing": Executable(f"#!{PLACEHOLDER}/bin/python\n"),
            "bin/link": Symlink("thing"),
            "lib/data.bin": f"\0{PLACEHOLDER}/lib\0tail" + "x" * 300_000,
            "lib/python3.11/site-packages/grüße.py": "x = 1\n",
            "share/folder/one.txt": "one\n",
            "share/alias": Symlink("folder"),
        },
    )
    return install(mini, "thing")


def packed(prefix: Path, output: Path, **options: Any) -> Path:
    conda_pack.pack(prefix=str(prefix), output=str(output), ignore_missing_files=True, **options)
    return output


def plainly(root: Path) -> Facts:
    """What lies there, but for what conda-pack makes anew each time, and odd modes.

    It leaves a temporary file of its own in a folder, and some files are 0600 there.
    """
    return {
        str(path.relative_to(root)): (
            str(path.readlink()) if path.is_symlink() else "",
            path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o100,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in root.rglob("*")
        if path.name != "conda-unpack" and not path.name.startswith("tmp")
    }


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("env.tar.gz", {}),
        ("env.tar.gz", {"n_threads": 2}),
        ("env.tar.zst", {}),
        ("env.tar.bz2", {"n_threads": 2}),
        ("env.tar.xz", {"n_threads": 2}),
        ("env.tar", {}),
        ("env.zip", {}),
        ("env.zip", {"zip_symlinks": True}),
        ("env.squashfs", {}),
        ("env.squashfs", {"compress_level": 9}),
        ("env.squashfs", {"compress_level": 0}),
        ("env.tar.gz", {"arcroot": "some/place"}),
    ],
)
def test_it_comes_out_as_conda_pack_put_it_in(
    tmp_path: Path, prefix: Path, name: str, options: dict[str, Any]
) -> None:
    archive = packed(prefix, tmp_path / name, **options)
    extract(archive, tmp_path / "dest", progress=SILENT)
    env = find_environment(tmp_path / "dest")
    assert env == tmp_path / "dest" / options.get("arcroot", "")

    plain = tmp_path / "plain"
    packed(prefix, plain, format="no-archive")
    wanted, found = plainly(plain), plainly(env)
    if name == "env.zip" and not options:
        # conda-pack's copies in place of links; everything else as it was.
        assert not (env / "share/alias").is_symlink()
        wanted = {path: fact for path, fact in wanted.items() if not fact[0]}
        found = {path: found[path] for path in wanted}
    assert found == wanted
    source = prefix / "share/folder/one.txt"
    assert abs((env / "share/folder/one.txt").stat().st_mtime - source.stat().st_mtime) < 2


def test_conda_unpack_finishes_what_was_extracted(tmp_path: Path, prefix: Path) -> None:
    archive = packed(prefix, tmp_path / "env.tar.zst")
    env = tmp_path / "moved to/env"
    extract(archive, env, progress=SILENT)
    shutil.rmtree(prefix)
    subprocess.run([sys.executable, env / "bin/conda-unpack"], check=True)
    assert f"{env}/lib".encode() in (env / "lib/data.bin").read_bytes()
