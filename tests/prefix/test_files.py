from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from conda_pack.prefixes import update_prefix

from benchmarks.channel import PLACEHOLDER as DECLARED
from benchmarks.channel import Executable
from benchmarks.channel.generated import stage_generated
from benchmarks.channel.recipes import Recipe
from slimpack.env.dists import Dist
from slimpack.env.meta import read_installed
from slimpack.env.pypi.editable import Overlay
from slimpack.errors import RelocationError
from slimpack.prefix.examine import examine
from slimpack.prefix.files import prefix_files
from slimpack.prefix.restore import PLACEHOLDER
from slimpack.relocate import Relocated, relocate, with_records
from slimpack.tree import Kind, Tree
from tests.prefix.conftest import SITE, pip_install, pip_uninstall
from tests.support.channel import MiniChannel

Install = Callable[..., Path]
LONG_DEST = "/opt/" + "long" * 20


def folder(tmp_path: Path, name: str) -> Path:
    return Path(tempfile.mkdtemp(prefix=name, dir=tmp_path))


def from_prefix(
    prefix: Path,
    tmp_path: Path,
    dest: str | None = "/opt/env",
    overlays: tuple[Overlay, ...] = (),
    accept: tuple[str, ...] = (),
) -> Relocated:
    installed = read_installed(prefix)
    examination = examine(prefix, installed, accept=accept)
    files = prefix_files(prefix, installed, examination, overlays, folder(tmp_path, "files"))
    return relocate(
        prefix,
        dest,
        installed=installed,
        scratch=folder(tmp_path, "moved"),
        files=files,
        origin=examination.origin,
    )


def from_cache(prefix: Path, tmp_path: Path, dest: str | None = "/opt/env") -> Relocated:
    scratch = folder(tmp_path, "cached")
    return relocate(prefix, dest, installed=read_installed(prefix), scratch=scratch)


def listing(tree: Tree) -> dict[str, tuple[object, ...]]:
    return {
        entry.path: (
            entry.mode,
            entry.owner,
            entry.link,
            entry.read() if entry.kind is Kind.FILE else b"",
        )
        for entry in tree
    }


def content(relocated: Relocated, path: str) -> bytes:
    return relocated.tree[path].read()


@pytest.mark.parametrize("where", ["short", "sp ace ünï", "long" * 40])
def test_the_prefix_alone_gives_what_the_package_cache_gives(
    packages: MiniChannel, install: Install, tmp_path: Path, where: str
) -> None:
    """Shorter and longer than before, and portable: bytes, modes, owners and links."""
    prefix = install(packages, "prefixed", "wheel-like", prefix=tmp_path / where)
    pip_install(prefix, "extra", "1", {"extra.py": f"home = '{prefix}'\n"})
    (prefix / "bin/extra").write_text(f'#!{prefix}/bin/python3.11\nprint("x")\n')
    (prefix / "bin/extra").chmod(0o755)
    (prefix / "share/link").symlink_to(prefix / "share/config.txt")
    dests = ("/e", "/opt/env", LONG_DEST, None)
    cached = {dest: from_cache(prefix, tmp_path, dest) for dest in dests}
    trees = {dest: listing(with_records(one.tree, one, dest or "")) for dest, one in cached.items()}
    shutil.rmtree(tmp_path / "pkgs")
    for dest, expected in trees.items():
        restored = from_prefix(prefix, tmp_path, dest)
        assert listing(with_records(restored.tree, restored, dest or "")) == expected
        assert set(restored.prefixes) == set(cached[dest].prefixes)
        assert set(restored.sources) == set(cached[dest].sources)
        assert restored.verified == cached[dest].verified
        for path, (*_, data) in expected.items():
            assert isinstance(data, bytes)
            assert str(prefix).encode() not in data, path


def test_nothing_is_written_to_the_prefix(env: Path, tmp_path: Path) -> None:
    pip_install(env, "extra", "1", {"extra.py": f"home = '{env}'\n"})
    before = {path: path.lstat() for path in env.rglob("*")}
    from_prefix(env, tmp_path)
    after = {path: path.lstat() for path in env.rglob("*")}
    times = [(status.st_mtime_ns, status.st_mode, status.st_size) for status in before.values()]
    assert times == [
        (status.st_mtime_ns, status.st_mode, status.st_size) for status in after.values()
    ]
    assert list(before) == list(after)


def test_a_moved_environment(env: Path, tmp_path: Path) -> None:
    (env / "share/link").symlink_to(env / "share/config.txt")
    pip_install(env, "extra", "1", {"extra.py": f"home = '{env}'\n"})
    expected = from_prefix(env, tmp_path)
    expected_files = listing(with_records(expected.tree, expected, "/opt/env"))
    moved = tmp_path / "else where"
    env.rename(moved)
    relocated = from_prefix(moved, tmp_path)
    assert listing(with_records(relocated.tree, relocated, "/opt/env")) == expected_files


def test_what_pip_replaced(env: Path, tmp_path: Path) -> None:
    pip_uninstall(env, "wheel_like", "1.0")
    pip_install(
        env,
        "wheel_like",
        "2.0",
        {"wheel_like/__init__.py": "version = 2\n", "wheel_like/new.py": ""},
    )
    relocated = from_prefix(env, tmp_path)
    tree = with_records(relocated.tree, relocated, "/opt/env")
    module = tree[f"opt/env/{SITE}/wheel_like/__init__.py"]
    assert module.read() == b"version = 2\n"
    assert module.owner == "pypi:wheel-like"
    assert tree[f"opt/env/{SITE}/wheel_like/new.py"].owner == "pypi:wheel-like"
    assert "opt/env/bin/wl" not in tree
    assert "opt/env/conda-meta/wheel-like-1.0-0.json" not in tree
    assert "opt/env/conda-meta/prefixed-1.0-0.json" in tree


def test_a_record_keeps_only_what_is_left(env: Path, tmp_path: Path) -> None:
    pip_install(env, "wheel_like", "2.0", {"wheel_like/__init__.py": "version = 2\n"})
    relocated = from_prefix(env, tmp_path)
    tree = with_records(relocated.tree, relocated, "/opt/env")
    record = json.loads(tree["opt/env/conda-meta/wheel-like-1.0-0.json"].read())
    module = f"{SITE}/wheel_like/__init__.py"
    assert module not in record["files"]
    assert module not in [item["_path"] for item in record["paths_data"]["paths"]]
    assert f"{SITE}/wheel_like/old.py" in record["files"]


def test_accepted_changes_go_in_as_they_are(env: Path, tmp_path: Path) -> None:
    config = env / "share/config.txt"
    config.unlink()
    config.write_text(f"root = {env}/other but not {env}2\n")
    relocated = from_prefix(env, tmp_path, accept=("share/*",))
    assert content(relocated, "opt/env/share/config.txt") == (
        f"root = /opt/env/other but not {env}2\n".encode()
    )
    tree = with_records(relocated.tree, relocated, "/opt/env")
    record = json.loads(tree["opt/env/conda-meta/prefixed-1.0-0.json"].read())
    [item] = [i for i in record["paths_data"]["paths"] if i["_path"] == "share/config.txt"]
    assert item["size_in_bytes"] == tree["opt/env/share/config.txt"].size


def test_old_records(env: Path, tmp_path: Path) -> None:
    """They declare no placeholder: the path itself is looked for."""
    for record in (env / "conda-meta").glob("*.json"):
        data = json.loads(record.read_text())
        del data["paths_data"]
        record.unlink()
        record.write_text(json.dumps(data))
    relocated = from_prefix(env, tmp_path)
    assert content(relocated, "opt/env/share/config.txt") == b"root = /opt/env/share\n"
    assert content(relocated, "opt/env/bin/tool").startswith(b"#!/opt/env/bin/python3.11 -s\n")
    # No object file: nobody knows whether strings may move in it.
    assert relocated.unmoved == ("lib/data.bin",)
    assert str(env).encode() in content(relocated, "opt/env/lib/data.bin")


def test_installers_notes_and_made_bytecode_stay_out(env: Path, tmp_path: Path) -> None:
    for path in (
        f"{SITE}/wheel_like/__pycache__/old.cpython-311.pyc",
        "share/__pycache__/mine.cpython-311.pyc",
        "conda-meta/pixi",
        "conda-meta/history",
        "conda-meta/state",
        "bin/activate",
        "bin/conda-unpack",
    ):
        (env / path).parent.mkdir(exist_ok=True)
        (env / path).write_text("{}")
    relocated = from_prefix(env, tmp_path, None)
    assert f"{SITE}/wheel_like/__pycache__/old.cpython-311.pyc" not in relocated.tree
    assert "share/__pycache__/mine.cpython-311.pyc" in relocated.tree
    assert "conda-meta/pixi" not in relocated.tree
    assert "conda-meta/state" in relocated.tree
    assert content(relocated, "conda-meta/history") == b""
    assert "bin/activate" not in relocated.tree
    assert "bin/conda-unpack" not in relocated.tree


def test_links_into_a_package_cache(
    packages: MiniChannel, install: Install, tmp_path: Path
) -> None:
    """conda with ``allow_softlinks`` links instead of copying."""
    prefix = install(packages, "prefixed")
    cached = tmp_path / "pkgs/prefixed-1.0-0/lib/plain.txt"
    (prefix / "lib/plain.txt").unlink()
    (prefix / "lib/plain.txt").symlink_to(cached)
    entry = from_prefix(prefix, tmp_path).tree["opt/env/lib/plain.txt"]
    assert entry.kind is Kind.FILE
    assert entry.read() == b"nothing here\n"


def test_a_file_that_changes_while_it_is_read(env: Path, tmp_path: Path) -> None:
    relocated = from_prefix(env, tmp_path)
    path = env / "lib/plain.txt"
    path.write_bytes(b"nothing HERE\n")
    with pytest.raises(RelocationError, match=r"lib/plain\.txt of package prefixed"):
        content(relocated, "opt/env/lib/plain.txt")


def test_overlays_take_the_place_of_editable_installs(env: Path, tmp_path: Path) -> None:
    pip_install(env, "proj", "0.1", {"__editable__.proj.pth": "/home/u/src\n"})
    built = tmp_path / "proj.py"
    built.write_text(f"home = '{env}'\n")
    overlay = Overlay(
        Dist("proj", "0.1", f"{SITE}/proj-0.1.dist-info", ()),
        frozenset({f"{SITE}/__editable__.proj.pth"}),
        ((f"{SITE}/proj.py", built),),
        "proj was built",
    )
    relocated = from_prefix(env, tmp_path, None, overlays=(overlay,))
    assert f"{SITE}/__editable__.proj.pth" not in relocated.tree
    assert content(relocated, f"{SITE}/proj.py") == f"home = '{PLACEHOLDER}'\n".encode()
    assert relocated.tree[f"{SITE}/proj.py"].owner == "pypi:proj"


def test_a_zipapp_keeps_its_archive(env: Path, tmp_path: Path) -> None:
    archive = b"PK\x03\x04\0\0\xff\xfe rest"
    (env / "bin/app").write_bytes(f"#!{env}/bin/python3.11\n".encode() + archive)
    relocated = from_prefix(env, tmp_path)
    assert content(relocated, "opt/env/bin/app") == b"#!/opt/env/bin/python3.11\n" + archive


def test_a_pickle_is_not_touched(env: Path, tmp_path: Path) -> None:
    import pickle

    data = pickle.dumps(str(env) + "/x")
    (env / "share/x.pickle").write_bytes(data)
    relocated = from_prefix(env, tmp_path)
    assert content(relocated, "opt/env/share/x.pickle") == data
    assert relocated.unmoved == ("share/x.pickle",)


def test_a_library_of_pip_has_only_the_room_of_its_own_path(env: Path, tmp_path: Path) -> None:
    data = b"\x7fELF\0" + f"{env}/lib:{env}/share\0".encode() + b"tail\0"
    (env / "lib/libpip.so").write_bytes(data)
    moved = content(from_prefix(env, tmp_path), "opt/env/lib/libpip.so")
    assert len(moved) == len(data)
    assert moved.startswith(b"\x7fELF\0/opt/env/lib:/opt/env/share\0\0")
    assert moved.endswith(b"\0tail\0")
    longer = "/" + "x" * len(str(env))
    with pytest.raises(RelocationError, match=r"lib/libpip\.so \(no package\) has room for"):
        from_prefix(env, tmp_path, longer)


def test_a_program_runs_at_its_new_place(
    install: Install, mini: MiniChannel, tmp_path: Path
) -> None:
    """Longer and shorter than before: the room is the package's, not the installer's."""
    probe = tmp_path / "probe"
    probe.mkdir()
    recipe = Recipe("p", "generated", folder="prefix-probe", programs=("prefix-probe.c",))
    stage_generated(recipe, "1.0", probe)
    files = {
        str(path.relative_to(probe)): Executable(path.read_bytes())
        for path in probe.rglob("*")
        if path.is_file()
    }
    mini.add("probe", files)
    prefix = install(mini, "probe")
    shutil.rmtree(tmp_path / "pkgs")
    for dest in ("/e", str(tmp_path / ("longer" * 20))):
        data = from_prefix(prefix, tmp_path, dest)
        program = tmp_path / "prefix-probe"
        program.write_bytes(content(data, f"{dest.strip('/')}/bin/prefix-probe"))
        program.chmod(0o755)
        done = subprocess.run([program], check=True, capture_output=True, text=True)
        assert done.stdout.splitlines() == [
            f"prefix={dest}",
            f"suffix={dest}/share/prefix-probe",
            f"path={dest}/a:{dest}/b",
            f"table={dest}/one|{dest}/two",
        ]


def unpacked(relocated: Relocated, place: Path) -> Path:
    """Write a portable tree to disk and finish it as conda-unpack does."""
    tree = with_records(relocated.tree, relocated, "")
    for entry in tree:
        path = place / entry.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if entry.kind is Kind.SYMLINK:
            path.symlink_to(entry.link)
        elif entry.kind is Kind.FILE:
            path.write_bytes(entry.read())
            path.chmod(entry.mode)
    for file in relocated.prefixes:
        update_prefix(str(place / file.path), str(place), file.placeholder, mode=file.mode)
    return place


def test_portable_and_back(env: Path, tmp_path: Path) -> None:
    """What was unpacked elsewhere is an environment again, provable by its own records."""
    (env / "share/link").symlink_to(env / "share/config.txt")
    portable = from_prefix(env, tmp_path, None)
    assert {file.path: (file.placeholder, file.mode) for file in portable.prefixes} == {
        "lib/data.bin": (DECLARED, "binary"),
        "share/config.txt": (DECLARED, "text"),
    }
    assert content(portable, "bin/tool") == b"#!/usr/bin/env -S python3.11 -s\nprint(1)\n"
    assert content(portable, "bin/wl").startswith(b"#!/usr/bin/env python3.11\n")
    assert content(portable, "bin/from-env") == b"#!/usr/bin/env tool\n"
    assert portable.tree["share/link"].link == "config.txt"
    place = unpacked(portable, tmp_path / "unpacked")
    assert (place / "share/config.txt").read_text() == f"root = {place}/share\n"
    assert (place / "share/link").samefile(place / "share/config.txt")
    again = from_prefix(place, tmp_path, None)
    assert {entry.path for entry in again.tree} == {entry.path for entry in portable.tree}
    assert content(again, "lib/data.bin") == content(portable, "lib/data.bin")
    image = from_prefix(place, tmp_path)
    assert content(image, "opt/env/bin/tool") == b"#!/opt/env/bin/python3.11 -s\nprint(1)\n"


def test_what_was_unpacked_and_not_finished(env: Path, tmp_path: Path) -> None:
    """Without conda-unpack the placeholders are still there: that is as packaged."""
    portable = from_prefix(env, tmp_path, None)
    place = unpacked(Relocated(portable.tree, portable.sources, portable=True), tmp_path / "raw")
    image = from_prefix(place, tmp_path)
    assert content(image, "opt/env/share/config.txt") == b"root = /opt/env/share\n"
    assert content(image, "opt/env/lib/data.bin").startswith(b"\0/opt/env/lib:/opt/env/share\0")


def test_a_copy_in_the_place_of_a_link_loses_its_placeholder(env: Path, tmp_path: Path) -> None:
    """The zip files of conda-pack hold copies as packaged, which its conda-unpack forgets."""
    link = env / "bin/link"
    link.unlink()
    link.write_text(f"#!{DECLARED}/bin/python3.11 -s\nprint(1)\n")
    link.chmod(0o755)
    moved = content(from_prefix(env, tmp_path), "opt/env/bin/link")
    assert moved == b"#!/opt/env/bin/python3.11 -s\nprint(1)\n"
