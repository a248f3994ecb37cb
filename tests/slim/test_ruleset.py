from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimpack.errors import InputError
from slimpack.slim import predicates, ruleset
from slimpack.slim.ruleset import PROFILES, Rule, Rules, parse_rules, read_rules, shipped_rules
from slimpack.slim.slimming import choose
from slimpack.tree import bytes_entry
from tests.elf.builder import make_elf
from tests.slim.files import PREFIX, scope, taken, tree


def test_shipped_rules_are_whole() -> None:
    rules = shipped_rules().resolved()
    names = [rule.name for rule in rules.rules]
    assert len(names) == len(set(names)) > 30
    for rule in rules.rules:
        assert rule.profile in PROFILES[1:], rule.name
        assert rule.reason[0] != rule.reason[0].upper() or rule.reason.startswith(
            ("C", "P", "I", "Q", "X", "O")
        ), f"{rule.name}: the reason goes on after a colon"
        assert not rule.reason.endswith("."), rule.name
    assert {keep.name for keep in rules.keeps} == {"licences", "records", "checksums"}


def test_every_predicate_that_a_file_can_name_is_there() -> None:
    assert set(ruleset.PREDICATES) == {"", *predicates.PREDICATES}


def test_each_profile_has_the_rules_of_the_one_before() -> None:
    rules = shipped_rules()
    sizes = [len(rules.of(profile).rules) for profile in PROFILES]
    assert sizes[0] == 0
    assert sizes[:4] == sorted(set(sizes[:4]))
    assert sizes[3] == sizes[4]
    for before, after in pairwise(PROFILES):
        assert set(rules.of(before).rules) <= set(rules.of(after).rules)


def test_the_user_s_rules_count_in_every_profile() -> None:
    rules = Rules((Rule("mine", "because"), Rule("theirs", "so", profile="tight")))
    assert [rule.name for rule in rules.of("none").rules] == ["mine"]
    assert [rule.name for rule in rules.of("tight").rules] == ["mine", "theirs"]


def test_groups() -> None:
    rules = parse_rules(
        """
        [groups]
        compilers = ["gcc", "clang"]
        [[rule]]
        name = "a"
        reason = "r"
        paths = ["x"]
        unless = ["@compilers", "cython"]
        """,
        "f",
    )
    (rule,) = rules.resolved().rules
    assert rule.unless == ("gcc", "clang", "cython")
    assert rule.rests(["clang", "numpy"]) == "clang"
    assert rule.rests(["numpy"]) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[[rule]]\n", "rule[1].name: is missing"),
        ('[[rule]]\nname = "a"\n', "rule[1].reason: is missing"),
        ('[[rule]]\nname = "a"\nreason = "r"\n', "rule[1].paths: is missing"),
        ('[[rule]]\nname = "a"\nreason = "r"\npath = ["x"]\n', "unknown key"),
        (
            '[[rule]]\nname="a"\nreason="r"\npaths=["x"]\nwhen="unused"\n',
            "expected one of unneeded",
        ),
        (
            '[[rule]]\nname="a"\nreason="r"\naction="strip-debug"\nwhen="unneeded"\n',
            "goes with the action drop only",
        ),
        ('[[rule]]\nname="a"\nreason="r"\npaths=["x"]\nprofile="none"\n', "expected one of"),
        ('[[keep]]\nname="a"\nreason="r"\n', "it would keep everything"),
        ('[[rule]]\nname="a"\nreason="r"\npaths=["x"]\n' * 2, "two rules are called 'a'"),
        ("rule = 3", "expected an array of tables"),
        ("[groups]\na = 3\n", "groups.a: expected an array of strings"),
        ("[[rule", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_rules(path)
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_rules(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(InputError, match="not UTF-8"):
        read_rules(tmp_path / "bytes.toml")


def test_unknown_names() -> None:
    with pytest.raises(InputError, match="there is no rule 'headrs'"):
        shipped_rules().without(["headrs"])
    with pytest.raises(InputError, match="there is a slimming rule 'headers' already"):
        shipped_rules() + Rules((Rule("headers", "r"),))
    with pytest.raises(InputError, match="names the group '@nobody'"):
        Rules((Rule("a", "r", unless=("@nobody",)),)).resolved()


def test_shipped_rules_for_packages_that_people_build_with() -> None:
    """No local channel has such packages."""
    files: dict[str, str | bytes | tuple[str, str]] = {
        "bin/x86_64-conda-linux-gnu-ld": ("ld_impl_linux-64", "1"),
        "lib/libfoo.so": ("foo-devel", "-> libfoo.so.1"),
        "lib/libfoo.so.1": ("foo", "2"),
        "share/foo/part.m4": ("foo-devel", "3"),
    }
    rules = shipped_rules().of("safe").resolved()
    graph: dict[str, tuple[str, ...]] = {"ld_impl_linux-64": (), "foo-devel": ("foo",), "foo": ()}
    assert taken(choose(tree(files), rules, scope(graph))) == {
        "bin/x86_64-conda-linux-gnu-ld": "build-tools",
        "lib/libfoo.so": "development-packages",
        "share/foo/part.m4": "development-packages",
    }
    compiling = choose(tree(files), rules, scope({**graph, "gcc_impl_linux-64": ()}))
    assert not taken(compiling)
    assert "the rule 'build-tools' rests: the environment has gcc_impl_linux-64" in compiling.notes


def test_shipped_rules_for_windows_on_a_screen() -> None:
    library = "lib/libtk8.6.so"
    files = tree({"lib/tk8.6/tk.tcl": ("tk", "1"), "lib/python3.11/tkinter/__init__.py": ""})
    files = files.merge(
        bytes_entry(f"{PREFIX}/{path}", make_elf(needed=needed), mode=0o755, owner=owner)
        for path, owner, needed in (
            (library, "tk", ()),
            ("lib/python3.11/lib-dynload/_tkinter.cpython-311.so", "pkg", ("libtk8.6.so",)),
        )
    )
    rules, where = shipped_rules().of("serve").resolved(), scope({"tk": (), "pkg": ("tk",)})
    gone = taken(choose(files, rules, where))
    assert {path: rule for path, rule in gone.items() if rule == "tk"} == {
        library: "tk",
        "lib/tk8.6/tk.tcl": "tk",
    }
    assert set(gone.values()) == {"tk", "tkinter"}
    other = bytes_entry(f"{PREFIX}/bin/wish", make_elf(needed=["libtk8.6.so"]), mode=0o755)
    assert library not in taken(choose(files.merge([other]), rules, where))


@given(st.text())
def test_any_text_is_rules_or_an_input_error(text: str) -> None:
    with suppress(InputError):
        parse_rules(text, "f")
