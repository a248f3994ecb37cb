"""Finding libraries as ld.so does: in a made-up file system, and beside the real one."""

from __future__ import annotations

import os
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from slimpack.elf.loader import default_directories
from slimpack.elf.read import Elf, ElfError, read_elf
from slimpack.elf.resolve import Loaded, Module, Need, Resolver, missing_versions
from slimpack.env.inputs.spec import EnvSpec
from slimpack.env.rattler.engine import RattlerEngine
from tests.elf.programs import PROGRAM, gcc, library
from tests.support.channel import GLIBC

DEFAULT = ("/lib/x86_64-linux-gnu", "/lib")


def elf(*needed: str, **fields: object) -> Elf:
    whole = {"bits": 64, "byteorder": "little", "machine": "x86_64", "kind": "shared"}
    return Elf(**{**whole, "needed": needed, **fields})  # type: ignore[arg-type]


def resolver(files: dict[str, Elf], *library_path: str) -> Resolver:
    return Resolver(files.get, DEFAULT, library_path)


def found(
    files: dict[str, Elf], path: str, *ancestors: str, env: tuple[str, ...] = ()
) -> list[str | None]:
    above = [Module(one, files[one]) for one in ancestors]
    return [need.path for need in resolver(files, *env).resolve(path, files[path], above)]


def test_the_order_of_the_rules() -> None:
    files = {
        "/app/main": elf("x", rpath=("/rpath",), kind="executable"),
        "/app/new": elf("x", rpath=("/rpath",), runpath=("/runpath",), kind="executable"),
    }
    places = ["/rpath/x", "/env/x", "/runpath/x", "/lib/x86_64-linux-gnu/x", "/lib/x"]
    files |= dict.fromkeys(places, elf())
    env = ("/env",)
    for path, order in (("/app/main", [0, 1, 3, 4]), ("/app/new", [1, 2, 3, 4])):
        left = dict(files)
        for n in order:
            assert found(left, path, env=env) == [places[n]]
            del left[places[n]]
        assert found(left, path, env=env) == [None]


def test_rpath_of_what_loaded_it_counts_and_runpath_does_not() -> None:
    files = {
        "/app/main": elf(rpath=("$ORIGIN/lib",), kind="executable"),
        "/app/lib/plain": elf("x"),
        "/app/lib/own": elf("x", runpath=("/nowhere",)),
        "/app/lib/x": elf(),
    }
    assert found(files, "/app/lib/plain", "/app/main") == ["/app/lib/x"]
    assert found(files, "/app/lib/own", "/app/main") == [None]
    files["/app/main"] = elf(runpath=("$ORIGIN/lib",), kind="executable")
    assert found(files, "/app/lib/plain", "/app/main") == [None]
    # A library between them that has a DT_RUNPATH does not end the chain.
    files["/app/main"] = elf(rpath=("$ORIGIN/lib",))
    assert found(files, "/app/lib/plain", "/app/lib/own", "/app/main") == ["/app/lib/x"]


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("$ORIGIN/../lib", "/opt/env/lib"),
        ("${ORIGIN}/..", "/opt/env"),
        ("$ORIGIN", "/opt/env/bin"),
        ("//a//b/./c/", "/a/b/c"),
        ("/usr/$LIB", "/usr/lib/x86_64-linux-gnu"),
        ("/p/${PLATFORM}/q", "/p/x86_64/q"),
        ("/$ORIGINAL", "/$ORIGINAL"),
        ("/a/../../..", "/"),
    ],
)
def test_tokens(folder: str, expected: str) -> None:
    target = f"{expected.rstrip('/')}/x"
    files = {"/opt/env/bin/main": elf("x", runpath=(folder,)), target: elf()}
    assert found(files, "/opt/env/bin/main") == [target]


def test_folders_relative_to_the_working_directory_find_nothing() -> None:
    files = {"/main": elf("x", rpath=("", ".", "lib")), "/x": elf(), "/lib/y": elf()}
    assert found(files, "/main") == [None]


def test_names_with_a_slash_are_paths() -> None:
    files = {"/a/main": elf("/b/x", "$ORIGIN/y", "lib/z"), "/b/x": elf(), "/a/y": elf()}
    files |= {"/lib/lib/z": elf()}
    assert found(files, "/a/main") == ["/b/x", "/a/y", None]


def test_another_machine_is_passed_over_and_named() -> None:
    files = {
        "/main": elf("x", "y", rpath=("/a", "/b", "/c", "/d")),
        "/a/x": elf(machine="aarch64"),
        "/b/x": elf(bits=32),
        "/c/x": elf(byteorder="big"),
        "/d/x": elf(),
        "/a/y": elf(machine="aarch64"),
    }
    needs = resolver(files).resolve("/main", files["/main"])
    assert needs[0] == Need("x", "/d/x", "DT_RPATH of /main")
    assert needs[1].path is None
    assert needs[1].why == (
        "not in /a (there for aarch64, passed over), /b, /c, /d, /lib/x86_64-linux-gnu, /lib"
    )


def test_no_default_paths() -> None:
    files = {"/main": elf("x", no_default_paths=True), "/lib/x": elf()}
    assert found(files, "/main") == [None]


def test_what_is_loaded_already_needs_no_search() -> None:
    files = {"/m.so": elf("libtorch.so", "libc10.so")}
    loaded = {"libtorch.so": "/torch/lib/libtorch.so", "libc10.so": ""}
    needs = resolver(files).resolve("/m.so", files["/m.so"], loaded=loaded)
    assert [need.path for need in needs] == ["/torch/lib/libtorch.so", ""]


def test_load_follows_needs_breadth_first_and_knows_sonames() -> None:
    files = {
        "/bin/main": elf("a", "b", rpath=("/l",), kind="executable", interpreter="/lib64/ld.so.2"),
        "/l/a": elf("c", "ld.so.2", soname="a.1"),
        "/l/b": elf("a.1", "gone"),
        "/l/c": elf("a", runpath=("/m",)),
    }
    loaded = resolver(files).load("/bin/main", files["/bin/main"])
    assert list(loaded.modules) == ["/bin/main", "/l/a", "/l/b", "/l/c"]
    assert loaded.needs["/l/b"][0] == Need("a.1", "/l/a", "loaded already")
    assert [(path, need.name) for path, need in loaded.missing] == [("/l/b", "gone")]
    assert loaded.names["ld.so.2"] == "/lib64/ld.so.2"
    # An extension module that the program opens later, with what is loaded then.
    files["/ext.so"] = elf("a.1", "c", "d")
    files["/l/d"] = elf()
    later = resolver(files).load(
        "/ext.so", files["/ext.so"], [loaded.modules["/bin/main"]], loaded=loaded.names
    )
    assert [need.path for need in later.needs["/ext.so"]] == ["/l/a", "/l/c", "/l/d"]


def test_missing_versions() -> None:
    needs = {"libc.so.6": ("GLIBC_2.34", "GLIBC_2.38"), "libx": ("X",), "libold": ("O",)}
    user = elf("libc.so.6", "libx", "libold", version_needs=needs)
    libraries = {"libc.so.6": elf(version_defs=("GLIBC_2.34",)), "libold": elf()}
    assert missing_versions(user, libraries) == [("libc.so.6", "GLIBC_2.38")]


# Beside the real loader.


@cache
def lookup(path: str) -> Elf | None:
    try:
        with open(path, "rb") as stream:
            return read_elf(stream, os.fstat(stream.fileno()).st_size, path)
    except (OSError, ElfError):
        return None


def host_directories() -> tuple[str, ...]:
    def read_file(path: str) -> bytes | None:
        return Path(path).read_bytes() if Path(path).is_file() else None

    def list_folder(path: str) -> list[str]:
        return os.listdir(path) if Path(path).is_dir() else []  # noqa: PTH208

    return default_directories(read_file, list_folder, os.uname().machine)


def listed(path: Path, **env: str) -> dict[str, str | None]:
    """What ld.so itself says: name -> path, None for what it does not find."""
    done = subprocess.run(
        ["ldd", path], capture_output=True, text=True, check=False, env={"PATH": "/bin", **env}
    )
    pairs = re.findall(r"^\t(\S+) => (not found|\S+)", done.stdout, re.MULTILINE)
    return {name: None if target == "not found" else target for name, target in pairs}


def resolved(path: Path, *library_path: str) -> tuple[Loaded, dict[str, str | None]]:
    real = str(path.resolve())
    found = lookup(real)
    assert found is not None
    loaded = Resolver(lookup, host_directories(), library_path).load(real, found)
    needs = {need.name: need.path for needs in loaded.needs.values() for need in needs}
    return loaded, {name: target for name, target in needs.items() if "ld-linux" not in name}


def same(ours: dict[str, str | None], theirs: dict[str, str | None]) -> None:
    """Compare by file: /lib may be a link to /usr/lib."""

    def real(paths: dict[str, str | None]) -> dict[str, str | None]:
        return {
            name: str(Path(path).resolve()) if path else None
            for name, path in paths.items()
            if "ld-linux" not in name
        }

    assert real(ours) == real(theirs)


PROGRAMS = ("git", "gcc", "python3", "apt-get", "readelf", "ssh", "curl", "gpgv", "ldd", "bash")


def test_programs_of_this_machine() -> None:
    compared = 0
    for folder in ("/usr/bin", "/usr/lib/git-core", "/usr/sbin"):
        for name in PROGRAMS:
            path = Path(folder) / name
            if path.is_file() and lookup(str(path.resolve())) is not None:
                same(resolved(path)[1], listed(path))
                compared += 1
    assert compared >= 3


@pytest.mark.parametrize("tags", ["--disable-new-dtags", "--enable-new-dtags"])
def test_chains_of_libraries(tmp_path: Path, tags: str) -> None:
    """main -> libb -> liba, where only the program knows the folder of liba."""
    inner = gcc(tmp_path, "one/liba.so", "int a(void) { return 1; }", "-shared", "-fPIC",
                "-Wl,-soname,liba.so")  # fmt: skip
    gcc(tmp_path, "two/libb.so", "int a(void); int b(void) { return a(); }", "-shared", "-fPIC",
        "-Wl,-soname,libb.so", str(inner))  # fmt: skip
    main = gcc(
        tmp_path, "bin/main", "int b(void); int main(void) { return b(); }",
        *("-L" + str(tmp_path / "two"), "-lb", f"-Wl,{tags},-rpath,$ORIGIN/../one:$ORIGIN/../two"),
        f"-Wl,-rpath-link,{tmp_path / 'one'}",
    )  # fmt: skip
    _, ours = resolved(main)
    same(ours, listed(main))
    assert (ours["liba.so"] is None) == (tags == "--enable-new-dtags")
    _, ours = resolved(main, str(tmp_path / "one"))
    same(ours, listed(main, LD_LIBRARY_PATH=str(tmp_path / "one")))
    assert ours["liba.so"] == str(tmp_path / "one" / "liba.so")


def test_versions_that_a_library_lacks(tmp_path: Path) -> None:
    script = tmp_path / "map"
    script.write_text("V_1 { global: answer; };\nV_2 { global: greeting; } V_1;\n")
    lib = library(tmp_path, "libanswer.so", f"-Wl,--version-script,{script}")
    main = gcc(tmp_path, "main", PROGRAM, str(lib), f"-Wl,-rpath,{tmp_path}")
    user = lookup(str(main))
    assert user is not None
    new = lookup(str(lib))
    assert new is not None
    assert missing_versions(user, {"libanswer.so": new}) == []
    script.write_text("V_1 { global: answer; greeting; };\n")
    (tmp_path / "old").mkdir()
    old = library(tmp_path, "old/libanswer.so", f"-Wl,--version-script,{script}")
    found = lookup(str(old))
    assert found is not None
    assert missing_versions(user, {"libanswer.so": found}) == [("libanswer.so", "V_2")]
    done = subprocess.run(
        ["ldd", main], capture_output=True, text=True, check=False,
        env={"PATH": "/bin", "LD_LIBRARY_PATH": str(tmp_path / "old")},
    )  # fmt: skip
    assert "`V_2' not found" in done.stdout + done.stderr


@pytest.mark.channel
def test_an_environment(
    channel: str, engine: RattlerEngine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Python and every extension module of NumPy and the standard library."""
    prefix = tmp_path_factory.mktemp("resolve") / "env"
    spec = EnvSpec("t", (channel,), ("python 3.11.*", "numpy"))
    engine.install(engine.solve(spec, "linux-64", GLIBC), prefix)
    python = prefix / "bin" / "python3.11"
    loaded, ours = resolved(python)
    same(ours, listed(python))
    assert loaded.missing == ()
    compared = 0
    for path in sorted(prefix.rglob("*.so*")):
        if path.is_file() and not path.is_symlink() and lookup(str(path)) is not None:
            # ldd knows nothing of the program that will open the module.
            same(resolved(path)[1], listed(path))
            compared += 1
            module = lookup(str(path))
            assert module is not None
            inside = Resolver(lookup, host_directories()).load(
                str(path), module, [loaded.modules[str(python)]], loaded=loaded.names
            )
            for one, needs in inside.needs.items():
                targets = {need.name: lookup(need.path) for need in needs if need.path}
                known = {name: target for name, target in targets.items() if target}
                assert missing_versions(inside.modules[one].elf, known) == []
    assert compared > 60
