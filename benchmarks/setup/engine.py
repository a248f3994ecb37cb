"""A Docker engine that answers: the one that is there, else one installed and started here."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.setup.apt import SetupError, call, install

BUILD = Path(__file__).parents[2] / "build"
PID_FILE = BUILD / "dockerd.pid"
LOG_FILE = BUILD / "dockerd.log"
_START_SECONDS = 90
_STOP_SECONDS = 60


def engine_answers() -> bool:
    """Tell whether the ``docker`` on PATH reaches an engine."""
    if shutil.which("docker") is None:
        return False
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def ensure_engine() -> None:
    """Return when an engine answers; SetupError when none does and none can be started."""
    if engine_answers():
        return
    if host := os.environ.get("DOCKER_HOST"):
        raise SetupError(f"the Docker engine at DOCKER_HOST={host} does not answer")
    if os.geteuid():
        raise SetupError(
            "no Docker engine answers, and only root can start one: start Docker "
            "(and join the group docker), or run this as root"
        )
    if shutil.which("dockerd") is None:
        install(("docker.io", "iptables"))
    if shutil.which("docker") is None:
        install(("docker-cli",))  # a package of its own from Debian 13 on
    if Path("/run/systemd/system").is_dir():
        call("systemctl", "start", "docker")
        _wait(None)
    else:
        _wait(_start())


def stop_engine() -> None:
    """End the engine that `ensure_engine` started, if it did; others are left alone."""
    pid = _started()
    if pid is None:
        return
    print(f"stopping dockerd ({pid})", file=sys.stderr)
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while _started() is not None:
        if time.monotonic() > deadline:
            raise SetupError(f"dockerd ({pid}) did not end within {_STOP_SECONDS} s")
        time.sleep(0.1)


def _started() -> int | None:
    """Return the process of the engine that was started here, None if it is gone."""
    try:
        pid = int(PID_FILE.read_text(encoding="ascii"))
        # The number may have been given to another process since.
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if os.fsencode(PID_FILE) in arguments else None


def _start() -> subprocess.Popen[bytes]:
    BUILD.mkdir(parents=True, exist_ok=True)
    if _started() is None:
        PID_FILE.unlink(missing_ok=True)
    print(f"starting dockerd; its log is {LOG_FILE}", file=sys.stderr)
    with open(LOG_FILE, "wb") as log:
        # A session of its own: it outlives make, and Ctrl-C does not reach it.
        return subprocess.Popen(
            ["dockerd", "--pidfile", str(PID_FILE)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait(process: subprocess.Popen[bytes] | None) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not engine_answers():
        if process is not None and process.poll() is not None:
            raise SetupError(f"dockerd ended (exit code {process.returncode}):\n{_tail()}")
        if time.monotonic() > deadline:
            raise SetupError(f"dockerd did not answer within {_START_SECONDS} s:\n{_tail()}")
        time.sleep(0.2)


def _tail() -> str:
    try:
        return "\n".join(LOG_FILE.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
    except OSError:
        return "see the engine's log: journalctl -u docker"
