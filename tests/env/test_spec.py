from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from slimpack.env.inputs import InputKind, detect
from slimpack.env.spec import read_environment_yml
from slimpack.errors import InputError


def write(folder: Path, text: str) -> Path:
    path = folder / "environment.yml"
    path.write_text(text, encoding="utf-8")
    return path


def test_reads_all_keys(tmp_path: Path) -> None:
    spec = read_environment_yml(
        write(
            tmp_path,
            "name: serve\nchannels: [conda-forge, file:///srv/x]\n"
            "dependencies:\n- python =3.11\n- conda-forge::numpy\nvariables:\n  B: two\n  A: 1\n",
        )
    )
    assert spec.name == "serve"
    assert spec.channels == ("conda-forge", "file:///srv/x")
    assert spec.specs == ("python =3.11", "conda-forge::numpy")
    assert spec.variables == (("A", "1"), ("B", "two"))
    assert spec.with_channels(()) is spec
    assert spec.with_channels(("c",)).channels == ("c",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dependencies: [a\n", "line 2, column 1 not valid YAML"),
        ("- a\n- b\n", "expected keys such as 'dependencies:', got a list"),
        ("", "got nothing"),
        ("name: x\n", "no 'dependencies'"),
        ("dependencies: []\n", "the list is empty"),
        ("dependencies: numpy\n", "dependencies: expected a list, got a string"),
        ("dependencies: [{}]\n", "item 1: expected a match spec"),
        ("dependencies: [a, 3]\n", "item 2: expected a match spec such as 'numpy >=2', got int 3"),
        ("dependencies: [a, {pip: [b]}]\n", "item 2: a 'pip:' section is not supported yet"),
        ("dependency: [a]\n", "unknown key 'dependency'"),
        ("dependencies: [a]\nchannels: x\n", "channels: expected a list of strings"),
        ("dependencies: [a]\nvariables: [A]\n", "variables: expected NAME: value pairs"),
        ("dependencies: [a]\nvariables: {A: yes}\n", "variables: A: expected a string"),
        ("dependencies: [a]\nvariables: {'A B': x}\n", "'A B' is not a variable name"),
        ("dependencies: [a]\nname: [x]\n", "name: expected a string"),
        ("name: 2001-13-45\ndependencies: [a]\n", "not valid YAML"),
        ("a: &a [*a]\ndependencies: !!python/object:os.system x\n", "not valid YAML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, expected: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_environment_yml(path)
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)


def test_files_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "environment.yml"
    with pytest.raises(InputError, match="No such file"):
        read_environment_yml(path)
    with pytest.raises(InputError, match="Is a directory"):
        read_environment_yml(tmp_path)
    path.write_bytes(b"a: \xff\n")
    with pytest.raises(InputError, match="not UTF-8 text"):
        read_environment_yml(path)
    path.write_bytes(b" " * (5 << 20))
    with pytest.raises(InputError, match="larger than 4 MiB"):
        read_environment_yml(path)


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["name", "channels", "dependencies", "variables", "pip"]), inner
            )
        ),
        max_leaves=12,
    )
)
def test_any_yaml_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: object
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    try:
        spec = read_environment_yml(path)
    except InputError as error:
        assert str(path) in str(error)
    else:
        assert spec.specs
        assert all(isinstance(item, str) for item in (*spec.specs, *spec.channels))


def test_nodefaults_is_no_channel(tmp_path: Path) -> None:
    path = write(tmp_path, "channels: [conda-forge, nodefaults]\ndependencies: [a]\n")
    assert read_environment_yml(path).channels == ("conda-forge",)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"channels": ["c"], "dependencies": ["a"]}', InputKind.ENVIRONMENT),
        ("dependencies: [a]\n", InputKind.ENVIRONMENT),
        ("# comment\n@EXPLICIT\nfile:///x/a-1-0.conda\n", InputKind.EXPLICIT),
        ("version: 6\nenvironments:\n  default: {}\npackages: []\n", InputKind.LOCK),
    ],
)
def test_kind_is_told_from_content(tmp_path: Path, text: str, kind: InputKind) -> None:
    path = tmp_path / "misleading.name"
    path.write_text(text)
    assert detect(path) is kind


def test_unknown_kind_lists_what_was_tried(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("hello\n")
    with pytest.raises(InputError, match=r"(?s)@EXPLICIT list.*rattler lock.*environment"):
        detect(path)
