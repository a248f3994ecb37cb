"""The pure parts of `benchmarks.rebuild`, and its channel and registry at a small scale."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from benchmarks import rebuild
from benchmarks.channel import index_channel, write_conda
from benchmarks.channel.container import read_files
from benchmarks.rebuilding import heavy, installer, methods
from benchmarks.rebuilding.dockerfiles import Docker
from benchmarks.rebuilding.methods import (
    APPLICATION,
    CASES,
    EMPTY,
    METHODS,
    NAIVE,
    ONE_PURE,
    PACKAGES,
    PACKED,
    SAME,
    SLIMPACK,
    Slimpack,
    Step,
)
from benchmarks.rebuilding.phases import import_times
from benchmarks.rebuilding.project import PURE, WORKLOADS, Project, clone, without_prepare
from benchmarks.rebuilding.pushed import arrived, layers, stored
from benchmarks.rebuilding.results import Runs, explanation, ratios, table, to_json
from benchmarks.running import Measured, RunError
from benchmarks.setup.registry import docker_registry
from slimpack.config_file import read_config
from slimpack.oci.blobs import BlobStore
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import make_image
from slimpack.oci.layer import build_layer
from slimpack.oci.layout import write_layout
from slimpack.tree import bytes_entry
from tests.support.channel import missing
from tests.support.command import call, variables

TOLD = {
    "layers": [{"name": "idna", "digest": "sha256:b"}, {"name": "scipy", "digest": "sha256:a"}],
    "stages": [["solve", 0.5], ["output", 0.25]],
    "reused": "the environment's files",
}


def runs(build: Sequence[float], sent: int, *, told: Mapping[str, object] | None = None) -> Runs:
    found = Runs()
    for seconds in build:
        step = Step(seconds, 0.25, 1.0, 10**8, told or {})
        found.add(step, sent, ["sha256:b"])
    return found


@pytest.fixture
def found() -> dict[tuple[str, str], Runs]:
    return {
        (SLIMPACK, EMPTY): runs([30, 20, 25], 10**8, told=TOLD),
        (SLIMPACK, ONE_PURE): runs([1, 3, 2], 50_000, told=TOLD),
        (NAIVE, ONE_PURE): runs([10, 10, 10], 10**8),
        (PACKED, ONE_PURE): runs([19, 20, 900], 10**8),
    }


def test_ratios_are_of_medians_to_conda_pack_with_one_package_changed(
    found: dict[tuple[str, str], Runs],
) -> None:
    compared = ratios(found)
    assert compared[ONE_PURE] == {SLIMPACK: 0.1, NAIVE: 0.5, PACKED: 1.0}
    assert compared[EMPTY] == {SLIMPACK: 1.25}
    del found[PACKED, ONE_PURE]
    assert ratios(found) == {}


def test_the_table_has_a_row_for_what_was_measured_and_targets_for_slimpack_alone(
    found: dict[tuple[str, str], Runs],
) -> None:
    head, line, *rows = table(found)
    cells = [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in rows]
    assert [row[:2] for row in cells] == [
        [EMPTY, SLIMPACK],
        [ONE_PURE, SLIMPACK],
        [ONE_PURE, NAIVE],
        [ONE_PURE, PACKED],
    ]
    assert {row.count("|") for row in (head, line, *rows)} == {12}
    titles = [cell.strip() for cell in head.strip("| ").split(" | ")]
    ours = dict(zip(titles, cells[1], strict=True))
    assert ours["build, s"] == "2.00"
    assert ours["push, s"] == "(0.25)"
    assert ours["ratio"] == "0.100"
    assert ours["target"] == "0.065"
    assert ours["of conda-pack's"] == "0.00050"
    assert ours["new layers"] == "1"
    theirs = dict(zip(titles, cells[3], strict=True))
    assert theirs["push, s"] == "0.25"
    assert not theirs["target"]
    assert not theirs["memory, MB"]
    assert "3 runs" in explanation(found)


def test_where_the_others_send_nothing_there_is_no_share_of_it() -> None:
    found = {(way, SAME): runs([1], 0) for way in METHODS}
    *_, row = table(found)
    assert row.endswith("|  | 1 |")


def test_json_has_every_run_and_the_names_of_changed_layers(
    found: dict[tuple[str, str], Runs],
) -> None:
    whole = json.loads(json.dumps(to_json(found)))
    ours = whole["runs"][ONE_PURE][SLIMPACK]
    assert ours["build"] == [1, 3, 2]
    assert ours["changed"] == [["idna"]] * 3
    assert ours["stages"][0] == {"solve": 0.5, "output": 0.25}
    assert "changed" not in whole["runs"][ONE_PURE][NAIVE]
    assert whole["targets"][SAME] == pytest.approx(0.7 / 23)
    assert list(whole["runs"]) == list(CASES)


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
    made = Project(tmp_path / "project")
    (made.config / "app").mkdir(parents=True)
    (made.config / "app" / "main.py").write_text("app = None\n")
    (made.folder / "checks").mkdir()
    first = tmp_path / "first"
    files = {"site-packages/idna/core.py": "def f(): pass\n"}
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
        source = read_files(path)["site-packages/idna/core.py"]
        assert source.count(b"# one line more") == number
    assert before == {path: path.read_bytes() for path in (tmp_path / "first").glob("*/*")}


def test_an_application_line_is_added(project: Project) -> None:
    project.change_application()
    text = (project.config / "app" / "main.py").read_text()
    assert text == "app = None\n\n# one line more\n"


def test_the_lock_names_the_package_files(project: Project, tmp_path: Path) -> None:
    (project.config / "slimpack.toml").write_text('[env]\nspec = "environment.yml"\n')
    (project.config / "environment.yml").write_text("dependencies: [idna]\n")
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
    method.prepare(PACKAGES)
    assert sorted(path.name for path in cache.iterdir()) == ["debian", "pkgs", "repodata"]
    method.prepare(EMPTY)
    assert not cache.exists()


def test_slimpack_is_measured_with_what_it_told(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def slimpack(self: Project, *arguments: str, cache: Path | None = None) -> Measured:
        asked.append(arguments)
        return Measured(json.dumps(TOLD), 2.0, 7)

    monkeypatch.setattr(Project, "slimpack", slimpack)
    step = Slimpack(project, tmp_path / "cache", ("--no-verify",)).run(SAME, "h:1")
    assert (step.build, step.push, step.memory) == (2.0, 0.25, 7)
    assert asked[0][:4] == ("build", "--push", "h:1/app:1", "--no-verify")


@pytest.mark.parametrize("packed", [True, False])
def test_conda_pack_runs_only_when_the_environment_changed(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    commands: list[str] = []

    def measure(command: Sequence[str], **options: object) -> Measured:
        commands.append(Path(command[0]).name + " " + command[1])
        return Measured("", 1.0, 5)

    monkeypatch.setattr("benchmarks.rebuilding.dockerfiles.measure", measure)
    method = Docker(project, tmp_path / "context", packed=packed)
    rest = ["docker build", "docker push"]
    assert method.run(APPLICATION, "h:1").build == 1.0
    assert commands == rest
    commands.clear()
    step = method.run(ONE_PURE, "h:1")
    assert step.build == (2.0 if packed else 1.0)
    assert step.push == 1.0
    assert commands == (["conda-pack --quiet", *rest] if packed else rest)


def test_the_context_follows_the_project(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "benchmarks.rebuilding.dockerfiles.measure", lambda *args, **options: Measured("", 1.0, 5)
    )
    context = tmp_path / "context"
    method = Docker(project, context, packed=False)
    for case in (PACKAGES, ONE_PURE):
        path, _ = project.newest(PURE)
        project.lock.write_text(f"packages:\n- conda: {path}\n")
        method.prepare(case)
        assert [found.name for found in context.glob("channel/*/*")] == [path.name]
        assert (context / "pixi.lock").read_bytes() == project.lock.read_bytes()
        project.change_package(PURE)
    project.change_application()
    method.prepare(APPLICATION)
    assert (context / "app" / "main.py").read_text().endswith("# one line more\n")
    assert str(project.channel) in (context / "Dockerfile").read_text()


def test_bytecode_is_made_for_noarch_packages_alone(tmp_path: Path) -> None:
    meta = tmp_path / "conda-meta"
    meta.mkdir()
    for name, kind in (("pure", "python"), ("native", None)):
        record = {"noarch": kind, "files": [f"lib/{name}.py", f"lib/{name}.txt"]}
        (meta / f"{name}.json").write_text(json.dumps(record))
    assert installer.sources(tmp_path) == [str(tmp_path / "lib/pure.py")]


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
            sizes.append((brought, layers(host)))
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
    write_layout(make_image(made, ImageConfig()), folder / "layout", ("app:1",))
    return folder / "layout"


class Fake:
    """A way that pushes nothing and costs a second; its calls are kept."""

    cases = CASES[1:]

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def prepare(self, case: str) -> None:
        self.calls.append(("prepare", case))

    def run(self, case: str, host: str) -> Step:
        self.calls.append(("run", case))
        return Step(1.0, 0.0, 1.0, 1)

    def check(self, host: str) -> None:
        self.calls.append(("check", host))


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


def test_a_way_goes_through_its_cases_after_each_change(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answering: str
) -> None:
    changed: list[str] = []
    monkeypatch.setattr(rebuild, "WORK", tmp_path / "work")
    monkeypatch.setattr(rebuild, "docker_registry", lambda folder: _Host(folder, answering))
    monkeypatch.setattr(Project, "change_package", lambda self, name: changed.append(name))
    fake = Fake()
    found = {(SLIMPACK, case): Runs() for case in fake.cases}
    for check in (True, False):
        rebuild.repetition(project, {SLIMPACK: fake}, found, check=check, lock=False)
    once = [(what, case) for case in fake.cases for what in ("prepare", "run")]
    assert fake.calls == [*once[:2], ("check", answering), *once[2:], *once]
    assert changed == ["idna", "scipy"] * 2
    assert all(len(each.build) == 2 and each.layers == [1, 1] for each in found.values())


class _Host:
    def __init__(self, folder: Path, host: str) -> None:
        self.folder, self.host = folder, host

    def __enter__(self) -> str:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.host

    def __exit__(self, *error: object) -> None:
        pass


def test_results_are_written_for_a_whole_comparison_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: dict[tuple[str, str], Runs]
) -> None:
    monkeypatch.setattr(rebuild, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(rebuild, "versions", lambda: {"slimpack": "1"})
    rebuild.write(found, {"W3 cold": 7}, "the table\n")
    whole = json.loads((tmp_path / "results" / "rebuild.json").read_text())
    assert whole["commands"].keys() == set(METHODS)
    assert whole["ratios"][ONE_PURE][SLIMPACK] == 0.1
    assert whole["w3 memory"] == {"W3 cold": 7}
    assert (tmp_path / "results" / "rebuild.md").read_text() == "the table\n"


def test_memory_is_measured_in_every_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = []

    def measured(command: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> Measured:
        assert not read_config(cwd / "slimpack.toml").app.prepare
        commands.append(("--no-verify" in command, env["SLIMPACK_CACHE_DIR"]))
        return Measured("", 1.0, 5_000_000)

    monkeypatch.setattr(heavy, "measure", measured)
    found = heavy.peaks(tmp_path, tmp_path / "channel")
    assert [unverified for unverified, _ in commands] == [True] * 3 + [False] * 3
    assert len({cache for _, cache in commands}) == 2
    assert len(found) == 6
    assert "| W3 --no-verify cold | 5 |" in list(heavy.told(found))
    assert not list(heavy.told({}))


def test_a_failure_is_a_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    work = tmp_path / "work"

    def make(self: Project) -> None:
        self.folder.mkdir(parents=True)
        raise RunError("no packages")

    monkeypatch.setattr(rebuild, "WORK", work)
    monkeypatch.setattr(Project, "make", make)
    assert rebuild.main(["--phases"]) == 1
    assert "error: no packages" in capsys.readouterr().err
    assert not work.exists()


def test_cpu_of_children_counts_what_ended(tmp_path: Path) -> None:
    before = methods.cpu_of_children()
    subprocess.run([sys.executable, "-c", "sum(range(10**6))"], check=True)
    assert methods.cpu_of_children() > before
