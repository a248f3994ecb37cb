"""A whole environment with Python from the local channel: carried off, unpacked, moved, used."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from slimpack.env.meta import read_installed
from slimpack.portable.activation import ACTIVATION_PREFIXES, PREFIX_TOKEN, activation_files
from slimpack.portable.records import PrefixRecord, find_records
from slimpack.portable.script import NAME, conda_unpack_script
from slimpack.portable.unpacking import read_records, rewrite
from slimpack.relocate import relocate
from slimpack.tree import Kind, bytes_entry
from tests.portable.environments import programs
from tests.portable.shells import USUAL, run_shell
from tests.portable.test_conda_unpack import TOOLS

pytestmark = pytest.mark.channel


@pytest.fixture(scope="module")
def portable(
    python_prefix: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, tuple[PrefixRecord, ...]]:
    """The files of an environment as an archive holds them, and what is left to rewrite."""
    installed = read_installed(python_prefix)
    moved = relocate(
        python_prefix, None, installed=installed, scratch=tmp_path_factory.mktemp("scratch")
    )
    scripts = activation_files(
        variables=[("DATA", f"{PREFIX_TOKEN}/share")], dest_prefix=None, has_conda=False
    )
    tree = moved.tree.merge(
        bytes_entry(path, data, mode=mode) for path, (data, mode) in scripts.items()
    )
    records = find_records(tree, [*moved.prefixes, *ACTIVATION_PREFIXES])
    tree = tree.merge([bytes_entry(NAME, conda_unpack_script(records, "1"), mode=0o755)])
    root = tmp_path_factory.mktemp("archive") / "env"
    for entry in tree:
        place = root / entry.path
        place.parent.mkdir(parents=True, exist_ok=True)
        if entry.kind is Kind.SYMLINK:
            place.symlink_to(entry.link)
        elif entry.kind is Kind.DIRECTORY:
            place.mkdir(exist_ok=True)
        else:
            place.write_bytes(entry.read())
            place.chmod(entry.mode)
    return root, records


def digest(root: Path, records: tuple[PrefixRecord, ...]) -> dict[str, str]:
    return {
        record.path: hashlib.sha256((root / record.path).read_bytes()).hexdigest()
        for record in records
    }


def test_sh_and_python_write_the_same_bytes(
    portable: tuple[Path, tuple[PrefixRecord, ...]], tmp_path: Path
) -> None:
    """And so does the library; then all go on to a second place."""
    source, records = portable
    assert {record.mode for record in records} == {"text", "binary"}
    tools = programs(tmp_path / "tools", TOOLS)
    made = []
    for way in ("sh", "python", "library"):
        root = tmp_path / way
        shutil.copytree(source, root, symlinks=True)
        program = root / NAME
        if way == "sh":  # without its search for a Python: there is one in the environment
            search = b'"$python" -B -E -S -c "$alone" >/dev/null'
            assert program.read_bytes().count(search) == 1
            program.write_bytes(program.read_bytes().replace(search, b"false"))
        for prefix in ("/e", "/opt/\u00e9 v"):
            if way == "library":
                found = read_records(root)
                assert found is not None
                assert rewrite(root, found, prefix).failed == ()
            else:
                path = str(tools) if way == "sh" else os.environ["PATH"]
                subprocess.run([program, "--prefix", prefix], env={"PATH": path}, check=True)
            assert not [*root.rglob(".*.tmp"), *root.rglob(".*.tmp.*")]
        made.append(digest(root, records))
    assert made[0] == made[1] == made[2]


@pytest.mark.parametrize("shell", [*USUAL, "fish"])
def test_unpacked_moved_and_used(
    shell: str, portable: tuple[Path, tuple[PrefixRecord, ...]], tmp_path: Path
) -> None:
    source, _ = portable
    root = tmp_path / "one"
    shutil.copytree(source, root, symlinks=True)
    script = "bin/activate.fish" if shell == "fish" else "bin/activate"
    off = "deactivate" if shell == "fish" else ". deactivate"
    for name in ("one", "two two", "é"):
        root = root.rename(tmp_path / name)
        ask = (
            "import json, os, sys, sysconfig; print(json.dumps([sys.prefix, "
            "os.environ['DATA'], os.environ['ACTIVATION_PROBE_HOME'], "
            "sysconfig.get_config_var('prefix')]))"
        )
        told = run_shell(
            shell,
            f". '{root}/{script}'\nconda-unpack\npython -c \"{ask}\"\n{off}\n"
            'echo "<$CONDA_PREFIX$DATA$ACTIVATION_PROBE_HOME>"',
            env={"PATH": os.environ["PATH"]},
        ).splitlines()
        share = f"{root}/share"
        assert json.loads(told[0]) == [str(root), share, f"{share}/activation-probe", str(root)]
        assert told[1] == "<>"
