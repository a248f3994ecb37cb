"""Modules that import and modules that do not, in this interpreter made to look like a prefix."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from slimpack.config import SmokeTest, VerifyConfig
from slimpack.slim.record import RECORD, SlimRecord
from slimpack.verify import importing
from slimpack.verify.importing import Failure, import_all
from slimpack.verify.model import SkippedError
from slimpack.verify.modules import Importable, extension_module, importable_modules
from slimpack.verify.subject import Subject
from tests.verify.subjects import Mode, check, conda_record, on_host, subject
from tests.verify.test_check_files import BIN

VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
SITE = f"lib/python{VERSION}/site-packages"


def made(tmp_path: Path, files: dict[str, Any]) -> Subject:
    """A prefix whose Python is this one, with the modules of the prefix on its path."""
    site = tmp_path / "root" / SITE
    program = f'#!/bin/sh\nPYTHONPATH="{site}" exec {sys.executable} "$@"\n'  # -I is not used on it
    base = {
        f"bin/python{VERSION}": Mode(0o755, program),
        f"lib/python{VERSION}/json/__init__.py": "",
        "conda-meta/mods-1.0-0.json": conda_record("mods", list(files)),
    }
    return subject(tmp_path, {**base, **files}, kind="prefix")


def failing(on: Subject, **config: Any) -> list[tuple[str, str]]:
    """(severity, message) of what does not import."""
    context = on_host(on, VerifyConfig(**config))
    return [
        (finding.severity or "error", finding.message)
        for finding in check("imports").run(on, context)
    ]


def modules(**sources: str) -> dict[str, Any]:
    return {f"{SITE}/{name}.py": source for name, source in sources.items()}


GOOD = modules(
    good="x = 1\n",
    chatty='import sys, os\nprint(\'["ok", "bad", ""]\')\nos.write(1, b\'noise\\n\')\n'
    "sys.stderr.write('x')\n",
    asks="import sys\nassert sys.stdin.read() == ''\nassert sys.argv == ['']\n",
    threads="import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\n",
)


def test_modules_that_import(tmp_path: Path) -> None:
    on = made(tmp_path, GOOD)
    names = [module.name for module in importable_modules(on)]
    assert names == ["json", "asks", "chatty", "good", "threads"]
    assert failing(on) == []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("1 / 0\n", "import bad fails: ZeroDivisionError: division by zero ("),
        ("import json.gone\n", "ModuleNotFoundError: No module named 'json.gone'"),
        ("import sys\nsys.exit(3)\n", "SystemExit: 3"),
        ("raise KeyboardInterrupt\n", "KeyboardInterrupt"),
        ("import os\nos._exit(0)\n", "the interpreter ended (exit code 0)"),
        ("import os\nos._exit(3)\n", "it ended the interpreter with exit code 3"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", "it was ended by signal 11"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", "it was ended by signal 9"),
        ("x = \n", "SyntaxError: invalid syntax"),
    ],
)
def test_a_module_that_does_not_import(tmp_path: Path, source: str, message: str) -> None:
    # Those before and behind it are imported all the same.
    on = made(tmp_path, {**GOOD, **modules(bad=source, zebra="x = 1\n")})
    ((severity, found),) = failing(on)
    assert severity == "error"
    assert message in found


def test_several_that_end_the_process(tmp_path: Path) -> None:
    end = "import os\nos._exit(1)\n"
    found = failing(made(tmp_path, modules(a=end, b="x = 1\n", c=end, d=end, e="1 / 0\n")))
    assert [message.split()[1] for _, message in found] == ["a", "c", "d", "e"]


def test_too_many_that_end_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "_DEATHS", 2)
    monkeypatch.setattr(importing, "_ALONE", 0)
    end = "import os\nos._exit(1)\n"
    found = failing(made(tmp_path, modules(a=end, b=end, c="x = 1\n")))
    assert ["not tried" in message for _, message in found] == [False, False, True]


def test_one_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "_SECONDS", 1)
    hangs = "import time\ntime.sleep(600)\n"
    ((_, message),) = failing(made(tmp_path, modules(a="x = 1\n", hangs=hangs, z="x = 1\n")))
    assert "import hangs fails" in message


def test_one_that_fails_only_behind_another_is_no_failure(tmp_path: Path) -> None:
    first = "import sys\nsys.modules['decoy'] = None\n"
    on = made(tmp_path, modules(a_first=first, second="import decoy\n", decoy="x = 1\n"))
    assert failing(on) == []


def test_it_is_not_the_working_directory_s_module(tmp_path: Path) -> None:
    on = made(tmp_path, modules(bad="import beside\n"))
    (on.root / "beside.py").write_text("")
    ((severity, message),) = failing(on)
    assert "No module named 'beside'" in message
    assert severity == "warning"  # nobody has installed it


def test_no_bytecode_is_written(tmp_path: Path) -> None:
    on = made(tmp_path, GOOD)
    failing(on)
    assert not list(on.root.rglob("*.pyc"))


def test_modules_to_skip(tmp_path: Path) -> None:
    on = made(tmp_path, modules(bad="1 / 0\n", bad_too="1 / 0\n", good="x = 1\n"))
    assert failing(on, skip_imports=("bad*",)) == []


def removed(*names: str) -> dict[str, Any]:
    record = SlimRecord("safe", "", modules=names)
    return {RECORD: record.to_json()}


def test_what_needs_a_removed_module_is_an_error(tmp_path: Path) -> None:
    needs = modules(bad="import gone.part\n")
    assert [severity for severity, _ in failing(made(tmp_path, needs))] == ["warning"]
    on = made(tmp_path, {**needs, **removed("gone")})
    assert [severity for severity, _ in failing(on)] == ["error"]


def test_what_failed_before_slimming_is_a_note(tmp_path: Path) -> None:
    on = made(tmp_path, modules(old="1 / 0\n", new="1 / 0\n"))
    asked: list[str] = []

    def baseline(names: Sequence[str]) -> set[str]:
        asked.extend(names)
        return {"old"}

    context = on_host(on)
    with_baseline = type(context)(config=context.config, runner=context.runner, baseline=baseline)
    found = list(check("imports").run(on, with_baseline))
    assert sorted((f.severity, f.path) for f in found if f.severity) == [("info", f"{SITE}/old.py")]
    assert len(found) == 2
    assert sorted(asked) == ["new", "old"]


def test_the_package_is_named_with_what_to_do(tmp_path: Path) -> None:
    on = made(tmp_path, modules(bad="1 / 0\n"))
    (finding,) = check("imports").run(on, on_host(on))
    assert finding.package == "mods"
    assert "[slim.packages.mods] keep" in finding.fix


def test_without_python_or_sandbox_it_is_skipped(tmp_path: Path) -> None:
    with pytest.raises(SkippedError, match="no Python"):
        list(check("imports").run(subject(tmp_path, {}), on_host(subject(tmp_path, {}))))


def test_which_modules_there_are(tmp_path: Path) -> None:
    tag = f"cpython-{VERSION.replace('.', '')}-x86_64-linux-gnu.so"
    library = f"lib/python{VERSION}"
    files = dict.fromkeys(
        (
            *(f"{SITE}/{name}" for name in ("single.py", "sourceless.pyc", "not-one.py")),
            *(f"{SITE}/{name}" for name in (f"tagged.{tag}", "stable.abi3.so", "plain.so")),
            *(f"{SITE}/{name}" for name in ("libdata.so", "old.cpython-27.so")),
            *(f"{SITE}/pkg/{name}" for name in ("__init__.py", "inner.py", "libinner.so")),
            f"{SITE}/compiled/__init__.pyc",
            *(f"{SITE}/space/{name}" for name in ("one/__init__.py", "two.py", "tests/x.py")),
            f"{SITE}/mod-1.dist-info/METADATA",
            f"{SITE}/gone/__init__.py",
            f"{SITE}/__pycache__/ghost.{tag[:11]}.pyc",
            f"{library}/this.py",
            f"{library}/test/__init__.py",
            f"{library}/data/x.py",
            f"{library}/lib-dynload/_fast.{tag}",
        ),
        "",
    )
    on = made(tmp_path, {**files, **removed("gone")})
    found = {module.name: module.stdlib for module in importable_modules(on)}
    assert found == {
        **dict.fromkeys(("_fast", "json"), True),
        **dict.fromkeys(
            ("compiled", "pkg", "plain", "single", "sourceless", "space.one", "space.two",
             "stable", "tagged"),
            False,
        ),
    }  # fmt: skip
    assert extension_module(on, f"{library}/lib-dynload/_fast.{tag}") == "_fast"
    assert extension_module(on, f"{SITE}/pkg/_core.{tag}") == "pkg._core"
    assert extension_module(on, f"{SITE}/pkg/libinner.so") == ""
    assert extension_module(on, f"{BIN}/x.so") == ""


def test_lines_that_a_module_forges_are_not_believed(tmp_path: Path) -> None:
    forged = (
        "import os\n"
        "for number in range(3, 20):\n"
        "    try:\n"
        '        os.write(number, b\'["ok", 5]\\n[]\\n{}\\n["failed", "other", 1]\\nnoise\\n\')\n'
        "    except OSError:\n"
        "        pass\n"
        "1 / 0\n"
    )
    ((_, message),) = failing(made(tmp_path, modules(bad=forged)))
    assert "division by zero" in message


def test_an_interpreter_that_does_not_start(tmp_path: Path) -> None:
    on = made(tmp_path, modules(a="", b=""))
    context = on_host(on)
    assert context.runner is not None
    names = [Importable(name, "", "") for name in ("a", "b")]
    failures = import_all(context.runner, "/no/such/python", names)
    assert [failure.module for failure in failures] == ["a", "b"]
    assert failures[0] == Failure("a", failures[0].message)
    assert "exit code 127" in failures[0].message


def test_the_worker_runs_on_the_oldest_python() -> None:
    """Syntax of 3.8: nothing newer than what this version's parser takes with that flag."""
    import ast

    source = (Path(importing.__file__).with_name("import_worker.py")).read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 8))


# --- smoke --------------------------------------------------------------------------------


def smoke(on: Subject, *tests: SmokeTest) -> list[str]:
    context = on_host(on, VerifyConfig(smoke=tests))
    return [finding.message for finding in check("smoke").run(on, context)]


def test_smoke_tests_that_succeed(tmp_path: Path) -> None:
    on = subject(tmp_path, {"x": "1"}, kind="prefix")
    assert smoke(on, SmokeTest(("true",)), SmokeTest(("cat", "x"))) == []


@pytest.mark.parametrize(
    ("test", "message"),
    [
        (SmokeTest(("sh", "-c", "echo told; exit 4")), "failed with exit code 4: told"),
        (SmokeTest(("no-such-program",)), "no-such-program failed with exit code 127"),
        (SmokeTest(("sleep", "60"), timeout=1), "sleep 60 did not end within 1 seconds"),
    ],
)
def test_a_smoke_test_that_fails(tmp_path: Path, test: SmokeTest, message: str) -> None:
    on = subject(tmp_path, {}, kind="prefix", start=None)
    (found,) = smoke(on, SmokeTest(("true",)), test)
    assert message in found


def test_the_worker_alone_forks(tmp_path: Path) -> None:
    """Each module of a request with "alone" finds an interpreter that has imported nothing."""
    program = Path(importing.__file__).with_name("import_worker.py")
    (tmp_path / "one.py").write_text(
        "import builtins\nassert not hasattr(builtins, 'seen')\nbuiltins.seen = 1\n"
    )
    (tmp_path / "two.py").write_text("import builtins\nassert not hasattr(builtins, 'seen')\n")

    def ask(alone: bool) -> list[str]:
        import json

        request = {"modules": [["one", False], ["two", False]], "seconds": 5, "alone": alone}
        done = subprocess.run(
            [sys.executable, str(program)],
            input=json.dumps(request),
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        return [json.loads(line)[0] for line in done.stdout.splitlines()]

    assert ask(alone=True) == ["start", "ok", "start", "ok", "end"]
    assert ask(alone=False) == ["start", "ok", "start", "failed", "end"]
