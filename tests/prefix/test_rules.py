from __future__ import annotations

import pytest

from slimpack.prefix.rules import RULES, harmless


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("lib/python3.11/__pycache__/os.cpython-311.pyc", "bytecode"),
        ("include/zlib.h", "headers"),
        ("lib/libz.a", "static libraries"),
        ("lib/pkgconfig/zlib.pc", "build files"),
        ("share/man/man1/x.1", "documentation"),
        ("lib/python3.11/site-packages/numpy/tests/test_x.py", "tests"),
        ("lib/python3.11/test/support.py", "tests"),
    ],
)
def test_deleted(path: str, name: str) -> None:
    rule = harmless(path, deleted=True)
    assert rule is not None
    assert rule.name == name


@pytest.mark.parametrize(
    "path",
    [
        "lib/libz.so.1",
        "bin/python3.11",
        "lib/python3.11/site-packages/numpy/testing/__init__.py",
        "lib/python3.11/unittest/case.py",
        "share/mime/packages/freedesktop.org.xml",
        "ssl/cacert.pem",
        "etc/conda/activate.d/x.sh",
    ],
)
def test_what_programs_need(path: str) -> None:
    assert harmless(path, deleted=True) is None


def test_only_what_is_made_anew_may_change() -> None:
    assert harmless("include/zlib.h", deleted=False) is None
    assert harmless("share/mime/mime.cache", deleted=False) is not None
    assert {rule.name for rule in RULES if rule.changes} == {"bytecode", "caches"}
