from __future__ import annotations

import pytest

from slimpack.prefix.links import inside, moved

HOMES = ("/home/u/env", "/data/env")


@pytest.mark.parametrize(
    ("path", "target", "where"),
    [
        ("lib/a", "b", "lib/b"),
        ("lib/a", "../bin/b", "bin/b"),
        ("lib/a", "/home/u/env/bin/b", "bin/b"),
        ("lib/a", "/data/env/bin/b", "bin/b"),
        ("lib/a", "/home/u/env", "."),
        ("lib/a", "../../env/bin/b", "bin/b"),
        ("lib/a", "/home/u/env2/b", None),
        ("lib/a", "/etc/ssl", None),
        ("lib/a", "../../x", None),
        ("a", "/home/u/env/../x", None),
    ],
)
def test_inside(path: str, target: str, where: str | None) -> None:
    assert inside(path, target, HOMES) == where


@pytest.mark.parametrize(
    ("target", "at_dest", "portable"),
    [
        ("b", "b", "b"),
        ("../bin/b", "../bin/b", "../bin/b"),
        ("/home/u/env/bin/b", "/opt/env/bin/b", "../bin/b"),
        ("/data/env", "/opt/env", ".."),
        ("../../env/bin/b", "../bin/b", "../bin/b"),
        ("/etc/ssl", "/etc/ssl", "/etc/ssl"),
    ],
)
def test_moved(target: str, at_dest: str, portable: str) -> None:
    assert moved("lib/a", target, HOMES, "/opt/env") == at_dest
    assert moved("lib/a", target, HOMES, None) == portable
