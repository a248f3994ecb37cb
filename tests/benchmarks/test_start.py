"""The pure parts of `benchmarks.starting`: what engines print, memory, limits, the page."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from benchmarks.catalogue import Request, workloads
from benchmarks.link import LINKS
from benchmarks.parts import Ask
from benchmarks.records import Results
from benchmarks.running import RunError
from benchmarks.setup import peers
from benchmarks.setup.apt import SetupError
from benchmarks.starting import pages, turns
from benchmarks.starting.asking import ask_service, run_command
from benchmarks.starting.daemons import mounted_below
from benchmarks.starting.measuring import Pushed, check_whole
from benchmarks.starting.memory import family, proportional, pss, usage_file
from benchmarks.starting.page import markdown
from benchmarks.starting.part import METHODS, RUNS, plan
from benchmarks.starting.progress import Said, ctr_pull, docker_pull, podman_pull, timed
from benchmarks.starting.turns import COLD, WARM, Turns
from slimpack.errors import InputError

# As Docker 26.1 printed them.
DOCKER = Said(
    14.3,
    (
        (0.09, "1: Pulling from naive/w1"),
        (0.10, "874edba30e4d: Pulling fs layer"),
        (0.10, "44d698f8850a: Waiting"),
        (0.67, "874edba30e4d: Verifying Checksum"),
        (0.68, "874edba30e4d: Download complete"),
        (2.87, "44d698f8850a: Download complete"),
        (7.31, "874edba30e4d: Pull complete"),
        (14.08, "44d698f8850a: Pull complete"),
        (14.29, "Digest: sha256:2960ec"),
    ),
)
# As ctr 1.6 printed them, without its colours.
CTR = Said(
    46.6,
    (
        (0.20, "127.0.0.2:5000/naive/w1:1:   resolved       |++++| "),
        (0.21, "layer-sha256:874edb:    downloading    |----|    0.0 B/19.2 MiB "),
        (2.50, "elapsed: 2.5 s      total:  174.3  (69.7 MiB/s)     "),
        (2.51, "unpacking linux/amd64 sha256:2960ec..."),
        (46.6, "done: 44.119531542s\t"),
    ),
)


def test_dockers_pull_is_split_where_the_last_layer_is_there() -> None:
    pulled = docker_pull(DOCKER)
    assert (pulled.seconds, pulled.download) == (14.3, 2.87)
    assert pulled.unpack == pytest.approx(11.43)


def test_ctrs_pull_is_split_where_it_begins_to_unpack() -> None:
    pulled = ctr_pull(CTR)
    assert pulled.download == 2.51
    assert pulled.unpack == pytest.approx(44.09)


def test_podmans_pull_stays_whole() -> None:
    pulled = podman_pull(Said(9.0, ((0.1, "Copying blob sha256:e4e782"),)))
    assert (pulled.seconds, pulled.download, pulled.unpack) == (9.0, None, None)


@pytest.mark.parametrize("read", [docker_pull, ctr_pull])
def test_a_pull_that_tells_of_no_download_is_an_error(read: Callable[[Said], object]) -> None:
    with pytest.raises(RunError, match="Image is up to date"):
        read(Said(0.1, ((0.1, "Status: Image is up to date for x"),)))


def test_a_pull_of_what_was_partly_there_is_an_error() -> None:
    image = Pushed("host/app:1", 1000, ("sha256:a",))
    check_whole(1000, image)
    with pytest.raises(RunError, match="not cold"):
        check_whole(999, image)


def test_lines_have_the_time_when_they_were_printed() -> None:
    said = timed(["sh", "-c", "echo one; echo two >&2; read line; echo three$line"])
    assert [line for _, line in said.lines] == ["one", "two", "three"]
    times = [at for at, _ in said.lines]
    assert times == sorted(times)
    assert times[-1] <= said.seconds


def test_an_interrupted_command_does_not_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter([0.0])

    def interrupted() -> float:
        for moment in moments:
            return moment
        raise KeyboardInterrupt  # when the first line is there

    monkeypatch.setattr("benchmarks.starting.progress.time.monotonic", interrupted)
    with pytest.raises(KeyboardInterrupt):
        timed(["sh", "-c", f"echo $$ >{tmp_path}/pid; echo begun; exec sleep 600"])
    monkeypatch.undo()
    pid = int((tmp_path / "pid").read_text())
    assert not Path(f"/proc/{pid}").exists()


def test_a_command_that_fails_is_told_with_its_last_lines() -> None:
    with pytest.raises(RunError, match=r"exit code 3\):\nno such image"):
        timed(["sh", "-c", "echo no such image; exit 3"])


def test_the_share_of_memory_is_read() -> None:
    text = "00400000-7ffd rollup\nRss:  9999 kB\nPss:   186 kB\nPss_Dirty:  12 kB\n"
    assert pss(text) == 186 * 1024
    assert pss("") == 0


def test_a_family_has_children_of_children_and_nobody_else() -> None:
    assert family(5, {1: 0, 5: 1, 6: 5, 7: 6, 8: 1}) == {5, 6, 7}


def test_the_memory_of_a_process_and_its_children_is_counted() -> None:
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("this kernel has no smaps_rollup")
    size = 50_000_000
    hold = f"held = bytearray({size}); print(flush=True); input()"
    command = ["sh", "-c", f"'{sys.executable}' -c '{hold}'; true"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert size < proportional(process.pid) < 10 * size
        process.communicate(b"\n")
    with pytest.raises(RunError, match="has ended"):
        proportional(process.pid)


@pytest.mark.parametrize(
    ("cgroup", "file"),
    [
        ("0::/system.slice/docker-1.scope\n", "system.slice/docker-1.scope/memory.current"),
        (
            "9:cpu,cpuacct:/a\n4:memory:/docker/1\n0::/other\n",
            "memory/docker/1/memory.usage_in_bytes",
        ),
        ("4:memory:/\n0::/\n", ""),
        ("", ""),
    ],
)
def test_cgroups_of_both_versions_have_a_file_that_tells_of_memory(cgroup: str, file: str) -> None:
    assert usage_file(cgroup) == file


def test_files_are_read_again_after_the_page_cache_was_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch = tmp_path / "drop_caches"
    monkeypatch.setattr(pages, "_DROP", switch)
    monkeypatch.setattr("benchmarks.starting.pages.os.sync", lambda: None)
    read: list[Path] = []
    monkeypatch.setattr(pages, "read", read.append)
    pages.drop((tmp_path / "a",))
    assert switch.read_text() == "3"
    assert read == [tmp_path / "a"]


def test_a_page_cache_that_cannot_be_dropped_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_DROP", tmp_path / "absent" / "drop_caches")
    with pytest.raises(SetupError, match="not cold"):
        pages.drop()


class _Slow(BaseHTTPRequestHandler):
    """Is not ready, then wrong, then right."""

    answers: tuple[tuple[int, bytes], ...] = (
        (503, b"starting"),
        (200, b"no JSON"),
        (200, b'{"species": "setosa"}'),
        (200, b'{"species": "virginica", "more": 1}'),
    )
    asked: list[bytes]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, answer = self.answers[min(len(self.asked), len(self.answers) - 1)]
        self.asked.append(body)
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def slow() -> Iterator[tuple[int, list[bytes]]]:
    """The port of a service, and what it was asked."""
    asked: list[bytes] = []
    handler = type("Handler", (_Slow,), {"asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, asked
    server.shutdown()
    server.server_close()


ASKED = Request("/predict", {"species": "virginica"}, {"length": 1})


def test_a_service_is_asked_until_its_answer_is_good(slow: tuple[int, list[bytes]]) -> None:
    port, asked = slow
    answered = ask_service("127.0.0.1", port, ASKED, lambda: "")
    assert answered.first_byte <= answered.first_answer
    assert asked == [json.dumps(ASKED.body).encode()] * 4


def test_a_service_that_never_answers_well_is_an_error(slow: tuple[int, list[bytes]]) -> None:
    asked = Request("/predict", {"species": "iris"}, {"length": 1})
    with pytest.raises(RunError, match=r"virginica.*\nits log"):
        ask_service("127.0.0.1", slow[0], asked, lambda: "its log", patience=0.5)


def test_nobody_who_listens_is_an_error() -> None:
    with pytest.raises(RunError, match="nobody listens"):
        ask_service("127.0.0.1", 1, ASKED, lambda: "", patience=0.1)


def test_what_a_command_prints_is_its_answer() -> None:
    command = [sys.executable, "-c", 'print("{\\"species\\": \\"virginica\\"}")']
    answered = run_command(command, ASKED)
    assert answered.first_byte <= answered.first_answer


@pytest.mark.parametrize("code", ["print(1)", "print('no JSON')", "exit('what is wrong')"])
def test_a_command_without_a_good_answer_is_an_error(code: str) -> None:
    with pytest.raises(RunError, match="no good answer"):
        run_command([sys.executable, "-c", code], ASKED)


def test_mounts_below_a_folder_come_last_first() -> None:
    lines = [
        "/dev/vda / ext4 rw 0 0",
        "overlay /work/engine/a overlay rw 0 0",
        "tmpfs /work/engine/a/b tmpfs rw 0 0",
        "tmpfs /work/engine2 tmpfs rw 0 0",
    ]
    found = mounted_below(lines, Path("/work/engine"))
    assert found == ["/work/engine/a/b", "/work/engine/a"]


def test_all_workloads_are_started_by_docker_and_one_by_every_engine() -> None:
    made = plan(Ask())
    assert made.methods == METHODS
    assert made.links == tuple(LINKS)
    assert made.runs == RUNS
    assert {name for engine, name in made.pairs if engine == "docker"} == set(workloads())
    assert [pair for pair in made.pairs if pair[0] != "docker"] == [
        ("podman", "w1"),
        ("containerd", "w1"),
    ]


def test_quick_is_one_start_by_two_methods() -> None:
    made = plan(Ask(quick=True))
    assert made.pairs == (("docker", "w0"),)
    assert (made.methods, made.links, made.runs) == (("best", "safe"), ("100 Mbit/s",), 1)


def test_cases_name_engines_and_links() -> None:
    asked = Ask(workloads=("w2",), methods=("tight",), cases=("podman", "1 Gbit/s"), runs=2)
    made = plan(asked)
    assert made.pairs == (("podman", "w2"),)
    assert (made.methods, made.links, made.runs) == (("tight",), ("1 Gbit/s",), 2)
    with pytest.raises(InputError, match="no case 'cri-o'"):
        plan(Ask(cases=("cri-o",)))


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> Results:
    """Two methods at the slow link and from here; 100 and 200 MB."""
    monkeypatch.setattr(turns, "versions", lambda: {"slimpack": "1"})
    monkeypatch.setattr(turns, "machine", lambda: {"cores": "2 cores"})
    turn = Turns(2, Path("registry"), {"100 Mbit/s": 10**8})
    turn.rates["100 Mbit/s"] = [12e6]
    turn.versions["docker"] = "26.1.5"
    (workload,) = workloads(("w1",)).values()
    for method, size, seconds in (("safe", 100_000_000, 10.0), ("best", 200_000_000, 20.0)):
        image = Pushed("host/app:1", size, ())
        for add in (0.0, 1.0):
            far = {"cold-start": seconds + add, "pull": 9.0, "first-answer": 3.0, "fetched": size}
            turn.add((workload, method), "docker, 100 Mbit/s", far, image)
            for case, imports in ((WARM, 2.0), (COLD, 5.0)):
                here = {"first-answer": 6.0, "import": imports}
                turn.add((workload, method), f"docker, {case}", here, image)
    return turn.results()


def test_limits_are_the_transfer_and_the_imports(results: Results) -> None:
    def limit(metric: str, case: str) -> float | None:
        (record,) = results.find(method="safe", metric=metric, case=f"docker, {case}")
        return record.limit

    assert limit("pull", "100 Mbit/s") == 8.0
    assert limit("cold-start", "100 Mbit/s") == 10.0
    assert limit("first-answer", "100 Mbit/s") == 2.0
    assert limit("fetched", "100 Mbit/s") == 100_000_000
    assert limit("first-answer", WARM) == 2.0
    assert limit("first-answer", COLD) == 5.0
    assert limit("import", COLD) is None


def test_runs_of_the_same_are_kept_in_one_record(results: Results) -> None:
    (record,) = results.find(method="safe", metric="cold-start")
    assert record.values == (10.0, 11.0)
    assert results.commands.keys() == {"docker"}
    assert results.versions == {"slimpack": "1", "docker": "26.1.5"}


def test_a_workload_without_imports_has_the_transfer_for_its_limit() -> None:
    turn = Turns(1, Path("registry"), {"100 Mbit/s": 10**8})
    (workload,) = workloads(("g1",)).values()
    image = Pushed("host/app:1", 50_000_000, ())
    turn.add((workload, "safe"), "docker, 100 Mbit/s", {"cold-start": 5.0}, image)
    before = turn.results().find(metric="cold-start")
    assert [record.limit for record in before] == [None]
    turn.add((workload, "safe"), f"docker, {WARM}", {"first-answer": 1.0}, image)
    after = turn.results().find(metric="cold-start")
    assert [record.limit for record in after] == [4.0]


def test_the_page_has_both_tables_and_the_target(results: Results) -> None:
    page = markdown(results)
    far, here = page.split("## Image already here")
    assert "docker, 100 Mbit/s | slimpack safe | 10.50 | 1.05 |" in far
    assert "in memory" not in far.split("Image already")[0].partition("target")[0]
    assert "1.95 times as fast" in far
    assert "target 1.8: reached" in far
    assert f"docker, {COLD} | slimpack safe | 6.00 | 1.20 |" in here
    assert "100 Mbit/s: 96 Mbit/s of payload" in here


@pytest.mark.parametrize(
    ("told", "known"),
    [
        ("Docker version 20.10.24+dfsg1, build 297e128", False),
        ("Docker version 26.1.5+dfsg1, build 411e817", True),
        ("Docker version dev", False),
        ("", False),
    ],
)
def test_docker_pulls_zstd_from_version_23_on(
    told: str, known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "dockerd"
    program.write_text(f"#!/bin/sh\necho '{told}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    asked: list[str] = []

    def no_packages(*names: str) -> list[Path]:
        asked.extend(names)
        raise SetupError("no Debian here")

    monkeypatch.setattr(peers, "newer_packages", no_packages)
    if known:
        assert peers.zstd_dockerd() == "dockerd"
    else:
        with pytest.raises(SetupError):
            peers.zstd_dockerd()
    assert asked == ([] if known else ["docker.io"])
