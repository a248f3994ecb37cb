from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimpack.slim.modules import Import, Module, imports_of, module_at

SITE = "lib/python3.11/site-packages"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"{SITE}/a/b.py", Module("a.b", package=False)),
        (f"{SITE}/a/__init__.py", Module("a", package=True)),
        (f"{SITE}/a/__pycache__/b.cpython-311.pyc", Module("a.b", package=False)),
        (f"{SITE}/a/__pycache__/__init__.cpython-311.pyc", Module("a", package=True)),
        (f"{SITE}/a/b.pyc", Module("a.b", package=False)),
        (f"{SITE}/a/_c.cpython-311-x86_64-linux-gnu.so", Module("a._c", package=False)),
        (f"{SITE}/a/_c.abi3.so", Module("a._c", package=False)),
        (f"{SITE}/_c.so", Module("_c", package=False)),
        ("lib/python3.11/os.py", Module("os", package=False)),
        ("lib/python3.13t/os.py", Module("os", package=False)),
        ("lib/python3.11/lib-dynload/_ssl.cpython-311-x86_64-linux-gnu.so", Module("_ssl", False)),
        (f"{SITE}/a.libs/libx-1a2b.so.3", None),
        (f"{SITE}/a-1.0.dist-info/METADATA", None),
        (f"{SITE}/a/data.json", None),
        (f"{SITE}/__init__.py", None),
        ("lib/libz.so", None),
        ("share/x.py", None),
        (f"{SITE}/a/not-a-name.py", None),
    ],
)
def test_module_at(path: str, expected: Module | None) -> None:
    assert module_at(path) == expected


SOURCE = b"""
import os, sys as system
import a.b.c
from x import (  # why
    y,
    z as zz,  # because
)
from . import sibling
from .. import uncle
from .near import thing
from ...gone import nothing
def f():
    import late
    from later import it
try:
    import perhaps
except ImportError:
    pass
from q import *
important = 1
try: import short
except ImportError: import shorter
from .import beside
from.near2 import thing2
import back, \\
    slash
x = 1; import after
"""


def test_imports() -> None:
    found = list(imports_of(SOURCE, Module("p.q.m", package=False)))
    names = {item.name for item in found if item.at_start}
    assert names == {
        *("os", "sys", "a.b.c", "x", "x.y", "x.z", "p.q", "p.q.sibling", "p", "p.uncle"),
        *("p.q.near", "p.q.near.thing", "q", "back", "slash"),
        *("p.q.beside", "p.q.near2", "p.q.near2.thing2"),
    }
    assert {item.name for item in found if not item.at_start} == {
        *("late", "later", "later.it", "perhaps", "short", "shorter", "after"),
    }


def test_relative_imports_of_a_package() -> None:
    found = set(imports_of(b"from .a import b\nfrom . import c\n", Module("p", package=True)))
    assert found == {Import(n, at_start=True) for n in ("p", "p.a", "p.a.b", "p.c")}


NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: (
        name
        not in {
            "as",
            "in",
            "is",
            "or",
            "if",
            "and",
            "not",
            "for",
            "def",
            "del",
            "try",
            "from",
            "pass",
            "with",
            "elif",
            "else",
            "while",
            "raise",
            "import",
            "class",
            "yield",
            "break",
            "async",
            "await",
            "global",
            "return",
            "lambda",
            "except",
            "assert",
            "finally",
            "continue",
            "nonlocal",
        }
    )
)
DOTTED = st.lists(NAMES, min_size=1, max_size=3).map(".".join)
STATEMENTS = st.one_of(
    st.lists(st.tuples(DOTTED, st.none() | NAMES), min_size=1, max_size=3).map(
        lambda items: "import " + ", ".join(n + (f" as {a}" if a else "") for n, a in items)
    ),
    st.tuples(
        DOTTED, st.lists(st.tuples(NAMES, st.none() | NAMES), min_size=1, max_size=3), st.booleans()
    ).map(
        lambda item: "from {} import {}".format(
            item[0],
            ("(\n    {},\n)" if item[2] else "{}").format(
                ", ".join(n + (f" as {a}" if a else "") for n, a in item[1])
            ),
        )
    ),
)


@given(st.lists(STATEMENTS, max_size=4))
def test_as_the_compiler_sees_them(statements: list[str]) -> None:
    source = "\n".join(statements)
    expected = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            expected |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            expected |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    assert {item.name for item in imports_of(source.encode(), Module("m", False))} == expected


@given(st.binary())
def test_any_bytes(source: bytes) -> None:
    list(imports_of(source, Module("a.b", package=False)))
