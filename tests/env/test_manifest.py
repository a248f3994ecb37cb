from __future__ import annotations

from pathlib import Path

import pytest

from slimpack.env.inputs.identify import InputKind, identify
from slimpack.errors import InputError

LOCK = "version: 6\nenvironments:\n  default: {}\npackages: []\n"
CONDA_LOCK = "version: 1\nmetadata: {}\npackage: []\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pixi.toml", "[workspace]\nchannels = ['conda-forge']\nplatforms = ['linux-64']\n"),
        ("pixi.toml", "[project]\nname = 'x'\nchannels = []\n[dependencies]\npython = '*'\n"),
        ("pyproject.toml", "[project]\nname = 'x'\n[tool.pixi.workspace]\nchannels = []\n"),
        ("other.name", "[workspace]\nchannels = []\n"),
    ],
)
def test_pixi_manifests_lead_to_the_lock_beside_them(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=r"(?s)but no lock beside it.*run `pixi lock`"):
        identify([path])
    lock = tmp_path / "pixi.lock"
    lock.write_text(LOCK)
    found = identify([path])
    assert (found.kind, found.path, found.manifest) == (InputKind.LOCK, lock, path)
    assert found.describe == f"pixi.lock ({lock}, beside {path})"


@pytest.mark.parametrize("name", ["conda-lock.yml", "dev.conda-lock.yml"])
def test_conda_lock_manifests(tmp_path: Path, name: str) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text("[tool.conda-lock]\nchannels = []\n")
    with pytest.raises(InputError, match=r"conda-lock lock --file pyproject\.toml"):
        identify([path])
    (tmp_path / name).write_text(CONDA_LOCK)
    found = identify([path])
    assert (found.kind, found.path) == (InputKind.CONDA_LOCK, tmp_path / name)


def test_two_locks_beside_a_manifest_are_ambiguous(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text("[tool.conda-lock]\n[tool.pixi.workspace]\nchannels = []\n")
    with pytest.raises(InputError, match="pixi and conda-lock, but no lock"):
        identify([path])
    (tmp_path / "pixi.lock").write_text(LOCK)
    (tmp_path / "conda-lock.yml").write_text(CONDA_LOCK)
    with pytest.raises(InputError, match=r"there are 2 locks .*: conda-lock\.yml, pixi\.lock"):
        identify([path])


def test_a_lock_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "pixi.toml"
    path.write_text("[workspace]\nchannels = []\n")
    (tmp_path / "pixi.lock").write_text("hello")
    with pytest.raises(InputError, match=r"pixi\.lock: not an input"):
        identify([path])
    (tmp_path / "pixi.lock").unlink()
    (tmp_path / "pixi.lock").symlink_to(path)  # leads back to the manifest
    with pytest.raises(InputError, match=r"pixi\.lock: not an input"):
        identify([path])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[project]\nname = 'x'\n", "no tables of pixi or conda-lock"),
        ("[tool.poetry]\n", "no tables of pixi or conda-lock"),
        ("[env]\nspec = 'x'\n", "slimpack's own configuration"),
        ("[tool.slimpack.env]\n", "slimpack's own configuration"),
        ("tool = 3\nworkspace = 4\n", "no tables of pixi or conda-lock"),
        ("[workspace\n", "not valid TOML"),
    ],
)
def test_other_toml_is_no_input(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        identify([path])
    assert expected in str(caught.value)
