"""Which engine is chosen, and what every engine checks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slimpack.env.check import check_installed
from slimpack.env.engine import Engine, choose_engine
from slimpack.env.locks.lock import Lock, LockedPackage
from slimpack.env.micromamba.engine import MicromambaEngine
from slimpack.env.rattler.engine import RattlerEngine
from slimpack.errors import InputError, InstallError, SlimpackError
from tests.support.channel import GLIBC, MiniChannel
from tests.support.micromamba import stand_in


@pytest.fixture
def no_micromamba(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing-here"))


@pytest.fixture
def micromamba(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = stand_in(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return program


def choose(name: str, tmp_path: Path) -> Engine:
    return choose_engine(name, tmp_path / "pkgs", tmp_path / "repodata")


@pytest.mark.usefixtures("no_micromamba")
def test_without_micromamba(tmp_path: Path) -> None:
    assert choose("auto", tmp_path).name == choose("rattler", tmp_path).name == "rattler"
    with pytest.raises(InputError, match="no micromamba on PATH") as caught:
        choose("micromamba", tmp_path)
    assert "--engine rattler" in caught.value.hint


def test_auto_takes_the_micromamba_on_path(micromamba: Path, tmp_path: Path) -> None:
    for name in ("auto", "micromamba"):
        engine = choose(name, tmp_path)
        assert isinstance(engine, MicromambaEngine)
        assert (engine.name, engine.program) == ("micromamba", micromamba)
        assert engine.version() == (2, 8, 1)
    assert isinstance(choose("rattler", tmp_path), RattlerEngine)


def test_the_engines_do_not_share_a_package_cache(micromamba: Path, tmp_path: Path) -> None:
    engine = choose("micromamba", tmp_path)
    assert isinstance(engine, MicromambaEngine)
    assert engine.packages.parent == tmp_path / "pkgs"  # which the scan for build paths covers


@pytest.mark.usefixtures("micromamba")
@pytest.mark.parametrize("version", ["1.5.8", "2.7.0", "2.7.9-1"])
def test_too_old_a_micromamba(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setenv("STANDIN_FAULT", f"version:{version}")
    assert choose("auto", tmp_path).name == "rattler"
    with pytest.raises(InputError, match=r"is micromamba .*; 2\.8 or later is needed"):
        choose("micromamba", tmp_path)


@pytest.mark.usefixtures("micromamba")
@pytest.mark.parametrize("version", ["2.8.0", "2.8.1-1", "2.10.0", "3.0"])
def test_new_enough_a_micromamba(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setenv("STANDIN_FAULT", f"version:{version}")
    assert choose("auto", tmp_path).name == "micromamba"


@pytest.mark.usefixtures("micromamba")
@pytest.mark.parametrize("fault", ["broken", "version:", "version:no", "version:mamba 2.8.1"])
@pytest.mark.parametrize("name", ["auto", "micromamba"])
def test_a_program_that_is_no_micromamba(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, name: str
) -> None:
    monkeypatch.setenv("STANDIN_FAULT", fault)
    with pytest.raises(InputError, match="is no working micromamba"):
        choose(name, tmp_path)


def test_a_program_that_does_not_start(micromamba: Path, tmp_path: Path) -> None:
    micromamba.write_bytes(b"\x7fELF")
    with pytest.raises(InputError, match="cannot be started"):
        choose("auto", tmp_path)


def test_unknown_engine(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown engine 'conda'") as caught:
        choose("conda", tmp_path)
    assert "auto, micromamba, rattler" in caught.value.hint


PACKAGE = LockedPackage(
    *("b", "2.0", "0", "noarch", "https://host/c/noarch/b-2.0-0.conda"),
    sha256="a" * 64,
    md5="b" * 32,
)
RECORD = {
    "name": "b",
    "version": "2.0",
    "build": "0",
    "subdir": "noarch",
    "url": PACKAGE.url,
    "sha256": PACKAGE.sha256,
    "md5": PACKAGE.md5,
}


def prefix_with(tmp_path: Path, record: object) -> Path:
    path = tmp_path / "p" / "conda-meta" / "b-2.0-0.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record))
    return tmp_path / "p"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sha256": None},
        {"sha256": "", "md5": ""},
        {"build": "", "build_string": "0"},
        {"url": "https://bob:secret@host/c/noarch/b-2.0-0.conda"},
        {"url": "https://host/t/secret/c/noarch/b-2.0-0.conda"},
        {"name": "B"},
    ],
)
def test_the_same_package(tmp_path: Path, changes: dict[str, object]) -> None:
    prefix = prefix_with(tmp_path, {**RECORD, **changes})
    check_installed(Lock("linux-64", (PACKAGE,), ""), prefix)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "c"),
        ("version", "2.1"),
        ("build", "1"),
        ("subdir", "linux-64"),
        ("url", "https://host/c/noarch/b-2.0-0.tar.bz2"),
        ("sha256", "c" * 64),
        ("md5", "c" * 32),
    ],
)
def test_another_package_under_the_same_name(tmp_path: Path, key: str, value: str) -> None:
    prefix = prefix_with(tmp_path, {**RECORD, key: value})
    with pytest.raises(InstallError, match=f"b-2.0-0 is not the locked .* {key} is {value}"):
        check_installed(Lock("linux-64", (PACKAGE,), ""), prefix)


@pytest.mark.parametrize("record", [[], 3, None])
def test_a_record_that_is_none(tmp_path: Path, record: object) -> None:
    with pytest.raises(InstallError, match="not a conda-meta record"):
        check_installed(Lock("linux-64", (PACKAGE,), ""), prefix_with(tmp_path, record))


def test_a_lock_of_chosen_records(mini: MiniChannel, tmp_path: Path) -> None:
    """What the solver's records say comes back from the lock that is made of them."""
    mini.add("b", {"share/b": "1"}, noarch="generic")
    engine = RattlerEngine(tmp_path / "pkgs", tmp_path / "repodata")
    solved = engine.solve(mini.spec("b"), "linux-64", GLIBC)
    (package,) = solved.packages
    record = {
        **{key: value for key, value in vars(package).items() if key != "build"},
        "build_string": package.build,
        "depends": [],
        "noarch": "generic",
        "timestamp": 1_700_000_000,
    }
    made = engine.lock_records([record], "linux-64", [mini.folder.as_uri()], source="s")
    assert made.packages == solved.packages
    milliseconds = {
        **record,
        "timestamp": 1_700_000_000_000,
        "track_features": "x, y",
        "python_site_packages_path": "lib/python3.14t/site-packages",
    }
    again = engine.lock_records([milliseconds], "linux-64", [mini.folder.as_uri()], source="s")
    assert "timestamp: 1700000000000\n" in made.text
    assert "timestamp: 1700000000000\n" in again.text
    assert "- x\n" in again.text
    assert "python_site_packages_path: lib/python3.14t/site-packages" in again.text
    with pytest.raises(SlimpackError, match="s: the solver's records cannot be used"):
        engine.lock_records([{**record, "version": "1 2"}], "linux-64", [], source="s")
