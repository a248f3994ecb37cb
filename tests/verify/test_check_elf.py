"""Libraries that are there, and every way in which they are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slimpack.tree import under
from slimpack.verify.subject import Start
from tests.elf.builder import make_elf
from tests.verify.subjects import PREFIX, SITE, Link, Mode, conda_record, findings, subject

LOADER = "/lib64/ld-linux-x86-64.so.2"
LIBC = make_elf(soname="libc.so.6", defs=("GLIBC_2.2.5", "GLIBC_2.36"))
BASE = {
    "lib64/ld-linux-x86-64.so.2": make_elf(soname="ld-linux-x86-64.so.2"),
    "lib/x86_64-linux-gnu/libc.so.6": LIBC,
}
LIB = f"{PREFIX}/lib"
DYNLOAD = f"{LIB}/python3.11/lib-dynload"


def program(**fields: Any) -> Mode:
    return Mode(0o755, make_elf(interpreter=LOADER, flags_1=0x08000000, **fields))


PYTHON = {
    f"{PREFIX}/bin/python3.11": program(needed=("libc.so.6",), rpath="$ORIGIN/../lib"),
    f"{LIB}/python3.11/os.py": "",
}
MODULE = f"{SITE}/pkg/_core.cpython-311-x86_64-linux-gnu.so"


def made(tmp_path: Path, files: dict[str, Any], **more: Any) -> Any:
    return subject(tmp_path, {**BASE, **PYTHON, **files}, **more)


def owned(name: str, *paths: str) -> dict[str, Any]:
    inside = [path.removeprefix(f"{PREFIX}/") for path in paths]
    return {f"{PREFIX}/conda-meta/{name}-1.0-0.json": conda_record(name, inside)}


def test_all_is_found(tmp_path: Path) -> None:
    files = {
        f"{LIB}/liba.so.1": Link("liba.so.1.2"),
        f"{LIB}/liba.so.1.2": make_elf(soname="liba.so.1", needed=("libb.so", "libc.so.6"),
                                       runpath="$ORIGIN"),
        f"{LIB}/libb.so": make_elf(soname="libb.so"),
        MODULE: make_elf(needed=("liba.so.1",)),  # through DT_RPATH of the interpreter
        f"{PREFIX}/bin/tool": program(needed=("liba.so.1",), runpath="$ORIGIN/../lib"),
    }  # fmt: skip
    assert findings("elf-needed", made(tmp_path, files)) == []


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (f"{PREFIX}/bin/tool", program(needed=("libgone.so.1",))),
        (MODULE, make_elf(needed=("libgone.so.1",))),
        (f"{DYNLOAD}/_x.cpython-311-x86_64-linux-gnu.so", make_elf(needed=("libgone.so.1",))),
        (f"{SITE}/fast.abi3.so", make_elf(needed=("libgone.so.1",))),
    ],
)
def test_a_library_that_is_not_there(tmp_path: Path, path: str, content: Any) -> None:
    ((severity, found, message),) = findings("elf-needed", made(tmp_path, {path: content}))
    assert (severity, found) == ("error", path)
    assert message.startswith("needs libgone.so.1, which is not in ")


def test_a_library_that_something_needs(tmp_path: Path) -> None:
    files = {
        f"{LIB}/liba.so.1": make_elf(soname="liba.so.1", needed=("libgone.so.1",)),
        f"{PREFIX}/bin/tool": program(needed=("liba.so.1",), rpath="$ORIGIN/../lib"),
    }
    found = findings("elf-needed", made(tmp_path, files))
    assert [one[:2] for one in found] == [("error", f"{LIB}/liba.so.1")]


def test_a_plugin_that_nothing_needs_is_a_warning(tmp_path: Path) -> None:
    files = {f"{LIB}/plugins/libqsqlmysql.so": make_elf(needed=("libmysqlclient.so.21",))}
    found = findings("elf-needed", made(tmp_path, files))
    assert [one[:2] for one in found] == [("warning", f"{LIB}/plugins/libqsqlmysql.so")]


def test_a_library_where_the_loader_does_not_look(tmp_path: Path) -> None:
    lost = f"{LIB}/deep/libb.so"
    files = {MODULE: make_elf(needed=("libb.so",)), lost: make_elf(soname="libb.so")}
    found = findings("elf-needed", made(tmp_path, files))
    assert [one[:2] for one in found] == [("error", MODULE)]
    # The package opens its own before it imports the module.
    assert findings("elf-needed", made(tmp_path, owned("pkg", MODULE, lost))) == []


def test_the_search_path_of_the_image_s_environment(tmp_path: Path) -> None:
    files = {MODULE: make_elf(needed=("libb.so",)), f"{LIB}/deep/libb.so": make_elf()}
    env = (("LD_LIBRARY_PATH", f"/{LIB}/deep"),)
    start = Start(entrypoint=("x",), env=env)
    assert findings("elf-needed", made(tmp_path, files, start=start)) == []


def test_a_loader_that_is_not_there(tmp_path: Path) -> None:
    tool = Mode(0o755, make_elf(interpreter="/lib/ld-musl-x86_64.so.1", flags_1=0x08000000))
    assert findings("elf-needed", made(tmp_path, {f"{PREFIX}/bin/tool": tool})) == [
        ("error", f"{PREFIX}/bin/tool", "its loader /lib/ld-musl-x86_64.so.1 is not there")
    ]


@pytest.mark.parametrize(
    "content",
    [
        make_elf(machine=183, needed=("libgone.so.1",)),  # aarch64, for tests or for others
        make_elf(kind=1),  # an object file
        b"MZ\x90 a launcher for another system",
        make_elf(needed=("libcuda.so.1", "libnvidia-ml.so.1")),  # the driver's, from the host
    ],
)
def test_what_is_no_fault(tmp_path: Path, content: bytes) -> None:
    assert findings("elf-needed", made(tmp_path, {MODULE: content})) == []


def test_a_module_that_never_worked_is_a_warning(tmp_path: Path) -> None:
    asked: list[str] = []

    def baseline(names: Any) -> set[str]:
        asked.extend(names)
        return {"pkg._core"}

    other = f"{SITE}/other.abi3.so"
    needs = make_elf(needed=("libgone.so.1",))
    found = findings("elf-needed", made(tmp_path, {MODULE: needs, other: needs}), baseline=baseline)
    assert [one[:2] for one in found] == [("error", other), ("warning", MODULE)]
    assert asked == ["other", "pkg._core"]


def test_a_program_that_its_package_starts_is_a_warning(tmp_path: Path) -> None:
    tool, lib = f"{SITE}/pkg/bin/tool", f"{SITE}/pkg/lib/libown.so"
    files = {tool: program(needed=("libown.so",)), lib: make_elf(soname="libown.so")}
    found = findings("elf-needed", made(tmp_path, {**files, **owned("pkg", tool, lib)}))
    assert [one[:2] for one in found] == [("warning", tool)]


def test_what_was_missing_before_slimming_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    tool = {"bin/tool": program(needed=("libgone.so.1",))}
    before = subject(tmp_path / "before", tool, kind="prefix")
    files = {
        f"{PREFIX}/bin/tool": program(needed=("libgone.so.1", "libother.so")),
        f"{PREFIX}/bin/new": program(needed=("libgone.so.1",)),
    }
    found = findings("elf-needed", made(tmp_path, files), before=lambda: before)
    assert [one[:2] for one in found] == [
        ("error", f"{PREFIX}/bin/new"),
        ("error", f"{PREFIX}/bin/tool"),
        ("warning", f"{PREFIX}/bin/tool"),
    ]
    assert "libother.so" in found[1][2]


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    found = findings("elf-needed", made(tmp_path, {MODULE: make_elf()[:100]}))
    assert [one[:2] for one in found] == [("warning", MODULE)]


def test_versions_that_are_there(tmp_path: Path) -> None:
    needs = {"libc.so.6": (("GLIBC_2.36", 0),)}
    files = {MODULE: make_elf(needed=("libc.so.6",), needs=needs)}
    assert findings("symbol-versions", made(tmp_path, files)) == []


@pytest.mark.parametrize(
    ("library", "version"),
    [("libc.so.6", "GLIBC_2.38"), ("libstdc++.so.6", "GLIBCXX_3.4.32"), ("libcudart.so.12", "v13")],
)
def test_a_version_that_is_missing(tmp_path: Path, library: str, version: str) -> None:
    files = {
        f"{LIB}/libstdc++.so.6": make_elf(
            soname="libstdc++.so.6", defs=("GLIBCXX_3.4", "GLIBCXX_3.4.30")
        ),
        f"{LIB}/libcudart.so.12": make_elf(soname="libcudart.so.12", defs=("v11", "v12")),
        MODULE: make_elf(needed=(library,), needs={library: ((version, 0),)}),
        f"{PREFIX}/bin/tool": program(
            needed=(library,), rpath="$ORIGIN/../lib", needs={library: ((version, 0),)}
        ),
    }
    found = findings("symbol-versions", made(tmp_path, files))
    assert [one[:2] for one in found] == [("error", f"{PREFIX}/bin/tool"), ("error", MODULE)]
    assert f"needs version {version} of {library}, which /" in found[0][2]


def test_an_environment_is_looked_up_on_this_machine(tmp_path: Path) -> None:
    tool = make_elf(
        interpreter="/lib64/ld-linux-x86-64.so.2",
        needed=("libc.so.6", "libgone.so.1"),
        rpath="$ORIGIN/../lib",
        flags_1=0x08000000,
        needs={"libc.so.6": (("GLIBC_99.9", 0),)},
    )
    on = subject(tmp_path, {"bin/tool": Mode(0o755, tool)}, kind="prefix")
    assert under("", "bin/tool") in on.tree
    assert ["libgone" in message for _, _, message in findings("elf-needed", on)] == [True]
    assert ["GLIBC_99.9" in message for _, _, message in findings("symbol-versions", on)] == [True]
