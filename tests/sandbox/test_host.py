"""Commands on the host: nothing of ours in their environment, and an end in time."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimpack.errors import InputError
from slimpack.sandbox import Bind, Command, Options, Prepared, choose_sandbox

PYTHON = sys.executable


@pytest.fixture
def ready(tmp_path: Path) -> Iterator[Prepared]:
    with choose_sandbox("host").prepare(tmp_path) as prepared:
        yield prepared


def python(code: str, timeout: float = 30, **more: object) -> Command:
    return Command((PYTHON, "-S", "-c", code), timeout=timeout, **more)  # type: ignore[arg-type]


def test_it_runs_where_the_files_lie(ready: Prepared, tmp_path: Path) -> None:
    done = ready.run(python("import os, sys; print(os.getcwd()); sys.exit(3)"))
    assert (done.returncode, done.stdout.decode().strip()) == (3, str(tmp_path))


def test_only_its_own_variables(ready: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED_SECRET", "1")
    done = ready.run(python("import os; print(sorted(os.environ))", env=(("A", "1"),)))
    assert set(eval(done.stdout)) - {"LC_CTYPE"} == {"A", "PATH"}  # Python sets LC_CTYPE itself


def test_a_process_that_stays_is_killed_with_its_group(ready: Prepared, tmp_path: Path) -> None:
    code = f"""
import os, time
if os.fork() == 0:
    for _ in range(600):
        open({str(tmp_path / "beats")!r}, "a").write(".")
        time.sleep(0.1)
print("over")
time.sleep(WAIT)
"""
    done = ready.run(python(code.replace("WAIT", "0.5")))
    assert (done.returncode, done.timed_out) == (0, False)
    assert done.stdout.endswith(b"over\n")
    _stands_still(tmp_path / "beats")
    before = time.monotonic()
    assert ready.run(python(code.replace("WAIT", "60"), timeout=1)).timed_out
    assert time.monotonic() - before < 10
    _stands_still(tmp_path / "beats")


def _stands_still(path: Path) -> None:
    size = path.stat().st_size
    assert size > 0
    time.sleep(0.4)
    assert path.stat().st_size == size


def test_programs_that_cannot_run(ready: Prepared, tmp_path: Path) -> None:
    assert ready.run(Command(("/nothing/here",))).returncode == 127
    (tmp_path / "text").write_text("no program")
    (tmp_path / "text").chmod(0o755)
    assert ready.run(Command((str(tmp_path / "text"),))).returncode == 126


def test_a_wrapper_is_looked_for_on_our_path(ready: Prepared) -> None:
    command = python("print(1)", env=(("PATH", "/nowhere"),))
    done = ready.run(command, Options(wrapper=("env", "--")))
    assert done.stdout == b"1\n"


def test_what_the_host_cannot_do(ready: Prepared, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        ready.run(Command(("x",), user="nonroot"))
    with pytest.raises(InputError):
        ready.run(Command(("x",)), Options((Bind(tmp_path, "/x"),)))
    with pytest.raises(InputError, match="is not there"):
        ready.run(Command(("x",), workdir="/nothing/here"))


@pytest.mark.parametrize(
    "bad",
    [
        {"argv": ()},
        {"argv": ("",)},
        {"argv": ("a\0b",)},
        {"argv": ("a",), "env": (("", "1"),)},
        {"argv": ("a",), "env": (("A=B", "1"),)},
        {"argv": ("a",), "env": (("A", "\0"),)},
        {"argv": ("a",), "workdir": "relative"},
    ],
)
def test_commands_that_cannot_be(bad: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(InputError):
        Command(**bad)  # type: ignore[arg-type]
