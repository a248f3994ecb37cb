"""Activation in the shells that people have, with callers that make it hard."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from slimpack.errors import InputError
from slimpack.portable.activation import ACTIVATION_PREFIXES, PREFIX_TOKEN, activation_files
from tests.portable.shells import MORE, USUAL, command, run_shell

HARD = 'it\'s "hard" $HOME `id` \\ ! %s\n*  two  spaces\té #end'
POSIX = [*USUAL, *MORE]

# As much as a caller may do to a script that it sources.
HOSTILE = {
    "bash": "shopt -s expand_aliases\nset -f\n",
    "zsh": "setopt noglob noclobber\nchpwd() { print moved; }\n",
    **dict.fromkeys(["dash", "ash", "mksh", "ksh93", "posh", "yash"], "set -f\n"),
}
ALIASES = "cd printf read unset export dirname readlink return eval"
COMMON = """
set -eu -C
CDPATH=/:/tmp; IFS='/n e'
cd() {{ echo hostile; }}
{aliases}
"""


def hostile(shell: str) -> str:
    """Return lines that a script of this shell starts with."""
    aliases = "\n".join(f"alias {name}=false" for name in ALIASES.split())
    if shell == "posh":  # has no aliases
        aliases = ""
    return HOSTILE[shell] + COMMON.format(aliases=aliases)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where environments lie whose names make it hard."""
    return tmp_path / "my é $HOME 'envs'"


def environment(
    prefix: Path, *, variables: Sequence[tuple[str, str]] = (), dest: str | None = None
) -> Path:
    for path, (data, mode) in activation_files(
        variables=variables, dest_prefix=dest, has_conda=False
    ).items():
        place = prefix / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        place.chmod(mode)
    tool = prefix / "bin" / "whoami-env"
    tool.write_text(f"#!/bin/sh\necho {prefix.name}\n")
    tool.chmod(0o755)
    return prefix


def add_script(prefix: Path, path: str, text: str) -> None:
    place = prefix / "etc" / "conda" / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)


def lines(output: str) -> dict[str, str]:
    """Read what `show` printed."""
    pairs = (part.partition("=") for part in output.split("\x1e") if part)
    return {name: value for name, _, value in pairs}


SHOW = r"""
\printf '%s\036' "label=$label" "PATH=${PATH-unset}" "PS1=${PS1-unset}" \
  "CONDA_PREFIX=${CONDA_PREFIX-unset}" "HARD=${HARD-unset}" "WHERE=${WHERE-unset}" \
  "OLD=${_CONDA_PACK_OLD_PS1-unset}" "SCRIPT=${SCRIPT-unset}"
\printf '\035'
"""


def show(label: str) -> str:
    return f"label={label}\n{SHOW}"


def shown(output: str) -> dict[str, dict[str, str]]:
    records = [lines(part) for part in output.split("\x1d") if part.strip()]
    return {record["label"]: record for record in records}


@pytest.mark.parametrize("shell", POSIX)
@pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])
def test_round_trip_with_a_hostile_caller(shell: str, relative: bool, home: Path) -> None:
    prefix = environment(
        home / "env", variables=[("HARD", HARD), ("WHERE", f"{PREFIX_TOKEN}/x:{PREFIX_TOKEN}")]
    )
    add_script(prefix, "activate.d/a.sh", '\\export SCRIPT="on$UNSET_BY_ANYONE"; false\n')
    add_script(prefix, "deactivate.d/a.sh", "\\unset SCRIPT; false\n")
    source = "./env/bin/activate" if relative else f"{home}/env/bin/activate".replace("'", "'\\''")
    script = (
        f"{hostile(shell)}\nPS1='$ '\nHARD=before\n{show('before')}"
        f". '{source}'\n{show('active')}"
        f". '{source}'\n{show('again')}"
        # The user changes PATH in between: only our entry leaves.
        "PATH=/first:$PATH:/last\n"
        f'. "$CONDA_PREFIX/bin/deactivate"\n{show("after")}'
        "case $- in *e*u*|*u*e*) ;; *) \\printf 'label=options lost\\035' ;; esac\n"
    )
    seen = shown(run_shell(shell, script, cwd=home))
    before, active, after = seen["before"], seen["active"], seen["after"]
    assert set(seen) == {"before", "active", "again", "after"}
    assert active["CONDA_PREFIX"] == str(prefix)
    assert active["PATH"] == f"{prefix}/bin:{before['PATH']}"
    assert active["PS1"] == "(env) $ "
    assert active["OLD"] == "$ "
    assert active["HARD"] == HARD
    assert active["WHERE"] == f"{prefix}/x:{prefix}"
    assert active["SCRIPT"] == "on"
    assert {**seen["again"], "label": "active"} == active
    assert after["PATH"] == f"/first:{before['PATH']}:/last"
    assert {**after, "label": "before", "PATH": before["PATH"]} == before


@pytest.mark.parametrize("shell", [*POSIX, "fish"])
def test_any_value_arrives(shell: str, tmp_path: Path) -> None:
    """As a child process sees it, and in place of a value that was there."""
    dice = random.Random(1)
    letters = "'\"\\$`!*?[]{}()<>|&;#~% \t\n\ré\u20ac\U0001f40d=ab\x01\x7f"
    values = {
        f"V{index}": "".join(dice.choices(letters, k=dice.randrange(20))) for index in range(40)
    }
    prefix = environment(tmp_path / "env", variables=list(values.items()))
    (prefix / "bin" / "dump").write_text(
        f"#!{sys.executable}\nimport json, os; print(json.dumps(dict(os.environ)))\n"
    )
    (prefix / "bin" / "dump").chmod(0o755)
    fish = shell == "fish"
    script = (
        f". '{prefix}/bin/activate{'.fish' if fish else ''}'\ndump\n"
        f"{'deactivate' if fish else '. deactivate'}\n'{prefix}/bin/dump'"
    )
    before = {"V0": "before", "V1": values["V2"]}
    inside, after = map(json.loads, run_shell(shell, script, env=before).splitlines())
    assert {name: inside.get(name) for name in values} == values
    assert {name: value for name, value in after.items() if name.startswith("V")} == before


@pytest.mark.parametrize("shell", POSIX)
def test_nothing_is_left_behind(shell: str, tmp_path: Path) -> None:
    prefix = environment(tmp_path / "env", variables=[("A", "1")])
    names = sorted(
        {
            word.split("(")[0]
            for text in activation_files(variables=[], dest_prefix=None, has_conda=False).values()
            for word in text[0].decode().split()
            if word.startswith("_slimpack") and word.endswith("()")
        }
    )
    assert len(names) > 4
    # Prints what the script's shell knows by a name of ours.
    look = "set | grep -i slimpack | grep -v '^_=' || :\n" + "".join(
        f"if command -v {name} >/dev/null; then echo {name}; fi\n" for name in names
    )
    script = tmp_path / "script"  # a file, because shells keep the text of -c in a variable
    script.write_text(f". '{prefix}/bin/activate'\n. '{prefix}/bin/deactivate'\n{look}")
    assert run_shell(shell, f". '{script}'") == ""
    script.write_text(f". '{prefix}/bin/activate'\n{look}")
    kept = run_shell(shell, f". '{script}'")
    assert all(line.startswith(("_SLIMPACK", "PATH")) for line in kept.splitlines()), kept


@pytest.mark.parametrize("shell", POSIX)
def test_one_environment_after_the_other(shell: str, tmp_path: Path) -> None:
    one = environment(tmp_path / "one", variables=[("A", "one"), ("B", "one")])
    two = environment(tmp_path / "two", variables=[("A", "two")])
    script = f"""
    A=mine; export A
    . '{one}/bin/activate'; whoami-env; echo "$A $B"
    . '{two}/bin/activate'; whoami-env; echo "$A ${{B-unset}}"
    case $PATH in *'{one}'*) echo leaked ;; esac
    . deactivate; echo "$A ${{CONDA_PREFIX-none}}"
    """
    assert run_shell(shell, script).split() == [
        "one",
        "one",
        "one",
        "two",
        "two",
        "unset",
        "mine",
        "none",
    ]


@pytest.mark.parametrize("shell", POSIX)
def test_on_top_of_a_conda_environment(shell: str, tmp_path: Path) -> None:
    prefix = environment(tmp_path / "env")
    script = f". '{prefix}/bin/activate'; echo $CONDA_PREFIX; . deactivate; echo $CONDA_PREFIX"
    output = run_shell(shell, script, env={"CONDA_PREFIX": "/opt/conda"})
    assert output.split() == [str(prefix), "/opt/conda"]


@pytest.mark.parametrize("shell", POSIX)
def test_a_child_shell_can_deactivate(shell: str, tmp_path: Path) -> None:
    prefix = environment(tmp_path / "env", variables=[("A", "1")])
    child = " ".join(command(shell))
    script = (
        f"A=0; export A; . '{prefix}/bin/activate'; "
        f"{child} -c '. deactivate; echo $A ${{CONDA_PREFIX-none}}'"
    )
    assert run_shell(shell, script).split() == ["0", "none"]


@pytest.mark.parametrize("shell", POSIX)
def test_without_a_prompt_none_is_made(shell: str, tmp_path: Path) -> None:
    prefix = environment(tmp_path / "env")
    tell = "echo ${PS1-unset}"
    script = f"unset PS1; . '{prefix}/bin/activate'; {tell}; . deactivate; {tell}"
    assert run_shell(shell, script).split() == ["unset", "unset"]


@pytest.mark.parametrize("shell", POSIX)
def test_the_prompt_runs_nothing(shell: str, tmp_path: Path) -> None:
    prefix = environment(tmp_path / "e$(id)`id`%x\\w!")
    tell = "printf '%s\\n' \"$PS1\""
    script = f"PS1='> '; . '{prefix}/bin/activate'; {tell}; . deactivate; {tell}"
    assert run_shell(shell, script) == "(e_(id)_id__x_w_) > \n> \n"


@pytest.mark.parametrize("shell", POSIX)
def test_a_colon_in_the_path_is_refused(shell: str, tmp_path: Path) -> None:
    prefix = environment(tmp_path / "a:b")
    script = f". '{prefix}/bin/activate' 2>&1 || echo \"refused $PATH\""
    output = run_shell(shell, script, env={"PATH": "/usr/bin:/bin"})
    assert "no folder on PATH can have a colon" in output
    assert output.endswith("refused /usr/bin:/bin\n")


@pytest.mark.parametrize("shell", POSIX)
def test_scripts_run_in_order_and_back(shell: str, tmp_path: Path) -> None:
    prefix = environment(tmp_path / "env")
    for name in "abc":
        add_script(prefix, f"activate.d/{name}.sh", f"echo on {name} $#\n")
        add_script(prefix, f"deactivate.d/{name}.sh", f'echo off {name} $# "$CONDA_PREFIX"\n')
    output = run_shell(shell, f". '{prefix}/bin/activate'; . deactivate")
    expected = [f"on {name} 0" for name in "abc"] + [f"off {name} 0 {prefix}" for name in "cba"]
    assert output.splitlines() == expected


@pytest.mark.parametrize("shell", ["dash", "ash", "mksh", "posh", "yash"])
def test_sourced_by_a_script_in_a_subshell(shell: str, tmp_path: Path) -> None:
    prefix = environment(tmp_path / "env")
    outer = tmp_path / "outer.sh"
    outer.write_text(
        f"( . '{prefix}/bin/activate'; echo $CONDA_PREFIX )\necho ${{CONDA_PREFIX-no}}"
    )
    assert run_shell(shell, f". '{outer}'").split() == [str(prefix), "no"]


def test_the_place_that_was_written_serves_without_proc(tmp_path: Path) -> None:
    prefix = environment(tmp_path / "env", dest=str(tmp_path / "env"))
    script = prefix / "bin" / "activate"
    script.write_text(script.read_text().replace("/proc/", "/no-proc/"))
    assert run_shell("dash", f". '{script}'; echo $CONDA_PREFIX").strip() == str(prefix)
    other = environment(tmp_path / "other")
    script = other / "bin" / "activate"
    script.write_text(script.read_text().replace("/proc/", "/no-proc/"))
    assert "run bin/conda-unpack" in run_shell("dash", f". '{script}' 2>&1 || :")


def test_conda_packs_own_scripts_may_be_active(tmp_path: Path) -> None:
    import conda_pack

    theirs = tmp_path / "theirs" / "bin"
    theirs.mkdir(parents=True)
    scripts = Path(conda_pack.__file__).parent / "scripts" / "posix"
    for name in ("activate", "deactivate"):
        (theirs / name).write_bytes((scripts / name).read_bytes())
    ours = environment(tmp_path / "ours")
    for first, second in ((theirs, ours / "bin"), (ours / "bin", theirs)):
        script = (
            f". '{first}/activate'; . '{second}/activate'; echo $PATH; . deactivate; echo $PATH"
        )
        output = run_shell("bash", script, env={"PATH": "/usr/bin"})
        assert output.split() == [f"{second}:/usr/bin", "/usr/bin"]


def test_no_scripts_for_an_environment_with_conda_at_a_known_place() -> None:
    assert activation_files(variables=[], dest_prefix="/opt/env", has_conda=True) == {}
    assert len(activation_files(variables=[], dest_prefix=None, has_conda=True)) == 3


def test_the_place_stands_in_the_listed_files_alone() -> None:
    files = activation_files(variables=[("A", PREFIX_TOKEN)], dest_prefix=None, has_conda=False)
    listed = {item.path for item in ACTIVATION_PREFIXES}
    assert {path for path, (data, _) in files.items() if PREFIX_TOKEN.encode() in data} == listed
    files = activation_files(variables=[("A", PREFIX_TOKEN)], dest_prefix="/o", has_conda=False)
    assert not any(PREFIX_TOKEN.encode() in data for data, _ in files.values())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("PATH", "x"), ("UID", "0"), ("a b", "x"), ("", "x"), ("1A", "x"), ("A\n", "x")),
        *(("A", "\0"), ("_SLIMPACK_VARIABLES", "x"), ("A", "\udc80")),
    ],
)
def test_variables_that_no_shell_can_set_are_refused(name: str, value: str) -> None:
    with pytest.raises(InputError):
        activation_files(variables=[(name, value)], dest_prefix=None, has_conda=False)


FISH_SHOW = r"""
function show
    printf '%s\036' label=$argv[1] "PATH="(string join : $PATH) "CONDA_PREFIX=$CONDA_PREFIX" \
        "HARD=$HARD" "WHERE=$WHERE" "SCRIPT=$SCRIPT" "GONE=$GONE" \
        "PROMPT="(fish_prompt | string collect)
    printf '\035'
end
function fish_prompt
    echo '> '
end
"""


def test_fish_round_trip(home: Path) -> None:
    prefix = environment(
        home / "env", variables=[("HARD", HARD), ("WHERE", f"{PREFIX_TOKEN}/x:{PREFIX_TOKEN}")]
    )
    add_script(
        prefix,
        "activate.d/a.sh",
        "export SCRIPT=\"on\n'$CONDA_PREFIX'\"; unset GONE; "
        "export PATH=/scripts:$PATH; echo noise\n",
    )
    add_script(prefix, "activate.d/b.sh", "export TWICE=sh$TWICE\n")
    add_script(prefix, "activate.d/b.fish", 'set -gx TWICE "fish$TWICE"\n')
    add_script(prefix, "deactivate.d/a.sh", "unset SCRIPT; export GONE=here\n")
    quoted = str(home / "env/bin/activate.fish").replace("\\", "\\\\").replace("'", "\\'")
    script = f"""{FISH_SHOW}
    set -gx HARD before; set -gx GONE here
    show before
    source '{quoted}'; or exit 1
    show active; test "$TWICE" = fish; or echo "twice $TWICE"
    set -gx PATH /first $PATH /last
    deactivate
    show after
    functions -a | string match '*slimpack*'; set --names | string match -i '*slimpack*'
    functions -q deactivate; and echo deactivate; true
    """
    seen = shown(run_shell("fish", script, cwd=home, stderr="noise\n"))
    before, active, after = seen["before"], seen["active"], seen["after"]
    assert set(seen) == {"before", "active", "after"}
    assert active["CONDA_PREFIX"] == str(prefix)
    assert active["PATH"] == f"/scripts:{prefix}/bin:{before['PATH']}"
    assert (active["HARD"], active["WHERE"]) == (HARD, f"{prefix}/x:{prefix}")
    assert (active["SCRIPT"], active["GONE"]) == (f"on\n'{prefix}'", "")
    assert active["PROMPT"].startswith("(env) >")
    assert after["PATH"] == f"/first:/scripts:{before['PATH']}:/last"
    assert {**after, "label": "before", "PATH": before["PATH"]} == before


def test_fish_one_after_the_other(tmp_path: Path) -> None:
    one = environment(tmp_path / "one", variables=[("A", "one"), ("B", "one")])
    two = environment(tmp_path / "two", variables=[("A", "two")])
    script = f"""
    set -gx A mine
    source {one}/bin/activate.fish; whoami-env; echo $A $B
    source {one}/bin/activate.fish; whoami-env; echo $A $B
    source {two}/bin/activate.fish; whoami-env; echo $A "<$B>"
    string match '*{one}*' -- $PATH
    deactivate; echo $A "<$CONDA_PREFIX>"
    """
    expected = "one one one one one one two two <> mine <>"
    assert run_shell("fish", script).split() == expected.split()


def test_fish_keeps_a_prompt_that_was_chosen_since(tmp_path: Path) -> None:
    prefix = environment(tmp_path / "env")
    script = f"""source {prefix}/bin/activate.fish
    function fish_prompt; echo chosen; end
    deactivate; fish_prompt"""
    assert run_shell("fish", script) == "chosen\n"


def test_fish_refuses_a_colon(tmp_path: Path) -> None:
    prefix = environment(tmp_path / "a:b")
    script = f"""source '{prefix}/bin/activate.fish' 2>&1; or echo refused
    functions -q deactivate; or echo none"""
    assert run_shell("fish", script).splitlines()[1:] == ["refused", "none"]


@pytest.mark.parametrize("name", ["bin/activate", "bin/deactivate"])
def test_shells_can_parse_the_scripts(name: str) -> None:
    text = activation_files(variables=[("A", HARD)], dest_prefix=None, has_conda=False)[name][0]
    for shell in USUAL:
        subprocess.run([*command(shell), "-n"], input=text, check=True)
