"""BuildKit builds the Dockerfile that slimpack writes, and the result is what a build gives."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from benchmarks.running import docker
from slimpack.cache import Cache
from slimpack.inspection import Contents, examine
from slimpack.oci.read import read_image
from tests.engine.test_serving import SHELLS
from tests.support.builder import builder_image, final_image
from tests.support.channel import missing
from tests.support.command import call, variables
from tests.support.wheels import wheel

pytestmark = [pytest.mark.engine, pytest.mark.channel, pytest.mark.network]

CONFIG = """
[env]
spec = "environment.yml"

[image]
name = "t"
entrypoint = ["/opt/env/bin/python", "-m", "serve"]
cmd = ["--quoted", "a b", "$HOME", 'c"d\\e']
workdir = "/app dir/in"
expose = [8000]
labels = { "a.title" = 'It''s "here" $HOME \\n' }

[image.env]
PLAIN = "1"
HARD = 'a "b" ${HOME} $PATH \\ # c '

[app]
prepare = ["python", "prepare.py"]

[[app.copy]]
from = "app"
to = "/app dir/in"
ignore = ["*.txt", "!kept.txt", "/data/", "prepare.py", "[ab]?.bin"]

[[app.copy]]
from = "one [1] $x.py"
to = "/app dir/in/single.py"
"""
CONFIG = CONFIG.replace("It''s", "Its")
SERVE = """
import json, os, sys
import of_pip, single
print(json.dumps({
    "argv": sys.argv[1:], "env": dict(os.environ), "uid": os.getuid(), "cwd": os.getcwd(),
    "files": sorted(os.listdir(".")), "made": open("made.json").read(),
    "values": [single.VALUE, of_pip.VALUE],
}))
"""
PREPARE = """
import os, sys
assert sys.prefix == os.environ["CONDA_PREFIX"]
open("made.json", "w").write("by " + os.environ["PYTHONHASHSEED"])
open("data/here", "w").close()
assert os.path.exists("dropped.txt"), "ignored files are there to prepare"
"""


@dataclass(frozen=True)
class Both:
    """The same folder built by BuildKit (loaded as `tag`, saved) and by slimpack."""

    project: Path
    tag: str
    theirs: Contents
    ours: Contents
    config: dict[str, Any]
    own_config: dict[str, Any]


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on a free port of loopback, for the tests and for builds with its network."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def write_project(folder: Path, channel: str, wheel_url: str) -> None:
    (folder / "slimpack.toml").write_text(CONFIG)
    (folder / "environment.yml").write_text(
        f"channels: ['{channel}']\ndependencies: [python =3.11, click, "
        f"{{pip: ['of-pip @ {wheel_url}']}}]\n"
    )
    app = folder / "app"
    (app / "data").mkdir(parents=True)
    (app / "serve.py").write_text(SERVE)
    (app / "prepare.py").write_text(PREPARE)
    for name in ("dropped.txt", "kept.txt", "a1.bin", "c1.bin", "data/big"):
        (app / name).write_text(name)
    (folder / "one [1] $x.py").write_text("VALUE = 7\n")


@pytest.fixture(scope="module")
def both(
    docker_engine: None,
    channel: str,
    cache_dir: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Both]:
    if subprocess.run(["docker", "buildx", "version"], capture_output=True, check=False).returncode:
        missing("PEERS", "docker buildx is not installed")
    folder = tmp_path_factory.mktemp("dockerfile")
    project = folder / "project"
    project.mkdir()
    made = wheel(folder / "wheels", "of-pip", files={"of_pip.py": "VALUE = 8\n"})
    stack = ExitStack()
    write_project(project, channel, f"{stack.enter_context(served(made.parent))}/{made.name}")
    name = uuid.uuid4().hex
    tags = [f"slimpack-test/{kind}:{name}" for kind in ("result", "builder", "base")]
    tag, builder, base = tags
    images = ("--builder-image", builder, "--final-image", base, "--no-pin")
    env = variables(cache_dir, {"SOURCE_DATE_EPOCH": "1600000000"})
    cache = Cache(cache_dir)
    try:
        for command in (("dockerfile", *images), ("build", "--output", folder / "ours.tar")):
            done = call(command, project, env)
            assert done.returncode == 0, done.stderr
        for archive in (
            builder_image(folder, cache, project / "explicit.txt", builder),
            final_image(folder, cache, base),
        ):
            docker("load", "--input", str(archive))
        done = buildx(project, tag)
        assert done.returncode == 0, done.stderr[-6000:]
        docker("save", "--output", str(folder / "theirs.tar"), tag)
        theirs, ours = (read_image(folder / name) for name in ("theirs.tar", "ours.tar"))
        (config,) = json.loads(docker("image", "inspect", tag).stdout)
        yield Both(
            project, tag, examine(theirs), examine(ours), config, json.loads(ours.config_json)
        )
    finally:
        stack.close()
        docker("image", "rm", "--force", *tags, check=False)


def buildx(project: Path, tag: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", "buildx", "build", "--network=host", "--progress=plain", "--tag", tag, "."],
        cwd=project,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1600000000"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_runs_and_answers(both: Both) -> None:
    run = ("run", "--rm", "--read-only", "--network=none", both.tag)
    told = json.loads(docker(*run).stdout)
    assert told["argv"] == ["--quoted", "a b", "$HOME", 'c"d\\e']
    assert told["uid"] == 65532
    assert told["cwd"] == "/app dir/in"
    assert told["env"]["HARD"] == 'a "b" ${HOME} $PATH \\ # c '
    assert told["made"] == "by 0"
    assert told["values"] == [7, 8]
    modules = ["serve.py", "single.py"]
    assert told["files"] == ["__pycache__", "c1.bin", "kept.txt", "made.json", *modules]


def test_it_starts_as_what_slimpack_builds(both: Both) -> None:
    theirs, ours = both.config["Config"], both.own_config["config"]
    for key in ("Entrypoint", "Cmd", "User", "WorkingDir", "ExposedPorts"):
        assert theirs[key] == ours[key], key
    assert sorted(theirs["Env"]) == sorted(ours["Env"])
    labels = {
        key: value for key, value in ours["Labels"].items() if not key.startswith("slimpack.")
    }
    assert len(labels) == 1
    assert labels.items() <= theirs["Labels"].items()
    assert theirs["Labels"]["a.title"] == 'Its "here" $HOME \\n'


def test_it_has_the_same_packages(both: Both) -> None:
    found = [
        {(one.kind, one.name, one.version, one.build) for one in side.inspection.packages}
        for side in (both.theirs, both.ours)
    ]
    assert found[0] == found[1]
    assert len(found[0]) > 20
    assert ("pypi", "of-pip", "1.0", "") in found[0]


def files(contents: Contents) -> set[str]:
    return {path for path, placed in contents.view.items() if placed.member.kind != "directory"}


def test_what_slimpack_keeps_is_there_and_little_more(both: Both) -> None:
    theirs, ours = files(both.theirs), files(both.ours)
    # What slimming has done, which a Dockerfile has not.
    assert ours - theirs == {"opt/env/share/slimpack/slimming.json"}
    # Rules that look at more than paths, as the head of the Dockerfile says.
    beyond = re.compile(r"/(test|tests|idle_test)/|/libpython3|/lib-dynload/(_\w*test|xxlimited)")
    # What pip notes of itself beside a package.
    noted = re.compile(r"/of_pip-1\.0\.dist-info/(REQUESTED|direct_url\.json)")
    more = {path for path in theirs - ours if not (beyond.search(path) or noted.search(path))}
    assert not more, sorted(more)


def test_there_is_no_shell(both: Both) -> None:
    paths = files(both.theirs)
    assert "opt/env/bin/python3.11" in paths
    assert [path for path in paths if path.rpartition("/")[2] in SHELLS] == []
    assert [path for path in paths if "bin/activate" in path or "conda-unpack" in path] == []


def test_bytecode_is_never_stale_and_names_its_path_in_the_image(both: Both) -> None:
    code = (
        "import click, email.message\n"
        "import importlib.util as u\n"
        "for m in (click, email.message):\n"
        "    data = open(u.cache_from_source(m.__file__), 'rb').read(8)\n"
        "    assert data[4:] == b'\\1\\0\\0\\0', (m, data)\n"
        "import single, marshal\n"
        "data = open(u.cache_from_source(single.__file__), 'rb').read()\n"
        "assert data[4:8] == b'\\1\\0\\0\\0'\n"
        "own, their = marshal.loads(data[16:]), click.Command.__init__.__code__\n"
        "print(own.co_filename, their.co_filename, sep='|')\n"
    )
    run = ("run", "--rm", "--network=none", "--entrypoint", "/opt/env/bin/python", both.tag)
    told = docker(*run, "-c", code).stdout.strip()
    site = "/opt/env/lib/python3.11/site-packages"
    assert told == f"/app dir/in/single.py|{site}/click/core.py"


def test_times_and_modes_are_fixed(both: Both) -> None:
    inside = [
        placed.member
        for path, placed in both.theirs.view.items()
        if path.startswith(("opt/env/", "app dir/")) and placed.member.kind == "file"
    ]
    assert len(inside) > 1000
    assert {member.mtime for member in inside} == {1600000000}
    assert {member.mode for member in inside} == {0o644, 0o755}
    assert {(member.uid, member.gid) for member in inside} == {(0, 0)}


def test_an_install_that_lacks_a_package_ends_the_build(both: Both, tmp_path: Path) -> None:
    """micromamba's exit code proves nothing; here it says 0, and one record is not there."""
    project = tmp_path / "project"
    shutil.copytree(both.project, project)
    path = project / "Dockerfile"
    text = path.read_text()
    path.write_text(text.replace("USER root\n", "USER root\nENV STANDIN_FAULT=missing\n", 1))
    done = buildx(project, both.tag + "-missing")
    assert done.returncode != 0
    assert "/tmp/locked /tmp/installed differ" in done.stderr
