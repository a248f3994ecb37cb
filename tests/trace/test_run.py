"""Real workloads in a real image, followed by the real strace."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from slimpack.errors import InputError, VerifyError
from slimpack.oci.archive import write_archive
from slimpack.rootfs import unpack_image
from slimpack.sandbox import Bind, Command, Sandbox
from slimpack.sandbox.host import Host
from slimpack.trace import strace
from slimpack.trace.closure import closure
from slimpack.trace.record import Trace, read_trace
from slimpack.trace.run import Workload, trace_image
from slimpack.trace.service import Request
from tests.support.channel import Run
from tests.trace.conftest import PREFIX, Pictured

LIB = "opt/env/lib/python3.11"


def python(code: str) -> Workload:
    return Workload(argv=("python", "-c", code), timeout=120)


def test_a_program_is_followed_into_its_image(
    pictured: Pictured, sandbox: Sandbox, scratch: Path
) -> None:
    code = "import json, os, subprocess, sys; subprocess.run([sys.executable, '-c', 'import csv'])"
    traced = trace_image(pictured.image, python(code), sandbox, scratch=scratch)
    trace = traced.trace
    assert trace.image == pictured.image.digest
    assert trace.commands == (("python", "-c", code),)
    assert {
        "opt/env/bin/python",
        "opt/env/bin/python3.11",
        "lib/x86_64-linux-gnu/libc.so.6",
        f"{LIB}/json/decoder.py",
        f"{LIB}/csv.py",
    } <= {*trace.opened, *trace.statted}
    assert f"{LIB}/lib-dynload" in trace.listed
    assert not any("fractions" in path or "uvicorn" in path for path in trace.opened)
    assert all(path in pictured.tree for path in trace.opened)
    assert traced.unresolved == 0


def test_the_same_run_gives_the_same_trace(
    pictured: Pictured, any_sandbox: Sandbox, scratch: Path
) -> None:
    code = "import tempfile, threading; threading.Thread(target=tempfile.mkdtemp).start()"
    traces = []
    for name in ("1", "2"):
        folder = scratch / name
        folder.mkdir()
        traces.append(trace_image(pictured.image, python(code), any_sandbox, scratch=folder).trace)
    assert traces[0].to_json() == traces[1].to_json()


def free_port() -> int:
    with socket.socket() as any_socket:
        any_socket.bind(("127.0.0.1", 0))
        port: int = any_socket.getsockname()[1]
        return port


def service(port: int, *requests: str) -> Workload:
    return Workload(
        argv=("python", "/app/service.py", str(port)),
        requests=tuple(Request.parse(text) for text in requests),
        timeout=120,
    )


def test_a_service_is_asked_and_stopped(
    pictured: Pictured, sandbox: Sandbox, scratch: Path
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    workload = service(port, f"{url}/", f"POST {url}/x 3/4")
    traced = trace_image(pictured.image, workload, sandbox, scratch=scratch)
    assert {"app/service.py", f"{LIB}/http/server.py", f"{LIB}/fractions.py"} <= {
        *traced.trace.opened,
        *traced.trace.statted,
    }
    assert traced.finished.returncode == 0


def test_a_service_that_refuses_is_no_workload(
    pictured: Pictured, any_sandbox: Sandbox, scratch: Path
) -> None:
    port = free_port()
    workload = service(port, f"http://127.0.0.1:{port}/", f"http://127.0.0.1:{port}/none")
    with pytest.raises(VerifyError, match="answered 404"):
        trace_image(pictured.image, workload, any_sandbox, scratch=scratch)


def test_a_service_that_nobody_can_ask(
    pictured: Pictured, any_sandbox: Sandbox, scratch: Path
) -> None:
    workload = Workload(
        argv=("python", "-c", "print('bye')"), requests=(Request("http://[::1]:1/"),)
    )
    with pytest.raises(VerifyError, match="nobody answered") as caught:
        trace_image(pictured.image, workload, any_sandbox, scratch=scratch)
    assert "bye" in caught.value.details


def test_a_workload_that_fails_tells_why(
    pictured: Pictured, any_sandbox: Sandbox, scratch: Path
) -> None:
    with pytest.raises(VerifyError, match="exit code 1") as caught:
        trace_image(pictured.image, python("import absent_module"), any_sandbox, scratch=scratch)
    assert "absent_module" in caught.value.details


def test_a_workload_without_an_end(pictured: Pictured, any_sandbox: Sandbox, scratch: Path) -> None:
    endless = python("import csv, time; time.sleep(1000)")
    stopped = trace_image(pictured.image, replace(endless, seconds=3), any_sandbox, scratch=scratch)
    assert f"{LIB}/csv.py" in {*stopped.trace.opened, *stopped.trace.statted}


def test_a_workload_that_takes_too_long(
    pictured: Pictured, any_sandbox: Sandbox, scratch: Path
) -> None:
    with pytest.raises(VerifyError, match="did not end in time"):
        trace_image(
            pictured.image,
            replace(python("import time; time.sleep(1000)"), timeout=2),
            any_sandbox,
            scratch=scratch,
        )


def test_files_and_variables_of_this_machine(
    pictured: Pictured, any_sandbox: Sandbox, scratch: Path
) -> None:
    code = "import os; __import__(open(os.environ['WHERE']).read())"
    (scratch / "input").write_text("csv")
    workload = replace(
        python(code), env=(("WHERE", "/data"),), binds=(Bind(scratch / "input", "/data"),)
    )
    traced = trace_image(pictured.image, workload, any_sandbox, scratch=scratch)
    assert f"{LIB}/csv.py" in {*traced.trace.opened, *traced.trace.statted}
    assert "data" not in traced.trace.opened


def test_what_stays_runs_and_the_rest_is_gone(
    pictured: Pictured, any_sandbox: Sandbox, scratch: Path
) -> None:
    """The image of the closure does the workload; what nothing led to fails as it should."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    trace = trace_image(
        pictured.image,
        service(port, f"{url}/", f"POST {url}/x 3/4"),
        any_sandbox,
        scratch=scratch,
    ).trace
    stays = closure(pictured.tree, PREFIX, trace)
    small = pictured.only(stays, scratch / "blobs")
    again = scratch / "again"
    again.mkdir()
    repeated = trace_image(
        small, service(port, f"{url}/", f"POST {url}/x 3/4"), any_sandbox, scratch=again
    ).trace
    assert repeated.opened == trace.opened
    assert closure(pictured.tree, PREFIX, repeated) == stays
    assert small.size < pictured.image.size * 0.8
    root = scratch / "root-of-small"
    unpack_image(small, root)
    with any_sandbox.prepare(root, small) as prepared:
        for code, expected in (
            ("import fractions, email.message, encodings.shift_jis", ""),
            ("import uvicorn", "No module named 'uvicorn'"),
            ("import sqlite3", "No module named 'sqlite3'"),
        ):
            done = prepared.run(Command(("python", "-c", code), small.config.env, "65532"))
            assert (done.returncode != 0) == bool(expected), done.stderr.decode()
            assert expected in done.stderr.decode()


def test_the_command_line_writes_and_adds(
    pictured: Pictured, any_sandbox: Sandbox, scratch: Path, run: Run
) -> None:
    write_archive(pictured.image, scratch / "image.tar", ())
    out = scratch / "trace.json"
    told = ("trace", "image.tar", "-o", out, "--timeout", "120")
    done = run(*told, "--", "python", "-c", "import csv", cwd=scratch)
    assert "opened" in done.stdout
    first = read_trace(out.read_bytes(), "first")
    run(*told, "--append", "-q", "--", "python", "-c", "import wave", cwd=scratch)
    both = read_trace(out.read_bytes(), "both")
    assert len(both.commands) == 2
    assert set(first.opened) < set(both.opened)
    failed = run(*told, "--", "python", "/none.py", cwd=scratch, code=11)
    assert "exit code 2" in failed.stderr
    assert "/none.py" in failed.stderr
    assert read_trace(out.read_bytes(), "kept") == both
    run(*told, "--env", "nonsense", cwd=scratch, code=2)
    run(*told, "--request", "ftp://x", cwd=scratch, code=2)


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("http://x/", Request("http://x/")),
        (' GET https://x/y?z="a b" ', None),
        ('POST http://x/ {"a": 1}', Request("http://x/", "POST", '{"a": 1}')),
        ("DELETE http://x/", Request("http://x/", "DELETE")),
        ("x", None),
        ("POST", None),
        ("", None),
    ],
)
def test_requests_are_parsed(text: str, request_: Request | None) -> None:
    if request_ is None:
        with pytest.raises(InputError, match="not a request"):
            Request.parse(text)
    else:
        assert Request.parse(text) == request_


def test_a_sandbox_that_strace_cannot_enter(pictured: Pictured, scratch: Path) -> None:
    with pytest.raises(InputError, match="sandbox host"):
        trace_image(pictured.image, python("1"), Host(), scratch=scratch)


def test_requests_and_a_time_exclude_each_other() -> None:
    with pytest.raises(InputError, match="not after some seconds"):
        Workload(requests=(Request("http://x/"),), seconds=1)


def test_strace_that_is_missing_or_old(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="not on PATH"):
        strace.find_strace()
    program = tmp_path / "strace"
    program.write_text("#!/bin/sh\necho 'strace -- version 4.26'\n")
    program.chmod(0o755)
    with pytest.raises(InputError, match=r"too old.*4\.26"):
        strace.find_strace()


def test_a_log_of_a_launcher_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        '1 execve("/usr/bin/bwrap", [...], 0x1 /* 0 vars */) = 0\n1 +++ exited with 1 +++\n'
    )
    with pytest.raises(InputError, match="no program start inside"):
        strace.read_log(log)


def test_a_trace_is_of_the_files_named(pictured: Pictured) -> None:
    """The closure of nothing is the base and what stays always."""
    stays = closure(pictured.tree, PREFIX, Trace(pictured.image.digest, (), ()))
    assert "lib/x86_64-linux-gnu/libc.so.6" in stays
    assert f"{LIB}/encodings/utf_8.py" in stays
    assert not any("uvicorn/" in path for path in stays)
