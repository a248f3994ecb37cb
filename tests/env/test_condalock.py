from __future__ import annotations

import copy
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from slimpack.env.inputs.spec import EnvSpec
from slimpack.env.locks.condalock import read_conda_lock
from slimpack.env.locks.condalock_write import write_conda_lock
from slimpack.env.locks.lock import (
    Lock,
    LockedPackage,
    PypiPackage,
    read_explicit,
    read_explicit_pypi,
)
from slimpack.env.rattler.engine import RattlerEngine, with_pypi
from slimpack.errors import InputError, InstallError
from tests.support.channel import GLIBC, MiniChannel, missing

MD5, SHA = "0" * 31 + "1", "0" * 63 + "1"


def entry(name: str, /, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "version": "1.0",
        "manager": "conda",
        "platform": "linux-64",
        "dependencies": {"b": ">=1", "__glibc": ""},
        "url": f"https://x.example/c/linux-64/{name}-1.0-h1_0.conda",
        "hash": {"md5": MD5, "sha256": SHA},
        "category": "main",
        "optional": False,
        **changes,
    }


def pip_entry(name: str, /, **changes: Any) -> dict[str, Any]:
    url = f"https://x.example/{name}-1.0-py3-none-any.whl"
    return entry(name, **{"manager": "pip", "url": url, "hash": {"sha256": SHA}, **changes})


def write(path: Path, *packages: Any, **changes: Any) -> Path:
    metadata = {
        "content_hash": {"linux-64": SHA},
        "channels": [{"url": "conda-forge", "used_env_vars": []}],
        "platforms": ["linux-64", "linux-aarch64"],
        "sources": ["environment.yml"],
    }
    data = {"version": 1, "metadata": metadata, "package": list(packages), **changes}
    path.write_text(yaml.safe_dump(data))
    return path


def test_reads_conda_and_pip_packages(tmp_path: Path) -> None:
    git = "git+https://x.example/g.git@" + "a" * 40
    lock = read_conda_lock(
        write(
            tmp_path / "l.yml",
            entry("zlib"),
            entry("a", hash={"md5": MD5}),
            entry("__glibc"),
            entry("arm", platform="linux-aarch64"),
            pip_entry("Foo_Bar", dependencies={"baz": ">=1,<2", "qux": "*", "odd": "^1"}),
            pip_entry("g", source={"type": "url", "url": git}, hash={"sha256": "a" * 40}),
        ),
        "linux-64",
    )
    assert lock.packages == (
        LockedPackage(
            name="a",
            version="1.0",
            build="h1_0",
            subdir="linux-64",
            url="https://x.example/c/linux-64/a-1.0-h1_0.conda",
            md5=MD5,
            depends=("__glibc", "b >=1"),
        ),
        replace(
            lock.packages[0],
            name="zlib",
            url="https://x.example/c/linux-64/zlib-1.0-h1_0.conda",
            sha256=SHA,
        ),
    )
    assert lock.pypi == (
        PypiPackage(
            "foo-bar",
            "1.0",
            "https://x.example/Foo_Bar-1.0-py3-none-any.whl",
            SHA,
            ("baz<2,>=1", "odd", "qux"),
        ),
        PypiPackage("g", "1.0", git, "", lock.pypi[1].requires),
    )
    assert (lock.left_out, lock.channels) == ((), ("conda-forge",))


def test_categories_are_chosen_and_what_is_left_out_is_counted(tmp_path: Path) -> None:
    path = write(
        tmp_path / "l.yml",
        entry("a"),
        entry("a", category="dev", optional=True),
        entry("b", category="dev"),
        entry("c", category="docs"),
        {**entry("d"), "categories": ["dev", "docs"]},
    )
    lock = read_conda_lock(path, "linux-64")
    assert [package.name for package in lock.packages] == ["a"]
    assert lock.left_out == (("dev", 2), ("docs", 2))
    lock = read_conda_lock(path, "linux-64", ("main", "dev"))
    assert [package.name for package in lock.packages] == ["a", "b", "d"]
    assert lock.left_out == (("docs", 1),)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"version": 1.0}, "version: expected a string, got float 1.0"),
        ({"name": 3}, "name: expected a string"),
        ({"manager": "apt"}, "(a): manager: expected conda or pip, got 'apt'"),
        ({"hash": {"md5": "abc"}}, "hash: 'abc' is not an md5 digest"),
        ({"hash": {}}, "neither md5 nor sha256"),
        ({"hash": [MD5]}, "hash: expected md5 and sha256"),
        ({"url": "https://x.example/a.conda"}, "is not the URL of a conda package"),
        ({"url": "https://x.example/c/linux-64/b-1.0-0.conda"}, "is not that of a 1.0"),
        ({"url": "https://x.example/c/osx-64/a-1.0-0.conda"}, "is not for linux-64"),
        ({"url": "ftp://x.example/c/noarch/a-1.0-0.conda"}, "is not the URL of a conda package"),
        ({"url": "https://[x/c/noarch/a-1.0-0.conda"}, "is not a URL"),
        ({"url": "https://x.example/$HOME/noarch/a-1.0-0.conda"}, "holds a variable"),
        ({"dependencies": ["b"]}, "dependencies: expected NAME: VERSION pairs"),
        ({"category": 3}, "category: expected a string"),
        ({"platform": ["linux-64"]}, "platform: expected a string"),
    ],
)
def test_what_is_wrong_with_a_package_is_named(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    path = write(tmp_path / "l.yml", entry("z"), entry("a", **changes))
    with pytest.raises(InputError) as caught:
        read_conda_lock(path, "linux-64")
    assert f"{path}: package 2" in caught.value.message
    assert expected in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"version": 2}, "version: expected 1, got int 2"),
        ({"version": "1"}, "version: expected 1, got a string"),
        ({"package": {}}, "package: got a mapping"),
        ({"package": [3]}, "package 1: expected a mapping, got int 3"),
        ({"metadata": None}, "metadata: got nothing"),
    ],
)
def test_what_is_wrong_with_the_lock_is_named(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    with pytest.raises(InputError) as caught:
        read_conda_lock(write(tmp_path / "l.yml", **changes), "linux-64")
    assert expected in caught.value.message


def test_bad_files(tmp_path: Path) -> None:
    path = write(tmp_path / "l.yml", entry("a"))
    with pytest.raises(InputError, match=r"no packages for linux-ppc64le \(has: linux-64, linux-a"):
        read_conda_lock(path, "linux-ppc64le")
    path = write(tmp_path / "l.yml", entry("a"), entry("a", version="1.0", hash={"md5": "f" * 32}))
    with pytest.raises(InputError, match="is locked twice, differently"):
        read_conda_lock(path, "linux-64")
    path.write_text("[]")
    with pytest.raises(InputError, match="not a conda-lock"):
        read_conda_lock(path, "linux-64")
    path.write_bytes(b"version: 1\nx: \xff")
    with pytest.raises(InputError, match="not UTF-8 text"):
        read_conda_lock(path, "linux-64")
    with path.open("wb") as stream:
        stream.truncate((64 << 20) + 1)
    with pytest.raises(InputError, match="larger than 64 MiB"):
        read_conda_lock(path, "linux-64")


def test_credentials_as_variables_are_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "s3cret")
    for credentials in ("$USER:${SECRET}@x.example", "x.example/t/${SECRET}"):
        url = f"https://{credentials}/c/linux-64/a-1.0-h1_0.conda"
        lock = read_conda_lock(write(tmp_path / "l.yml", entry("a", url=url)), "linux-64")
        assert lock.packages[0].url == "https://x.example/c/linux-64/a-1.0-h1_0.conda"


_VALUES = st.none() | st.integers(0, 3) | st.text(max_size=6) | st.lists(st.text(max_size=3))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_change_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    packages = [entry("a"), pip_entry("b")]
    for package in packages:
        for key in data.draw(st.sets(st.sampled_from(sorted(package)), max_size=2)):
            package[key] = data.draw(_VALUES | st.dictionaries(st.text(max_size=3), _VALUES))
    changes = data.draw(
        st.dictionaries(st.sampled_from(["version", "metadata", "package"]), _VALUES, max_size=1)
    )
    path = write(tmp_path_factory.getbasetemp() / "any-lock.yml", *packages, **changes)
    try:
        lock = read_conda_lock(path, "linux-64")
    except InputError as error:
        assert str(path) in str(error)
    else:
        assert all(package.md5 or package.sha256 for package in lock.packages)


@pytest.fixture
def own_engine(tmp_path: Path) -> RattlerEngine:
    return RattlerEngine(tmp_path / "pkgs", tmp_path / "repodata")


PYPI = (
    PypiPackage("git", "2", "git+https://x.example/g.git@" + "a" * 40),
    PypiPackage("six", "1.16", "https://x.example/six-1.16-py3-none-any.whl", SHA, ("b>=1",)),
)


@pytest.fixture
def locks(mini: MiniChannel, own_engine: RattlerEngine) -> list[Lock]:
    mini.add("a", {"share/a": "1"}, depends=["b >=1", "b <3", "__glibc >=2.17"])
    mini.add("b", {"share/b": "2"}, version="2.0", noarch="generic")
    spec = mini.spec("b")
    both = [
        own_engine.solve(spec, "linux-aarch64", GLIBC),
        own_engine.solve(replace(spec, specs=("a",)), "linux-64", GLIBC),
    ]
    return [both[0], with_pypi(both[1], PYPI)]


def test_what_is_written_is_read_back_and_installs(
    mini: MiniChannel, locks: list[Lock], own_engine: RattlerEngine, tmp_path: Path
) -> None:
    path = tmp_path / "conda-lock.yml"
    path.write_text(write_conda_lock(locks, mini.spec("a")))
    found = read_conda_lock(path, "linux-64")
    assert found.packages[0].depends == ("__glibc >=2.17", "b >=1,<3")
    assert [package.name for package in read_conda_lock(path, "linux-aarch64").packages] == ["b"]
    assert found.pypi == PYPI
    lock = own_engine.resolve_explicit(
        found.packages, "linux-64", source=str(path), pypi=found.pypi
    )
    assert lock == locks[1]
    own_engine.install(lock, tmp_path / "p")
    assert (tmp_path / "p/share/b").read_text() == "2"


def test_both_digests_bind(
    mini: MiniChannel, locks: list[Lock], own_engine: RattlerEngine, tmp_path: Path
) -> None:
    path = tmp_path / "conda-lock.yml"
    for algorithm in ("md5", "sha256"):
        data = yaml.safe_load(write_conda_lock(locks, mini.spec("a")))
        wrong = copy.deepcopy(data)
        for package in wrong["package"]:
            if package["manager"] == "conda":
                package["hash"][algorithm] = "0" * len(package["hash"][algorithm])
        path.write_text(yaml.safe_dump(wrong))
        found = read_conda_lock(path, "linux-64")
        with pytest.raises(InstallError, match=f"the lock says {algorithm} 000"):
            own_engine.resolve_explicit(found.packages, "linux-64", source=str(path))


def test_without_its_channel_the_lock_itself_tells_the_dependencies(
    mini: MiniChannel, locks: list[Lock], own_engine: RattlerEngine, tmp_path: Path
) -> None:
    path = tmp_path / "conda-lock.yml"
    path.write_text(write_conda_lock(locks, mini.spec("a")))
    for repodata in mini.folder.glob("*/repodata*"):
        repodata.unlink()
    found = read_conda_lock(path, "linux-64")
    lock = own_engine.resolve_explicit(found.packages, "linux-64", source=str(path))
    assert lock.packages[0].depends == ("__glibc >=2.17", "b >=1,<3")
    assert lock.packages[0].sha256 == locks[1].packages[0].sha256
    own_engine.install(lock, tmp_path / "p")


def test_what_conda_lock_cannot_hold(locks: list[Lock]) -> None:
    bare = replace(
        locks[0], packages=tuple(replace(package, md5="") for package in locks[0].packages)
    )
    with pytest.raises(InputError, match=r"b-2\.0-0 has no MD5 digest"):
        write_conda_lock([bare], EnvSpec("t", (), ()))


def test_conda_lock_reads_ours_and_we_read_its_rendering(
    mini: MiniChannel, locks: list[Lock], own_engine: RattlerEngine, tmp_path: Path
) -> None:
    try:
        renderer = import_module("conda_lock.conda_lock")
        parser = import_module("conda_lock.lockfile")
    except ImportError:
        missing("PEERS", "conda-lock is not installed")
    path = tmp_path / "conda-lock.yml"
    path.write_text(write_conda_lock(locks, replace(mini.spec("a"), folder=tmp_path)))
    parsed = parser.parse_conda_lock_file(path)
    assert parsed.metadata.platforms == ["linux-64", "linux-aarch64"]
    assert sorted((item.manager, item.name, item.platform) for item in parsed.package) == [
        ("conda", "a", "linux-64"),
        ("conda", "b", "linux-64"),
        ("conda", "b", "linux-aarch64"),
        ("pip", "git", "linux-64"),
        ("pip", "six", "linux-64"),
    ]
    lines = renderer.render_lockfile_for_platform(
        lockfile=parsed,
        include_dev_dependencies=False,
        extras=None,
        kind="explicit",
        platform="linux-64",
    )
    rendered = tmp_path / "conda-linux-64.lock"
    rendered.write_text("\n".join(lines) + "\n")
    assert [item.url for item in read_explicit(rendered)] == [
        package.url for package in reversed(locks[1].packages)
    ]
    assert [(item.name, item.url, item.sha256) for item in read_explicit_pypi(rendered)] == [
        (item.name, item.url, item.sha256) for item in PYPI
    ]
