"""`slimpack report` and `slimpack diff` as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slimpack.oci.archive import write_archive
from slimpack.oci.layout import write_layout
from tests.report.samples import CHECKS, IMPORT_TIMES, image, layers, sample
from tests.support.channel import Run


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with a.tar, its layout a/, and b.tar with a newer numpy."""
    folder = tmp_path / "images"
    folder.mkdir()
    made = sample(tmp_path)
    write_archive(made, folder / "a.tar", ("serve:1.0",))
    write_layout(made, folder / "a", ("serve:1.0",))
    write_archive(image(*layers(tmp_path, version="2.0")), folder / "b.tar", ("serve:2.0",))
    (folder / "results.json").write_text(json.dumps(CHECKS))
    (folder / "times.txt").write_text(IMPORT_TIMES)
    return folder


def test_a_page_of_all_that_is_known(images: Path, run: Run) -> None:
    extras = ("--with", "b.tar", "--verify", "results.json", "--start-up", "times.txt")
    done = run("report", "a.tar", "-o", "report.html", *extras, cwd=images)
    assert done.stdout.startswith("written   report.html")
    page = (images / "report.html").read_text()
    for shown in ("<h1><bdi>serve:1.0</bdi></h1>", "b.tar has 2 of 3", "Verification", "Start-up"):
        assert shown in page, shown


def test_printed_to_any_terminal(images: Path, run_process: Run) -> None:
    env = {"COLUMNS": "60", "PYTHONIOENCODING": "utf-8"}
    text = run_process("report", "a", cwd=images, env=env).stdout
    assert "├── numpy" in text
    assert max(map(len, text.splitlines())) == 60
    env = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    assert "|-- numpy" in run_process("report", "a", cwd=images, env=env).stdout


def test_json_for_programs(images: Path, run: Run) -> None:
    data = json.loads(run("report", "a.tar", "--json", "--with", "b.tar", cwd=images).stdout)
    assert data["name"] == "serve:1.0"
    assert data["slimming"]["profile"] == "serve"
    assert data["shared"]["kept"] > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("missing.tar",), "missing.tar does not exist"),
        (("a.tar", "--with", "results.json"), "results.json"),
        (("a.tar", "--verify", "nothing.json"), "cannot read nothing.json"),
        (("a.tar", "--verify", "times.txt"), "times.txt is not valid JSON"),
        (("a.tar", "--start-up", "results.json"), "holds no import times"),
        (("a.tar", "--start-up", "a"), "cannot read a: Is a directory"),
        (("a.tar", "--run", "--verify", "results.json"), "--run finds out what --verify"),
    ],
)
def test_errors_are_messages(images: Path, run: Run, arguments: tuple[str, ...], said: str) -> None:
    code = 7 if "--with" in arguments else 2
    done = run("report", *arguments, "-o", "page.html", cwd=images, code=code)
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert not (images / "page.html").exists()


def test_differences_and_their_exit_codes(images: Path, run: Run, run_process: Run) -> None:
    done = run("diff", "a.tar", "b.tar", cwd=images)
    assert "~ numpy 1.0 0 -> 2.0 0" in done.stdout
    assert "- Env PATH=/opt/env/bin" in done.stdout
    run("diff", "a.tar", "b.tar", "--exit-code", cwd=images, code=1)
    same = run("diff", "a.tar", "a", "--exit-code", "--json", cwd=images)
    assert json.loads(same.stdout)["differ"] is False
    assert run("diff", "a.tar", "none.tar", cwd=images, code=2).stderr.startswith("error: ")
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    assert run_process("diff", "a.tar", "b.tar", cwd=images, env=ascii_only).stdout
