"""Workers of py-rattler that wait for the next request."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slimpack.env import ahead
from slimpack.env.rattler import process
from slimpack.env.rattler.process import call, standing
from slimpack.errors import SlimpackError

WORKER = """
import json, os, sys
for line in sys.stdin:
    request = json.loads(line)
    if request["action"] == "die":
        print("out of memory", file=sys.stderr, flush=True)
        os._exit(9)
    if request["action"] == "fail":
        print(json.dumps({"error": {"kind": "input", "message": "no"}}), flush=True)
    else:
        print(json.dumps({"event": "begun"}), flush=True)
        print(json.dumps({"result": {"pid": os.getpid()}}), flush=True)
"""


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """All workers that were started; they answer with their process's number."""
    found: list[subprocess.Popen[bytes]] = []
    start = process._start

    def noted() -> Any:
        worker = start()
        found.append(worker.process)
        return worker

    monkeypatch.setattr(process, "_BOOT", WORKER)
    monkeypatch.setattr(process, "_start", noted)
    yield found
    for one in found:
        assert one.returncode is not None, "a worker is left"


def ask(action: str = "tell") -> int:
    return int(call({"action": action}, where="here")["pid"])


def test_each_request_has_a_process_of_its_own() -> None:
    assert ask() != ask()


def test_a_standing_worker_answers_all_requests(started: list[subprocess.Popen[bytes]]) -> None:
    with standing():
        assert [one.pid for one in started] == [ask()] == [ask()]
    assert ask() != started[0].pid


def test_after_an_error_there_is_another(started: list[subprocess.Popen[bytes]]) -> None:
    with standing():
        with pytest.raises(SlimpackError, match="no"):
            ask("fail")
        assert started[0].returncode is not None
        assert ask() == started[1].pid


def test_one_that_dies_says_why() -> None:
    with standing(), pytest.raises(SlimpackError, match="without an answer") as caught:
        ask("die")
    assert "out of memory" in caught.value.details


def test_one_that_was_killed_while_it_waited_is_replaced(
    started: list[subprocess.Popen[bytes]],
) -> None:
    with standing():
        os.kill(started[0].pid, 9)
        started[0].wait()
        assert ask() == started[1].pid


@pytest.mark.parametrize(
    ("inputs", "engine", "count"),
    [
        (("numpy", "scipy >=1"), "rattler", 1),
        (("environment.yml",), "rattler", 1),
        (("conda-lock.yml",), "rattler", 0),
        (("pixi.lock",), "rattler", 0),
        (("folder",), "rattler", 0),
        (("environment.yml",), "micromamba", 0),
    ],
)
def test_it_is_started_for_what_has_to_be_solved(
    inputs: tuple[str, ...],
    engine: str,
    count: int,
    started: list[subprocess.Popen[bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("environment.yml", "conda-lock.yml", "pixi.lock"):
        (tmp_path / name).write_text(json.dumps({}))
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    with ahead.solver_ahead(engine, inputs):
        assert len(started) == count
