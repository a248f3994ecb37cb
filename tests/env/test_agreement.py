from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from slimpack.env.inputs.spec import EnvSpec
from slimpack.env.locks.agreement import disagreements
from slimpack.env.locks.agreement_pip import pip_disagreements
from slimpack.env.locks.lock import Lock, PypiPackage
from slimpack.env.rattler.engine import RattlerEngine, with_pypi
from slimpack.errors import InputError
from tests.support.channel import GLIBC, MiniChannel

Solve = Callable[..., Lock]


@pytest.fixture
def other(tmp_path: Path) -> MiniChannel:
    other = MiniChannel(tmp_path / "other")
    other.add("c", {"share/c": "other"}, version="1.0", depends=["b"])
    return other


@pytest.fixture
def solve(mini: MiniChannel, tmp_path: Path) -> Solve:
    mini.add("a", {"share/a": "1"}, version="1.0", depends=["b >=1", "__glibc >=2.30"])
    mini.add("b", {"share/b": "1"}, version="1.0", noarch="generic")
    mini.add("c", {"share/c": "1"}, version="3.0", build="x_0", constrains=["b <9"])
    engine = RattlerEngine(tmp_path / "pkgs", tmp_path / "repodata")

    def call(*specs: str) -> Lock:
        return engine.solve(mini.spec(*specs), "linux-64", GLIBC)

    return call


def test_a_fresh_lock_agrees(solve: Solve, mini: MiniChannel, other: MiniChannel) -> None:
    file = (mini.folder / "linux-64" / "c-3.0-x_0.conda").as_uri()
    for specs in (
        ("a",),
        ("a >=1,<2", "c=3.0=x*", "b"),
        (f"{other.url}::c", "a"),
        (f"{other.url}/linux-64::c",),
        ("a", file),
        ("a", "__glibc >=2.30", "__unix"),
    ):
        assert disagreements(mini.spec(*specs), solve(*specs), GLIBC) == (), specs


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (("a",), ("c-3.0-x_0 is locked, but nothing asks for it",)),
        (("a", "c", "d"), ("d is asked for, but no d is locked",)),
        (
            ("a", "c", "__glibc >=3"),
            ("__glibc >=3 is asked for, which the platform does not offer",),
        ),
        (("a", "c >=4"), ("c >=4 is asked for, but c-3.0-x_0 is locked",)),
        (("a", "c=3.0=y*"), ("c=3.0=y* is asked for, but c-3.0-x_0 is locked",)),
        (("a", "CHANNEL/noarch::c"), ("CHANNEL/noarch::c is asked for, but FILE is locked",)),
        (("a", "file:///else::c"), ("file:///else::c is asked for, but FILE is locked",)),
        (("a", "file:///x/c-3.0-x_0.conda"), ("file:///x/c-3.0-x_0.conda is asked for, but FILE",)),
        (("a", "FILE#" + "0" * 32), ("FILE#" + "0" * 32 + " is asked for, but FILE is locked",)),
    ],
)
def test_a_changed_specification(
    solve: Solve, mini: MiniChannel, asked: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    lock = solve("a", "c")

    def filled(text: str) -> str:
        url = (mini.folder / "linux-64" / "c-3.0-x_0.conda").as_uri()
        return text.replace("FILE", url).replace("CHANNEL", mini.folder.as_uri())

    found = disagreements(mini.spec(*map(filled, asked)), lock, GLIBC)
    assert len(found) == len(expected)
    for sentence, beginning in zip(found, map(filled, expected), strict=True):
        assert sentence.startswith(beginning)


def test_other_channels(solve: Solve, mini: MiniChannel) -> None:
    lock = solve("a", "c")
    spec = mini.spec("a", "c").with_channels(("https://bob:s3cret@x.example/t/token/c",))
    assert disagreements(spec, lock) == (
        f"{mini.folder.as_uri()} is no channel of the specification, "
        "but a-1.0-0 and 2 more are locked from it",
    )


def test_credentials_of_a_channel_do_not_matter(solve: Solve, mini: MiniChannel) -> None:
    lock = solve("c")
    here = mini.folder.as_uri()
    text = lock.text.replace(here, "https://x.example/chan")
    text = text.replace(str(mini.folder), "https://x.example/chan")
    assert here not in text
    package = lock.packages[0]
    elsewhere = package.url.replace(here, "https://x.example/chan")
    lock = replace(lock, text=text, packages=(replace(package, url=elsewhere),))
    spec = mini.spec("c").with_channels(("https://bob:s3cret@x.example/t/token/chan",))
    assert disagreements(spec, lock) == ()


def test_dependencies_that_are_not_met(solve: Solve, mini: MiniChannel) -> None:
    lock = solve("a", "c")
    spec = mini.spec("a", "c")
    edited = replace(lock, text=lock.text.replace("b >=1", "b >=2"))
    assert disagreements(spec, edited, GLIBC) == ("a-1.0-0 needs b >=2, but b-1.0-0 is locked",)
    edited = replace(lock, text=lock.text.replace("b <9", "b <1"))
    assert disagreements(spec, edited, GLIBC) == (
        "c-3.0-x_0 goes only with b <1, but b-1.0-0 is locked",
    )
    edited = replace(lock, text=lock.text.replace("b >=1", "gone >=1"))
    assert disagreements(replace(spec, specs=("a", "b", "c")), edited, GLIBC) == (
        "a-1.0-0 needs gone >=1, which is not locked",
    )


def test_the_platform(solve: Solve, mini: MiniChannel) -> None:
    lock = solve("a")
    older = [("__glibc", "2.28", "0")]
    assert disagreements(mini.spec("a"), lock, older) == (
        "a-1.0-0 needs __glibc >=2.30, which the platform does not offer",
    )
    assert disagreements(mini.spec("a"), lock) == ()
    spec = replace(mini.spec("a"), platforms=("osx-64", "linux-aarch64"))
    assert disagreements(spec, lock) == (
        "linux-64 is locked, but the specification is for osx-64, linux-aarch64",
    )


def test_a_newer_package_in_the_channel_is_no_disagreement(solve: Solve, mini: MiniChannel) -> None:
    lock = solve("a")
    mini.add("b", {"share/b": "2"}, version="2.0", noarch="generic")
    assert disagreements(mini.spec("a"), lock, GLIBC) == ()


def test_python_brings_pip(solve: Solve, mini: MiniChannel) -> None:
    mini.add("python", {"share/p": "1"}, version="3.11.2", depends=["b"])
    mini.add("pip", {"share/pip": "1"}, depends=["python"])
    lock = solve("python", "pip")
    assert disagreements(mini.spec("python"), lock, GLIBC) == ()


def test_a_spec_that_is_none(solve: Solve, mini: MiniChannel) -> None:
    with pytest.raises(InputError, match="'a >>> 1' is not a match spec"):
        disagreements(mini.spec("a >>> 1"), solve("a"))


SHA = "0" * 64
COMMIT = "a" * 40
PYPI = (
    PypiPackage("six", "1.16", "https://x.example/six-1.16-py3-none-any.whl", SHA),
    PypiPackage(
        "web",
        "2.0",
        "https://x.example/web-2.0.tar.gz",
        SHA,
        ('six>=1.10; python_version >= "3"', 'win; sys_platform == "win32"', 'tls; extra == "tls"'),
    ),
    PypiPackage("tls", "1.0", "https://x.example/tls-1.0-py3-none-any.whl", SHA),
    PypiPackage("repo", "", f"git+https://x.example/repo.git@{COMMIT}"),
)


@pytest.mark.parametrize(
    ("lines", "left_out", "expected"),
    [
        (["Web[tls] >=2", "git+https://x.example/repo.git@main"], (), []),
        (["web[tls]", f"repo @ git+https://x.example/repo.git@{COMMIT}", "--pre"], (), []),
        (["web[tls]", "./local"], ("repo",), []),
        (["web[tls]; os_name == 'posix'", "nothing; os_name == 'nt'"], ("repo",), []),
        (["web", "six"], ("tls", "repo"), []),
        (["web", "b", "typing-b"], ("tls", "repo"), ["pip: typing-b is asked for, but is not"]),
        (["web"], ("repo",), ["pip: tls is locked, but nothing asks for it"]),
        (["web[tls] <2"], ("repo",), ["pip: web[tls] <2 is asked for, but web 2.0 is locked"]),
        (["six >=2", "web[tls]"], ("repo",), ["pip: six >=2 is asked for, but six 1.16 is"]),
        (
            ["web[tls]", "git+https://x.example/else.git"],
            ("repo",),
            ["pip: git+https://x.example/else.git is asked for, but is not locked"],
        ),
        (
            ["web[tls]", f"git+https://bob:s3cret@x.example/repo.git@{'b' * 40}"],
            (),
            [
                f"pip: git+https://x.example/repo.git@{'b' * 40} is asked for, but is not",
                "pip: repo is locked, but nothing asks for it",
            ],
        ),
        (
            ["web[tls] @ https://x.example/web-3.0.tar.gz"],
            ("repo",),
            ["pip: web[tls] @ https://x.example/web-3.0.tar.gz is asked for, but web 2.0 is"],
        ),
    ],
)
def test_the_pip_section(
    tmp_path: Path, lines: list[str], left_out: tuple[str, ...], expected: list[str]
) -> None:
    local = tmp_path / "local"
    local.mkdir()
    (local / "pyproject.toml").touch()
    packages = [package for package in PYPI if package.name not in left_out]
    if "./local" in lines:
        packages.append(PypiPackage("local", "", local.as_uri()))
    lock = Lock("linux-64", (), "", pypi=tuple(packages))
    spec = EnvSpec("t", (), (), source="e.yml", pip=tuple(lines), folder=tmp_path)
    found = pip_disagreements(spec, lock, frozenset({"b"}))
    assert len(found) == len(expected), found
    for sentence, beginning in zip(found, expected, strict=True):
        assert sentence.startswith(beginning)


def test_what_locked_pip_packages_need_of_each_other(solve: Solve, mini: MiniChannel) -> None:
    old = replace(PYPI[0], version="1.0")
    lock = with_pypi(solve("b"), [old, PYPI[1]])
    spec = replace(mini.spec("b"), pip=("web", "b"))
    assert disagreements(spec, lock, GLIBC) == (
        'pip: web 2.0 needs six>=1.10; python_version >= "3", but six 1.0 is locked',
    )


def test_an_explicit_list_without_its_channel_tells_no_dependencies(
    solve: Solve, mini: MiniChannel
) -> None:
    lock = solve("a")
    bare = "\n".join(
        line
        for line in lock.text.splitlines()
        if line.strip() not in ("depends:", "- b >=1", "- __glibc >=2.30")
    )
    assert disagreements(mini.spec("a"), replace(lock, text=bare), GLIBC) == ()
