"""Where glibc's ld.so looks without being told: built-in folders and /etc/ld.so.conf.

Sources: ld.so(8), ldconfig(8), glibc's elf/ldconfig.c (`parse_conf`), Debian's multiarch.
"""

from __future__ import annotations

import posixpath
from collections import deque
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase

TRIPLETS = {
    "x86_64": "x86_64-linux-gnu",
    "aarch64": "aarch64-linux-gnu",
    "i386": "i386-linux-gnu",
    "arm": "arm-linux-gnueabihf",
    "ppc64le": "powerpc64le-linux-gnu",
    "riscv64": "riscv64-linux-gnu",
    "s390x": "s390x-linux-gnu",
    "loongarch64": "loongarch64-linux-gnu",
}
_CACHE = "/etc/ld.so.cache"
_MAX_FILES, _MAX_FOLDERS, _MAX_BYTES = 256, 1024, 1024 * 1024


def default_directories(
    read_file: Callable[[str], bytes | None],
    list_folder: Callable[[str], Iterable[str]],
    machine: str = "x86_64",
) -> tuple[str, ...]:
    """Return the folders that ld.so searches for every program of an image, in order.

    read_file: gives the content of an absolute path, links followed, None without it.
    list_folder: gives the names in a folder, none without it.
    machine: as `Elf.machine` has it.

    /etc/ld.so.conf counts only where there is an /etc/ld.so.cache: ld.so reads nothing
    else, and ldconfig makes it from the former. (Distroless bases have neither; an empty one,
    which waits for the ldconfig of a container toolkit, is none either.) A cache
    that is older than the configuration is not told apart. Where there is no multiarch
    folder, both /lib64 and /lib are named, of which a distribution's ld.so may know one.
    """
    configured: list[str] = []
    if read_file(_CACHE):
        configured = _configured(read_file, list_folder)
    return tuple(dict.fromkeys((*configured, *_built_in(list_folder, machine))))


def _built_in(list_folder: Callable[[str], Iterable[str]], machine: str) -> tuple[str, ...]:
    """Return what is compiled into ld.so: Debian's folders where those are, else all others'."""
    triplet = TRIPLETS.get(machine)
    multiarch = (f"/lib/{triplet}", f"/usr/lib/{triplet}")
    if triplet and any(True for folder in multiarch for _ in list_folder(folder)):
        return (*multiarch, "/lib", "/usr/lib")
    return "/lib64", "/usr/lib64", "/lib", "/usr/lib"


def _configured(
    read_file: Callable[[str], bytes | None], list_folder: Callable[[str], Iterable[str]]
) -> list[str]:
    folders: list[str] = []
    read: set[str] = set()
    patterns: set[str] = set()
    queue = deque([("include", "/etc/ld.so.conf")])
    while queue and len(folders) < _MAX_FOLDERS:
        kind, value = queue.popleft()
        if kind == "folder":
            folders.append(posixpath.normpath(value))
            continue
        if value in patterns or len(patterns) >= _MAX_FILES:
            continue
        patterns.add(value)
        lines = []
        for path in _matches(value, list_folder):
            if path not in read and len(read) < _MAX_FILES:
                read.add(path)
                lines += _lines(path, read_file(path) or b"")
        queue.extendleft(reversed(lines))
    return folders


def _lines(path: str, data: bytes) -> list[tuple[str, str]]:
    """Return ("folder" or "include", value) for what a configuration file says, in order."""
    found = []
    for line in data[:_MAX_BYTES].decode("utf-8", "replace").split("\n"):
        words = line.partition("#")[0].split()
        if words[:1] == ["include"]:
            folder = posixpath.dirname(path)
            found += [("include", posixpath.join(folder, pattern)) for pattern in words[1:]]
        elif words and words[0].startswith("/"):
            # "/folder=libc6" was a hint for other C libraries, "hwcap" one for old processors.
            found.append(("folder", words[0].partition("=")[0]))
    return found[:_MAX_FOLDERS]


def _matches(pattern: str, list_folder: Callable[[str], Iterable[str]]) -> list[str]:
    """Return the files that an include names; only its last part may be a pattern."""
    pattern = posixpath.normpath(pattern)
    folder, _, name = pattern.rpartition("/")
    if not any(character in name for character in "*?["):
        return [pattern]
    names = sorted(list_folder(folder or "/"))
    return [f"{folder}/{one}" for one in names if fnmatchcase(one, name)]
