from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimpack.env.lock import explicit_text, read_explicit, write_lock
from slimpack.env.rattler import RattlerEngine, check_installed
from slimpack.errors import InputError, InstallError, SolveError
from tests.support.channel import GLIBC, MiniChannel


@pytest.fixture
def own_engine(tmp_path: Path) -> RattlerEngine:
    return RattlerEngine(tmp_path / "pkgs", tmp_path / "repodata")


@pytest.fixture
def ab(mini: MiniChannel) -> MiniChannel:
    mini.add("a", {"share/a": "1"}, version="1.0", depends=["b >=1"])
    mini.add("b", {"share/b": "1"}, version="1.0", noarch="generic")
    mini.add("b", {"share/b": "2"}, version="2.0", noarch="generic")
    mini.add("new-glibc", {"share/n": "1"}, depends=["__glibc >=2.38"])
    return mini


def test_solves_and_installs_exactly_the_lock(
    ab: MiniChannel, own_engine: RattlerEngine, tmp_path: Path
) -> None:
    lock = own_engine.solve(ab.spec("a"), "linux-64", GLIBC)
    assert [package.dist for package in lock.packages] == ["a-1.0-0", "b-2.0-0"]
    assert all(len(package.sha256) == 64 for package in lock.packages)
    own_engine.install(lock, tmp_path / "p")
    assert (tmp_path / "p/share/b").read_text() == "2"
    (tmp_path / "p/conda-meta/a-1.0-0.json").unlink()
    with pytest.raises(InstallError, match=r"missing: a-1\.0-0; not locked: none"):
        check_installed(lock, tmp_path / "p")


@pytest.mark.parametrize("name", ["pixi.lock", "explicit.txt"])
def test_both_lock_formats_give_the_same_environment(
    ab: MiniChannel, own_engine: RattlerEngine, tmp_path: Path, name: str
) -> None:
    lock = own_engine.solve(ab.spec("a", "b <2"), "linux-64", GLIBC)
    path = tmp_path / "locks" / name
    write_lock(lock, path)
    assert [entry.name for entry in path.parent.iterdir()] == [name]
    ab.add("b", {"share/b": "3"}, version="1.5", noarch="generic")
    ab.url  # noqa: B018 (a newer package that satisfies the specs must not matter)
    if name == "pixi.lock":
        again = own_engine.read_lock(path, "linux-64")
    else:
        again = own_engine.resolve_explicit(read_explicit(path), "linux-64", source=name)
    assert [package.dist for package in again.packages] == ["a-1.0-0", "b-1.0-0"]
    assert again.packages[0].depends == ("b >=1",)
    own_engine.install(again, tmp_path / "p")
    assert (tmp_path / "p/share/b").read_text() == "1"


def test_the_base_decides_which_glibc_there_is(ab: MiniChannel, own_engine: RattlerEngine) -> None:
    with pytest.raises(SolveError, match="__glibc") as caught:
        own_engine.solve(ab.spec("new-glibc"), "linux-64", GLIBC)
    assert "no environment satisfies the specs" in str(caught.value)
    newer = [("__glibc", "2.41", "0")]
    assert own_engine.solve(ab.spec("new-glibc"), "linux-64", newer).get("new-glibc")


def test_unsolvable_bad_spec_and_missing_channel(
    ab: MiniChannel, own_engine: RattlerEngine, tmp_path: Path
) -> None:
    with pytest.raises(SolveError, match="b >=3") as caught:
        own_engine.solve(ab.spec("a", "b >=3"), "linux-64", GLIBC)
    assert caught.value.exit_code == 3
    with pytest.raises(InputError, match="'a >>> 1' is not a match spec"):
        own_engine.solve(ab.spec("a >>> 1"), "linux-64", GLIBC)
    nowhere = (
        MiniChannel(tmp_path / "nowhere").spec("a").with_channels(((tmp_path / "none").as_uri(),))
    )
    with pytest.raises(InstallError, match="a channel could not be read"):
        own_engine.solve(nowhere, "linux-64", GLIBC)
    with pytest.raises(InputError, match="no channels"):
        own_engine.solve(type(nowhere)("t", (), ("a",), source="x.yml"), "linux-64", GLIBC)


def test_corrupt_package_is_refused_and_named(
    mini: MiniChannel, own_engine: RattlerEngine, tmp_path: Path
) -> None:
    path = mini.add("c", {"share/c": "x" * 5000})
    lock = own_engine.solve(mini.spec("c"), "linux-64", GLIBC)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(InstallError, match=r"c-1\.0-0") as caught:
        own_engine.install(lock, tmp_path / "p")
    assert "could not be installed" in caught.value.message


def test_explicit_digest_binds(ab: MiniChannel, own_engine: RattlerEngine, tmp_path: Path) -> None:
    lock = own_engine.solve(ab.spec("b"), "linux-64", GLIBC)
    path = tmp_path / "explicit.txt"
    for digest in ("0" * 32, "0" * 64, "sha256:" + "0" * 64):
        path.write_text(f"@EXPLICIT\n{lock.packages[0].url}#{digest}\n")
        with pytest.raises(InstallError, match="the lock says"):
            own_engine.resolve_explicit(read_explicit(path), "linux-64", source=str(path))


def test_explicit_list_for_another_platform(own_engine: RattlerEngine, tmp_path: Path) -> None:
    path = tmp_path / "explicit.txt"
    path.write_text("@EXPLICIT\nfile:///c/linux-64/a-1-0.conda\n")
    with pytest.raises(InputError, match="is not for linux-aarch64"):
        own_engine.resolve_explicit(read_explicit(path), "linux-aarch64", source=str(path))


def test_locks_hold_no_credentials(
    ab: MiniChannel, own_engine: RattlerEngine, tmp_path: Path
) -> None:
    lock = own_engine.solve(ab.spec("b"), "linux-64", GLIBC)
    secret = replace(
        lock,
        text=lock.text.replace("file://", "https://bob:s3cret@host"),
        packages=tuple(
            replace(package, url="https://host/t/s3cret/c/noarch/b-2.0-0.conda")
            for package in lock.packages
        ),
    )
    for name in ("pixi.lock", "explicit.txt"):
        write_lock(secret, tmp_path / name)
        assert "s3cret" not in (tmp_path / name).read_text()
        assert "https://host" in (tmp_path / name).read_text()


def test_explicit_without_a_channel_index(
    ab: MiniChannel, own_engine: RattlerEngine, tmp_path: Path
) -> None:
    """A plain folder of packages, as an air-gapped machine may have."""
    package = ab.add("lone", {"share/lone": "1"})
    folder = tmp_path / "folder"
    folder.mkdir()
    package.rename(folder / package.name)
    path = tmp_path / "explicit.txt"
    path.write_text(f"@EXPLICIT\n{(folder / package.name).as_uri()}\n")
    lock = own_engine.resolve_explicit(read_explicit(path), "linux-64", source=str(path))
    own_engine.install(lock, tmp_path / "p")
    assert (tmp_path / "p/share/lone").read_text() == "1"


def test_lock_for_another_platform_or_of_another_kind(
    ab: MiniChannel, own_engine: RattlerEngine, tmp_path: Path
) -> None:
    path = tmp_path / "pixi.lock"
    write_lock(own_engine.solve(ab.spec("a"), "linux-64", GLIBC), path)
    with pytest.raises(InputError, match=r"no packages for linux-aarch64 \(has: linux-64\)"):
        own_engine.read_lock(path, "linux-aarch64")
    with pytest.raises(InputError, match=r"no environment 'test' \(has: default\)"):
        own_engine.read_lock(path, "linux-64", environment="test")
    path.write_text("version: 6\nenvironments: 3\npackages: []\n")
    with pytest.raises(InputError, match="not a rattler lock file"):
        own_engine.read_lock(path, "linux-64")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("numpy-1-0.conda", "expected the URL of a package"),
        ("https://x/numpy.conda", "is not named NAME-VERSION-BUILD"),
        ("https://x/a-1-0.zip", "is not named NAME-VERSION-BUILD"),
        ("https://x/a-1-0.conda#xyz", "neither an MD5 nor a SHA-256"),
        ("https://x/a-1-0.conda#abc", "neither an MD5 nor a SHA-256"),
        ("https://x/a-1-0.conda#md5:" + "0" * 64, "neither an MD5 nor a SHA-256"),
    ],
)
def test_bad_explicit_lines(tmp_path: Path, line: str, expected: str) -> None:
    path = tmp_path / "e.txt"
    path.write_text(f"# a comment\n@EXPLICIT\n{line}\n")
    with pytest.raises(InputError, match=expected) as caught:
        read_explicit(path)
    assert f"{path}:3" in str(caught.value)


def test_explicit_needs_its_marker_and_a_package(tmp_path: Path) -> None:
    path = tmp_path / "e.txt"
    path.write_text("https://x/a-1-0.conda\n@EXPLICIT\n")
    with pytest.raises(InputError, match="before the line @EXPLICIT"):
        read_explicit(path)
    path.write_text("@EXPLICIT\n")
    with pytest.raises(InputError, match="no package after"):
        read_explicit(path)


@given(st.text(max_size=200))
def test_any_explicit_text_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(f"@EXPLICIT\n{text}".encode("utf-8", "surrogatepass"))
    try:
        entries = read_explicit(path)
    except InputError:
        return
    assert all(entry.url.rsplit("/", 1)[1].count("-") >= 2 for entry in entries)


def test_explicit_text_is_readable_by_itself(
    ab: MiniChannel, own_engine: RattlerEngine, tmp_path: Path
) -> None:
    lock = own_engine.solve(ab.spec("a"), "linux-64", GLIBC)
    path = tmp_path / "e.txt"
    path.write_text(explicit_text(lock))
    entries = read_explicit(path)
    assert [(entry.url, entry.digest) for entry in entries] == [
        (package.url, package.md5) for package in lock.packages
    ]
