from __future__ import annotations

import bz2
import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from slimpack.env.inputs.identify import Input, InputKind, identify
from slimpack.errors import InputError
from tests.support.channel import MiniChannel

CONDA_LOCK = "version: 1\nmetadata: {}\npackage: []\n"
LOCK = "version: 6\nenvironments:\n  default: {}\npackages: []\n"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"channels": ["c"], "dependencies": ["a"]}', InputKind.ENVIRONMENT),
        ("dependencies: [a]\n", InputKind.ENVIRONMENT),
        ("\ufeffdependencies: [a]\r\n", InputKind.ENVIRONMENT),
        ("# comment\n@EXPLICIT\nfile:///x/a-1-0.conda\n", InputKind.EXPLICIT),
        ("# comment\r\n@EXPLICIT\r\n", InputKind.EXPLICIT),
        (LOCK, InputKind.LOCK),
        (CONDA_LOCK, InputKind.CONDA_LOCK),
        ("package:\n- name: a\nmetadata:\n  x: y\nversion: 1\n", InputKind.CONDA_LOCK),
        ('{"version": 1, "metadata": {}, "package": []}', InputKind.CONDA_LOCK),
    ],
)
def test_kind_is_told_from_content(tmp_path: Path, text: str, kind: InputKind) -> None:
    path = tmp_path / "misleading.name"
    path.write_bytes(text.encode())
    found = identify([path])
    assert found == Input(kind, path)
    assert found.describe == f"{kind.value} ({path})"


def tar_bytes(*names: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()


def zip_bytes(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        tar_bytes("bin/python"),
        gzip.compress(tar_bytes("bin/python")),
        zstandard.compress(tar_bytes("bin/python")),
        bz2.compress(tar_bytes("conda-meta/a-1-0.json", "bin/python")),
        zip_bytes("bin/python"),
        b"hsqs" + bytes(100),
        b"#!/bin/sh\n# slimpack self-extracting archive\n\x1f\x8b\xff",
    ],
    ids=["tar", "gzip", "zstd", "bzip2", "zip", "squashfs", "sh"],
)
def test_archives_are_told_by_their_first_bytes(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "environment.yml"
    path.write_bytes(data)
    assert identify([path]) == Input(InputKind.ARCHIVE, path)


def test_a_line_far_down_makes_no_self_extracting_archive(tmp_path: Path) -> None:
    path = tmp_path / "x.sh"
    path.write_text("#!/bin/sh\n" + "#\n" * 4096 + "# slimpack self-extracting archive\n")
    with pytest.raises(InputError, match="a conda-pack archive: neither"):
        identify([path])


def test_conda_packages_are_packages_not_archives(tmp_path: Path, mini: MiniChannel) -> None:
    package = mini.add("a", {"share/a": "1"})
    assert identify([package]) == Input(InputKind.SPECS, None, specs=(str(package),))
    old = tmp_path / "a-1-0.tar.bz2"
    old.write_bytes(bz2.compress(tar_bytes("share/a", "info/index.json")))
    assert identify([old]).kind is InputKind.SPECS
    assert identify([str(package), "python"]).specs == (str(package), "python")


def test_a_container_image_is_no_environment(tmp_path: Path) -> None:
    path = tmp_path / "image.tar"
    path.write_bytes(tar_bytes("oci-layout", "index.json"))
    with pytest.raises(InputError, match="a container image, not an environment"):
        identify([path])


@pytest.mark.parametrize(
    "arguments",
    [
        ["numpy"],
        ["numpy >=2", "python=3.11"],
        ["conda-forge::numpy", "conda-forge/linux-64::zlib"],
        ["file:///srv/channel::numpy"],
        ["https://x.example/c/noarch/a-1-0.conda#" + "0" * 32],
        ["_openmp_mutex=*=*_gnu", "pkg[version='>=1', build=x]"],
    ],
)
def test_match_specs(arguments: list[str]) -> None:
    found = identify(arguments)
    assert (found.kind, found.specs) == (InputKind.SPECS, tuple(arguments))
    assert found.describe == f"match specs ({' '.join(arguments)})"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "nothing to read"),
        ([""], "nothing to read"),
        (["environment.yml"], "environment.yml: No such file or folder"),
        (["./python"], "python: No such file or folder"),
        (["a", "missing-1-0.conda"], "missing-1-0.conda: No such file or folder"),
        (["-c"], "'-c': neither a file nor a match spec"),
        (["python", "a b\nc"], "neither a file nor a match spec"),
        (["\0"], "neither a file nor a match spec"),
    ],
)
def test_what_is_neither_a_file_nor_a_spec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        identify(arguments)
    assert expected in str(caught.value)


def test_files_and_specs_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "environment.yml"
    path.write_text("dependencies: [a]\n")
    cases: list[list[str | Path]] = [[path, "numpy"], ["numpy", path], [path, path]]
    for arguments in cases:
        with pytest.raises(InputError, match="a file cannot be mixed with other arguments"):
            identify(arguments)


def test_a_folder_named_like_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "python").mkdir()
    with pytest.raises(InputError, match=r"for the package of that name, write 'python=\*'"):
        identify(["python"])
    assert identify(["python", "numpy"]).kind is InputKind.SPECS
    assert identify(["python=*"]).kind is InputKind.SPECS


def test_unknown_input_lists_what_was_tried_and_why(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("hello\n")
    with pytest.raises(InputError) as caught:
        identify([path])
    lines = caught.value.details.splitlines()
    assert lines[0] == "tried:"
    for kind in ("conda-pack archive", "@EXPLICIT", "pixi.lock", "conda-lock.yml"):
        assert sum(kind in line and ":" in line for line in lines) == 1, kind
    assert any("an environment.yml: no key dependencies" in line for line in lines)
    assert any("a manifest: not valid TOML" in line for line in lines)
    path.write_bytes(b"\xff\xfe\0")
    with pytest.raises(InputError, match=r"(?s)tried:.*archive.*a text file: not UTF-8"):
        identify([path])
    path.write_text("{a: [")
    with pytest.raises(InputError, match=r"YAML or JSON: .*not valid YAML"):
        identify([path])


def test_a_prefix_and_folders_that_are_none(tmp_path: Path) -> None:
    meta = tmp_path / "conda-meta"
    meta.mkdir()
    with pytest.raises(InputError, match="its conda-meta folder is empty"):
        identify([tmp_path])
    (meta / "a-1-0.json").write_text("{}")
    assert identify([tmp_path]) == Input(InputKind.PREFIX, tmp_path)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("pyvenv.cfg", "it is a Python venv"),
        ("oci-layout", "it is an OCI image layout"),
        ("pixi.lock", "pass one of"),
        (".pixi/envs/default/conda-meta/history", "it is a project's folder"),
    ],
)
def test_folders_that_are_something_else(tmp_path: Path, file: str, expected: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    with pytest.raises(InputError) as caught:
        identify([tmp_path])
    assert expected in str(caught.value)
    assert "no conda-meta" in caught.value.details


def test_a_project_names_its_lock_and_environments(tmp_path: Path) -> None:
    (tmp_path / "pixi.toml").write_text("[workspace]\nchannels = []\n")
    (tmp_path / "pixi.lock").write_text(LOCK)
    (tmp_path / ".pixi/envs/test/conda-meta").mkdir(parents=True)
    with pytest.raises(InputError) as caught:
        identify([tmp_path])
    assert caught.value.hint == (
        f"pass one of {tmp_path / 'pixi.lock'}, {tmp_path / '.pixi/envs/test'}"
    )


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="/dev/null: not a regular file"):
        identify(["/dev/null"])
    loop = tmp_path / "loop.yml"
    loop.symlink_to(loop)
    with pytest.raises(InputError, match="No such file"):
        identify([loop])


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=400)
    | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.sampled_from([b"PK\x03\x04", b"BZh9", b"hsqs", b"\x1f\x8b", b"#!/bin/sh\n"]).flatmap(
        lambda head: st.binary(max_size=200).map(lambda tail: head + tail)
    )
)
def test_any_bytes_are_something_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.bin"
    path.write_bytes(data)
    try:
        assert identify([path]).path == path
    except InputError as error:
        assert str(path) in str(error)


@given(st.lists(st.text(max_size=30), max_size=4))
def test_any_arguments_are_something_or_refused(arguments: list[str]) -> None:
    try:
        found = identify(arguments)
    except InputError as error:
        assert error.hint
    else:
        assert found.path or found.specs == tuple(arguments)


def test_json_that_no_parser_should_recurse_into(tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    for text in ("[" * 100_000, '{"a":' * 100_000, json.dumps([[]] * 10)):
        path.write_text(text)
        with pytest.raises(InputError, match="not an input that slimpack knows"):
            identify([path])


Install = Callable[..., Path]


def test_an_installed_environment(mini: MiniChannel, install: Install) -> None:
    mini.add("a", {"share/a": "1"})
    prefix = install(mini, "a")
    assert identify([prefix]).kind is InputKind.PREFIX
