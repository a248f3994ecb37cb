"""Packages that lie in a folder of this machine are taken by their digest alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from slimpack.env.engine import choose_engine
from slimpack.env.locks.lock import PypiPackage
from slimpack.env.nearby import near_packages, near_pypi, restore_origins
from slimpack.env.rattler.engine import RattlerEngine
from slimpack.errors import InputError
from tests.support.channel import GLIBC, MiniChannel


def test_a_package_is_known_by_its_digest(mini: MiniChannel, tmp_path: Path) -> None:
    made = mini.add("one", {"share/one": "1"})
    engine = RattlerEngine(tmp_path / "pkgs", tmp_path / "repodata")
    lock = engine.solve(mini.spec("one"), "linux-64", GLIBC)
    (package,) = lock.packages
    for place in ("a/", "b/channel/", "c/channel/conda-forge-0123abcd/"):
        target = tmp_path / place / made.parent.name / made.name
        target.parent.mkdir(parents=True)
        shutil.copy(made, target)
        root = tmp_path / place.split("/")[0]
        assert near_packages(lock, [root]) == {package.url: target.as_uri()}
        target.write_bytes(b"another")
        assert near_packages(lock, [root]) == {}


def test_what_is_installed_tells_of_the_lock_s_channel(mini: MiniChannel, tmp_path: Path) -> None:
    made = mini.add("one", {"share/one": "1"})
    lock = RattlerEngine(tmp_path / "pkgs", tmp_path / "repodata").solve(
        mini.spec("one"), "linux-64", GLIBC
    )
    far = tmp_path / "far"
    shutil.copytree(mini.folder, far)
    origin = made.rename(made.with_name("gone"))
    engine = choose_engine("rattler", tmp_path / "other", tmp_path / "other-data", (far,))
    engine.install(lock, tmp_path / "prefix")
    (record,) = (tmp_path / "prefix/conda-meta").glob("*.json")
    told = json.loads(record.read_bytes())
    assert told["url"] == lock.packages[0].url
    assert str(far) not in told["channel"]
    # micromamba tells of the channel by the URL that it was given.
    near = (far / origin.parent.name / made.name).as_uri()
    told |= {"url": near, "channel": far.as_uri()}
    record.write_text(json.dumps(told))
    restore_origins(lock, {lock.packages[0].url: near}, tmp_path / "prefix")
    assert json.loads(record.read_bytes())["channel"] == mini.folder.as_uri()


def test_a_wheel_is_known_by_its_digest(tmp_path: Path) -> None:
    url = "https://files.example/a-1-py3-none-any.whl"
    sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    package = PypiPackage("a", "1", url, sha256)
    place = tmp_path / "wheelhouse" / "a-1-py3-none-any.whl"
    place.parent.mkdir()
    place.write_bytes(b"test")
    assert near_pypi([package], [tmp_path])[0].url == place.as_uri()
    place.write_bytes(b"other")
    assert near_pypi([package], [tmp_path]) == (package,)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a folder"):
        choose_engine("rattler", tmp_path, tmp_path, (tmp_path / "none",))
