"""The folders that ld.so searches for every program of an image."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from slimpack.elf.loader import default_directories

Files = dict[str, bytes]
BUILT_IN = ("/lib64", "/usr/lib64", "/lib", "/usr/lib")


def reader(files: Files) -> tuple[Callable[[str], bytes | None], Callable[[str], Iterable[str]]]:
    def list_folder(folder: str) -> list[str]:
        return [
            PurePosixPath(path).name for path in files if str(PurePosixPath(path).parent) == folder
        ]

    return files.get, list_folder


def test_without_a_cache_the_configuration_does_not_count() -> None:
    files = {"/etc/ld.so.conf": b"/opt/lib\n"}
    assert default_directories(*reader(files)) == BUILT_IN
    assert default_directories(*reader({}), machine="machine-9") == BUILT_IN


def test_multiarch_folders_where_they_are() -> None:
    files = {"/usr/lib/aarch64-linux-gnu/libc.so.6": b""}
    assert default_directories(*reader(files), machine="aarch64") == (
        *("/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/lib", "/usr/lib"),
    )
    assert default_directories(*reader(files)) == BUILT_IN


def test_includes_are_followed_in_their_place() -> None:
    files = {
        "/etc/ld.so.cache": b"cache",
        "/etc/ld.so.conf": b"include ld.so.conf.d/*.conf # all\n/last/\nhwcap 1 nosegneg\n",
        "/etc/ld.so.conf.d/b.conf": b"/b\t\n\nrelative\n/typed=libc6\n",
        "/etc/ld.so.conf.d/a.conf": b"# nothing\n/a\ninclude /etc/more",
        "/etc/ld.so.conf.d/c.txt": b"/c\n",
        "/etc/more": b"/more\ninclude /etc/ld.so.conf\n",
    }
    found = default_directories(*reader(files))
    assert found == ("/a", "/more", "/b", "/typed", "/last", *BUILT_IN)


def test_a_hostile_configuration_ends() -> None:
    start = b"include /etc/0\ninclude /etc/*\n" * 1000
    files: Files = {"/etc/ld.so.cache": b"cache", "/etc/ld.so.conf": start}
    for n in range(2000):
        files[f"/etc/{n}"] = b"include /etc/%d\n/x%d\n" % (n + 1, n) + b"/y\xff\n"
    assert len(default_directories(*reader(files))) < 1100


def test_holds_what_ldconfig_lists_on_this_machine() -> None:
    def read_file(path: str) -> bytes | None:
        return Path(path).read_bytes() if Path(path).is_file() else None

    def list_folder(path: str) -> list[str]:
        return [item.name for item in Path(path).iterdir()] if Path(path).is_dir() else []

    found = default_directories(read_file, list_folder)
    shown = subprocess.run(
        ["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True
    ).stdout
    folders = {
        str(PurePosixPath(line.rpartition("=> ")[2]).parent)
        for line in shown.splitlines()
        if "x86-64" in line and "=> " in line
    }
    assert folders
    assert folders <= set(found)
    loader = next(iter(sorted(Path("/lib64").glob("ld-linux-*.so.2"))))
    shown = subprocess.run([loader, "--help"], capture_output=True, text=True, check=True).stdout
    built_in = re.findall(r"^  (/\S+) \(system search path\)", shown, re.MULTILINE)
    assert built_in
    assert [folder for folder in found if folder in built_in] == built_in
