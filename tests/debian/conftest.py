"""Fixtures: a small archive, its mirror, and a runtime that is made from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pysequoia
import pytest
import requests

from slimpack.debian import (
    DebianBase,
    DebianMirrors,
    DebianSource,
    assemble_base,
    find_mirrors,
)
from slimpack.debian.fetch import Fetcher, new_session
from slimpack.debian.keyring import Keyring
from slimpack.progress import SILENT, Task
from slimpack.runtimes import Runtime
from slimpack.tree import Kind, Tree
from tests.support.channel import missing

from .archive import Archive, Mirror, Suite, file, folder, link, new_key, public, serve

PACKAGES = ("libc6", "texts")
# One attempt after another without waiting: what is tested is that there is one.
FETCHER = Fetcher(new_session(backoff=0))


ALL = timedelta(days=1)
NONE = timedelta(0)
# A port that nothing listens on: connecting fails at once.
NOWHERE = "http://127.0.0.1:9/debian"


def with_source(runtime: Runtime, **changes: object) -> Runtime:
    source = runtime.debian
    assert isinstance(source, DebianSource)
    return replace(runtime, debian=replace(source, **changes))  # type: ignore[arg-type]


def cached_debs(cache: Path) -> list[Path]:
    return [path for path in (cache / "debian/sha256").iterdir() if path.read_bytes()[:1] == b"!"]


@pytest.fixture(scope="session")
def key() -> pysequoia.Tsk:
    return new_key()


def suites() -> list[Suite]:
    """Return the three suites of the archive, the newest libc6 in the security one."""
    main = Suite("bookworm")
    loader = [
        folder("./"),
        folder("./lib/"),
        file("./lib/ld.so", b"old loader", 0o755),
    ]
    main.add(loader, name="libc6", version="2.36-9", arch="amd64")
    main.add(loader, name="libc6", version="2.36-9", arch="arm64")
    main.add(
        [
            folder("./usr/"),
            folder("./usr/share/"),
            file("./usr/share/text", b"hello\n"),
            file("./usr/share/noise", b"leave me out\n"),
            link("./usr/share/also", "text"),
        ],
        name="texts",
        version="1:3~rc1",
    )
    updates = Suite("bookworm-updates", fields={"Valid-Until": ""})
    security = Suite("bookworm-security", by_hash=False)
    security.add(
        [folder("./lib/"), file("./lib/ld.so", b"new loader", 0o755)],
        name="libc6",
        version="2.36-9+deb12u1",
        arch="amd64",
    )
    return [main, updates, security]


@pytest.fixture
def archive(key: pysequoia.Tsk) -> Archive:
    made = Archive(key)
    for suite in suites():
        made.publish(suite)
    return made


@pytest.fixture
def mirror(archive: Archive) -> Iterator[Mirror]:
    with serve(archive.files) as running:
        yield running


@pytest.fixture
def runtime() -> Runtime:
    source = DebianSource(
        suites=("bookworm", "bookworm-updates", "bookworm-security"),
        components=("main",),
        packages=PACKAGES,
        exclude=("usr/share/noise",),
    )
    return Runtime("tiny", "for tests", debian=source, provides={"glibc": "debian:libc6"})


@dataclass
class Listener:
    """A progress that remembers."""

    warnings: list[str] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)
    totals: dict[str, int | None] = field(default_factory=dict)

    def task(self, name: str, *, total: int | None = None, unit: str = "B") -> _Counting:
        self.totals[name] = total
        return _Counting(self, name)

    def note(self, message: str) -> None:
        pass

    def warn(self, message: str) -> None:
        self.warnings.append(message)


@dataclass
class _Counting:
    listener: Listener
    name: str

    def __enter__(self) -> Task:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def advance(self, amount: int = 1) -> None:
        self.listener.done[self.name] = self.listener.done.get(self.name, 0) + amount

    def total(self, amount: int) -> None:
        self.listener.totals[self.name] = amount


Assemble = Callable[..., DebianBase]


@pytest.fixture
def assemble(mirror: Mirror, runtime: Runtime, key: pysequoia.Tsk, tmp_path: Path) -> Assemble:
    """Return `assemble_base` with the test's archive filled in."""

    def call(
        *,
        url: str = mirror.url,
        using: Runtime = runtime,
        cache: Path = tmp_path / "cache",
        max_age: timedelta = timedelta(days=1),
        keyring: Keyring = Keyring((public(key),)),  # noqa: B008 (never changed)
        listener: Listener | None = None,
        platform: str = "linux/amd64",
    ) -> DebianBase:
        return assemble_base(
            using,
            platform,
            cache_dir=cache,
            mirrors=DebianMirrors(url, url),
            progress=listener or SILENT,
            max_age=max_age,
            keyring=keyring,
            fetcher=FETCHER,
        )

    return call


@pytest.fixture(scope="session")
def network() -> None:
    url = f"{find_mirrors('bookworm').main}/dists/bookworm/InRelease"
    try:
        requests.get(url, timeout=20, stream=True).raise_for_status()
    except requests.RequestException as error:
        missing("NETWORK", f"no Debian mirror answers: {error}")


def write(tree: Tree, root: Path) -> None:
    for entry in tree:
        path = root / entry.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if entry.kind is Kind.DIRECTORY:
            path.mkdir(exist_ok=True)
        elif entry.kind is Kind.SYMLINK:
            path.symlink_to(entry.link)
        else:
            path.write_bytes(entry.read())
            path.chmod(entry.mode)
