"""``slimpack verify`` as users call it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from slimpack.verify.checks import CHECKS
from tests.support.channel import Run
from tests.verify.subjects import Mode, conda_record, write


@pytest.fixture
def env(tmp_path: Path) -> Path:
    """An environment without faults."""
    record = conda_record("a", ["bin/tool"])
    write(tmp_path / "env", {"conda-meta/a-1.0-0.json": record, "bin/tool": Mode(0o755, "x")})
    return tmp_path / "env"


def test_a_good_environment(env: Path, run: Run, tmp_path: Path) -> None:
    done = run("verify", env, cwd=tmp_path)
    rows = {line.split()[0]: line.split()[1] for line in done.stdout.splitlines() if line}
    assert rows["records"] == rows["modes"] == "ok"
    assert rows["imports"] == "skipped"
    assert "0 errors, 0 warnings" in done.stdout
    assert run("verify", env, "-q", cwd=tmp_path).stdout == ""


def test_a_fault_is_told_with_its_fix(env: Path, run: Run, tmp_path: Path) -> None:
    (env / "bin/tool").chmod(0o4755)
    done = run("verify", env, "-q", cwd=tmp_path, code=11)
    assert re.search(r"(?m)^modes +FAILED ", done.stdout)
    assert "bin/tool: is setuid (mode 4755)" in done.stdout
    assert "[a]" in done.stdout
    assert "fix: remove the bits" in done.stdout
    assert done.stderr.splitlines()[-3].startswith("error: ")
    assert "the check modes failed" in done.stderr
    assert "modes: bin/tool: is setuid" in done.stderr


def test_json_says_all(env: Path, run: Run, tmp_path: Path) -> None:
    (env / "bin/tool").unlink()
    done = run("verify", env, "--json", cwd=tmp_path, code=11)
    data = json.loads(done.stdout)
    assert [check["name"] for check in data["checks"]] == [check.name for check in CHECKS]
    (failed,) = [check for check in data["checks"] if check["findings"]]
    assert failed["name"] == "records"
    assert failed["findings"][0]["package"] == "a"


def test_choosing_and_ignoring(env: Path, run: Run, tmp_path: Path) -> None:
    (env / "bin/tool").unlink()
    run("verify", env, "--skip", "records", cwd=tmp_path)
    run("verify", env, "--check", "modes", "--check", "secrets", cwd=tmp_path)
    (tmp_path / "slimpack.toml").write_text('[verify]\nignore = ["records"]\n')
    assert re.search(r"(?m)^records +ignored ", run("verify", env, cwd=tmp_path).stdout)
    error = run("verify", env, "--check", "nonsense", cwd=tmp_path, code=2).stderr
    assert "there is no check 'nonsense'" in error


def test_smoke_tests_of_the_configuration(env: Path, run: Run, tmp_path: Path) -> None:
    config = tmp_path / "other.toml"
    config.write_text('[[verify.smoke]]\ncommand = ["sh", "-c", "echo told; exit 3"]\n')
    done = run("verify", env, "--config", config, cwd=tmp_path, code=11)
    assert "failed with exit code 3: told" in done.stdout
    assert "sandbox   host" in done.stdout
    done = run("verify", env, "--config", config, "--sandbox", "none", cwd=tmp_path)
    assert "none: nothing was run" in done.stdout


def test_every_check_is_explained(run: Run, tmp_path: Path) -> None:
    text = run("verify", "--list", cwd=tmp_path).stdout
    for check in CHECKS:
        assert f"{check.name}\n  {check.explanation}\n  fix: {check.fix}" in text


def test_what_cannot_be_verified(run: Run, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    assert "is no image" in run("verify", "text", cwd=tmp_path, code=2).stderr
    assert "does not exist" in run("verify", "gone", cwd=tmp_path, code=2).stderr


@pytest.mark.channel
def test_what_failed_before_is_no_error(python_prefix: Path, run: Run, tmp_path: Path) -> None:
    """A real environment passes; a module that is broken only afterwards does not."""
    for name in ("before", "after"):
        shutil.copytree(python_prefix, tmp_path / name, symlinks=True)
        (tmp_path / name / "lib/python3.11/site-packages/broken.py").write_text("1 / 0\n")
    (tmp_path / "after/lib/python3.11/site-packages/newly.py").write_text("1 / 0\n")
    arguments = ("--check", "imports", "--json", "--before", "before")
    done = run("verify", "after", *arguments, cwd=tmp_path, code=11)
    (check,) = json.loads(done.stdout)["checks"]
    found = {
        finding["message"].split()[1]: finding["severity"]
        for finding in check["findings"]
        if finding["severity"] != "info" or "broken" in finding["message"]
    }
    assert found == {"broken": "info", "newly": "error"}
