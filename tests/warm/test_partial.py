"""What is unpacked and looked at after packages of modules have changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from slimpack.env.locks.lock import Lock, LockedPackage
from slimpack.verify.checks import CHECKS
from slimpack.verify.dependence import Dependence, misses
from slimpack.verify.model import Finding, Result, Verification
from slimpack.warm.imported import Files, Imported
from slimpack.warm.partial import BY_FILE, COMPARING, NATIVE, Partial, partial_of, with_known

SITE = "opt/env/lib/python3.11/site-packages"
OWNERS = {
    f"{SITE}/changed/__init__.py": "changed",
    f"{SITE}/user/__init__.py": "user",
    f"{SITE}/user-1.dist-info/METADATA": "user",
    f"{SITE}/heavy/__init__.py": "heavy",
    f"{SITE}/heavy/core.so": "heavy",
    f"{SITE}/heavy/deep/x.py": "heavy",
    "opt/env/share/needed/x.txt": "needed",
    "opt/env/share/python/x.txt": "python",
    f"{SITE}/single.py": "single",
    "opt/env/lib/libneeded.so": "needed",
    "opt/env/lib/libheavy.so": "heavy-library",
    "opt/env/bin/python3.11": "python",
    "opt/env/conda-meta/history": "",
    "opt/env/conda-meta/heavy-1-0.json": "heavy",
    "opt/env/loose.txt": "",
}
NEEDS = {"changed": (), "user": ("needed",), "heavy": ("heavy-library",), "python": ()}
RESULTS = tuple(Result(one.name, one.severity, "", "") for one in CHECKS)
FILES = Files("/opt/env", {}, "rest", frozenset(), OWNERS)


def lock() -> Lock:
    packages = [
        LockedPackage(name, "1", "0", "noarch", "", depends=NEEDS.get(name, ()))
        for name in sorted({*OWNERS.values()} - {""})
    ]
    return Lock("linux-64", tuple(packages), "")


def imported(**fields: Any) -> Imported:
    """What is known when "user" imports "changed", and is imported again for that."""
    dependence = Dependence()
    dependence.add("edge", "user", ["changed"])
    for name in ("changed", "user", "heavy"):
        dependence.add("file", name, [f"{SITE}/{name}/__init__.py"])
    known = Imported(
        dependence=dependence,
        loaded={"changed": "changed", "user": "user", "heavy": "heavy", "single": "single"},
        known=frozenset({"heavy", "single"}),
        failed={},
        changed=frozenset({f"{SITE}/changed/__init__.py"}),
        moved=frozenset(),
        packages=frozenset({"changed"}),
        elf=frozenset(),
        how="how",
        results=RESULTS,
    )
    return replace(known, **fields)


def partial(**fields: Any) -> Partial:
    found = partial_of(imported(**fields), FILES, lock(), "how")
    assert found is not None
    return found


def test_names_of_checks() -> None:
    names = {one.name for one in CHECKS}
    assert {*NATIVE, *BY_FILE} <= names
    assert set(COMPARING) <= set(NATIVE)
    # The others are made of the whole image, whose paths and modes are there.
    left = names - {*NATIVE, *BY_FILE}
    assert left == {"entrypoint", "build-paths", "modes", "imports", "smoke"}


def test_what_is_not_unpacked() -> None:
    found = partial()
    assert found.absent == {
        f"{SITE}/heavy/__init__.py",
        f"{SITE}/heavy/core.so",
        f"{SITE}/heavy/deep",
        f"{SITE}/heavy/deep/x.py",
        "opt/env/lib/libheavy.so",
        "opt/env/share/needed",
        "opt/env/share/needed/x.txt",
        "opt/env/conda-meta/heavy-1-0.json",
    }
    assert found.known.keys() == {
        path for path, owner in OWNERS.items() if owner not in ("", "changed")
    }
    assert found.results.keys() == set(NATIVE)


def test_what_failed_is_imported_again_with_what_it_reads() -> None:
    assert f"{SITE}/heavy/core.so" not in partial(failed={"heavy": "no"}).absent


@pytest.mark.parametrize(
    "fields",
    [
        {"how": "other"},
        {"results": ()},
        {"results": RESULTS[1:]},
        {"elf": frozenset({f"{SITE}/changed/__init__.py"})},
        {"moved": frozenset({"opt/env/bin/changed"})},
        {"results": (replace(RESULTS[0], findings=(Finding("x", "y"),)), *RESULTS[1:])},
    ],
)
def test_when_all_is_looked_at(fields: dict[str, Any]) -> None:
    assert RESULTS[0].name in COMPARING
    assert partial_of(imported(**fields), FILES, lock(), "how") is None


def test_without_a_lock() -> None:
    assert partial_of(imported(), FILES, None, "how") is None


ABSENT = frozenset(
    {f"{SITE}/heavy/deep", f"{SITE}/heavy/__init__.py", f"{SITE}/heavy/core.so", "opt/env/x.so"}
)


@pytest.mark.parametrize(
    ("kind", "what", "missed"),
    [
        ("file", f"{SITE}/heavy/core.so", True),
        ("stat", f"{SITE}/heavy/core.so", True),
        ("exists", f"{SITE}/heavy/core.so", True),
        ("exists", f"{SITE}/heavy", False),
        ("stat", f"{SITE}/heavy", False),  # the folder is there
        ("list", SITE, False),
        ("list", f"{SITE}/heavy/deep", True),
        ("stat", f"{SITE}/heavy/deep", True),
        ("list", f"{SITE}/heavy", True),
        ("search", f"{SITE}\0heavy", True),
        ("search", f"{SITE}/heavy\0core", True),
        ("search", "opt/env\0x", True),
        ("search", f"{SITE}\0light", False),
        ("edge", "heavy", False),  # looked for, or loaded: that is seen
    ],
)
def test_what_is_missed(kind: str, what: str, missed: bool) -> None:
    dependence = Dependence()
    dependence.add(kind, "user", [what])
    assert misses(dependence, ABSENT) is missed


def test_what_was_found_before_is_told_again() -> None:
    old = [
        Finding(f"{SITE}/heavy/x.pyc", "is cut off", "heavy"),
        Finding(f"{SITE}/changed/x.pyc", "is cut off", "changed"),
        Finding("opt/env/gone.pyc", "is cut off", "changed"),
    ]
    owners = {**OWNERS, f"{SITE}/heavy/x.pyc": "heavy"}
    results = tuple(
        replace(one, findings=tuple(old)) if one.name in ("bytecode", "modes") else one
        for one in RESULTS
    )
    found = partial_of(imported(results=results), replace(FILES, owners=owners), lock(), "how")
    assert found is not None
    new = Finding(f"{SITE}/changed/y.pyc", "is cut off", "changed")
    now = tuple(replace(one, findings=(new,)) if one.name == "bytecode" else one for one in RESULTS)
    done = with_known(found, Verification("x", "image", "linux/amd64", "unshare", now))
    told = {one.name: one.findings for one in done.results}
    assert told["bytecode"] == (new, old[0])
    assert told["modes"] == ()
