"""The micromamba engine, against the stand-in and, where PATH has one, the real program."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.channel import Executable
from slimpack.env.inputs.spec import EnvSpec
from slimpack.env.locks.lock import Lock, LockedPackage
from slimpack.env.meta import read_installed
from slimpack.env.micromamba.engine import MicromambaEngine, dependency_order
from slimpack.env.rattler.engine import RattlerEngine
from slimpack.errors import InputError, InstallError, SlimpackError, SolveError
from slimpack.progress import SILENT, Task
from tests.support.channel import GLIBC, ROOT, MiniChannel
from tests.support.micromamba import stand_in

REAL = shutil.which("micromamba")
CUDA = [*GLIBC, ("__cuda", "12.8", "0"), ("__archspec", "1", "x86_64")]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose configuration would change every result if it were read."""
    home = tmp_path / "user"
    home.mkdir()
    bad = "channels: [file:///nowhere]\npinned_packages: [b 1.0]\nplatform: win-64\n"
    for name in (".condarc", ".mambarc"):
        (home / name).write_text(bad)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("CONDA_SUBDIR", "win-64")
    monkeypatch.setenv("MAMBA_CHANNELS", "file:///nowhere")
    monkeypatch.setenv("CONDA_OVERRIDE_GLIBC", "99")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    return home


@pytest.fixture(params=["stand-in", "real"])
def engine(request: pytest.FixtureRequest, tmp_path: Path, home: Path) -> MicromambaEngine:
    if request.param == "real" and REAL is None:
        pytest.skip("there is no micromamba on PATH; the stand-in is tested")
    program = Path(REAL) if request.param == "real" and REAL else stand_in(tmp_path / "bin")
    return MicromambaEngine(program, tmp_path / "pkgs", tmp_path / "repodata")


@pytest.fixture
def faulty(tmp_path: Path, home: Path) -> MicromambaEngine:
    """The stand-in alone: what goes wrong is asked of it by environment variables."""
    return MicromambaEngine(stand_in(tmp_path / "bin"), tmp_path / "pkgs", tmp_path / "repodata")


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    log = tmp_path / "calls"
    monkeypatch.setenv("STANDIN_LOG", str(log))
    return log


@pytest.fixture
def ab(mini: MiniChannel) -> MiniChannel:
    mini.add("a", {"share/a": "1"}, version="1.0", depends=["b >=1"])
    mini.add("b", {"share/b": "1"}, version="1.0", noarch="generic")
    mini.add("b", {"share/b": "2"}, version="2.0", noarch="generic")
    mini.add("new-glibc", {"share/n": "1"}, depends=["__glibc >=2.38"])
    mini.add("gpu", {"share/g": "1"}, depends=["__cuda >=12"])
    return mini


def read_calls(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def listing(folder: Path) -> list[tuple[str, bytes]]:
    return sorted(
        (str(path.relative_to(folder)), path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    )


class Listener:
    """A `Progress` that keeps what it is told."""

    def __init__(self) -> None:
        self.done = 0
        self.warnings: list[str] = []

    @contextmanager
    def task(self, name: str, *, total: int | None = None, unit: str = "B") -> Iterator[Task]:
        yield self

    def advance(self, amount: int = 1) -> None:
        self.done += amount

    def total(self, amount: int) -> None:
        raise NotImplementedError

    def note(self, message: str) -> None:
        raise NotImplementedError

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def test_solves_and_installs_as_the_embedded_engine_does(
    ab: MiniChannel, engine: MicromambaEngine, tmp_path: Path
) -> None:
    lock = engine.solve(ab.spec("a"), "linux-64", GLIBC)
    embedded = RattlerEngine(tmp_path / "pkgs2", tmp_path / "repodata")
    other = embedded.solve(ab.spec("a"), "linux-64", GLIBC)
    assert lock.packages == other.packages
    assert [package.dist for package in lock.packages] == ["a-1.0-0", "b-2.0-0"]
    listener = Listener()
    engine.install(lock, tmp_path / "p", progress=listener)
    assert (tmp_path / "p/share/b").read_text() == "2"
    assert (listener.done, listener.warnings) == (2, [])
    embedded.install(lock, tmp_path / "p2")
    ours, theirs = ({name for name, _ in listing(tmp_path / name)} for name in ("p", "p2"))
    assert ours ^ theirs <= {"CACHEDIR.TAG"}


def test_an_environment_with_python(channel: str, engine: MicromambaEngine, tmp_path: Path) -> None:
    spec = EnvSpec("t", (channel,), ("python =3.11", "click"), source="environment.yml")
    lock = engine.solve(spec, "linux-64", GLIBC)
    engine.install(lock, tmp_path / "p")
    installed = read_installed(tmp_path / "p")
    assert [package.name for package in installed.packages] == [p.name for p in lock.packages]
    click = installed.get("click")
    assert click is not None
    assert Path(click.extracted).is_relative_to(engine.packages)  # relocation looks there
    assert not list((tmp_path / "p").rglob("click/**/*.pyc"))  # slimpack compiles for the image
    subprocess.run([tmp_path / "p/bin/python", "-Bc", "import click"], check=True)


def test_each_engine_installs_the_lock_of_the_other(
    ab: MiniChannel, engine: MicromambaEngine, tmp_path: Path
) -> None:
    embedded = RattlerEngine(tmp_path / "pkgs2", tmp_path / "repodata")
    embedded.install(engine.solve(ab.spec("a"), "linux-64", GLIBC), tmp_path / "p1")
    engine.install(embedded.solve(ab.spec("a"), "linux-64", GLIBC), tmp_path / "p2")
    assert (tmp_path / "p1/share/b").read_text() == (tmp_path / "p2/share/b").read_text() == "2"


@pytest.mark.parametrize("folder", ["a b", "a, b [c]", "a: b # c", "ü'\"", "{}"])
def test_folders_with_strange_names(
    ab: MiniChannel, engine: MicromambaEngine, tmp_path: Path, folder: str
) -> None:
    elsewhere = replace(engine, packages=tmp_path / folder / "pkgs")
    lock = engine.solve(ab.spec("b"), "linux-64", GLIBC)
    elsewhere.install(lock, tmp_path / folder / "p")
    (package,) = read_installed(tmp_path / folder / "p").packages
    assert Path(package.extracted).is_relative_to(elsewhere.packages)


def test_nothing_of_the_user_is_read_or_written(
    ab: MiniChannel, engine: MicromambaEngine, home: Path, tmp_path: Path
) -> None:
    before = listing(home)
    lock = engine.solve(ab.spec("a"), "linux-64", GLIBC)
    engine.install(lock, tmp_path / "p")
    assert listing(home) == before
    assert lock.packages[1].version == "2.0"  # not the pin of the user's .condarc


def test_nothing_of_this_machine_stays_in_the_prefix(
    ab: MiniChannel, engine: MicromambaEngine, tmp_path: Path
) -> None:
    engine.install(engine.solve(ab.spec("a"), "linux-64", GLIBC), tmp_path / "p")
    assert (tmp_path / "p/conda-meta/history").read_bytes() == b""
    assert not (tmp_path / "p/.mambarc").exists()


def test_the_base_decides_which_virtual_packages_there_are(
    ab: MiniChannel, engine: MicromambaEngine
) -> None:
    newer = [("__glibc", "2.41", "0")]
    assert engine.solve(ab.spec("new-glibc"), "linux-64", newer).get("new-glibc")
    assert engine.solve(ab.spec("gpu"), "linux-64", CUDA).get("gpu")
    for name, virtual in (("new-glibc", "__glibc"), ("gpu", "__cuda")):
        with pytest.raises(SolveError, match=virtual):
            engine.solve(ab.spec(name), "linux-64", GLIBC)


def test_a_virtual_package_that_micromamba_cannot_be_told_of(
    ab: MiniChannel, faulty: MicromambaEngine
) -> None:
    with pytest.raises(InputError, match="virtual package __conda") as caught:
        faulty.solve(ab.spec("a"), "linux-64", [("__conda", "1", "0")])
    assert "--engine rattler" in caught.value.hint


def test_unsolvable_and_unknown_packages_are_explained(
    ab: MiniChannel, engine: MicromambaEngine
) -> None:
    for specs, named in ((("a", "b >=3"), "b >=3"), (("no-such-package",), "no-such-package")):
        with pytest.raises(SolveError, match="no environment satisfies the specs") as caught:
            engine.solve(ab.spec(*specs), "linux-64", GLIBC)
        assert named in caught.value.details
        assert "libmamba" not in caught.value.details


def test_missing_channel_and_no_channel(
    ab: MiniChannel, engine: MicromambaEngine, tmp_path: Path
) -> None:
    nowhere = ab.spec("a").with_channels(((tmp_path / "none").as_uri(),))
    with pytest.raises(InstallError, match="a channel could not be read") as caught:
        engine.solve(nowhere, "linux-64", GLIBC)
    assert "repodata.json" in caught.value.details
    with pytest.raises(InputError, match="no channels"):
        engine.solve(type(nowhere)("t", (), ("a",), source="x.yml"), "linux-64", GLIBC)


def test_a_wrong_digest_leaves_nothing(
    ab: MiniChannel, engine: MicromambaEngine, tmp_path: Path
) -> None:
    package = engine.solve(ab.spec("b"), "linux-64", GLIBC).packages[0]
    for digests in ({"md5": "0" * 32}, {"sha256": "0" * 64, "md5": package.md5}):
        wrong = LockedPackage(**{**vars(package), "sha256": "", **digests})
        with pytest.raises(InstallError, match="could not be installed") as caught:
            engine.install(Lock("linux-64", (wrong,), ""), tmp_path / "p")
        assert "doesn't match expectation" in caught.value.details
        assert not (tmp_path / "p").exists()


def test_the_prefix_may_be_there_but_empty(
    ab: MiniChannel, engine: MicromambaEngine, tmp_path: Path
) -> None:
    lock = engine.solve(ab.spec("b"), "linux-64", GLIBC)
    (tmp_path / "p").mkdir()
    engine.install(lock, tmp_path / "p")
    with pytest.raises(SlimpackError, match="cannot write"):
        engine.install(lock, tmp_path / "p")
    assert (tmp_path / "p/share/b").exists()  # somebody's work


def test_link_scripts_are_not_run_or_are_told_of(
    mini: MiniChannel, engine: MicromambaEngine, tmp_path: Path
) -> None:
    script = Executable('#!/bin/sh\necho ran > "$PREFIX/share/mark"\n')
    mini.add("s", {"share/s": "1", "bin/.s-post-link.sh": script})
    listener = Listener()
    engine.install(
        engine.solve(mini.spec("s"), "linux-64", GLIBC), tmp_path / "p", progress=listener
    )
    ran = (tmp_path / "p/share/mark").exists()
    assert ran == bool(listener.warnings)
    assert all(".s-post-link.sh" in warning for warning in listener.warnings)


def test_specs_and_channels_are_never_options_and_not_in_the_arguments(
    ab: MiniChannel, faulty: MicromambaEngine, calls: Path
) -> None:
    spec = ab.spec("a", "--help", "-p /", "b  # x: y").with_channels(
        ("https://bob:s3cret@host/c", "file:///x", ab.url)
    )
    with pytest.raises(SlimpackError) as caught:
        faulty.solve(spec, "linux-64", GLIBC)
    assert "s3cret" not in str(caught.value)
    call = read_calls(calls)[0]
    assert not {"--help", "-p /", "a"} & set(call["argv"])
    assert "s3cret" not in " ".join(call["argv"])
    assert "'--help'" in call["file"] or "- --help" in call["file"]
    assert "https://bob:s3cret@host/c" in call["file"]


def test_what_the_call_is_given_of_the_users_surroundings(
    ab: MiniChannel,
    faulty: MicromambaEngine,
    calls: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (home / ".netrc").write_text("machine host login bob password x\n")
    given = {"HTTPS_PROXY": "http://p", "SSL_CERT_FILE": "/c", "MAMBA_SSL_VERIFY": "/d"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    faulty.solve(ab.spec("b"), "linux-64", GLIBC)
    environment = read_calls(calls)[0]["environment"]
    assert given.items() <= environment.items()
    assert environment["CONDA_PKGS_DIRS"] == str(faulty.packages)
    assert environment["MAMBA_SKIP_RUN_LINK_SCRIPTS"] == "true"
    assert environment["CONDA_OVERRIDE_GLIBC"] == "2.36"
    assert environment["CONDA_OVERRIDE_CUDA"] == ""
    assert not {"CONDA_SUBDIR", "MAMBA_CHANNELS", "XDG_CONFIG_HOME"} & set(environment)
    assert environment["HOME"] != str(home)
    assert not Path(environment["HOME"]).exists()  # nothing is left of it
    assert (home / ".netrc").exists()


def test_credentials_that_a_plan_masks_come_back(
    faulty: MicromambaEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_REPLAY", "create-dry-run-json-from-yaml")
    monkeypatch.setenv("STANDIN_CHANNEL", "https://*****:*****@host/c")
    channel = "https://bob:s3cret@host/c"
    spec = MiniChannel(tmp_path).spec("python").with_channels((channel,))
    lock = faulty.solve(spec, "linux-64", GLIBC)
    assert len(lock.packages) == 24
    assert all(package.url.startswith(f"{channel}/") for package in lock.packages)


def test_the_list_to_install_has_the_strongest_digest_and_is_named_and_ordered(
    ab: MiniChannel, faulty: MicromambaEngine, calls: Path, tmp_path: Path
) -> None:
    lock = faulty.solve(ab.spec("a"), "linux-64", GLIBC)
    faulty.install(lock, tmp_path / "p")
    call = read_calls(calls)[-1]
    assert call["argv"][-1].endswith("/explicit.txt")
    a, b = lock.packages
    assert call["file"].splitlines() == [
        "# platform: linux-64",
        "@EXPLICIT",
        f"{b.url}#{b.sha256}",
        f"{a.url}#{a.sha256}",
    ]


@pytest.mark.parametrize(
    "url",
    [
        "https://h/c/noarch/b-2-0.conda\nhttps://evil/c/noarch/x-1-0.conda",
        "https://h/c/noarch/b-2-0.conda#" + "0" * 32,
        "/local/b-2-0.conda",
        "git+https://h/x",
        "--prefix=/",
        "",
    ],
)
def test_a_lock_with_urls_that_are_none(faulty: MicromambaEngine, tmp_path: Path, url: str) -> None:
    lock = Lock("linux-64", (LockedPackage("b", "2", "0", "noarch", url),), "")
    with pytest.raises(InputError, match="no URL of a package"):
        faulty.install(lock, tmp_path / "p")
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("empty", r"missing: a-1\.0-0, b-2\.0-0; not locked: none"),
        ("missing", r"missing: a-1\.0-0; not locked: none"),
        ("build", r"missing: a-1\.0-0; not locked: a-1\.0-09"),
        ("sha256", "a-1.0-0 is not the locked package: its sha256 is 000"),
        ("url", "its url is file:///elsewhere"),
        ("version", "its version is 9, the lock says 1.0"),
        ("damaged", "not a conda-meta record"),
    ],
)
def test_exit_code_0_with_another_environment_than_the_locked(
    ab: MiniChannel,
    faulty: MicromambaEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    expected: str,
) -> None:
    lock = faulty.solve(ab.spec("a"), "linux-64", GLIBC)
    monkeypatch.setenv("STANDIN_FAULT", fault)
    with pytest.raises(InstallError, match=expected):
        faulty.install(lock, tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_an_empty_plan_with_exit_code_0_is_no_lock(
    ab: MiniChannel, faulty: MicromambaEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("create-from-conda-lock-dry-run-json", "create-from-conda-lock-other-name"):
        monkeypatch.setenv("STANDIN_REPLAY", name)
        with pytest.raises(SolveError, match="micromamba planned no packages"):
            faulty.solve(ab.spec("a"), "linux-64", GLIBC)


def test_recorded_failures(
    ab: MiniChannel, faulty: MicromambaEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_REPLAY", "unsolvable-json,unsolvable-text")
    with pytest.raises(SolveError) as caught:
        faulty.solve(ab.spec("a"), "linux-64", GLIBC)
    assert "└─ numpy =0.1 * does not exist (perhaps a typo" in caught.value.details
    assert "Shard Index" not in caught.value.details
    monkeypatch.setenv("STANDIN_REPLAY", "unknown-package-json,version")
    with pytest.raises(SolveError, match="unsupported request"):  # better than nothing
        faulty.solve(ab.spec("a"), "linux-64", GLIBC)
    monkeypatch.setenv("STANDIN_REPLAY", "missing-channel-json")
    with pytest.raises(InstallError, match="Couldn't open file") as missing:
        faulty.solve(ab.spec("a"), "linux-64", GLIBC)
    assert "mamba clean" not in missing.value.details
    monkeypatch.setenv("STANDIN_REPLAY", "bad-yaml")
    with pytest.raises(SlimpackError, match=r"micromamba failed \(exit code 1\)"):
        faulty.solve(ab.spec("a"), "linux-64", GLIBC)


def test_a_plan_for_another_platform(
    ab: MiniChannel, faulty: MicromambaEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_REPLAY", "create-dry-run-json-from-yaml")
    with pytest.raises(SlimpackError, match=r"planned .* for linux-aarch64"):
        faulty.solve(ab.spec("python"), "linux-aarch64", GLIBC)


def test_output_that_is_no_json(
    ab: MiniChannel, faulty: MicromambaEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_FAULT", "garbage")
    with pytest.raises(SlimpackError, match="plan cannot be read: not JSON"):
        faulty.solve(ab.spec("a"), "linux-64", GLIBC)


def test_an_interrupted_call_takes_micromamba_with_it(
    faulty: MicromambaEngine, mini: MiniChannel, calls: Path, tmp_path: Path
) -> None:
    mini.add("b", {"share/b": "1"})
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from pathlib import Path\n"
        "from slimpack.env.micromamba.engine import MicromambaEngine\n"
        "from slimpack.env.locks.lock import Lock, LockedPackage\n"
        f"engine = MicromambaEngine(Path({str(faulty.program)!r}), Path('pkgs'), Path('r'))\n"
        "package = LockedPackage('b', '1', '0', 'noarch', 'file:///c/noarch/b-1-0.conda')\n"
        f"engine.install(Lock('linux-64', (package,), ''), Path({str(tmp_path / 'p')!r}))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), "STANDIN_FAULT": "hang"},
        stderr=subprocess.DEVNULL,
    )
    for _ in range(200):
        if calls.exists() and calls.read_text().endswith("\n"):
            break
        time.sleep(0.05)
    child = read_calls(calls)[0]["pid"]
    process.send_signal(signal.SIGINT)
    assert process.wait(20) != 0
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert not (tmp_path / "p").exists()


def test_packages_come_after_what_they_depend_on() -> None:
    def package(name: str, *depends: str) -> LockedPackage:
        return LockedPackage(name, "1", "0", "noarch", "", depends=depends)

    packages = [
        package("a", "m >=1", "python>=3"),
        package("m", "z[version='>=1']"),
        package("pip", "python"),
        package("python", "z", "pip", "__glibc >=2"),  # a cycle, as there is with pip
        package("z"),
    ]
    order = [item.name for item in dependency_order(packages)]
    assert order == ["z", "m", "pip", "python", "a"]
    deep = [package(f"n{i}", f"n{i + 1}") for i in range(5000)]
    assert dependency_order(deep) == deep[::-1]


def test_a_foreign_platform(mini: MiniChannel, engine: MicromambaEngine, tmp_path: Path) -> None:
    mini.add("x", {"share/x": "arm"}, subdir="linux-aarch64")
    lock = engine.solve(mini.spec("x"), "linux-aarch64", GLIBC)
    engine.install(lock, tmp_path / "p", progress=SILENT)
    assert (tmp_path / "p/share/x").read_text() == "arm"
