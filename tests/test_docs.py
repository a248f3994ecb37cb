"""Every command and every configuration that the documents show is run."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from slimpack.cli import cli
from slimpack.config_file import read_config
from slimpack.toml import Table
from tests.support.channel import ROOT, MiniChannel, Run, missing

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(program: str) -> list[list[str]]:
    lines = "".join(blocks(README, "sh")).splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith(program + " ")]


def test_every_command_of_the_readme_is_known_here() -> None:
    lines = [line for line in "".join(blocks(README, "sh")).splitlines() if line]
    assert len(lines) == len(commands("slimpack")) + len(commands("make")) + len(commands("pip"))
    assert [line[1] for line in commands("make")] == ["demo", "test"]


@pytest.mark.channel
@pytest.mark.engine
def test_the_readme_s_commands_work_in_order(channel: str, run: Run, tmp_path: Path) -> None:
    """On the example without its model, which takes minutes here; tests/engine builds all of it."""
    docker = shutil.which("docker") or ""
    if not docker or subprocess.run([docker, "info"], capture_output=True, check=False).returncode:
        missing("ENGINE", "no Docker engine answers")
    folder = tmp_path / "serve"
    shutil.copytree(ROOT / "examples/serve", folder)
    config, spec = folder / "slimpack.toml", folder / "environment.yml"
    # Other machines ask conda-forge; here the local channel stands in.
    config.write_text(config.read_text().replace("[env]\n", f'[env]\nchannels = ["{channel}"]\n'))
    spec.write_text(spec.read_text().replace("  - scikit-learn\n", ""))
    (folder / "app/train.py").write_text("open('model.pickle', 'w').close()\n")
    (folder / "app/main.py").write_text("from fastapi import FastAPI\n\napp = FastAPI()\n")
    for command in commands("slimpack"):
        tagged = ["slimpack-readme:1.0" if word == "serve:1.0" else word for word in command[1:]]
        assert run(*tagged, cwd=folder).stdout, shlex.join(command)
    assert (folder / "dist/serve.tar").is_file()
    assert (folder / "dist/layout/oci-layout").is_file()
    subprocess.run([docker, "rmi", "-f", "slimpack-readme:1.0"], capture_output=True, check=True)


def test_the_readme_s_configuration_is_the_example_s(tmp_path: Path) -> None:
    (block,) = blocks(README, "toml")
    path = tmp_path / "slimpack.toml"
    path.write_text(block)
    shown, real = read_config(path), read_config(ROOT / "examples/serve/slimpack.toml")
    assert shown.image.entrypoint == real.image.entrypoint
    assert shown.image.expose == real.image.expose
    assert shown.app.prepare == real.app.prepare
    assert [rule.target for rule in shown.app.copy] == [rule.target for rule in real.app.copy]


def test_the_reference_names_every_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    path = tmp_path / "slimpack.toml"
    path.write_text(blocks(text, "toml")[0])
    asked: set[tuple[str, str]] = set()
    finish = Table.finish

    def spy(self: Table) -> None:
        asked.update((self._name.partition("[")[0], key) for key in self._asked)
        finish(self)

    monkeypatch.setattr(Table, "finish", spy)
    read_config(path)
    assert len(asked) > 30
    for table, key in asked:
        whole, name = re.escape(f"{table}.{key}"), re.escape(key)
        assert re.search(
            rf'(?m)^(\[+{whole}(\.\w+)?\]+$|(# )?"?{name}"? =|\[{name}\]$)',
            blocks(text, "toml")[0],
        ), f"{table}.{key}"


def test_the_commands_for_an_archive_work_as_shown(
    prefixed: MiniChannel, install: Callable[..., Path], run: Run, tmp_path: Path
) -> None:
    text = (ROOT / "docs/inputs.md").read_text(encoding="utf-8")
    (block,) = blocks(text, "sh")
    run("pack", install(prefixed, "prefixed"), "-o", "env.tar.zst", cwd=tmp_path)
    (tmp_path / "env").mkdir()
    shown = f"set -e\n{block}\necho $CONDA_PREFIX"
    done = subprocess.run(["bash", "-c", shown], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == f"{tmp_path}/env\n"
    assert (tmp_path / "env/share/config.txt").read_text() == f"root = {tmp_path}/env/share\n"


def test_the_commands_for_slimming_work_as_shown(
    channel: str, cache_dir: Path, run: Run, tmp_path: Path
) -> None:
    block, _ = blocks((ROOT / "docs/slimming.md").read_text(encoding="utf-8"), "sh")
    (tmp_path / "environment.yml").write_text(
        f"channels: ['{channel}']\ndependencies: [python 3.11.*, click]\n"
    )
    (tmp_path / "slimpack.toml").write_text('[env]\nglibc = "2.36"\n')
    shown = [shlex.split(line, comments=True) for line in block.splitlines()]
    assert len(shown) == 4
    for program, *arguments in shown:
        assert program == "slimpack"
        assert run(*arguments, cwd=tmp_path).stdout.strip()


def test_the_commands_for_gpus_work_as_shown(cuda_channel: str, run: Run, tmp_path: Path) -> None:
    _, one = blocks((ROOT / "docs/slimming.md").read_text(encoding="utf-8"), "sh")
    (other,) = blocks((ROOT / "docs/cuda.md").read_text(encoding="utf-8"), "sh")
    (tmp_path / "environment.yml").write_text(
        f"channels: ['{cuda_channel}']\ndependencies: [libcurand]\n"
    )
    # Nothing else is in it that could need the library.
    (tmp_path / "slimpack.toml").write_text('[slim]\ndisable = ["cuda-libraries"]\n')
    for line in (one, other):
        program, *arguments = shlex.split(line, comments=True)
        assert program == "slimpack"
        told = run(*arguments, cwd=tmp_path).stdout
        assert "GPU code for sm_90 only; not verified on a GPU" in told


def test_flags_in_the_documents_exist() -> None:
    known = {"build": cli.commands["build"], "pack": cli.commands["pack"]}
    names = {name: {opt for item in known[name].params for opt in item.opts} for name in known}
    configuration = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"\((--[a-z-]+)\)", configuration))
    assert len(shown) > 15
    assert shown <= names["build"] | names["pack"]
    inputs = (ROOT / "docs/inputs.md").read_text(encoding="utf-8")
    (same,) = re.findall(r"(?m)^\| (`-o`.*?) \| the same \|$", inputs)
    assert set(re.findall(r"`(-[^`]+)`", same)) <= names["pack"]


def test_links_lead_somewhere() -> None:
    for path in [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_every_dependency_has_its_reason() -> None:
    text = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8").lower()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lines = [*project["project"]["dependencies"]]
    lines += [line for group in project["dependency-groups"].values() for line in group]
    names = [re.split(r"[^A-Za-z0-9-]", line)[0] for line in lines]
    assert "zstandard" in names
    for name in names:
        known = name.startswith("types-") or f"[{name.lower()}]" in text
        assert known, f"{name} has no reason in docs/dependencies.md"


def test_the_commands_for_lazy_starts_have_options_that_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Building with them is tested in test_build_sinks, and tracing in tests/trace."""
    monkeypatch.chdir(ROOT / "examples/serve")
    text = (ROOT / "docs/lazy.md").read_text(encoding="utf-8")
    lines = "".join(blocks(text, "sh")).replace("\\\n", " ").splitlines()
    assert len(lines) == 5
    for line in lines:
        program, name, *rest = shlex.split(line, comments=True)
        assert program == "slimpack"
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        command.make_context(name, rest).close()
