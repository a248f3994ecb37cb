"""Two platforms from one machine: what is inside is right, and the foreign image works."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from slimpack.elf.read import read_elf
from slimpack.env.meta import read_installed
from slimpack.oci.read import read_deliverable, read_image
from slimpack.oci.validate import validate
from slimpack.sandbox import Bind, Command, Options, Prepared, choose_sandbox
from slimpack.slim import pyc_worker
from slimpack.slim.bytecode import source_of
from slimpack.slim.compiled import Group, Outcome
from tests.platforms.conftest import AMD64, ARM64, TwoPlatforms
from tests.support.channel import Run, missing

pytestmark = [pytest.mark.channel, pytest.mark.network, pytest.mark.sandbox]

ENV = "opt/env"
BIN = f"{ENV}/bin"
SITE = f"{ENV}/lib/python3.11/site-packages"


def files(root: Path, below: str = ENV) -> dict[str, Path]:
    """Return the regular files below a folder of a root: path -> place."""
    return {
        path.relative_to(root).as_posix(): path
        for path in sorted((root / below).rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def test_one_index_names_both_images_in_their_order(both: TwoPlatforms) -> None:
    for place in (both.archive, both.layout):
        index = read_deliverable(place)
        assert index.digest == both.result["digest"]
        told = json.loads(index.manifest_json)["manifests"]
        assert [item["platform"]["architecture"] for item in told] == ["amd64", "arm64"]
        assert [item["digest"] for item in told] == [one["digest"] for one in both.result["images"]]
    for platform in (AMD64, ARM64):
        validate(both.image(platform), blobs=True)


def test_every_program_and_library_is_for_its_platform(roots: dict[str, Path]) -> None:
    for platform, machine in ((AMD64, "x86_64"), (ARM64, "aarch64")):
        found = {"base": 0, "env": 0}
        for path, place in files(roots[platform], ".").items():
            with place.open("rb") as stream:
                elf = read_elf(stream, place.stat().st_size, path)
            if elf is not None:
                assert elf.machine == machine, path
                found["env" if path.startswith(ENV) else "base"] += 1
        assert found["env"] > 60
        assert found["base"] > 5
        subdirs = {package.subdir for package in read_installed(roots[platform] / ENV).packages}
        assert subdirs == {"noarch", "linux-64" if platform == AMD64 else "linux-aarch64"}


def test_every_source_has_the_same_bytecode_on_both(roots: dict[str, Path]) -> None:
    one, two = files(roots[AMD64]), files(roots[ARM64])
    compiled = 0
    for path in two:
        source = source_of(path)
        # Sources that differ are few: what the build of Python noted of itself, and `native`.
        if source and source in one and one[source].read_bytes() == two[source].read_bytes():
            assert two[path].read_bytes() == one[path].read_bytes(), path
            compiled += 1
    sources = [path for path in two if path.endswith(".py") and f"/{BIN}/" not in f"/{path}"]
    bare = [path for path in sources if cached(path) not in two]
    # Python's own samples of what it cannot compile, if slimming leaves any.
    assert all("/tests/" in path or "/test/" in path for path in bare), bare


def cached(source: str) -> str:
    folder, _, name = source.rpartition("/")
    return f"{folder}/__pycache__/{name[:-3]}.cpython-311.pyc"


def test_the_foreign_image_was_checked_in_an_emulator(both: TwoPlatforms) -> None:
    checks = {}
    for platform in (AMD64, ARM64):
        verified = both.told(platform)["verified"]
        assert verified["passed"]
        checks[platform] = {one["name"]: one for one in verified["checks"]}
    verified = both.told(ARM64)["verified"]
    known = Path("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists()
    assert known or "qemu-aarch64" in verified["sandbox"]
    # Nothing that is made here is left out there: imports and the smoke test among them.
    made = {
        platform: {name for name, one in found.items() if not one["skipped"]}
        for platform, found in checks.items()
    }
    assert made[ARM64] == made[AMD64] >= {"imports", "smoke", "entrypoint", "bytecode"}


@contextmanager
def foreign(roots: dict[str, Path], both: TwoPlatforms) -> Iterator[Prepared]:
    """Give the arm64 image in a sandbox, where it is emulated."""
    sandbox = choose_sandbox("auto", ARM64)
    with sandbox.prepare(roots[ARM64], both.image(ARM64)) as prepared:
        yield prepared


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def ask(port: int, path: str, ended: threading.Event) -> Any:
    """Ask until somebody answers; a minute is far more than an emulated start takes."""
    end = time.monotonic() + 60
    while not ended.is_set() and time.monotonic() < end:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        except OSError:
            time.sleep(0.1)
        finally:
            connection.close()
    raise AssertionError("nobody answers")


def test_the_entrypoint_answers_a_request(roots: dict[str, Path], both: TwoPlatforms) -> None:
    config, port = both.image(ARM64).config, free_port()
    command = Command(
        (*config.entrypoint, str(port)), config.env, config.user, config.workdir, timeout=120
    )
    stop, ended = threading.Event(), threading.Event()
    finished = []
    with foreign(roots, both) as prepared:

        def serve() -> None:
            try:
                finished.append(prepared.run(command, Options(network=True), stop=stop))
            finally:
                ended.set()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            answer = ask(port, "/hello", ended)
        finally:
            stop.set()
            thread.join()
    assert answer == {
        "path": "/hello",
        "machine": "aarch64",
        "native": "aarch64",  # the wheel for this platform, chosen by its tag
        "pure": "pure",
        "solved": [2.0, 3.0],  # numpy's compiled LAPACK
        "spectrum": [8.0, *[0.0] * 7],
        "made": {"machine": "aarch64", "mean": 4.0},  # by [app] prepare, emulated
        "uid": 65532,
        "activated": "active",
    }
    assert finished[0].stderr == b""


def test_the_foreign_interpreter_writes_the_same_bytecode(
    roots: dict[str, Path], both: TwoPlatforms, tmp_path: Path
) -> None:
    """What this machine wrote for noarch packages, for pip's, and for the application."""
    root = roots[ARM64]
    groups = [
        [place for place in files(root, folder).values() if place.suffix == ".py"]
        for folder in (f"{SITE}/click", f"{SITE}/h11", "app")
    ]
    groups.append([root / SITE / "pure.py"])
    assert [len(group) > 0 for group in groups] == [True] * 4
    jobs: list[list[list[object]]] = []
    shipped: list[Path] = []
    for group in groups:
        jobs.append([])
        for place in group:
            path = f"/{place.relative_to(root).as_posix()}"
            jobs[-1].append([len(shipped), path, path, None])
            shipped.append(place.parent / "__pycache__" / f"{place.stem}.cpython-311.pyc")
    request = {"out": "/out", "jobs": 1, "checked": False, "groups": jobs}
    out = tmp_path / "out"
    out.mkdir()
    worker = Path(pyc_worker.__file__).read_text()
    command = Command(
        (f"/{ENV}/bin/python", "-S", "-s", "-B", "-c", worker),
        env=(("PYTHONHASHSEED", "0"), ("LC_ALL", "C.UTF-8")),
        stdin=json.dumps(request).encode(),
        timeout=120,
    )
    with foreign(roots, both) as prepared:
        done = prepared.run(command, Options((Bind(out, "/out", writable=True),)))
    assert done.returncode == 0, done.stderr.decode()
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    outcome = {report[0]: Outcome(*report[1:]) for report in reports}
    assert len(outcome) == len(shipped) > 20
    for compiled in jobs:
        packed = Group(out, "", {int(str(one[0])): str(one[0]) for one in compiled})
        for entry in packed.entries(outcome):
            place = shipped[int(entry.path)]
            assert entry.read() == place.read_bytes(), place


def test_an_image_is_the_same_alone_and_in_an_index(
    both: TwoPlatforms, run: Run, tmp_path: Path
) -> None:
    options = ("--no-verify", "-q", "-o", tmp_path / "again.tar")
    done = run("build", "--platform", ARM64, *options, cwd=both.project)
    assert done.stdout.strip() == both.told(ARM64)["digest"]


@pytest.mark.parametrize(
    ("name", "built"), [("pixi.lock", (AMD64, ARM64)), ("conda-lock.yml", (ARM64,))]
)
def test_a_lock_of_both_platforms_gives_the_same_images(
    both: TwoPlatforms, run: Run, tmp_path: Path, name: str, built: tuple[str, ...]
) -> None:
    glibc = ("--glibc", "2.36")  # that of the base, which `build` knows
    platforms = ("--platform", f"{AMD64},{ARM64}")
    run("lock", "environment.yml", *platforms, *glibc, "-o", name, cwd=both.project)
    options = ("--platform", ",".join(built), "--no-verify", "--json")
    done = run("build", name, *options, "-o", tmp_path / "locked.tar", cwd=both.project)
    told = json.loads(done.stdout)
    images = told.get("images", [told])
    assert [one["source"].partition(" ")[0] for one in images] == [name] * len(built)
    assert [one["digest"] for one in images] == [both.told(one)["digest"] for one in built]


def test_a_trace_is_for_one_platform(both: TwoPlatforms, run: Run, tmp_path: Path) -> None:
    trace, archive = tmp_path / "trace.json", tmp_path / "slim.tar"
    command = ("python", "-c", "import click, ssl")
    options = ("--platform", ARM64, "-o", trace)
    run("trace", both.archive, *options, "--", *command, cwd=both.project)
    opened = json.loads(trace.read_text())["opened"]
    modules = [path for path in opened if ".cpython-311-" in path and path.endswith(".so")]
    assert f"{ENV}/lib/python3.11/lib-dynload/_ssl.cpython-311-aarch64-linux-gnu.so" in modules
    assert all("aarch64" in path for path in modules)
    assert cached(f"{SITE}/click/core.py") in opened
    build = ("build", "-q", "-o", archive, "--no-verify", "--profile", "traced", "--trace", trace)
    done = run(*build, "--platform", AMD64, cwd=both.project, code=2)
    assert "of programs for aarch64-linux-gnu, and the environment is for x86_64" in done.stderr
    run(*build, "--platform", ARM64, cwd=both.project)
    # The application imports numpy, which stays.
    assert read_image(archive).size < 0.8 * both.image(ARM64).size


def peer(*command: str) -> str:
    """Run another program and return what it prints."""
    if shutil.which(command[0]) is None:
        missing("SANDBOX", f"{command[0]} is not installed")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


@pytest.mark.parametrize("kind", ["oci", "oci-archive"])
def test_skopeo_chooses_an_image_by_its_platform(both: TwoPlatforms, kind: str) -> None:
    place = f"{kind}:{both.layout if kind == 'oci' else both.archive}"
    raw = json.loads(peer("skopeo", "inspect", "--raw", place))
    assert [item["platform"]["architecture"] for item in raw["manifests"]] == ["amd64", "arm64"]
    for platform in (AMD64, ARM64):
        architecture = platform.rpartition("/")[2]
        told = json.loads(peer("skopeo", "inspect", "--override-arch", architecture, place))
        assert (told["Os"], told["Architecture"]) == ("linux", architecture)
        assert told["Digest"] == both.result["digest"]
        assert told["Layers"] == [layer.digest for layer in both.image(platform).layers]
