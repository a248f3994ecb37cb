from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slimpack.env.pypi.requirements import Requirements, read_requirements
from slimpack.errors import InputError
from tests.support.wheels import project, wheel


def read(folder: Path, *lines: str) -> Requirements:
    return read_requirements(lines, folder=folder, source="environment.yml")


def texts(found: Requirements) -> list[str]:
    return [one.line for one in found.requirements]


def test_requirements_are_passed_on_with_their_markers(tmp_path: Path) -> None:
    lines = [
        "requests >=2.31",
        "Foo.Bar[extra]==1.0 ; python_version < '3.12'",
        "name @ https://host.example/name-1.0-py3-none-any.whl",
        "git+https://host.example/repo.git@main#egg=x",
        "thing @ git+ssh://git@host.example/repo.git@v1",
        "https://host.example/name-1.0.tar.gz#sha256=00",
    ]
    found = read(tmp_path, *lines)
    assert texts(found) == lines
    assert [one.vcs for one in found.requirements] == [False, False, False, True, True, False]
    assert all(one.path is None for one in found.requirements)


def test_comments_and_empty_lines_are_no_requirements(tmp_path: Path) -> None:
    assert texts(
        read(tmp_path, "# nothing", "", "  ", "a==1  # why", "b#c @ https://h/x.whl"[:1])
    ) == [
        "a==1",
        "b",
    ]


def test_paths_become_absolute_and_keep_extras_and_markers(tmp_path: Path) -> None:
    folder = project(tmp_path / "my project", "thing")
    file = wheel(tmp_path, "made")
    found = read(
        tmp_path,
        "./my project[a,b] ; python_version > '3'",
        "-e ./my project",
        f"thing[x] @ {folder.as_uri()}",
        file.name,
        f"--editable=./{folder.name}",
    )
    assert texts(found) == [
        f"{folder}[a,b] ; python_version > '3'",
        f"{folder}",
        f"{folder}[x]",
        f"{file}",
        f"{folder}",
    ]
    assert [one.editable for one in found.requirements] == [False, True, False, False, True]
    assert found.requirements[0].at(Path("/else")).text == "/else[a,b] ; python_version > '3'"


def test_what_is_built_and_what_it_is_called(tmp_path: Path) -> None:
    project(tmp_path / "folder", "thing")
    made = wheel(tmp_path, "Made")
    found = read(
        tmp_path,
        "name",
        "Na.me @ https://h.example/na_me-1.0-py3-none-any.whl ; python_version < '3'",
        "name @ https://h.example/name-1.0.tar.gz",
        "https://h.example/name-1.0.zip",
        "git+https://h.example/name.git",
        "./folder ; python_version < '3'",
        f"./{made.name}",
    ).requirements
    assert [one.built for one in found] == [False, False, True, True, True, True, False]
    assert [one.url_of for one in found] == ["", "na-me", "name", "", "", "", "made"]
    assert [one.holds({"python_version": "3.11"}) for one in found] == [
        True,
        False,
        True,
        True,
        True,
        False,
        True,
    ]


def test_options_are_known_by_their_short_names_too(tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    found = read(
        tmp_path,
        "-i https://one.example/simple",
        "--extra-index-url=https://two.example/simple",
        "-f links",
        "-fhttps://three.example/",
        "--pre",
        "--no-binary :all:",
        "--only-binary a,b",
        "--trusted-host two.example",
        "--no-index",
        "--prefer-binary",
        "--require-hashes",
        "--pre",
    )
    assert found.options == (
        "--index-url https://one.example/simple",
        "--extra-index-url https://two.example/simple",
        f"--find-links {tmp_path / 'links'}",
        "--find-links https://three.example/",
        "--pre",
        "--no-binary :all:",
        "--only-binary a,b",
        "--trusted-host two.example",
        "--no-index",
        "--prefer-binary",
        "--require-hashes",
    )


def test_a_secret_in_an_index_url_is_not_shown(tmp_path: Path) -> None:
    found = read(tmp_path, "--index-url https://me:hunter2@one.example/simple")
    assert "hunter2" in found.options[0]
    assert "hunter2" not in repr(found)
    for line in (
        "--index-url https://me:hunter2@one.example/simple --pre extra",
        "--frob=https://me:hunter2@one.example/simple",
        "nonsense https://me:hunter2@one.example/simple",
        "a --frob=https://me:hunter2@one.example/simple",
        "-r https://me:hunter2@one.example/requirements.txt",
    ):
        with pytest.raises(InputError) as caught:
            read(tmp_path, line)
        assert "hunter2" not in str(caught.value)


def test_files_are_included_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    inner = tmp_path / "reqs" / "more"
    inner.mkdir(parents=True)
    (tmp_path / "reqs" / "links").mkdir()
    (tmp_path / "reqs" / "base.txt").write_text(
        "a\n-r more/inner.txt\n-c more/limits.txt\n--find-links links\n"
    )
    (inner / "inner.txt").write_text("b \\\n  >=1 \\\n  --hash=sha256:00\n-r ../base2.txt\n")
    (inner / "limits.txt").write_text("c<2\n-r limits2.txt\n")
    (inner / "limits2.txt").write_text("d<3\n")
    (tmp_path / "reqs" / "base2.txt").write_text("\ufeffe\n")
    found = read(tmp_path, "-r reqs/base.txt", "-r reqs/base.txt")
    assert texts(found) == ["a", "b   >=1 --hash=sha256:00", "e"]
    assert [one.line for one in found.constraints] == ["c<2", "d<3"]
    assert found.options == (f"--find-links {tmp_path / 'reqs' / 'links'}",)
    assert found.requirements[1].where.endswith("inner.txt:1")


def test_paths_in_included_files_are_relative_to_the_specification_as_with_pip(
    tmp_path: Path,
) -> None:
    project(tmp_path / "thing", "thing")
    (tmp_path / "reqs").mkdir()
    (tmp_path / "reqs" / "r.txt").write_text("-e ./thing\n")
    assert texts(read(tmp_path, "-r reqs/r.txt")) == [str(tmp_path / "thing")]


def test_a_file_that_includes_itself_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("a\n-r two.txt\n")
    (tmp_path / "two.txt").write_text("\n\n-c one.txt\n")
    with pytest.raises(InputError, match=r"two.txt:3: includes itself: one.txt -> two.txt -> one"):
        read(tmp_path, "-r one.txt")


def test_includes_that_double_are_read_once(tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / f"{number}.txt").write_text(f"p{number}\n" + f"-r {number + 1}.txt\n" * 2)
    (tmp_path / "60.txt").write_text("end\n")
    assert len(read(tmp_path, "-r 0.txt").requirements) == 61


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-r missing.txt", "pip: item 1: .*missing.txt"),
        ("-r latin.txt", "pip: item 1: .*latin.txt: not UTF-8"),
        ("-r folder", "pip: item 1: .*folder"),
        ("-r bad.txt", "bad.txt:2: 'a ~~ b' is not a requirement"),
        ("-e ./missing", "pip: item 1: .*missing does not exist"),
        ("./missing-1.0-py3-none-any.whl", "does not exist"),
        ("./folder", "folder is not a Python project"),
        ("a >> 1", "'a >> 1' is not a requirement"),
        ("; 1", "'; 1' is not a requirement"),
        ("--user", "--user is not an option that slimpack knows"),
        ("--target=/x", "--target is not an option that slimpack knows"),
        ("--index-url", "--index-url needs a value"),
        ("--pre yes", "--pre takes no value"),
        ("-r", "--requirement needs a value"),
        ("--find-links missing", "missing does not exist"),
        ("--index-url https://h/simple a", "one option a line"),
        ("--index-url 'https://h", "No closing quotation"),
        ("a --global-option=x", "--global-option=x cannot stand after a requirement"),
        ("a --hash=md5:00", "cannot stand after a requirement"),
        ("a\x1b[31m", "characters that cannot be printed"),
        ("./thing ; nonsense", "'nonsense' is not an environment marker"),
        ("-r https://h.example/r.txt", "only files can be included"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    (tmp_path / "bad.txt").write_text("a\na ~~ b\n")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=message):
        read(tmp_path, line)


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InputError):
        read(tmp_path, "-r fifo")


@settings(
    max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    st.lists(
        st.text(st.sampled_from("ab1.-_=<>~[]@:;/\\'\"# \n$-erc{}"), max_size=25)
        | st.text(max_size=10),
        max_size=4,
    )
)
def test_any_text_is_read_or_refused(tmp_path: Path, lines: list[str]) -> None:
    try:
        found = read(tmp_path, *lines)
    except InputError:
        return
    for one in (*found.requirements, *found.constraints):
        assert one.line.isprintable()
        assert not one.line.startswith("-")
