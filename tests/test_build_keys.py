"""When a later build may believe an earlier one: what is remembered, by which keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from slimpack.base import Base
from slimpack.cache import Cache
from slimpack.cache.layers import LayerCache
from slimpack.cache.memo import Memo
from slimpack.cache.record import record_of
from slimpack.config import Config, EnvConfig, SmokeTest, VerifyConfig
from slimpack.env.inputs.identify import Input, InputKind
from slimpack.env.locks.lock import Lock, LockedPackage, PypiPackage
from slimpack.means import Means
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import Compression
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import make_image
from slimpack.oci.layer import build_layer
from slimpack.progress import SILENT
from slimpack.result import BuildResult
from slimpack.tree import bytes_entry
from slimpack.verify.model import Finding, Result, Verification
from slimpack.warm import basis
from slimpack.warm.bytes import LayerBytes
from slimpack.warm.code import libraries
from slimpack.warm.locked import Locked, is_pinned, keep_locked, lock_key
from slimpack.warm.noswap import StartOver
from slimpack.warm.whole import Whole


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


def kept_locks(memos: Path) -> list[Path]:
    return [path for path in (memos / "lock").rglob("*") if path.is_file()]


def test_a_full_disk_is_no_fault_of_a_layer(tmp_path: Path) -> None:
    cache = LayerCache(Cache(tmp_path / "cache"), BlobStore(tmp_path / "spare"))
    entries = [bytes_entry("data", b"data")]
    made = build_layer("x", entries, blobs=cache.blobs, mtime=0, compression=Compression("none", 0))
    opened = LayerBytes([("ab" * 32, record_of(made))], cache, tmp_path / "no folder")
    with pytest.raises(StartOver, match="cannot be written"):
        opened.open(0, "data")
    assert made.digest in cache.blobs


def test_locks_with_credentials_are_not_kept(tmp_path: Path) -> None:
    plain = "- conda: https://host/linux-64/a-1-0.conda\n"
    for text, kept in ((plain, 1), (plain.replace("host", "me:secret@host"), 0)):
        cache = Cache(tmp_path / str(kept))
        path = tmp_path / "pixi.lock"
        path.write_text(text)
        config = Config(tmp_path, env=EnvConfig(inputs=(str(path),)))
        locked = Locked(Input(InputKind.LOCK, path), "linux/amd64", replace(LOCK, text=text), "x")
        keep_locked(config, lock_key(config), locked, Memo(cache.memos))
        assert len(kept_locks(cache.memos)) == kept


def test_locks_that_changed_while_they_were_read_are_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "pixi.lock"
    path.write_text("1")
    config = Config(tmp_path, env=EnvConfig(inputs=(str(path),)))
    key = lock_key(config)
    path.write_text("2")
    locked = Locked(Input(InputKind.LOCK, path), "linux/amd64", LOCK, "x")
    keep_locked(config, key, locked, Memo(tmp_path / "memos"))
    assert not kept_locks(tmp_path / "memos")


def test_keys_tell_libraries_of_others() -> None:
    names = ("conda-pack", "installer", "py-rattler")
    versions = [f"{name.replace('-', '_')}-{metadata.version(name)}" for name in names]
    assert libraries() == versions


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


def test_other_inputs_say_less() -> None:
    beside = Input(InputKind.LOCK, Path("pixi.lock"), manifest=Path("pixi.toml"))
    assert not is_pinned(beside, LOCK)
    for kind in (InputKind.EXPLICIT, InputKind.CONDA_LOCK):  # channels complete them
        assert not is_pinned(Input(kind, Path("lock")), LOCK)
    assert not is_pinned(Input(InputKind.SPECS, None, specs=("a",)), LOCK)


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
