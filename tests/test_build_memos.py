"""What is remembered of builds may be anything: others write into caches that registries keep."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import pytest

from slimpack.base import Base
from slimpack.cache import Cache
from slimpack.cache.layers import LayerCache
from slimpack.cache.memo import MALFORMED, Memo, sealed, unsealed
from slimpack.cache.record import record_of
from slimpack.config import Config, EnvConfig, SmokeTest, VerifyConfig
from slimpack.env.inputs.identify import Input, InputKind
from slimpack.env.locks.lock import Lock, LockedPackage, PypiPackage
from slimpack.errors import DaemonError
from slimpack.layering import Layering
from slimpack.means import Means
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import Compression
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import make_image
from slimpack.oci.layer import build_layer
from slimpack.part import Part
from slimpack.progress import SILENT
from slimpack.result import BuildResult
from slimpack.slim.decisions import application_answers
from slimpack.tree import bytes_entry
from slimpack.verify import verifying
from slimpack.verify.model import Finding, Result, Verification
from slimpack.warm import basis
from slimpack.warm.bytes import LayerBytes
from slimpack.warm.code import libraries
from slimpack.warm.locked import Locked, is_pinned, keep_locked, lock_key
from slimpack.warm.noswap import StartOver
from slimpack.warm.proof import proof_key
from slimpack.warm.remembered import Remembered
from slimpack.warm.whole import Whole
from tests.support.channel import MiniChannel
from tests.warm.lab import SITE, Lab

pytestmark = pytest.mark.channel

JUNK: tuple[Any, ...] = (None, 1, -1.5, True, "x", [], {}, [1], ["x"], [["x"]], {"x": 1}, {"": []})
DEEP = b"[" * 100_000
KINDS = ("part", "family", "bytecode", "sharing", "duplicates", "lock")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A project with some packages that was built once. Nobody may change it."""
    folder = tmp_path_factory.mktemp("memos")
    lab = Lab(folder, MiniChannel(folder / "channel"))
    lab.python()
    lab.put("alpha", {f"{SITE}/alpha/__init__.py": "", f"{SITE}/alpha/tests/test_a.py": "\n"})
    lab.put("twins", {"share/one.txt": "same\n" * 3000, "share/two.txt": "same\n" * 3000})
    lab.config = "[slim]\nprofile = 'serve'\n[[app.copy]]\nfrom = 'app'\nto = '/app'\n"
    (lab.project / "app").mkdir()
    (lab.project / "app/main.py").write_text("import alpha\n")
    lab.warm()
    return lab


def memos(cache: Path, kind: str) -> list[Path]:
    return sorted(path for path in (cache / "memos" / kind).rglob("*") if path.is_file())


def content(path: Path) -> bytes:
    kind, head, rest = path.parts[-3:]
    data = unsealed(kind, head + rest, path.read_bytes())
    assert data is not None
    return data


def places(value: Any, depth: int = 3) -> Iterator[tuple[str | int, ...]]:
    """Yield the ways to whatever is in a JSON value; of lists and large objects, to a few."""
    if depth and isinstance(value, dict | list):
        keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
        for key in keys if len(keys) < 40 else keys[:2]:
            yield (key,)
            yield from ((key, *more) for more in places(value[key], depth - 1))


def test_a_part_of_any_shape_is_a_part_or_is_told(built: Lab) -> None:
    (path,) = memos(built.cache, "part")
    text = content(path)
    application = [bytes_entry("app/main.py", b"import alpha\nload('libx.so')\n")]
    assert json.loads(text)["part"]["source"] == ""  # where it was built is nobody's business
    assert str(built.folder) not in text.decode()
    told = 0
    for way in places(json.loads(text)):
        for junk in JUNK:
            value = json.loads(text)
            place = value
            for key in way[:-1]:
                place = place[key]
            place[way[-1]] = junk
            try:
                found = Remembered.from_json(json.dumps(value).encode())
                part = found.to_part(lambda layer, path: pytest.fail("nobody reads"))
                if found.decisions:
                    application_answers(found.decisions.questions, application, "/opt/env")
            except MALFORMED:
                told += 1
            else:
                check(part)
    assert told > 500
    with pytest.raises(MALFORMED):
        Remembered.from_json(DEEP)


def check(part: Part) -> None:
    """Look at what a build will use without another look."""
    texts = (
        part.cuda,
        part.engine,
        part.source,
        *part.notes,
        *part.placeholders,
        *part.titles.values(),
    )
    pairs = [text for pair in part.activation.env for text in pair]
    assert all(isinstance(text, str) for text in (*texts, *pairs, *part.activation.path))
    assert all(type(number) is int for number in (part.packages, part.pypi, *part.devices))
    assert part.bytecode + part.bytecode


@pytest.mark.parametrize(
    "data", [b"null", b"[]", b'{"x": 1}', b"7", b'{"files": 1}', b"\xff", DEEP]
)
def test_memos_of_any_shape_do_no_harm(built: Lab, tmp_path: Path, data: bytes) -> None:
    lab = built.copy(tmp_path)
    for kind in KINDS:
        found = memos(lab.cache, kind)
        assert found, kind
        for path in found:
            folder = path.parent
            path.unlink()  # a link to that of the project that nobody may change
            path.write_bytes(sealed(kind, folder.name + path.name, data))
    (lab.project / "app/main.py").write_text("import alpha\nx = 1\n")
    lab.same()


@pytest.mark.parametrize(("check", "made", "kept"), [("imports", 2, 0), ("smoke", 1, 1)])
def test_what_is_not_proven_is_not_remembered(
    built: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: str, made: int, kept: int
) -> None:
    """A warm build cannot tell what failed in the environment, too; one from nothing can."""
    lab = built.copy(tmp_path)
    finding = Finding("", "does not work")
    wrong = Verification(
        "x", "image", "linux/amd64", "x", (Result(check, "error", "", "", (finding,)),)
    )
    calls = []

    def verify(*_: object, **options: object) -> Verification:
        calls.append(options["before"])
        return wrong

    monkeypatch.setattr(verifying, "verify", verify)
    (lab.project / "app/main.py").write_text("import alpha\nx = 2\n")
    assert "does not work" in lab.run(lab.cache, "--verify", code=11).stderr
    assert [bool(before) for before in calls] == [False, True][:made]
    fresh = tmp_path / "fresh"
    lab.run(fresh, "--verify", code=11)
    assert len(memos(fresh, "part")) == kept


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("app/main.py", False),
        ("app/sitecustomize.py", True),
        ("opt/env/lib/python3.11/site-packages/mine.py", True),
        ("opt/env/lib/python3.11/site-packages/mine.pth", True),
    ],
)
def test_proof_of_an_environment_counts_what_the_application_puts_into_it(
    path: str, counts: bool
) -> None:
    image = make_image([], ImageConfig())
    keys = {
        proof_key(
            image,
            Layering((), (), (), ()),
            [bytes_entry(path, data)],
            "/opt/env",
            VerifyConfig(),
        )
        for data in (b"1", b"2")
    }
    assert len(keys) == (2 if counts else 1)


def test_an_error_of_a_build_that_started_over_is_told_as_it_is(
    built: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = built.copy(tmp_path)
    monkeypatch.setattr(LayerCache, "recheck", lambda self: True)
    monkeypatch.setattr("slimpack.build.deliver", no_engine)
    assert "no engine answers" in lab.run(lab.cache, code=DaemonError.exit_code).stderr


def no_engine(*_: object, **__: object) -> NoReturn:
    raise DaemonError("no engine answers")


@pytest.mark.parametrize(
    ("keys", "kept"), [(("a", "a"), 1), ((None, "a"), 1), (("a", "b"), 0), (("a", None), 0)]
)
def test_a_base_is_remembered_by_what_it_was_made_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: tuple[str | None, ...], kept: int
) -> None:
    found = iter(keys)
    monkeypatch.setattr(basis, "_key", lambda *_: (key := next(found)) and key * 64)
    base = Base(make_image([], ImageConfig()), "2.36", "/opt/env", "", {})
    monkeypatch.setattr(basis, "assemble", lambda *_, **__: base)
    memo, layers = Memo(tmp_path), LayerCache(Cache(tmp_path), BlobStore(tmp_path))
    means = Means(Cache(tmp_path), layers, memo, SILENT, 0, Compression("none", 0))
    assert basis.basis(Config(tmp_path), "linux/amd64", means, warm=False) is base
    assert len(list((tmp_path / "base").rglob("*"))) == 2 * kept


def test_a_full_disk_is_no_fault_of_a_layer(tmp_path: Path) -> None:
    cache = LayerCache(Cache(tmp_path / "cache"), BlobStore(tmp_path / "spare"))
    entries = [bytes_entry("data", b"data")]
    made = build_layer("x", entries, blobs=cache.blobs, mtime=0, compression=Compression("none", 0))
    opened = LayerBytes([("ab" * 32, record_of(made))], cache, tmp_path / "no folder")
    with pytest.raises(StartOver, match="cannot be written"):
        opened.open(0, "data")
    assert made.digest in cache.blobs


def test_locks_with_credentials_are_not_kept(built: Lab, tmp_path: Path) -> None:
    plain = "- conda: https://host/linux-64/a-1-0.conda\n"
    for text, kept in ((plain, 1), (plain.replace("host", "me:secret@host"), 0)):
        cache = Cache(tmp_path / str(kept))
        path = built.project / "pixi.lock"
        config = Config(built.project, env=EnvConfig(inputs=(str(path),)))
        locked = Locked(Input(InputKind.LOCK, path), "linux/amd64", replace(LOCK, text=text), "x")
        keep_locked(config, lock_key(config), locked, Memo(cache.memos))
        assert len(memos(cache.root, "lock")) == kept


def test_locks_that_changed_while_they_were_read_are_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "pixi.lock"
    path.write_text("1")
    config = Config(tmp_path, env=EnvConfig(inputs=(str(path),)))
    key = lock_key(config)
    path.write_text("2")
    locked = Locked(Input(InputKind.LOCK, path), "linux/amd64", LOCK, "x")
    keep_locked(config, key, locked, Memo(tmp_path / "memos"))
    assert not memos(tmp_path, "lock")


def test_keys_tell_libraries_of_others() -> None:
    names = ("conda-pack", "installer", "py-rattler")
    versions = [f"{name.replace('-', '_')}-{metadata.version(name)}" for name in names]
    assert libraries() == versions


@pytest.mark.parametrize(
    ("place", "junk"),
    [
        (("decisions", "questions", "modules"), {}),
        (("decisions", "questions", "ignored"), {"x": 1}),
        (("decisions", "changes"), [[1, 2, 3, 4, 5]]),
        (("decisions", "account"), "{}"),
        (("links",), {"": "share"}),
        (("rows",), [["..", "file", 1, "twins", 1, "", 0, 0, "", 0]]),
    ],
)
def test_other_packages_in_a_part_of_any_shape(
    built: Lab, tmp_path: Path, place: tuple[str, ...], junk: Any
) -> None:
    lab = built.copy(tmp_path)
    (path,) = memos(lab.cache, "part")
    value = json.loads(content(path))
    inner = value
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = junk
    key = path.parent.name + path.name
    path.unlink()
    path.write_bytes(sealed("part", key, json.dumps(value).encode()))
    lab.change("alpha", {f"{SITE}/alpha/more.py": "import os\n"})
    lab.run(lab.cache)


LOCK = Lock("linux-64", (LockedPackage("a", "1", "0", "noarch", "u", sha256="0" * 64),), "")
WHEEL = PypiPackage("b", "1", "https://h/b-1-py3-none-any.whl", "0" * 64)


@pytest.mark.parametrize(
    ("change", "pinned"),
    [
        (lambda lock: lock, True),
        (lambda lock: replace(lock, pypi=(WHEEL,)), True),
        (lambda lock: replace(lock, pypi=(replace(WHEEL, url="file:///folder"),)), False),
        (lambda lock: replace(lock, pypi=(replace(WHEEL, sha256=""),)), False),
        (lambda lock: replace(lock, pypi=(replace(WHEEL, url="https://h/b.tar.gz"),)), False),
        (lambda lock: replace(lock, packages=(replace(lock.packages[0], sha256=""),)), False),
        (lambda lock: None, False),
    ],
)
def test_a_lock_says_all_or_not(change: Callable[[Lock], Lock | None], pinned: bool) -> None:
    assert is_pinned(Input(InputKind.LOCK, Path("pixi.lock")), change(LOCK)) is pinned


def test_other_inputs_say_less(tmp_path: Path) -> None:
    beside = Input(InputKind.LOCK, Path("pixi.lock"), manifest=Path("pixi.toml"))
    assert not is_pinned(beside, LOCK)
    assert not is_pinned(Input(InputKind.SPECS, None, specs=("a",)), LOCK)
    path = tmp_path / "explicit.txt"
    source = Input(InputKind.EXPLICIT, path)
    assert not is_pinned(source, LOCK)  # it is gone
    url = "https://h/noarch/a-1-0.conda"
    for line, pinned in ((url, False), (f"{url}#{'0' * 64}", True)):
        path.write_text(f"@EXPLICIT\n{line}\n")
        assert is_pinned(source, LOCK) is pinned


def result(*checks: Result, sandbox: str = "bubblewrap") -> BuildResult:
    """Return what is told of a build, as far as its proof goes."""
    found = object.__new__(BuildResult)
    verified = Verification("x", "image", "linux/amd64", sandbox, checks)
    object.__setattr__(found, "verified", verified)
    return found


def test_a_build_is_proven_when_another_would_prove_no_more() -> None:
    gpu = VerifyConfig(smoke=(SmokeTest(("x",), gpu=True),))
    made = Result("smoke", "error", "", "")
    waiting = replace(made, findings=(Finding("", "no GPU here", severity="warning"),))
    off = VerifyConfig(enabled=False)
    assert Whole((), (result(made),)).is_proven(gpu)
    assert not Whole((), (result(waiting),)).is_proven(gpu)
    assert not Whole((), (result(sandbox=""),)).is_proven(VerifyConfig())
    assert Whole((), (result(sandbox=""),)).is_proven(VerifyConfig(sandbox="none"))
    assert Whole((), (result(sandbox=""),)).is_proven(off)
