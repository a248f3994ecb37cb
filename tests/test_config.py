from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimpack.config import Config, check_prefix
from slimpack.config_file import find_config, read_config
from slimpack.errors import InputError


def write(folder: Path, text: str, name: str = "slimpack.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_every_key(tmp_path: Path) -> None:
    config = read_config(
        write(
            tmp_path,
            """
            [env]
            spec = "environment.yml"
            channels = ["conda-forge"]
            channel_priority = "disabled"
            platform = "linux/arm64"
            cuda = "12.8"
            lock = "pixi.lock"
            [image]
            runtime = "./own.toml"
            base = "base.tar"
            prefix = "/srv/env"
            name = "serve"
            tags = ["1.0", "latest"]
            entrypoint = ["uvicorn", "main:app"]
            cmd = ["--port", "80"]
            workdir = "/app"
            user = "1000:1000"
            expose = [8000, "53/udp"]
            layers = 5
            max_layer_size = "1.5GB"
            compression = "gzip"
            compression_level = 6
            allow_build_paths = ["/opt/env/share/*"]
            [image.env]
            A = "1"
            [image.labels]
            b = "2"
            [app]
            prepare = ["python", "train.py"]
            [[app.copy]]
            from = "app"
            to = "/app"
            ignore = ["*.ipynb"]
            [debian]
            mirror = "http://mirror.example/debian"
            security_mirror = "http://mirror.example/debian-security"
            """,
        )
    )
    assert config.env.inputs == (str(tmp_path / "environment.yml"),)
    assert config.env.lock == tmp_path / "pixi.lock"
    assert config.image.runtime == str(tmp_path / "own.toml")
    assert config.image.base == str(tmp_path / "base.tar")
    assert config.image.expose == ("8000/tcp", "53/udp")
    assert config.image.max_layer_size == 1_500_000_000
    assert config.image.env == (("A", "1"),)
    assert config.app.copy[0].source == tmp_path / "app"
    assert config.app.copy[0].ignore == ("*.ipynb",)
    assert config.debian.security_mirror.endswith("-security")


def test_found_in_pyproject_unless_there_is_a_file_of_its_own(tmp_path: Path) -> None:
    assert find_config(tmp_path) == Config(folder=tmp_path)
    write(tmp_path, "[project]\nname='x'\n", "pyproject.toml")
    assert find_config(tmp_path) == Config(folder=tmp_path)
    write(tmp_path, "[tool.slimpack.image]\nname='a'\n", "pyproject.toml")
    assert find_config(tmp_path).image.name == "a"
    write(tmp_path, "[image]\nname='b'\n")
    assert find_config(tmp_path).image.name == "b"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[imge]\n", "imge: unknown key\nhint: did you mean 'image'?"),
        ("[image]\nentry_point = []", "image.entry_point: unknown key\nhint: did you mean 'entry"),
        ("[image]\nlayers = '5'", "image.layers: expected an integer, got str '5'"),
        ("[image]\nlayers = true", "image.layers: expected an integer, got a boolean"),
        ("[image]\nlayers = 0", "image.layers: expected 1 to 120, got 0"),
        ("[image]\nentrypoint = 'uvicorn x'", "no shell in the image: write a list"),
        ("[image]\nprefix = 'opt/env'", "image.prefix: expected an absolute path"),
        ("[image]\nprefix = '/opt/my env'", "image.prefix: expected an absolute path"),
        ("[image]\nprefix = '/opt/../env'", "image.prefix: expected an absolute path"),
        (f"[image]\nprefix = '/{'x' * 90}'", "image.prefix: longer than 80 characters"),
        ("[image]\ncompression = 'zst'", "got 'zst'\nhint: did you mean 'zstd'?"),
        ("[image]\nmax_layer_size = 'big'", "image.max_layer_size: expected a size"),
        ("[image]\nexpose = ['http']", "image.expose: expected ports"),
        ("[image]\nexpose = [70000]", "image.expose: expected ports"),
        ("[image]\nuser = 'a b'", "image.user: expected a name"),
        ("[image]\nworkdir = 'app'", "image.workdir: expected an absolute path"),
        ("[image]\ntags = ['1']", "image.tags: needs 'name' too"),
        ("[image.env]\nA = 1", "image.env.A: expected a string, got int 1"),
        ("[image.env]\n'A=B' = '1'", "image.env.A=B: not a name and value"),
        ("[env]\ncuda = 'twelve'", "env.cuda: expected a version"),
        ("[env]\nchannels = 'conda-forge'", "env.channels: expected an array of strings"),
        ("[app]\ncopy = {from = 'a', to = '/a'}", "app.copy: expected an array of tables"),
        ("[[app.copy]]\nto = '/a'", "app.copy[1].from: is missing"),
        ("[[app.copy]]\nfrom = 'a'\nto = '/../a'", "app.copy[1].to: expected an absolute path"),
        ("[app]\nprepare = ['make']", "app.prepare: has nothing to work on"),
        ("image = 3", "image: expected a table, got int 3"),
        ("[image\n", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, expected: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_config(path)
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_config(tmp_path / "none.toml")
    (tmp_path / "slimpack.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        read_config(tmp_path / "slimpack.toml")
    with pytest.raises(InputError, match="null byte"):
        read_config(tmp_path / "a\0.toml")
    with pytest.raises(InputError, match=r"no table \[tool.slimpack\]"):
        read_config(write(tmp_path, "", "pyproject.toml"))


def test_flags_override_and_none_changes_nothing(tmp_path: Path) -> None:
    config = read_config(write(tmp_path, "[image]\nname = 'a'\nlayers = 3\n"))
    changed = config.with_image(layers=7, name=None)
    assert (changed.image.layers, changed.image.name) == (7, "a")


@given(st.text(max_size=100))
def test_prefixes_that_pass_are_safe_in_a_shebang(text: str) -> None:
    try:
        check_prefix(text)
    except ValueError:
        return
    assert text.startswith("/")
    assert not set(text) & set(" \t\n\"'\\")
    assert ".." not in text.split("/")
    assert len(f"#!{text}/bin/python3.13t") < 127
