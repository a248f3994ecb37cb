"""The example runs in a real Docker engine as slimpack promises."""

from __future__ import annotations

import errno
import json

import pytest

from benchmarks.running import Server, docker, request, serving
from slimpack.oci.read import read_image
from slimpack.oci.rootfs import merged_view
from tests.support.images import Built

pytestmark = [pytest.mark.engine, pytest.mark.channel]

SHELLS = ("ash", "bash", "busybox", "csh", "dash", "fish", "ksh", "mksh", "rbash", "sh", "zsh")

# Imports the application as uvicorn does; tells what was compiled for it, and
# what was loaded from anything but unchecked-hash bytecode (PEP 552: flags are 1).
IMPORT = """
import importlib._bootstrap_external as external, json, sys
compiled, odd = [], []
compile_source = external.SourceLoader.source_to_code
def source_to_code(self, data, path, *rest, **more):
    compiled.append(str(path))
    return compile_source(self, data, path, *rest, **more)
external.SourceLoader.source_to_code = source_to_code
import main, uvicorn.protocols.http.h11_impl
sources = [m.__spec__ for m in list(sys.modules.values())
           if getattr(getattr(m, "__spec__", None), "has_location", False)
           and str(m.__spec__.origin).endswith(".py")]
for spec in sources:
    try:
        with open(spec.cached, "rb") as stream:
            head = stream.read(8)
    except OSError as error:
        odd.append([spec.origin, str(error)])
    else:
        if head[4:] != (1).to_bytes(4, "little"):
            odd.append([spec.origin, head.hex()])
print(json.dumps({"compiled": compiled, "odd": odd, "modules": len(sources)}))
"""


def python(server: Server, code: str, *arguments: str, user: str = "65532") -> str:
    """Run code with the image's Python in the container; return what it prints."""
    return docker(
        "exec", "--user", user, server.name, "python", "-c", code, *arguments
    ).stdout.strip()


@pytest.mark.parametrize(
    ("flower", "species"),
    [
        ((5.1, 3.5, 1.4, 0.2), "setosa"),
        ((5.7, 2.8, 4.1, 1.3), "versicolor"),
        ((6.3, 3.3, 6.0, 2.5), "virginica"),
    ],
)
def test_it_predicts(server: Server, flower: tuple[float, ...], species: str) -> None:
    names = ("sepal_length", "sepal_width", "petal_length", "petal_width")
    answer = request(f"http://{server.address}/predict", dict(zip(names, flower, strict=True)))
    assert answer["species"] == species
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=0.001)
    assert max(answer["probabilities"], key=answer["probabilities"].get) == species


def test_it_runs_as_nonroot(server: Server) -> None:
    assert server.get("/health") == {"status": "ok", "uid": 65532, "gid": 65532}


@pytest.mark.parametrize("user", ["65532", "0"])
@pytest.mark.parametrize("folder", ["/", "/app", "/etc", "/home/nonroot", "/opt/env/lib"])
def test_nothing_can_be_written_not_even_by_root(server: Server, folder: str, user: str) -> None:
    code = """
import sys
try:
    open(sys.argv[1] + "/new", "w")
except OSError as error:
    print(error.errno)
"""
    assert python(server, code, folder, user=user) == str(errno.EROFS)


def test_the_temporary_folder_can_be_written(server: Server) -> None:
    code = "import tempfile; f = tempfile.TemporaryFile(); f.write(b'x'); print(f.tell())"
    assert python(server, code) == "1"


@pytest.mark.parametrize("shell", ["/bin/sh", "sh", "bash", "dash", "busybox"])
def test_no_shell_can_be_started(server: Server, shell: str) -> None:
    done = docker("exec", server.name, shell, "-c", "exit 0", check=False)
    assert done.returncode in (126, 127)
    output = done.stdout + done.stderr
    assert "no such file" in output or "executable file not found" in output


def test_no_file_of_the_image_is_a_shell(serve: Built) -> None:
    paths = merged_view(read_image(serve.tar))
    assert "opt/env/bin/python" in paths
    assert [path for path in paths if path.rpartition("/")[2] in SHELLS] == []


def test_the_application_is_the_first_process(server: Server) -> None:
    code = """
import os
print(os.readlink("/proc/1/exe"))
print(open("/proc/1/cmdline").read().split(chr(0))[1:3])
"""
    program, arguments = python(server, code).splitlines()
    assert program == "/opt/env/bin/python3.11"
    assert arguments == "['-m', 'uvicorn']"


def test_no_module_is_compiled_at_the_start(server: Server) -> None:
    found = json.loads(python(server, IMPORT))
    assert found["compiled"] == []
    assert found["odd"] == []
    # The application with all of scikit-learn's imports; a check of nothing would pass too.
    assert found["modules"] > 500


def test_the_environment_does_not_hide_that(server: Server) -> None:
    code = "import os; print(sorted(name for name in os.environ if name.startswith('PYTHON')))"
    assert python(server, code) == "[]"


def test_it_ends_when_it_is_asked_to(serve: Built) -> None:
    with serving(serve.tag) as server:
        server.first_prediction()
        docker("stop", "--time", "30", server.name)
        state = json.loads(docker("inspect", "--format", "{{json .State}}", server.name).stdout)
    # 137 is what is left of a process that was killed after those 30 seconds.
    assert (state["Running"], state["ExitCode"]) in ((False, 0), (False, 143))


def test_the_build_s_memory_does_not_grow_with_the_environment(serve: Built) -> None:
    """The example's environment has 350 MB of files; 400 MB is the promise of the design."""
    assert serve.memory < 400 * 1000**2
