from __future__ import annotations

import functools
import hashlib
import http.server
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimpack.env.check import check_installed
from slimpack.env.inputs.spec import EnvSpec
from slimpack.env.locks.files import format_of, write_locks
from slimpack.env.locks.lock import (
    Lock,
    PypiPackage,
    explicit_text,
    read_explicit,
    read_explicit_pypi,
)
from slimpack.env.rattler.engine import RattlerEngine, merge_locks, with_pypi
from slimpack.errors import InputError, InstallError, SolveError
from tests.support.channel import GLIBC, MiniChannel


def write_lock(lock: Lock, path: Path) -> None:
    write_locks([lock], path, format_of(path), EnvSpec("t", (), ()))


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
    with pytest.raises(InputError, match="'defaults' stands for those of conda's configuration"):
        own_engine.solve(nowhere.with_channels(("defaults",)), "linux-64", GLIBC)
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


SHA = "0" * 63 + "a"
DIGITS = "1" * 64  # looks like a number to YAML


def test_explicit_lists_of_conda_lock_name_pip_packages(tmp_path: Path) -> None:
    path = tmp_path / "conda-linux-64.lock"
    path.write_text(
        "# Generated by conda-lock.\n# platform: linux-64\n@EXPLICIT\n"
        f"https://x.example/c/noarch/a-1-0.conda#{'0' * 32}\n"
        f"# pip Six @ https://x.example/six-1.16.0-py2.py3-none-any.whl#sha256={SHA}\n"
        f"# pip web[tls] @ https://x.example/web-2.0.tar.gz --hash=sha256:{SHA}\n"
        "# pip repo @ git+https://x.example/repo.git@main#subdirectory=py\n"
        "# pip is not needed here\n"
    )
    assert [entry.url for entry in read_explicit(path)] == [
        "https://x.example/c/noarch/a-1-0.conda"
    ]
    assert read_explicit_pypi(path) == (
        PypiPackage("repo", "", "git+https://x.example/repo.git@main#subdirectory=py"),
        PypiPackage("six", "1.16.0", "https://x.example/six-1.16.0-py2.py3-none-any.whl", SHA),
        PypiPackage("web", "2.0", "https://x.example/web-2.0.tar.gz", SHA),
    )
    path.write_text("@EXPLICIT\n# pip a @ https://x.example/a.whl#sha256=abc\n")
    with pytest.raises(InputError, match=r":2: 'abc' is not a SHA-256 digest"):
        read_explicit_pypi(path)
    path.write_text("# pip a @ https://x/a.zip\n# pip A @ https://x/b.zip\n")
    with pytest.raises(InputError, match=r":2: a second line for the pip package a"):
        read_explicit_pypi(path)


@given(st.text(max_size=100))
def test_any_pip_comment_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any-pip.txt"
    path.write_bytes(f"# pip a @ https://{text}".encode("utf-8", "surrogatepass"))
    try:
        packages = read_explicit_pypi(path)
    except InputError:
        return
    assert all("\n" not in package.url for package in packages)


def test_a_package_by_url_is_locked_with_its_digests(
    ab: MiniChannel, own_engine: RattlerEngine, tmp_path: Path
) -> None:
    file = tmp_path / "elsewhere ü" / "b-0.5-0.conda"
    file.parent.mkdir()
    ab.add("b", {"share/b": "0.5"}, version="0.5", noarch="generic").rename(file)
    url = file.as_uri()
    lock = own_engine.solve(ab.spec("b", url), "linux-64", GLIBC)
    package = lock.packages[0]
    data = file.read_bytes()
    assert (package.url, package.version) == (url, "0.5")
    assert package.sha256 == hashlib.sha256(data).hexdigest()
    assert package.md5 == hashlib.md5(data).hexdigest()
    path = tmp_path / "pixi.lock"
    write_lock(lock, path)
    again = own_engine.read_lock(path, "linux-64")
    assert again == lock
    own_engine.install(again, tmp_path / "p")
    assert (tmp_path / "p/share/b").read_text() == "0.5"
    assert own_engine.solve(ab.spec(f"{url}#{package.md5}"), "linux-64", GLIBC) == lock
    for digest in ("0" * 32, f"sha256:{SHA}"):
        with pytest.raises(InstallError, match=f"the specification says {digest[-32:]}|says 0"):
            own_engine.solve(ab.spec(f"{url}#{digest}"), "linux-64", GLIBC)
    missing = (tmp_path / "b-9-0.conda").as_uri()
    with pytest.raises(InstallError, match="a channel could not be read"):
        own_engine.solve(ab.spec(missing), "linux-64", GLIBC)


def test_a_package_by_url_of_a_server(
    ab: MiniChannel, own_engine: RattlerEngine, tmp_path: Path
) -> None:
    assert ab.url
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=ab.folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/noarch/b-1.0-0.conda"
        spec = replace(ab.spec(url), channels=())
        lock = own_engine.solve(spec, "linux-64", GLIBC)
        data = (ab.folder / "noarch/b-1.0-0.conda").read_bytes()
        assert [(item.url, item.sha256) for item in lock.packages] == [
            (url, hashlib.sha256(data).hexdigest())
        ]
        own_engine.install(lock, tmp_path / "p")
        server.shutdown()
    assert (tmp_path / "p/share/b").read_text() == "1"


def test_a_pinned_channel_is_searched_behind_the_others(
    ab: MiniChannel, own_engine: RattlerEngine, tmp_path: Path
) -> None:
    other = MiniChannel(tmp_path / "other")
    other.add("c", {"share/c": "1"}, depends=["b", "only-there"])
    other.add("b", {"share/b": "9"}, version="9.0", noarch="generic")
    other.add("only-there", {"share/o": "1"})
    lock = own_engine.solve(ab.spec(f"{other.url}::c"), "linux-64", GLIBC)
    assert [package.dist for package in lock.packages] == ["b-2.0-0", "c-1.0-0", "only-there-1.0-0"]
    pinned = own_engine.solve(ab.spec("a", f"{other.url}::b"), "linux-64", GLIBC)
    assert [package.dist for package in pinned.packages] == ["a-1.0-0", "b-9.0-0"]
    assert other.folder.as_uri() in pinned.text
    assert own_engine.solve(ab.spec(f"{other.url}/noarch::b"), "linux-64", GLIBC).get("b")
    with pytest.raises(SolveError, match="c: pinned to noarch, but the package that fits is"):
        own_engine.solve(ab.spec(f"{other.url}/noarch::c"), "linux-64", GLIBC)


PYPI = (
    PypiPackage("folder", "", "file:///srv/a%20b/folder"),
    PypiPackage("repo", "2", f"git+https://x.example/r.git@{'a' * 40}#subdirectory=py"),
    PypiPackage("six", "1.16.0", "https://x.example/six-1.16.0-py3-none-any.whl", SHA),
    PypiPackage("web", "2.0", "file:///w/web-2.0.tar.gz", DIGITS, ("six>=1", "x ; extra == 'y'")),
    PypiPackage("zip", "", "https://x.example/z.zip", SHA),
)


def test_locks_of_several_platforms_hold_everything(
    ab: MiniChannel, own_engine: RattlerEngine, tmp_path: Path
) -> None:
    one = with_pypi(own_engine.solve(ab.spec("a"), "linux-64", GLIBC), PYPI[::-1])
    assert one.pypi == PYPI
    two = own_engine.solve(ab.spec("b"), "linux-aarch64", GLIBC)
    path = tmp_path / "pixi.lock"
    path.write_text(merge_locks([one, two]))
    assert own_engine.read_lock(path, "linux-64") == one
    assert own_engine.read_lock(path, "linux-aarch64") == two
    path.write_text(one.text)
    assert own_engine.read_lock(path, "linux-64") == one
    text = explicit_text(one)
    assert f"# pip six @ https://x.example/six-1.16.0-py3-none-any.whl#sha256={SHA}" in text
    path.write_text(text)
    assert [package.url for package in read_explicit_pypi(path)] == [
        package.url for package in PYPI
    ]


PIXI_6 = f"""\
version: 6
environments:
  default: &env
    channels:
    - url: https://x.example/c/
    packages:
      linux-64:
      - conda: https://x.example/c/linux-64/zlib-1.2-h1_0.conda
      - pypi: https://x.example/six-1.16-py3-none-any.whl
      - pypi: ./local
      - pypi: git+https://x.example/r.git?rev=main#{"a" * 40}
  test:
    channels: []
    packages:
      linux-64: []
packages:
- conda: https://x.example/c/linux-64/zlib-1.2-h1_0.conda
  sha256: {SHA}
  md5: {"a1" * 16}
  depends: [libc >=2]
  size: 7
- pypi: https://x.example/six-1.16-py3-none-any.whl
  name: Six
  version: '1.16'
  sha256: {SHA}
  requires_python: '>=3'
- pypi: ./local
  name: local
  version: 0.1.0
  sha256: {SHA}
  requires_dist: [six]
  editable: true
- pypi: git+https://x.example/r.git?rev=main#{"a" * 40}
  name: r
  version: '2'
"""
PIXI_5 = f"""\
version: 5
environments:
  default:
    channels:
    - url: https://x.example/c/
    packages:
      linux-64:
      - conda: https://x.example/c/linux-64/zlib-1.2-h1_0.conda
      - pypi: https://x.example/six-1.16-py3-none-any.whl
packages:
- kind: conda
  name: zlib
  version: '1.2'
  build: h1_0
  subdir: linux-64
  url: https://x.example/c/linux-64/zlib-1.2-h1_0.conda
  sha256: {SHA}
  md5: {"a1" * 16}
  depends: [libc >=2]
  size: 7
- kind: pypi
  name: six
  version: '1.16'
  url: https://x.example/six-1.16-py3-none-any.whl
  sha256: {SHA}
"""


@pytest.mark.parametrize("text", [PIXI_6, PIXI_5])
def test_pixi_locks_of_both_versions(own_engine: RattlerEngine, tmp_path: Path, text: str) -> None:
    path = tmp_path / "pixi.lock"
    path.write_text(text)
    lock = own_engine.read_lock(path, "linux-64")
    zlib = lock.packages[0]
    assert (zlib.dist, zlib.sha256, zlib.md5, zlib.size) == ("zlib-1.2-h1_0", SHA, "a1" * 16, 7)
    assert zlib.depends == ("libc >=2",)
    six = PypiPackage("six", "1.16", "https://x.example/six-1.16-py3-none-any.whl", SHA)
    if text is PIXI_5:
        assert lock.pypi == (six,)
    else:
        assert lock.pypi == (
            PypiPackage("local", "", (tmp_path / "local").as_uri(), "", ("six",)),
            PypiPackage("r", "2", f"git+https://x.example/r.git@{'a' * 40}"),
            six,
        )
        assert own_engine.read_lock(path, "linux-64", environment="test").packages == ()
    elsewhere = tmp_path / "folder" / "again.lock"
    write_lock(lock, elsewhere)
    assert own_engine.read_lock(elsewhere, "linux-64") == lock


def test_pixi_marks_what_no_index_lists(own_engine: RattlerEngine, tmp_path: Path) -> None:
    path = tmp_path / "pixi.lock"
    path.write_text(PIXI_6.replace("https://x.example/six", "direct+https://x.example/six"))
    six = PypiPackage("six", "1.16", "https://x.example/six-1.16-py3-none-any.whl", SHA)
    assert six in own_engine.read_lock(path, "linux-64").pypi


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version: 8\nenvironments: {}\npackages: []\n", "newer lockfile format version 8"),
        ("version: 6\nenvironments: {default: {channels: [], packages: {}}}\n", "not a rattler"),
        ("version: six\n", "not a rattler lock file"),
        ("- " * 3000 + "a", "not a rattler lock file"),
        ("", "not a rattler lock file"),
    ],
)
def test_what_is_no_pixi_lock(
    own_engine: RattlerEngine, tmp_path: Path, text: str, expected: str
) -> None:
    path = tmp_path / "pixi.lock"
    path.write_text(text)
    with pytest.raises(InputError, match=expected) as caught:
        own_engine.read_lock(path, "linux-64")
    assert str(path) in caught.value.message
