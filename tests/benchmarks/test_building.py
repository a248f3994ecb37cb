"""The pure parts of `benchmarks.building`, and its channel and registry at a small scale."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from click.testing import CliRunner

from benchmarks.building import builds, installer, making, phases
from benchmarks.building.builds import Bench, Runs, records
from benchmarks.building.changes import changed_source, chosen
from benchmarks.building.dockerfiles import Docker, Installed, Packed, Venv
from benchmarks.building.limit import packing_seconds
from benchmarks.building.making import (
    APPLICATION,
    CASES,
    COLD,
    EMPTY,
    ONE_HEAVY,
    ONE_PURE,
    SAME,
    Step,
)
from benchmarks.building.methods import able, commands, maker, reason_against, wanted
from benchmarks.building.ours import Slimpack
from benchmarks.building.phases import import_times
from benchmarks.building.project import Project, clone, made_in, next_build, without_prepare
from benchmarks.building.pushed import arrived, layers, stored
from benchmarks.building.recipe import application, quoted
from benchmarks.building.wheels import not_wheels, renewed
from benchmarks.catalogue import WORKLOADS, Method, Request, Workload, methods, workloads
from benchmarks.channel import index_channel, write_conda
from benchmarks.channel.conda_format import Executable, Symlink
from benchmarks.channel.container import read_files
from benchmarks.channel.renew import read_kinds
from benchmarks.records import Results
from benchmarks.running import Measured, RunError
from benchmarks.setup.registry import docker_registry
from slimpack.config import AppConfig, CopyRule, ImageConfig
from slimpack.config_file import read_config
from slimpack.errors import InputError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.config import ImageConfig as OciConfig
from slimpack.oci.image import make_image
from slimpack.oci.layer import build_layer
from slimpack.oci.layout import write_layout
from slimpack.tree import bytes_entry
from tests.support.channel import missing
from tests.support.command import call, variables

PURE = "idna"
TOLD = {"stages": [["solve", 0.5], ["output", 0.25]]}
TINY = Workload(
    name="tiny",
    title="nothing but a package",
    folder=Path("tiny"),
    groups=(),
    modules=("idna",),
    request=Request("/", {}),
    port=8000,
    self_test=("python", "selftest.py"),
    pure=PURE,
    heavy=PURE,
)
CONFIG = """
[env]
spec = "environment.yml"

[image]
entrypoint = ["python", "main.py"]
workdir = "/app"
expose = [8000]

[image.env]
GREETING = 'a "b" $c'

[[app.copy]]
from = "app"
to = "/app"
ignore = ["notes.txt"]
"""


def test_import_times_are_read_with_their_depth() -> None:
    text = (
        "import time: self [us] | cumulative | imported package\n"
        "import time:       100 |        100 |   _io\n"
        "import time:        50 |        150 | io\n"
        "a warning on stderr\n"
    )
    assert import_times(text) == {"_io": (100, 100, 1), "io": (50, 150, 0)}


def test_the_workload_without_its_training_is_still_a_configuration(tmp_path: Path) -> None:
    shutil.copytree(WORKLOADS / "w1", tmp_path / "w1")
    shutil.copytree(WORKLOADS / "checks", tmp_path / "checks")
    path = tmp_path / "w1" / "slimpack.toml"
    assert read_config(path).app.prepare
    path.write_text(without_prepare(path.read_text()))
    assert not read_config(path).app.prepare
    with pytest.raises(ValueError, match="0 prepare"):
        without_prepare(path.read_text())


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project whose channel has nothing but the package that changes."""
    made = Project(TINY, tmp_path / "project")
    (made.home / "app").mkdir(parents=True)
    (made.home / "app" / "main.py").write_text("app = None\n")
    (made.home / "app" / "notes.txt").write_text("not for the image\n")
    (made.home / "slimpack.toml").write_text(CONFIG)
    (made.home / "environment.yml").write_text("dependencies: [idna]\n")
    first = tmp_path / "first"
    files = {"site-packages/idna/__init__.py": "def f(): pass\n"}
    write_conda(first, name=PURE, version="3.0", subdir="noarch", noarch="python", files=files)
    clone(first, made.channel)
    index_channel(made.channel)
    return made


def test_a_package_is_changed_again_and_again_and_the_source_channel_stays(
    project: Project, tmp_path: Path
) -> None:
    before = {path: path.read_bytes() for path in (tmp_path / "first").glob("*/*")}
    for number in (1, 2):
        project.change_package(PURE)
        path, highest = project.newest(PURE)
        assert highest == number
        assert path.name == f"idna-3.0-next_{number}.conda"
        source = read_files(path)["site-packages/idna/__init__.py"]
        assert source.count(b"# one line more") == number
    assert before == {path: path.read_bytes() for path in (tmp_path / "first").glob("*/*")}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pytorch-2.13.0-cpu_py311hb239f8a_0", "cpu_py311hb239f8a_1"),
        ("idna-3.0-pyhd8ed1ab_0", "pyhd8ed1ab_1"),
        ("idna-3.0-0", "next_1"),
    ],
)
def test_the_next_build_is_still_of_its_variant(name: str, expected: str) -> None:
    assert next_build(Path(f"{name}.conda"), 1) == expected


@pytest.mark.parametrize(("version", "build"), [("4.0", "0"), ("3.0", "cuda130_1")])
def test_of_two_versions_or_variants_the_one_in_the_lock_changes(
    project: Project, version: str, build: str
) -> None:
    first, _ = project.newest(PURE)
    files, channel = {"x.py": ""}, project.channel
    other = write_conda(
        channel, name=PURE, version=version, build=build, build_number=1, files=files
    )
    index_channel(project.channel)
    assert project.newest(PURE)[0] == other
    project.lock.write_text(f"packages:\n- conda: {first}\n")
    assert project.newest(PURE) == (first, 0)


def test_an_application_line_is_added(project: Project) -> None:
    project.change_application()
    text = (project.home / "app" / "main.py").read_text()
    assert text == "app = None\n\n# one line more\n"


def test_the_lock_names_the_package_files(project: Project, tmp_path: Path) -> None:
    project.solve()
    (path,) = project.locked()
    assert path == project.newest(PURE)[0]
    project.lock.write_text("version: 6\npackages: []\n")
    with pytest.raises(RunError, match="no packages"):
        project.locked()


def test_a_cold_cache_keeps_downloads_or_nothing(project: Project, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for name in ("pkgs", "repodata", "debian", "blobs", "records", "memos"):
        (cache / name).mkdir(parents=True)
    method = Slimpack(project, cache)
    method.prepare(SAME)
    assert len(list(cache.iterdir())) == 6
    method.prepare(COLD)
    assert sorted(path.name for path in cache.iterdir()) == ["debian", "pkgs", "repodata"]
    method.prepare(EMPTY)
    assert not cache.exists()


def test_a_cold_build_without_one_before_has_its_packages_at_hand(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    asked_for: list[str] = []

    def slimpack(self: Project, *arguments: str, cache: Path) -> Measured:
        asked_for.append(arguments[0])
        for name in ("pkgs", "blobs"):
            (cache / name).mkdir(parents=True)
        return Measured("", 1.0, 1)

    monkeypatch.setattr(Project, "slimpack", slimpack)
    for _ in range(2):
        Slimpack(project, cache).prepare(COLD)
        assert [path.name for path in cache.iterdir()] == ["pkgs"]
    assert asked_for == ["build"]


def test_slimpack_is_measured_with_what_it_told(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def slimpack(self: Project, *arguments: str, cache: Path | None = None) -> Measured:
        asked.append(arguments)
        return Measured(json.dumps(TOLD), 2.0, 7)

    monkeypatch.setattr(Project, "slimpack", slimpack)
    method = Slimpack(project, tmp_path / "cache", ("--no-verify",), trace=lambda: Path("t.json"))
    step = method.run(SAME, "h:1/safe/tiny:1")
    assert (step.build, step.push, step.memory) == (1.75, 0.25, 7)
    assert asked[0][:6] == (
        *("build", "--push", "h:1/safe/tiny:1", "--no-verify", "--trace", "t.json"),
    )


@pytest.mark.parametrize("packed", [True, False])
def test_conda_pack_runs_only_when_the_environment_changed(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    ran: list[str] = []

    def measure(command: Sequence[str], **options: object) -> Measured:
        ran.append(Path(command[0]).name + " " + command[1])
        return Measured("", 1.0, 5)

    monkeypatch.setattr("benchmarks.building.dockerfiles.measure", measure)
    environment = Packed(project) if packed else Installed(project)
    method = Docker(environment, project, tmp_path / "context")
    rest = ["docker build", "docker push"]
    assert method.run(APPLICATION, "h:1/a:1").build == 1.0
    assert ran == rest
    ran.clear()
    step = method.run(ONE_PURE, "h:1/a:1")
    assert step.build == (2.0 if packed else 1.0)
    assert step.push == 1.0
    assert ran == (["conda-pack --quiet", *rest] if packed else rest)


def test_the_context_follows_the_project(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "benchmarks.building.dockerfiles.measure", lambda *args, **options: Measured("", 1.0, 5)
    )
    context = tmp_path / "context"
    method = Docker(Installed(project), project, context)
    for case in (COLD, ONE_PURE):
        path, _ = project.newest(PURE)
        project.lock.write_text(f"packages:\n- conda: {path}\n")
        method.prepare(case)
        assert [found.name for found in context.glob("channel/*/*")] == [path.name]
        assert (context / "pixi.lock").read_bytes() == project.lock.read_bytes()
        project.change_package(PURE)
    project.change_application()
    method.prepare(APPLICATION)
    assert (context / "app0/app/main.py").read_text().endswith("# one line more\n")
    assert not (context / "app0/app/notes.txt").exists()
    assert str(project.channel) in (context / "Dockerfile").read_text()


def test_an_environment_is_installed_anew_from_unpacked_packages_where_all_is_cold(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    prefix, packages = work / "prefix", work / "pkgs"
    seen: list[tuple[bool, bool]] = []

    def install(*args: object, **options: object) -> Measured:
        seen.append((packages.exists(), prefix.exists()))
        packages.mkdir(exist_ok=True)
        prefix.mkdir(exist_ok=True)
        return Measured("", float(len(seen)), 5)

    monkeypatch.setattr("benchmarks.building.dockerfiles.measure", install)
    method = Docker(Packed(project), project, work / "context")
    assert method.prepare(COLD) == 2.0  # the first one unpacks, and is not the one that counts
    assert seen == [(False, False), (True, False)]
    assert method.prepare(SAME) == 0.0
    assert method.prepare(ONE_PURE) == 3.0
    assert seen[2:] == [(True, True)]


def test_pip_gets_the_wheels_of_the_lock_and_the_next_one_of_what_changed(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = make_wheel(tmp_path / "wheels")
    monkeypatch.setattr("benchmarks.building.dockerfiles.wheels_of", lambda names: {PURE: wheel})
    monkeypatch.setattr("benchmarks.building.dockerfiles.names_of", lambda lock: (PURE,))
    before = wheel.read_bytes()
    context = tmp_path / "context"
    method = Docker(Venv(project), project, context)
    seen = []
    for case in (COLD, SAME, ONE_PURE, ONE_HEAVY):
        method.prepare(case)
        seen.append((context / "wheels" / wheel.name).read_bytes())
    assert seen[0] == seen[1] == before == wheel.read_bytes()
    assert len(set(seen)) == 3
    text = (context / "Dockerfile").read_text()
    assert "pip install" in text
    assert "CONDA_PREFIX" not in text


def make_wheel(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "idna-3.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("idna/__init__.py", "x = 1\n")
        wheel.writestr("idna-3.0.dist-info/RECORD", "idna/__init__.py,sha256=0,6\nother,,\n")
    return path


def test_a_renewed_wheel_lists_the_file_as_it_is_now(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path)
    (tmp_path / "next").mkdir()
    path = renewed(wheel, tmp_path / "next")
    with zipfile.ZipFile(path) as archive:
        source = archive.read("idna/__init__.py")
        first, second = archive.read("idna-3.0.dist-info/RECORD").decode().splitlines()
    assert source == b"x = 1\n\n# one line more\n"
    assert first.startswith("idna/__init__.py,sha256=")
    assert first.endswith(f",{len(source)}")
    assert "sha256=0," not in first
    assert second == "other,,"


def test_what_pip_lacks_is_what_is_neither_a_wheel_nor_python_nor_a_meta_package() -> None:
    asked_for = ("python", "numpy", "pytorch-cpu", "lighttpd")
    assert not_wheels(asked_for, {"numpy": 1}) == ("lighttpd",)


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({"a/b/__init__.py": b"", "a/core.py": b"", "a/z/__init__.py": b""}, "a/b/__init__.py"),
        ({"a/core.py": b"", "b.txt": b"long text"}, "a/core.py"),
        ({"include/x.h": b"long long text", "etc/x.conf": b"y", "bin/x": b"\0\1"}, "etc/x.conf"),
        ({"lib/a.so": b"\0", "lib/b.so": b"\0\0"}, "lib/b.so"),
    ],
)
def test_the_file_that_changes_is_one_that_stays(files: dict[str, bytes], name: str) -> None:
    assert chosen(files) == name
    changed = changed_source(files)
    assert {path for path in files if changed[path] != files[path]} == {name}


def test_a_package_without_files_cannot_change() -> None:
    with pytest.raises(ValueError, match="without files"):
        chosen({})


def test_a_renewed_package_keeps_links_and_modes(project: Project) -> None:
    write_conda(
        project.channel,
        name="tool",
        version="1",
        files={
            "bin/tool": Executable("#!/bin/sh\n"),
            "lib/libx.so": Symlink("libx.so.1"),
            "lib/libx.so.1": "x",
        },
    )
    index_channel(project.channel)
    before = read_kinds(project.newest("tool")[0])
    project.change_package("tool")
    path, number = project.newest("tool")
    assert number == 1
    assert read_kinds(path) == before == ({"lib/libx.so": "libx.so.1"}, frozenset({"bin/tool"}))


def test_a_package_that_the_channel_lacks_is_an_error(project: Project) -> None:
    with pytest.raises(RunError, match="no package scipy"):
        project.change_package("scipy")


def test_a_dockerfile_ends_as_slimpack_toml_says(project: Project) -> None:
    lines = application(project.config, conda=True).splitlines()
    assert lines[0] == "COPY app0 /"
    assert 'GREETING="a \\"b\\" \\$c"' in lines[1]
    assert 'CONDA_PREFIX="/opt/env"' in lines[1]
    assert lines[-3:] == ["WORKDIR /app", "EXPOSE 8000/tcp", 'ENTRYPOINT ["python", "main.py"]']
    bare = application(
        replace(project.config, app=AppConfig(), image=ImageConfig(cmd=("x",), user="7")),
        conda=False,
    ).splitlines()
    assert bare[-2:] == ["USER 7", 'CMD ["x"]']
    assert quoted("a\\") == '"a\\\\"'


def test_methods_that_cannot_run_say_why_and_kinds_are_known() -> None:
    for method in methods().values():
        assert method.reason or maker(method, Project(TINY, Path("x")), Path("y")).commands
    chosen_here = {method.name for method in wanted((), "images")}
    assert {"naive", "best", "venv", "none", "safe", "serve", "tight", "traced"} == chosen_here
    assert {"micromamba", "constructor", "conda-docker"}.isdisjoint(chosen_here)
    assert [method.name for method in wanted(("safe", "tight"), "builds")] == ["safe"]
    assert [method.name for method in wanted(("safe-19",), "images")] == ["safe-19"]
    (at_19,) = commands([methods()["safe-19"]])["safe-19"]
    assert "--level 19" in at_19
    (for_one,) = commands([methods()["safe-sm90"]])["safe-sm90"]
    assert "--gpu-arch sm_90" in for_one
    assert commands(wanted(("best",), "builds"))["best"][0].startswith("conda-pack ")
    assert not able([methods()["micromamba"]], "images")
    with pytest.raises(InputError, match="no kind 'x'"):
        maker(Method("a", "A", "x"), Project(TINY, Path("x")), Path("y"))


def test_pip_cannot_make_what_has_no_python(project: Project) -> None:
    without = Project(replace(TINY, modules=()), project.folder)
    assert reason_against(methods()["venv"], without) == "no Python in it"
    assert not reason_against(methods()["best"], without)
    with_gpu = Project(replace(TINY, gpu=True), project.folder)
    assert "GPU" in reason_against(methods()["traced"], with_gpu)
    assert "GPU" in reason_against(methods()["safe-sm90"], project)
    assert not reason_against(methods()["safe-sm90"], with_gpu)
    assert not reason_against(methods()["tight"], with_gpu)


def test_pip_does_not_get_the_same_files_for_a_gpu(project: Project) -> None:
    with_gpu = Project(replace(TINY, gpu=True), project.folder)
    assert "NVIDIA" in reason_against(methods()["venv"], with_gpu)
    assert not reason_against(methods()["best"], with_gpu)


def test_the_first_request_is_told_to_the_tracer() -> None:
    assert Request("/", {}).argument("http://h") == "http://h/"
    assert Request("/p", {}, {"a": 1}).argument("http://h") == 'POST http://h/p {"a": 1}'


def test_every_workload_names_packages_that_change_and_comes_with_its_folders(
    tmp_path: Path,
) -> None:
    for workload in workloads().values():
        config = read_config(workload.config)
        assert all(rule.source.resolve().is_relative_to(WORKLOADS) for rule in config.app.copy)


def test_bytecode_is_made_for_noarch_packages_alone(tmp_path: Path) -> None:
    meta = tmp_path / "conda-meta"
    meta.mkdir()
    for name, kind in (("pure", "python"), ("native", None)):
        record = {"noarch": kind, "files": [f"lib/{name}.py", f"lib/{name}.txt"]}
        (meta / f"{name}.json").write_text(json.dumps(record))
    assert installer.sources(tmp_path) == [str(tmp_path / "lib/pure.py")]


def test_what_prepare_made_goes_where_the_application_is(tmp_path: Path) -> None:
    app, checks, shared = tmp_path / "app", tmp_path / "checks", tmp_path / "shared.py"
    app.mkdir()
    checks.mkdir()
    shared.touch()
    rules = [
        CopyRule(app, "/app"),
        CopyRule(shared, "/app/shared.py"),
        CopyRule(checks, "/app/checks"),
    ]
    place = made_in(rules, {"app/main.py", "app/shared.py"})
    assert place("app/model/m.onnx") == app / "model/m.onnx"
    assert place("app/checks/data.txt") == checks / "data.txt"
    for path in ("app/main.py", "app/shared.py", "app/__pycache__/main.pyc", "etc/passwd"):
        assert place(path) is None


def test_an_environment_without_python_has_nothing_to_compile(tmp_path: Path) -> None:
    (tmp_path / "conda-meta").mkdir()
    (tmp_path / "conda-meta/nginx.json").write_text('{"noarch": null, "files": ["bin/nginx"]}')
    installer.compile_sources(tmp_path)
    (tmp_path / "conda-meta/pure.json").write_text('{"noarch": "python", "files": ["a.py"]}')
    with pytest.raises(FileNotFoundError):
        installer.compile_sources(tmp_path)


def test_the_registry_tells_what_a_push_brought(tmp_path: Path) -> None:
    if shutil.which("docker-registry") is None:
        missing("PEERS", "docker-registry is not installed")
    folder = tmp_path / "registry"
    env = variables(tmp_path / "cache")
    sizes = []
    with docker_registry(folder) as host:
        for text in (b"one", b"two"):
            image = write_image(tmp_path / text.decode(), text)
            before = stored(folder)
            done = call(("push", image, f"{host}/app:1", "--json"), tmp_path, env)
            assert done.returncode == 0, done.stderr
            brought = arrived(before, stored(folder))
            told = json.loads(done.stdout)
            assert brought >= told["sent"] > 0
            sizes.append((brought, layers(f"{host}/app:1")))
    (first, below), (second, above) = sizes
    assert second < first
    assert below[0] == above[0]
    assert below[1] != above[1]


def write_image(folder: Path, text: bytes) -> Path:
    blobs = BlobStore(folder / "blobs", durable=False)
    contents = {"same": bytes(range(256)) * 99, "other": text}
    made = [
        build_layer(name, [bytes_entry(name, data)], blobs=blobs, mtime=0)
        for name, data in contents.items()
    ]
    write_layout(make_image(made, OciConfig()), folder / "layout", ("app:1",))
    return folder / "layout"


class Fake:
    """A way that pushes nothing and costs a second; its calls are kept."""

    cases = CASES[1:]
    commands = ()

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def prepare(self, case: str) -> float:
        self.calls.append(("prepare", case))
        return 0.25 if case == COLD else 0.0

    def run(self, case: str, reference: str) -> Step:
        self.calls.append(("run", case))
        return Step(1.0, 0.5, 1.0, 1)

    def clean(self, reference: str) -> None:
        self.calls.append(("clean", reference.partition("/")[2]))


@pytest.fixture
def answering() -> Iterator[str]:
    """A server that has one manifest, whatever it is asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"layers": [{"digest": "sha256:1"}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_method_goes_through_its_cases_after_each_change(
    project: Project, monkeypatch: pytest.MonkeyPatch, answering: str
) -> None:
    changed: list[str] = []

    @contextmanager
    def registry(folder: Path) -> Iterator[str]:
        folder.mkdir(parents=True, exist_ok=True)
        yield answering

    @contextmanager
    def nothing(*arguments: object) -> Iterator[Measured]:
        yield Measured("", 0.0, 0)

    monkeypatch.setattr(builds, "docker_registry", registry)
    monkeypatch.setattr(builds, "opened", lambda *arguments: nothing())
    monkeypatch.setattr(builds, "packing_seconds", lambda root: 0.75)
    monkeypatch.setattr(Measured, "root", Path(), raising=False)
    monkeypatch.setattr(Project, "change_package", lambda self, name: changed.append(name))
    fake = Fake()
    bench = Bench(project, CASES)
    found = {("safe", case): Runs() for case in fake.cases}
    limits: dict[str, float] = {}
    for _ in range(2):
        bench.repetition({"safe": fake}, found, limits)
    once = [(what, case) for case in fake.cases for what in ("prepare", "run")]
    assert fake.calls == [*once, ("clean", "safe/tiny:1")] * 2
    assert changed == ["idna", "idna"] * 2
    made = {(one.case, one.metric): one for one in records("tiny", found, limits)}
    cold = made[COLD, "total"]
    assert (cold.values, cold.limit, cold.to_limit) == ((1.5, 1.5), 0.75, 2.0)
    assert made[SAME, "total"].limit is None
    assert made[COLD, "beforehand"].values == (0.25, 0.25)
    assert (SAME, "beforehand") not in made
    assert made[ONE_PURE, "new-layers"].values == (1.0, 1.0)
    page = builds.markdown(Results("builds", records=tuple(made.values())))
    assert "| tiny | cold | slimpack safe | 1.50 | 2.00 |" in page
    assert "micromamba" in page


def test_later_cases_start_from_a_cold_build_even_if_nobody_asks_for_it(
    project: Project, monkeypatch: pytest.MonkeyPatch, answering: str
) -> None:
    @contextmanager
    def registry(folder: Path) -> Iterator[str]:
        folder.mkdir(parents=True, exist_ok=True)
        yield answering

    monkeypatch.setattr(builds, "docker_registry", registry)
    fake = Fake()
    found = {("safe", SAME): Runs()}
    Bench(project, (SAME,)).repetition({"safe": fake}, found, {"safe": 1.0})
    assert [case for what, case in fake.calls if what == "run"] == [COLD, SAME]
    assert [one.case for one in records("tiny", found, {})] == [SAME] * 7


def test_packing_is_measured_on_the_files_of_a_folder(tmp_path: Path) -> None:
    if shutil.which("zstd") is None:
        missing("PEERS", "zstd is not installed")
    (tmp_path / "file").write_bytes(bytes(10))
    assert packing_seconds(tmp_path) > 0
    with pytest.raises((RunError, OSError)):
        packing_seconds(tmp_path / "nowhere")


def test_a_failure_is_a_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"

    def make(self: Project) -> None:
        self.folder.mkdir(parents=True)
        raise RunError("no packages")

    monkeypatch.setattr(phases, "WORK", work)
    monkeypatch.setattr(Project, "make", make)
    done = CliRunner().invoke(phases.main, ["--workload", "w1"])
    assert done.exit_code == 1
    assert "error: no packages" in done.output
    assert not work.exists()


def test_cpu_of_children_counts_what_ended(tmp_path: Path) -> None:
    before = making.cpu_of_children()
    subprocess.run([sys.executable, "-c", "sum(range(10**6))"], check=True)
    assert making.cpu_of_children() > before
