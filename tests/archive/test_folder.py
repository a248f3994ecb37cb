from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from slimpack.archive.folder import new_folder
from slimpack.archive.formats import Packing
from slimpack.errors import InputError, SlimpackError
from tests.archive.samples import MTIME, expected, facts, listing, sample
from tests.archive.test_write import written


def test_a_folder_replaces_only_an_environment_and_only_when_told(tmp_path: Path) -> None:
    target = tmp_path / "env"
    target.mkdir()
    written(sample(), target, Packing("folder"))  # empty: nothing to lose
    (target / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        written(sample(), target, Packing("folder"))
    written(sample(), target, Packing("folder"), force=True)
    assert facts(target) == expected(sample())
    shutil.rmtree(target / "conda-meta")
    with pytest.raises(InputError, match="no environment"):
        written(sample(), target, Packing("folder"), force=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="in the way"):
        written(sample(), tmp_path / "file", Packing("folder"), force=True)
    assert listing(tmp_path) == ["env", "file"]


def test_a_folder_has_the_time_that_was_asked_for(tmp_path: Path) -> None:
    target = tmp_path / "env"
    written(sample(), target, Packing("folder"))
    assert {path.lstat().st_mtime for path in [target, *target.rglob("*")]} == {MTIME}


def test_the_old_environment_comes_back_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "env"
    (target / "conda-meta").mkdir(parents=True)
    rename = Path.rename

    def refusing(self: Path, other: Path) -> Path:
        if other == target and (self / "new").exists():
            raise OSError(28, "No space left on device")
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", refusing)
    with pytest.raises(SlimpackError, match="No space left"), new_folder(target, force=True) as new:
        (new / "new").write_text("")
    assert listing(target) == ["conda-meta"]
    assert listing(tmp_path) == ["env"]


def test_a_failure_leaves_no_folders_above(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "here/a/b/c"):
        1 / 0  # noqa: B018
    assert listing(tmp_path / "here") == []


def test_the_folder_that_one_is_in_is_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="folder that you are in"), new_folder(Path()):
        pass


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "env").symlink_to("real")
    written(sample(), tmp_path / "env", Packing("folder"))
    assert (tmp_path / "env").is_symlink()
    assert facts(tmp_path / "real") == expected(sample())
