from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slimpack.env.pypi.interpreter import Interpreter
from slimpack.env.pypi.pip import Pip, PipError, _run, configuration, environment, private_file

TARGET = Interpreter(Path("/nowhere"), "3.11.2", "", "linux-aarch64", (2, 36))


def variables(folder: Path, *, choices: bool = False) -> dict[str, str]:
    return environment(TARGET, folder, Pip(TARGET, folder, native=False)._configured(choices))


def test_sections_and_variables_count_in_the_order_of_pip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_pip: None
) -> None:
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = https://one.example/simple\ntimeout = 7\nproxy = p\n"
        "extra-index-url =\n    https://two.example/a\n    https://three.example/b\n"
        "[install]\ntimeout = 8\nuser = true\n[download]\ntimeout = 9\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("PIP_PROXY", "q")
    found = configuration()
    assert found["index-url"] == "https://one.example/simple"
    assert found["extra-index-url"] == "https://two.example/a https://three.example/b"
    assert (found["timeout"], found["proxy"]) == ("8", "q")
    env = variables(tmp_path)
    assert env["PIP_EXTRA_INDEX_URL"] == found["extra-index-url"]
    assert env["PIP_CONFIG_FILE"] == os.devnull
    assert "PIP_USER" not in env


def test_the_users_python_settings_stay_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_pip: None
) -> None:
    for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "PIP_TARGET"):
        monkeypatch.setenv(name, "/x")
    monkeypatch.delenv("PYTHONHOME")  # our own pip is asked for its configuration
    monkeypatch.setenv("PIP_PRE", "1")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    env = variables(tmp_path)
    assert not {"PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV", "PIP_TARGET", "PIP_PRE"} & set(env)
    assert env["SOURCE_DATE_EPOCH"] == "1700000000"
    assert (env["PYTHONHASHSEED"], env["PYTHONNOUSERSITE"]) == ("0", "1")
    assert env["PATH"].startswith("/nowhere/bin:")
    assert variables(tmp_path, choices=True)["PIP_PRE"] == "1"


def test_errors_have_what_pip_said_and_no_credentials(tmp_path: Path, own_pip: None) -> None:
    pip = Pip(TARGET, tmp_path / "scratch", native=False)
    with pytest.raises(PipError) as caught:
        pip("download", "--no-deps", "https://me:hunter2@127.0.0.1:9/a-1.0.tar.gz")
    assert "hunter2" not in caught.value.output
    assert caught.value.details.lower().startswith("error:")
    assert list((tmp_path / "scratch").iterdir()) == []


def test_only_slimpacks_own_pip_is_seen(tmp_path: Path, own_pip: None) -> None:
    """Not what is installed beside slimpack: that would count as installed in the prefix."""
    site = tmp_path / "lib/python3.11/site-packages"
    site.mkdir(parents=True)
    target = Interpreter(tmp_path, "3.11.2", "", "linux-aarch64", (2, 36))
    pip = Pip(target, tmp_path / "scratch", native=False)
    with pytest.raises(PipError, match=r"not found: pytest"):
        pip("show", "pytest")


def test_nothing_that_pip_started_outlives_it(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    child = f"import time; time.sleep(1.5); open({str(mark)!r}, 'w')"
    parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}])"
    assert _run([sys.executable, "-c", parent], dict(os.environ)) == ("", 0)
    time.sleep(2)
    assert not mark.exists()


def test_a_private_file_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = private_file(tmp_path / "x", "secret")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == "secret"


def test_the_worker_refuses_a_pip_that_it_does_not_know(tmp_path: Path) -> None:
    folder = tmp_path / "pip" / "_vendor" / "packaging"
    folder.mkdir(parents=True)
    for file in ("pip/__init__.py", "pip/_vendor/__init__.py", "pip/_vendor/packaging/__init__.py"):
        (tmp_path / file).write_text("")
    for name in ("_manylinux", "markers"):
        (folder / f"{name}.py").write_text("")
    request = tmp_path / "request.json"
    request.write_text(
        f'{{"root": "{tmp_path}", "installed": [], "glibc": [2, 36], "markers": null}}'
    )
    worker = Path(sys.modules["slimpack.env.pypi.pip"].__file__ or "").with_name("pip_worker.py")
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(worker), str(request), "list"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode
    assert "cannot be told about another platform" in done.stderr
