"""What a workload touches of its image: its service with the first request, and its self-test."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from benchmarks.building.project import Project
from benchmarks.demo import say
from benchmarks.running import measure
from benchmarks.setup.apt import SetupError, install

# The service listens where it always does; in a network of its own nobody else does.
_ALONE = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")


def touch(project: Project, layout: Path, trace: Path) -> None:
    """Trace the service of the image in `layout`, answering, and then the self-test.

    Raises RunError when one of them fails, SetupError without root.
    """
    touch_start(project, layout, trace)
    _trace(project, layout, trace, "--append", "--", *project.workload.self_test)


def touch_start(project: Project, layout: Path, trace: Path) -> None:
    """Trace the service alone, until it has answered its first request; raises as `touch` does."""
    if os.geteuid():
        raise SetupError("not root: a service is traced in a network of its own")
    if shutil.which("strace") is None or shutil.which("ip") is None:
        install(("strace", "iproute2"))
    workload = project.workload
    url = f"http://127.0.0.1:{workload.port}"
    say(f"{workload.name}: tracing {layout.name}")
    _trace(project, layout, trace, "--request", workload.request.argument(url))


def _trace(project: Project, layout: Path, trace: Path, *arguments: str) -> None:
    command = (sys.executable, "-m", "slimpack", "trace", str(layout), "-o", str(trace), "--quiet")
    environment = project.environment()
    measure((*_ALONE, *command, *arguments), cwd=project.home, env=environment)
