from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimpack.slim.account import account
from slimpack.slim.record import Applied, SlimRecord, Usage, read_record
from slimpack.slim.ruleset import Keep, Rule, Rules
from slimpack.slim.slimming import Scope, choose, without
from slimpack.tree import Tree, bytes_entry, directory_entry
from tests.slim.files import PREFIX, SITE, chosen, scope, taken, tree

HEADERS = Rule("headers", "r", paths=("include", "**/*.h"))


def test_the_first_rule_is_told() -> None:
    files = {"include/a.h": "1", "lib/b.h": "2", "lib/b.so": "3"}
    again = Rule("again", "r", paths=("lib",))
    assert taken(chosen(files, HEADERS, again)) == {
        "include/a.h": "headers",
        "lib/b.h": "headers",
        "lib/b.so": "again",
    }


def test_nothing_outside_of_the_prefix_and_nothing_of_the_application() -> None:
    outside = Tree([*tree({"include/a.h": "1"}), directory_entry("include")])
    choice = choose(outside, Rules((HEADERS,)), scope())
    assert taken(choice) == {"include/a.h": "headers"}
    app = tree({"app/x.h": ("application", "1"), "x.h": "2"})
    spared = scope()
    spared = type(spared)(prefix=PREFIX, graph=spared.graph, spared=("application",))
    assert taken(choose(app, Rules((HEADERS,)), spared)) == {"x.h": "headers"}


def test_keep_wins() -> None:
    files = {"include/LICENSE.h": "1", "include/a.h": "2"}
    keep = Keep("licences", "r", ("**/LICENSE*",))
    assert taken(chosen(files, HEADERS, keeps=[keep])) == {"include/a.h": "headers"}


def test_licences_go_with_a_package_that_goes_but_not_what_the_user_keeps() -> None:
    files = {"LICENSE": ("pip", "1"), "bin/pip": ("pip", "2"), "other": ("numpy", "3")}
    rule = Rule("installers", "r", packages=("pip",))
    licences = Keep("licences", "r", ("**/LICENSE*",))
    graph: dict[str, tuple[str, ...]] = {"pip": (), "numpy": ()}
    choice = chosen(files, rule, keeps=[licences], graph=graph)
    assert set(taken(choice)) == {"LICENSE", "bin/pip"}
    mine = Keep("keep", "r", ("bin",), firm=True)
    assert set(taken(chosen(files, rule, keeps=[licences, mine], graph=graph))) == {"LICENSE"}


def test_keep_of_one_package() -> None:
    files = {"a.h": ("numpy", "1"), "b.h": ("scipy", "2")}
    keep = Keep("k", "r", ("**/*.h",), packages=("numpy",))
    graph: dict[str, tuple[str, ...]] = {"numpy": (), "scipy": ()}
    assert set(taken(chosen(files, HEADERS, keeps=[keep], graph=graph))) == {"b.h"}


def test_a_rule_for_pip_s_packages_and_conda_s() -> None:
    files = {"a": ("pypi:setuptools", "1"), "b": ("setuptools", "2"), "c": ("pypi:x", "3")}
    rule = Rule("r", "r", packages=("setuptools",))
    graph: dict[str, tuple[str, ...]] = {"pypi:setuptools": (), "setuptools": (), "pypi:x": ()}
    assert set(taken(chosen(files, rule, graph=graph))) == {"a", "b"}


def test_a_rule_rests_and_says_so() -> None:
    rule = Rule("headers", "r", paths=("include",), unless=("gcc_impl_*",))
    graph: dict[str, tuple[str, ...]] = {"pkg": (), "gcc_impl_linux-64": ()}
    choice = chosen({"include/a.h": "1"}, rule, graph=graph)
    assert not choice.changes
    assert choice.notes == ("the rule 'headers' rests: the environment has gcc_impl_linux-64",)


def test_spared_packages_and_what_depends_on_them() -> None:
    rule = Rule("r", "r", paths=("**/*.h",), spare=("cupy",))
    files = {f"{name}.h": (name, "1") for name in ("cupy", "user", "above", "numpy")}
    graph = {"cupy": ("numpy",), "user": ("cupy",), "above": ("user",), "numpy": ()}
    assert set(taken(chosen(files, rule, graph=graph))) == {"numpy.h"}


def test_links_go_with_what_they_lead_to() -> None:
    files = {
        "lib/libx.a": "1",
        "lib/liby.a": "-> libx.a",
        "lib/far": "-> ../share/doc",
        "share/doc/readme": "2",
        "lib/chain": "-> far",
        "lib/stays": "-> ../share",
        "share/else": "3",
        "lib/nowhere": "-> gone",
    }
    rule = Rule("r", "r", paths=("lib/libx.a", "share/doc"))
    assert set(taken(chosen(files, rule))) == {
        *("lib/libx.a", "lib/liby.a", "share/doc/readme", "lib/far", "lib/chain"),
    }


def test_folders_that_are_left_empty_go_too() -> None:
    whole = Tree([
        *tree({"a/b/c.h": "1", "d/e.txt": "2"}),
        *(directory_entry(f"{PREFIX}/{path}") for path in ("a", "a/b", "d", "empty")),
    ])  # fmt: skip
    left = without(whole, {"a/b/c.h"}, PREFIX)
    # One that was empty before is there for a reason.
    assert [entry.path for entry in left] == [
        f"{PREFIX}/d", f"{PREFIX}/d/e.txt", f"{PREFIX}/empty",
    ]  # fmt: skip


TESTS = Rule("tests", "r", paths=(f"{SITE}/**/tests",), when="unimported")


def test_tests_that_nobody_imports_go_whole() -> None:
    files = {
        f"{SITE}/p/__init__.py": "import os\n",
        f"{SITE}/p/tests/__init__.py": "",
        f"{SITE}/p/tests/test_a.py": "from p.tests import helper\n",
        f"{SITE}/p/tests/helper.py": "",
        f"{SITE}/p/tests/data.csv": "1",
        f"{SITE}/p/tests/__pycache__/test_a.cpython-311.pyc": "1",
    }
    assert set(taken(chosen(files, TESTS))) == {path for path in files if "/tests/" in path}


def test_test_modules_that_are_imported_stay_with_what_they_import() -> None:
    files = {
        f"{SITE}/p/__init__.py": "def f():\n    from .tests.helper import x\n",
        f"{SITE}/p/tests/__init__.py": "",
        f"{SITE}/p/tests/helper.py": "from . import deeper\n",
        f"{SITE}/p/tests/__pycache__/helper.cpython-311.pyc": "1",
        f"{SITE}/p/tests/deeper.py": "",
        f"{SITE}/p/tests/test_a.py": "",
        f"{SITE}/q/tests/test_b.py": "import p.tests.test_a\n",
    }
    assert set(taken(chosen(files, TESTS))) == {
        f"{SITE}/p/tests/test_a.py", f"{SITE}/q/tests/test_b.py",
    }  # fmt: skip


def test_imports_at_start_only() -> None:
    rule = Rule("f2py", "r", paths=(f"{SITE}/p/f2py",), when="unimported-at-start")
    files = {
        f"{SITE}/p/__init__.py": "def f():\n    import p.f2py\n",
        f"{SITE}/p/f2py/__init__.py": "",
    }
    assert set(taken(chosen(files, rule))) == {f"{SITE}/p/f2py/__init__.py"}
    files[f"{SITE}/user.py"] = "from p import f2py\n"
    assert not taken(chosen(files, rule))
    ignoring = Rule(
        "f2py", "r", paths=(f"{SITE}/p/f2py",), when="unimported-at-start", ignore=("**/user.py",)
    )
    assert taken(chosen(files, ignoring))


def test_packages_are_taken_whole_or_not_at_all() -> None:
    rule = Rule("installers", "r", packages=("setuptools", "pip"), when="unimported-at-start")
    files = {
        f"{SITE}/setuptools/__init__.py": ("setuptools", "import pkg_resources\n"),
        f"{SITE}/pkg_resources/__init__.py": ("setuptools", ""),
        f"{SITE}/setuptools.dist-info/RECORD": ("setuptools", ""),
        f"{SITE}/pip/__init__.py": ("pip", ""),
        f"{SITE}/old/__init__.py": ("old", "import pkg_resources\n"),
    }
    graph: dict[str, tuple[str, ...]] = {"setuptools": (), "pip": (), "old": ()}
    assert set(taken(chosen(files, rule, graph=graph))) == {f"{SITE}/pip/__init__.py"}
    del files[f"{SITE}/old/__init__.py"]
    assert len(taken(chosen(files, rule, graph=graph))) == 4


LIBRARY = Rule("own", "r", paths=("lib/libown*",), when="unmentioned", ignore=("lib/built.py",))
NAMED = {
    "lib/libown-2.so.1.0": ("own", "names itself libown-2.so.1"),
    "lib/libown-2.so": ("own", "-> libown-2.so.1.0"),
    "lib/libown-20.so": ("own", "needs libown-2.so.1"),
    "lib/libown.txt": ("own", ""),
    "lib/built.py": ("python", "LIBRARY = 'libown-2.so'"),
    "conda-meta/own.json": ("own", "lib/libown-2.so.1.0"),
    f"{SITE}/own.dist-info/RECORD": ("own", "lib/libown-2.so.1.0"),
}


def test_a_library_that_nothing_names() -> None:
    assert set(taken(chosen(NAMED, LIBRARY))) == {
        "lib/libown-2.so.1.0", "lib/libown-2.so", "lib/libown-20.so",
    }  # fmt: skip


@pytest.mark.parametrize(
    "user",
    [
        {f"{SITE}/a.py": ("a", "ctypes.CDLL('libown-2.so.1')")},
        {"bin/a": ("a", "x" * ((4 << 20) - 5) + "libown-2.so.1")},
        {"lib/plugin": ("a", "-> ../lib/libown-2.so.1.0")},
    ],
)
def test_a_library_stays_with_all_its_names_where_one_is_told(
    user: dict[str, tuple[str, str]],
) -> None:
    assert set(taken(chosen({**NAMED, **user}, LIBRARY))) == {"lib/libown-20.so"}


def test_a_library_that_stays_keeps_what_it_names() -> None:
    user = {f"{SITE}/a.py": ("a", "ctypes.CDLL('libown-20.so')")}
    assert not taken(chosen({**NAMED, **user}, LIBRARY))


def test_time_zones() -> None:
    rule = Rule("tz", "r", paths=(f"{SITE}/tzdata/zoneinfo",), when="zoneinfo")
    files = {
        "share/zoneinfo/UTC": ("tzdata", "1"),
        f"{SITE}/tzdata/zoneinfo/UTC": ("python-tzdata", "1"),
        "lib/python3.11/_sysconfigdata__linux_x86_64-linux-gnu.py": (
            "python",
            "build_time_vars = {'TZPATH': '/opt/env/share/zoneinfo:/opt/env/share/tzinfo'}",
        ),
    }
    graph: dict[str, tuple[str, ...]] = {"tzdata": (), "python-tzdata": (), "python": ()}
    assert set(taken(chosen(files, rule, graph=graph))) == {f"{SITE}/tzdata/zoneinfo/UTC"}
    elsewhere = {
        path: (owner, text.replace("/opt/env", "/usr")) for path, (owner, text) in files.items()
    }
    assert not taken(chosen(elsewhere, rule, graph=graph))


PATHS = st.sampled_from(
    ["include/a.h", "lib/b.h", "lib/c.so", "bin/d", f"{SITE}/p/tests/t.py", f"{SITE}/p/x.py"]
)
GLOBS = st.sampled_from(["**", "include", "**/*.h", "!lib", "lib/*", "!**/*.py", "bin"])


@given(
    st.sets(PATHS, min_size=1),
    st.lists(GLOBS, min_size=1, max_size=3),
    st.lists(GLOBS, min_size=1, max_size=2),
)
def test_what_is_kept_stays_and_nothing_is_counted_twice(
    paths: set[str], globs: list[str], kept: list[str]
) -> None:
    files = dict.fromkeys(sorted(paths), "content")
    rules = [Rule("a", "r", paths=tuple(globs)), Rule("b", "r", paths=("include", "lib"))]
    keep = Keep("k", "r", tuple(kept))
    before = taken(chosen(files, *rules))
    after = taken(chosen(files, *rules, keeps=[keep]))
    assert set(after) <= set(before) <= paths
    choice = chosen(files, *rules, keeps=[keep])
    left = without(tree(files), taken(choice), PREFIX)
    record = account(
        "safe", PREFIX, Rules(tuple(rules)), scope().files(tree(files)), choice.changes
    )
    assert sum(item.bytes for item in record.before) - record.removed_bytes == left.size
    assert sum(item.files for item in record.before) - record.removed_files == left.files
    assert read_record(record.to_json(), "x") == record


def test_the_record() -> None:
    files = {
        f"{SITE}/p/__init__.py": ("p", "12345"),
        f"{SITE}/p/tests/test_a.py": ("p", "123"),
        f"{SITE}/gone/__init__.py": ("gone", "1"),
        "include/a.h": ("p", "12"),
    }
    rules = Rules((
        Rule("tests", "because", profile="safe", paths=(f"{SITE}/**/tests",)),
        Rule("gone", "so", packages=("gone",)),
        Rule("idle", "never", paths=("nothing",)),
    ))  # fmt: skip
    graph: dict[str, tuple[str, ...]] = {"p": (), "gone": ()}
    choice = choose(tree(files), rules, scope(graph))
    record = account("safe", PREFIX, rules, scope().files(tree(files)), choice.changes)
    assert [rule.name for rule in record.rules] == ["tests", "gone"]
    assert record.applied == (
        Applied("gone", "gone", "Python source", 1, 1),
        Applied("tests", "p", "tests", 1, 3),
    )
    assert record.before == (
        Usage("gone", "Python source", 1, 1),
        Usage("p", "Python source", 1, 5),
        Usage("p", "headers", 1, 2),
        Usage("p", "tests", 1, 3),
    )
    assert record.modules == ("gone",)
    assert record.packages == ("gone",)
    assert isinstance(record, SlimRecord)


def test_what_the_application_imports_stays() -> None:
    files = {
        f"{SITE}/p/__init__.py": ("p", ""),
        f"{SITE}/p/tests/__init__.py": ("p", ""),
        f"{SITE}/p/tests/data.py": ("p", ""),
        f"{SITE}/p/tests/test_a.py": ("p", ""),
    }
    whole = Tree([
        *tree(files),
        bytes_entry("app/main.py", b"from p.tests.data import x\n", owner="application"),
    ])  # fmt: skip
    where = Scope(prefix=PREFIX, graph={"p": ()}, spared=("application",))
    assert set(taken(choose(whole, Rules((TESTS,)), where))) == {f"{SITE}/p/tests/test_a.py"}
