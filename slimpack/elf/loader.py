"""Where glibc's ld.so looks without being told: built-in folders and /etc/ld.so.conf.

Sources: ld.so(8), ldconfig(8), glibc's elf/ldconfig.c (`parse_conf`), Debian's multiarch.
"""

from __future__ import annotations

import posixpath
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
    else, and ldconfig makes it from the former. (Distroless bases have neither.) A cache
    that is older than the configuration is not told apart.
    """
    configured: list[str] = []
    if read_file(_CACHE) is not None:
        configured = _configured(read_file, list_folder)
    triplet = TRIPLETS.get(machine)
    multiarch = (f"/lib/{triplet}", f"/usr/lib/{triplet}") if triplet else ()
    built_in = (*multiarch, "/lib64", "/usr/lib64", "/lib", "/usr/lib")
    return tuple(dict.fromkeys((*configured, *built_in)))


def _configured(
    read_file: Callable[[str], bytes | None], list_folder: Callable[[str], Iterable[str]]
) -> list[str]:
    folders: list[str] = []
    read: set[str] = set()
    queue = ["/etc/ld.so.conf"]
    while queue and len(read) < _MAX_FILES and len(folders) < _MAX_FOLDERS:
        path = queue.pop(0)
        if path in read:
            continue
        read.add(path)
        included: list[str] = []
        for line in (read_file(path) or b"")[:_MAX_BYTES].decode("utf-8", "replace").split("\n"):
            words = line.partition("#")[0].split()
            if words[:1] == ["include"]:
                for pattern in words[1:]:
                    included += _matches(pattern, path, list_folder)
            elif words and words[0] != "hwcap" and words[0].startswith("/"):
                folders.append(posixpath.normpath(words[0].partition("=")[0]))
        queue = included + queue
    return folders[:_MAX_FOLDERS]


def _matches(pattern: str, path: str, list_folder: Callable[[str], Iterable[str]]) -> list[str]:
    """Return the files that an include names; only its last part may be a pattern."""
    whole = posixpath.normpath(posixpath.join(posixpath.dirname(path), pattern))
    folder, _, name = whole.rpartition("/")
    names = sorted(list_folder(folder or "/"))
    return [f"{folder}/{one}" for one in names if fnmatchcase(one, name)]
