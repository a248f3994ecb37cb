from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from slimpack.env.inputs.spec import read_environment_yml, spec_of
from slimpack.errors import InputError


def write(folder: Path, text: str) -> Path:
    path = folder / "environment.yml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_category_of_conda_lock_is_known(tmp_path: Path) -> None:
    path = tmp_path / "dev.yml"
    path.write_text("channels: [c]\ndependencies: [a]\ncategory: dev\n")
    assert read_environment_yml(path).specs == ("a",)


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
        ("dependencies: [a, {pip: b}]\n", "item 2: pip: expected a list, got a string"),
        ("dependencies: [a, {pip: [b, 3]}]\n", "pip: item 2: expected a requirement"),
        ("dependencies: [a, {pip: ['']}]\n", "pip: item 1: expected a requirement"),
        ('dependencies: [a, {pip: ["b\\nc"]}]\n', "pip: item 1: more than one line"),
        ("dependencies: [a, {pip: [b]}, {pip: [c]}]\n", "item 3: a second 'pip:' section"),
        ("dependencies: [{pip: [b]}]\n", "the list is empty"),
        ("dependencies: [{sel(linux): 3}]\n", "item 1: expected a match spec"),
        ("dependencies: [{sel(linus): a}]\n", "unknown selector sel(linus)"),
        ("dependencies: [{sel(linux64): a}]\n", "'linux64' depends on the platform"),
        ("dependencies: [{a: b}]\n", "got a mapping"),
        ("dependencies: [./none-1-0.conda]\n", "item 1: ./none-1-0.conda: no such file"),
        ("dependencies: ['https://x/y']\n", "'https://x/y' is not the URL of a package"),
        ('dependencies: ["a\\nb"]\n', "has characters that no match spec has"),
        ("dependencies: [a]\nplatforms: linux-64\n", "platforms: expected a list of strings"),
        ("a: &a [*a]\ndependencies: [a]\n", "line 1: an alias that contains itself"),
        ("[" * 100_000, "nested too deeply"),
        ("- " * 50_000 + "a", "nested too deeply"),
        ("? [a]\n: b\n", "not valid YAML"),
        ("dependencies: [a]\n3: x\n", "unknown key '3'"),
        ("dependency: [a]\n", "unknown key 'dependency'"),
        ("dependencies: [a]\nchannels: x\n", "channels: expected a list of strings"),
        ("dependencies: [a]\nvariables: [A]\n", "variables: expected NAME: value pairs"),
        ("dependencies: [a]\nvariables: {A: yes}\n", "variables: A: expected a string"),
        ("dependencies: [a]\nvariables: {'A B': x}\n", "'A B' is not a variable name"),
        ("dependencies: [a]\nname: [x]\n", "name: expected a string"),
        ("name: 2001-13-45\ndependencies: [a]\n", "not valid YAML"),
        ("dependencies: !!python/object:os.system x\n", "not valid YAML"),
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
                st.sampled_from(
                    [
                        "name",
                        "channels",
                        "dependencies",
                        "variables",
                        "pip",
                        "sel(linux)",
                        "platforms",
                    ]
                ),
                inner,
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


def test_pip_section(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "channels: [c]\ndependencies:\n- python\n- pip\n- pip:\n"
        "  - requests >=2 ; os_name != 'nt'\n  - -r more.txt\n  - -e ./here\n",
    )
    spec = read_environment_yml(path)
    assert spec.specs == ("python", "pip")
    assert spec.pip == ("requests >=2 ; os_name != 'nt'", "-r more.txt", "-e ./here")
    assert spec.folder == tmp_path


def test_packages_by_url_and_path(tmp_path: Path) -> None:
    package = tmp_path / "some where" / "a-1-0.conda"
    package.parent.mkdir()
    package.touch()
    path = write(
        tmp_path,
        "dependencies:\n- ./some where/a-1-0.conda\n- https://x/c/noarch/b-1-0.tar.bz2\n"
        f"- some where/a-1-0.conda#{'0' * 32}\n- conda-forge/linux-64::c >=1\n",
    )
    assert read_environment_yml(path).specs == (
        package.as_uri(),
        "https://x/c/noarch/b-1-0.tar.bz2",
        f"{package.as_uri()}#{'0' * 32}",
        "conda-forge/linux-64::c >=1",
    )


SELECTORS = """\
platforms: [linux-64, linux-aarch64]
dependencies:
- a
- sel(linux): only-linux
- sel(win): only-win
- sel(linux64): only-linux64
- b  # [unix]
- c  # [osx]
- d  # [aarch64]
- e  # see [1] and [the docs]
- pip:
  - f  # [win]
"""


def test_selectors(tmp_path: Path) -> None:
    path = write(tmp_path, SELECTORS)
    both = ("a", "only-linux")
    assert read_environment_yml(path, "linux-64").specs == (*both, "only-linux64", "b", "e")
    assert read_environment_yml(path, "linux-aarch64").specs == (*both, "b", "d", "e")
    assert read_environment_yml(path, "linux-64").pip == ()
    assert read_environment_yml(path, "linux-64").platforms == ("linux-64", "linux-aarch64")
    with pytest.raises(InputError, match="'aarch64' depends on the platform"):
        read_environment_yml(path)


def test_lines_keep_their_numbers_when_selectors_drop_some(tmp_path: Path) -> None:
    path = write(tmp_path, "dependencies:\n- a  # [win]\n- b\n- {\n")
    with pytest.raises(InputError, match="line 5, column 1"):
        read_environment_yml(path)


def test_aliases_are_allowed_but_bombs_are_not(tmp_path: Path) -> None:
    spec = read_environment_yml(
        write(tmp_path, "x: &x [c]\n".replace("x: ", "channels: ") + "dependencies: *x\n")
    )
    assert (spec.channels, spec.specs) == (("c",), ("c",))
    bomb = ["dependencies:", "- &a0 [lol]"]
    bomb += [f"- &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(InputError, match="aliases expand to more than"):
        read_environment_yml(write(tmp_path, "\n".join(bomb)))


def test_specs_of_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-1-0.conda").touch()
    spec = spec_of(["python >=3.11", "a-1-0.conda"], ["conda-forge"])
    assert spec.channels == ("conda-forge",)
    assert spec.specs == ("python >=3.11", (tmp_path / "a-1-0.conda").as_uri())
    with pytest.raises(InputError, match=r"the command line: 'b-1-0.conda': b-1-0.conda: no such"):
        spec_of(["b-1-0.conda"])


LINES = st.lists(
    st.sampled_from(
        ["dependencies:", "- a", "- pip:", "  - b", "- sel(linux): c", "x # [win]", "channels: [c]"]
    )
    | st.text(max_size=12),
    max_size=8,
)


@settings(max_examples=300, deadline=None)
@given(LINES)
def test_any_text_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any-text.yml"
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    try:
        spec = read_environment_yml(path, "linux-64")
    except InputError as error:
        assert str(path) in str(error)
    else:
        assert spec.specs
