"""What a user sees for wrong input: one message, the documented exit code, nothing written."""

from __future__ import annotations

import builtins
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from slimpack.__main__ import main as start
from slimpack.cli import cli, table
from slimpack.cli.progress import choose
from slimpack.cli.runtime import runtime_group
from slimpack.errors import SlimpackError
from tests.support.channel import ROOT

SPEC = "channels: [conda-forge]\ndependencies: [python]\n"


def test_needs_somewhere_to_go(run_process, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done = run_process("build", "environment.yml", cwd=tmp_path, code=2)
    assert "nowhere to put the image: pass --output PATH, --load or --push REF" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["build", "-o", "x.tar"], "nothing to work on"),
        (["build", "none.yml", "-o", "x.tar"], "none.yml: No such file"),
        (["build", "e.yml", "-o", "x.tar", "--runtime", "distrolles"], "'distrolles'"),
        (["build", "e.yml", "-o", "x.tar", "--platform", "win-64"], "unknown platform 'win-64'"),
        (["build", "e.yml", "-o", "x.tar", "--prefix", "opt"], "expected an absolute path"),
        (["build", "e.yml", "-o", "x.tar", "--base", "none"], "none"),
        (["build", "e.yml", "-o", "x.tar", "--config", "none.toml"], "none.toml: No such file"),
        (["build", "e.yml", "-o", "x.tar", "-t", "Bad Name"], "Bad Name"),
        (["build", "e.yml", "--load", "--sbom", "spdx"], "an engine keeps no SBOM"),
        (["build", "e.yml", "-o", "x.tar", "--builder-id", "https://ci"], "pass --provenance"),
        (["inspect", "none.tar"], "none.tar"),
        (["runtime", "show", "nope"], "nope"),
        (["bild"], "error: No such command 'bild'"),
        (["pack", "e.yml", "-o", "x.lz"], "the name does not tell"),
        (["pack", "e.yml", "-o", "x.tar", "--arcroot", "../x"], "expected a relative folder"),
        (["pack", "e.yml", "-o", "x.tar", "--arcroot", "a\nb"], "expected a relative folder"),
        (["pack", "e.yml", "-o", "x.tar", "-p", "env"], "No such option '-p'"),
        (["pack", "e.yml", "-o", "x.tar", "--cuda", "new"], "such as '12.8', got 'new'"),
        (["lock", "e.yml", "--glibc", "2"], "such as '2.28', got '2'"),
        (["runtime", "show", "distroless", "--pinned", "--json"], "leave out --json"),
        (["runtime", "show", "distroless", "--platform", "linux/arm64"], "goes with --pinned"),
    ],
)
def test_bad_input_is_one_message(run, tmp_path: Path, arguments, expected) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "e.yml").write_text(SPEC)
    done = run(*arguments, cwd=tmp_path, code=2)
    assert expected in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["e.yml"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["build", "e.yml", "-o", "e.yml"], "expected FILE.tar"),
        (["build", "e.yml", "-o", "x.tar.gz"], "expected FILE.tar"),
        (["build", "e.yml", "-o", "layout"], "FOLDER/ with a slash"),
        (["build", "env", "-o", "env/x.tar"], "lies in the input env"),
        (["pack", "env", "-o", "env/x.zip"], "lies in the input env"),
        (["pack", "env", "-o", "env/", "--force"], "env/ is the input"),
        (["pack", "env", "-o", "there/", "--force"], "there/ is the input"),
        (["pack", "env", "--format", "folder"], "env/ is the input"),
        (["pack", "e.yml", "-o", "e.yml", "--format", "sh", "--force"], "e.yml is the input"),
        (["lock", "e.yml", "-o", "e.yml", "--format", "conda-lock"], "e.yml is the input"),
        (["pack", "e.yml", "-o", "-", "--format", "tar"], "standard output"),
        (["pack", "e.yml", "-o", "/dev/stdout", "--format", "tar", "-f"], "standard output"),
    ],
)
def test_no_output_goes_over_an_input(run, tmp_path: Path, arguments, expected) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "e.yml").write_text(SPEC)
    (tmp_path / "env/conda-meta").mkdir(parents=True)
    (tmp_path / "env/conda-meta/history").write_text("")
    (tmp_path / "there").symlink_to("env")
    before = sorted(tmp_path.rglob("*"))
    done = run(*arguments, cwd=tmp_path, code=2)
    assert expected in done.stderr
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "e.yml").read_text() == SPEC


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        (["environment.yml"], "environment.tar.zst"),
        (["environment.yml", "--format", "zip", "-d", "/opt/env"], "environment.zip"),
        (["environment.yml", "--format", "tgz", "--compress-level", "1"], "environment.tgz"),
        (["environment.yml", "--format", "no-archive"], "environment"),
        (["a", "-c", "URL", "--format", "sh", "--n-threads", "1"], "env.sh"),
    ],
)
def test_an_archive_is_named_after_its_input(run, mini, tmp_path: Path, arguments, written) -> None:  # type: ignore[no-untyped-def]
    mini.add("a", {"share/a": "1"})
    here = tmp_path / "here"
    here.mkdir()
    (here / "environment.yml").write_text(f"channels: ['{mini.url}']\ndependencies: [a]\n")
    run("pack", *(mini.url if word == "URL" else word for word in arguments), "-q", cwd=here)
    assert sorted(path.name for path in here.iterdir()) == sorted(["environment.yml", written])


def test_unpack_tells_how_to_activate(run, mini, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """With the folder inside the archive, and quoted for a shell."""
    mini.add("a", {"share/a": "1"})
    run("pack", "a", "-c", mini.url, "-o", "a.tar", "--arcroot", "in/side", cwd=tmp_path)
    done = run("unpack", "a.tar", "hé re", cwd=tmp_path)
    line = done.stdout.splitlines()[-1]
    assert line == f"activate  . '{tmp_path}/hé re/in/side/bin/activate'"
    shell = subprocess.run(
        ["sh", "-c", f'{line.removeprefix("activate")}; printf %s "$CONDA_PREFIX"'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shell.stdout == f"{tmp_path}/hé re/in/side"


def test_ctrl_c_during_the_import_is_no_traceback(monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    def interrupted(name: str, *rest: Any) -> Any:
        if name == "slimpack.cli":
            raise KeyboardInterrupt
        return real(name, *rest)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", interrupted)
    with pytest.raises(SystemExit) as caught:
        start()
    assert caught.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_options_are_explained_and_the_same_everywhere() -> None:
    """Each has a help text, and one name means one thing in every command."""
    commands = [*cli.commands.values(), *runtime_group.commands.values()]
    seen: dict[str, set[object]] = {}
    for command in commands:
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help, f"{command.name} {option.name}"
                assert option.metavar or option.is_flag or isinstance(option.type, click.Choice)
                for name in option.opts:
                    seen.setdefault(name, set()).add(tuple(option.opts))
    assert {name: ways for name, ways in seen.items() if len(ways) > 1} == {
        "--level": {("--level",), ("--level", "--compress-level")}
    }


def test_bad_epoch(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "e.yml").write_text(SPEC)
    env = {"SOURCE_DATE_EPOCH": "yesterday"}
    done = run("build", "e.yml", "-o", "x.tar", cwd=tmp_path, env=env, code=2)
    assert "SOURCE_DATE_EPOCH: expected seconds since 1970" in done.stderr


def test_configuration_is_found_and_its_errors_name_the_key(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "slimpack.toml").write_text("[image]\nruntme = 'x'\n")
    done = run("build", "-o", "x.tar", cwd=tmp_path, code=2)
    assert "slimpack.toml: image.runtme: unknown key" in done.stderr
    assert "did you mean 'runtime'?" in done.stderr


def test_runtime_list_and_show(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert "distroless " in run("runtime", "list", cwd=tmp_path).stdout
    names = [
        item["name"] for item in json.loads(run("runtime", "list", "--json", cwd=tmp_path).stdout)
    ]
    assert "distroless" in names
    shown = run("runtime", "show", "distroless", cwd=tmp_path).stdout
    assert "libc6" in shown
    as_json = json.loads(run("runtime", "show", "distroless", "--json", cwd=tmp_path).stdout)
    assert as_json["prefix"] == "/opt/env"
    assert as_json["user"] == "65532"


def test_exit_codes_are_documented() -> None:
    text = (ROOT / "docs/exit-codes.md").read_text(encoding="utf-8")
    errors: list[type[SlimpackError]] = [SlimpackError, *SlimpackError.__subclasses__()]
    assert len({error.exit_code for error in errors}) == len(errors)
    for error in errors:
        assert f"| {error.exit_code} | `{error.__name__}` |" in text
    assert "| 130 |" in text


def test_interrupt_ends_with_130_and_leaves_nothing(tmp_path: Path, mini) -> None:  # type: ignore[no-untyped-def]
    """Ctrl-C while the solver's process runs."""
    mini.add("a", {"share/a": "1"})
    (tmp_path / "e.yml").write_text(f"channels: ['{mini.url}']\ndependencies: [a]\n")
    cache = tmp_path / "cache"
    process = subprocess.Popen(
        [sys.executable, "-m", "slimpack", "build", "e.yml", "-o", "out.tar", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SLIMPACK_CACHE_DIR": str(cache)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    line = process.stderr.readline()  # the first task has begun
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, line + errors
    assert "Traceback" not in errors
    assert not (tmp_path / "out.tar").exists()
    assert not list((cache / "tmp").iterdir())


def test_table() -> None:
    text = table.table(("name", "MB"), [("a", "1.0"), ("long name", "10.0")], right=(1,))
    assert text.splitlines() == [
        "name         MB",
        "---------  ----",
        "a           1.0",
        "long name  10.0",
    ]


@pytest.mark.parametrize("style", ["auto", "line", "json", "none", "bar"])
def test_progress_styles(style: str, capsys: pytest.CaptureFixture[str]) -> None:
    progress = choose(style)
    with progress.task("fetch", total=3_000_000) as task:
        task.advance(1_000_000)
        task.total(4_000_000)
        task.advance(3_000_000)
    progress.note("a note")
    progress.warn("a warning")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "a warning" in shown.err
    assert ("a note" in shown.err) == (style != "none")
    if style == "json":
        begin, end, *_ = [json.loads(line) for line in shown.err.splitlines()]
        assert (begin["event"], begin["done"], begin["total"]) == ("begin", 0, 3_000_000)
        assert (end["event"], end["done"], end["total"]) == ("end", 4_000_000, 4_000_000)
    elif style in ("auto", "line"):
        assert shown.err.startswith("fetch, 4.0 MB, ")
    elif style == "bar":
        assert "4.00M/4.00M" in shown.err


def test_quiet_and_json_choose_a_style() -> None:
    assert type(choose(quiet=True)).__name__ == "QuietProgress"
    assert type(choose(as_json=True)).__name__ == "JsonProgress"
    assert type(choose("line", as_json=True)).__name__ == "LineProgress"
