"""What a user sees for wrong input: one message, the documented exit code, nothing written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from slimpack.cli import table
from slimpack.cli.progress import choose
from slimpack.errors import SlimpackError
from tests.support.channel import ROOT

SPEC = "channels: [conda-forge]\ndependencies: [python]\n"


def test_needs_somewhere_to_go(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done = run("build", "environment.yml", cwd=tmp_path, code=2)
    assert "nowhere to put the image: pass --output PATH or --load" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["build", "-o", "x.tar"], "nothing to build"),
        (["build", "none.yml", "-o", "x.tar"], "none.yml: No such file"),
        (["build", "e.yml", "-o", "x.tar", "--runtime", "distrolles"], "'distrolles'"),
        (["build", "e.yml", "-o", "x.tar", "--platform", "win-64"], "unknown platform 'win-64'"),
        (["build", "e.yml", "-o", "x.tar", "--prefix", "opt"], "expected an absolute path"),
        (["build", "e.yml", "-o", "x.tar", "--base", "none"], "none"),
        (["build", "e.yml", "-o", "x.tar", "--config", "none.toml"], "none.toml: No such file"),
        (["build", "e.yml", "-o", "x.tar", "-t", "Bad Name"], "Bad Name"),
        (["inspect", "none.tar"], "none.tar"),
        (["runtime", "show", "nope"], "nope"),
        (["bild"], "No such command 'bild'"),
    ],
)
def test_bad_input_is_one_message(run, tmp_path: Path, arguments, expected) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "e.yml").write_text(SPEC)
    done = run(*arguments, cwd=tmp_path, code=2)
    assert expected in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["e.yml"]


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
