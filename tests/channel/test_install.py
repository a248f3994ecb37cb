"""Packages made here are installed by py-rattler and moved by conda-pack, like any other."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from benchmarks.channel import PLACEHOLDER, Executable, Symlink, index_channel, write_conda
from benchmarks.channel.conda_format import FileContent
from benchmarks.channel.generated import stage_generated
from benchmarks.channel.recipes import Recipe

# py-rattler may crash at interpreter exit: it runs in a process that leaves without clean-up.
INSTALL = """
import asyncio, os, sys
from rattler import Channel, install, solve
channel, prefix, cache, *specs = sys.argv[1:]
async def main():
    records = await solve([Channel(channel)], specs, platforms=["linux-64", "noarch"])
    await install(records, target_prefix=prefix, cache_dir=cache, show_progress=False)
try:
    asyncio.run(main())
except BaseException as problem:
    print(problem, file=sys.stderr)
    os._exit(1)
os._exit(0)
"""


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("install")
    probe = folder / "probe"
    probe.mkdir()
    recipe = Recipe("p", "generated", folder="prefix-probe", programs=("prefix-probe.c",))
    stage_generated(recipe, "1.0", probe)
    channel = folder / "channel"
    write_conda(channel, name="probe", files_dir=probe, depends=["texts"])
    texts: dict[str, FileContent] = {
        "bin/say": Executable(f"#!/bin/sh\necho {PLACEHOLDER}\n"),
        "bin/speak": Symlink("say"),
        "share/texts.conf": f"root = {PLACEHOLDER}\n",
    }
    write_conda(channel, name="texts", noarch="generic", files=texts)
    index_channel(channel)
    arguments = [channel.as_uri() + "/", folder / "env", folder / "cache", "probe"]
    command = [sys.executable, "-c", INSTALL, *map(str, arguments)]
    subprocess.run(command, check=True, timeout=120)
    return folder / "env"


def output(*command: Path | str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_installer_puts_its_prefix_everywhere(prefix: Path) -> None:
    assert output(prefix / "bin/prefix-probe").splitlines() == [
        f"prefix={prefix}",
        f"suffix={prefix}/share/prefix-probe",
        f"path={prefix}/a:{prefix}/b",
        f"table={prefix}/one|{prefix}/two",
    ]
    assert output(prefix / "bin/speak") == f"{prefix}\n"
    assert (prefix / "share/texts.conf").read_text() == f"root = {prefix}\n"


def test_conda_pack_moves_it_without_a_warning(prefix: Path, tmp_path: Path) -> None:
    code = (
        "import conda_pack, sys, warnings; warnings.simplefilter('error')\n"
        "conda_pack.pack(prefix=sys.argv[1], output=sys.argv[2], dest_prefix='/opt/env')"
    )
    subprocess.run([sys.executable, "-c", code, str(prefix), str(tmp_path / "env.tar")], check=True)
    with tarfile.open(tmp_path / "env.tar") as tar:
        tar.extractall(tmp_path / "env")
    assert output(tmp_path / "env/bin/prefix-probe").splitlines()[2] == (
        "path=/opt/env/a:/opt/env/b"
    )
    assert (tmp_path / "env/share/texts.conf").read_text() == "root = /opt/env\n"
