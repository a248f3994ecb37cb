from __future__ import annotations

import json
from pathlib import Path

import pytest

from slimpack.env.activation import Activation, freeze
from slimpack.errors import InputError
from slimpack.platforms import here
from slimpack.sandbox.probe import program_of


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    root = tmp_path / "p"
    for folder in ("bin", "conda-meta", "etc/conda/activate.d", "etc/conda/env_vars.d"):
        (root / folder).mkdir(parents=True)
    return root


def script(prefix: Path, text: str, name: str = "a.sh") -> None:
    (prefix / "etc/conda/activate.d" / name).write_text(text)


def frozen(prefix: Path) -> tuple[dict[str, str], Activation]:
    activation = freeze(prefix, "/opt/env")
    return dict(activation.env), activation


def test_nothing_to_activate(prefix: Path) -> None:
    env, activation = frozen(prefix)
    assert env == {"CONDA_PREFIX": "/opt/env"}
    assert activation.notes == ()


def test_scripts_are_evaluated_in_order_and_moved(prefix: Path) -> None:
    script(prefix, 'export DATA="$CONDA_PREFIX/share"\nexport LATER=1\nlocal_only=2\n')
    script(prefix, 'export LATER="${LATER}2"\nexport PATH="$CONDA_PREFIX/opt/bin:$PATH"\n', "b.sh")
    env, activation = frozen(prefix)
    assert env["DATA"] == "/opt/env/share"
    assert env["LATER"] == "12"
    assert "local_only" not in env
    assert "PATH" not in env
    assert activation.path == ("/opt/env/opt/bin",)
    assert activation.notes == ()


def test_programs_for_another_machine_are_named(prefix: Path) -> None:
    tool = prefix / "bin/tool"
    tool.write_bytes(program_of(183 if here() == "linux/amd64" else 62, bytes(4)))
    tool.chmod(0o755)
    script(prefix, 'export FOUND="$(tool --prefix)"\nexport HOME_OF=$CONDA_PREFIX\n')
    script(prefix, '"$CONDA_PREFIX/bin/tool" --x\n', "b.sh")
    env, activation = frozen(prefix)
    assert env["HOME_OF"] == "/opt/env"
    told = "which this machine cannot run: see what it sets, and set that under [image.env]"
    assert f"etc/conda/activate.d/a.sh runs bin/tool, {told}" in activation.notes
    assert f"etc/conda/activate.d/b.sh runs bin/tool, {told}" in activation.notes


def test_declared_variables_in_conda_s_order(prefix: Path) -> None:
    (prefix / "etc/conda/env_vars.d/p.json").write_text('{"A": "package", "B": "package"}')
    state = {"version": 1, "env_vars": {"B": "user", "C": "***unset***"}}
    (prefix / "conda-meta/state").write_text(json.dumps(state))
    script(prefix, 'export SEEN="$A-$B"\n')
    env, _ = frozen(prefix)
    assert (env["A"], env["B"], env["SEEN"]) == ("package", "user", "package-user")
    assert "C" not in env
    assert dict(freeze(prefix, "/opt/env", (("B", "spec"),)).env)["B"] == "spec"


def test_the_host_does_not_leak(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "do-not-ship")
    script(prefix, 'export COPY="[$SECRET_TOKEN]"\nexport ME="$HOME/x"\nexport NOW="$(pwd)"\n')
    env, activation = frozen(prefix)
    assert env["COPY"] == "[]"
    assert "SECRET_TOKEN" not in env
    assert "ME" not in env
    assert "NOW" not in env
    assert "ME depends on where activation runs and is left out" in activation.notes
    assert (
        "etc/conda/activate.d/a.sh reads $SECRET_TOKEN at activation; frozen as if it were not set"
        in activation.notes
    )


def test_logic_that_cannot_be_frozen_is_reported(prefix: Path) -> None:
    script(prefix, "helper() { echo hi; }\nalias ll='ls -l'\necho noise\nexport A=1\n")
    script(prefix, "false\n", "b.sh")
    (prefix / "bin/.thing-post-link.sh").write_text("exit 0\n")
    env, activation = frozen(prefix)
    assert env["A"] == "1"
    notes = "\n".join(activation.notes)
    assert "shell function helper does not exist in an image" in notes
    assert "shell alias ll does not exist in an image" in notes
    assert "etc/conda/activate.d/b.sh failed" in notes
    assert "post-link script bin/.thing-post-link.sh was not run" in notes


def test_backups_of_conda_s_own_are_no_variables(prefix: Path) -> None:
    script(
        prefix,
        'export CONDA_BACKUP_X="${X:-}"\nif [ -z "${X:-}" ]; then export X="$CONDA_PREFIX"; fi\n',
    )
    env, activation = frozen(prefix)
    assert env == {"CONDA_PREFIX": "/opt/env", "X": "/opt/env"}
    assert activation.notes == ()


def test_a_script_that_exits(prefix: Path) -> None:
    script(prefix, "echo broken >&2; exit 3\n")
    with pytest.raises(InputError, match="ended the shell") as caught:
        frozen(prefix)
    assert "broken" in caught.value.details


@pytest.mark.parametrize("text", ["{", "[1]", '{"A": 1}'])
def test_bad_declarations(prefix: Path, text: str) -> None:
    (prefix / "etc/conda/env_vars.d/p.json").write_text(text)
    with pytest.raises(InputError, match=r"p\.json: "):
        frozen(prefix)


def test_what_the_user_declares_counts_also_for_names_that_the_evaluation_sets(
    prefix: Path,
) -> None:
    script(prefix, "export A=1\n")
    declared = (("HOME", "/data"), ("LANG", "de_DE.UTF-8"), ("TZ", "Asia/Tokyo"))
    env = dict(freeze(prefix, "/opt/env", declared).env)
    assert env == {"A": "1", "CONDA_PREFIX": "/opt/env", **dict(declared)}


def test_scripts_do_not_reach_the_evaluation(prefix: Path) -> None:
    script(prefix, "set -eu\nreport=/bin/false\nexport LD_LIBRARY_PATH=$CONDA_PREFIX/lib\n")
    script(prefix, 'export SEEN="${NOT_SET:-none}"\nexport PYTHONHOME=/nowhere\n', "b.sh")
    env, _ = frozen(prefix)
    assert env["LD_LIBRARY_PATH"] == "/opt/env/lib"
    assert env["SEEN"] == "none"
    assert env["PYTHONHOME"] == "/nowhere"


@pytest.mark.parametrize("text", ['{"a=b": "c"}', '{"A": "x\\u0000"}', '{"A": "\\ud800"}'])
def test_what_cannot_be_a_variable(prefix: Path, text: str) -> None:
    (prefix / "etc/conda/env_vars.d/p.json").write_text(text)
    with pytest.raises(InputError, match="cannot be an environment variable"):
        frozen(prefix)


def test_spaces_and_unicode_in_the_prefix(tmp_path: Path) -> None:
    prefix = tmp_path / "ein prefix ü"
    (prefix / "etc/conda/activate.d").mkdir(parents=True)
    (prefix / "bin").mkdir()
    script(prefix, 'export DATA="$CONDA_PREFIX/share"\n', "a b.sh")
    assert frozen(prefix)[0]["DATA"] == "/opt/env/share"
