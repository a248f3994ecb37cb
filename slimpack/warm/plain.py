"""Files of an application whose content no check looks at but those that look at it alone.

Of most checks' questions (does the entrypoint exist, is every library found, does each
script's interpreter exist, may the user read it) the answers follow from paths, kinds and
modes, and from the content of a few files: ELF files, what somebody may execute, packages'
records, what configures the system. An application's sources and data are none of these.
Their content is asked by `secrets`, file by file, and by `bytecode`, which compares it with
the .pyc beside it. Importing the environment's modules could read one; it tells
(`slimpack.verify.context.Watched`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from slimpack.slim.bytecode import source_of
from slimpack.tree import Entry, Kind, under

# What Python runs at start, wherever it finds it (`site`), and what tells it where it is.
_AT_START = ("sitecustomize.py", "usercustomize.py", "pyvenv.cfg")
# Of Linux (hier(7)): what lies there configures the system, or is a base's.
_SYSTEM = frozenset(
    (
        *("bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "root", "run"),
        *("sbin", "sys", "tmp", "usr", "var"),
    )
)
_RECORDS = (".dist-info", ".egg-info", "conda-meta")  # endings of folders with packages' records
# Read by Python at its start, before anything can watch it.
_SITE = (".pth", "._pth")
_ELF = b"\x7fELF"
_HEADER = 16  # bytes of a .pyc before its code (PEP 552)
_UNCHECKED = b"\1\0\0\0"  # flags: it has a hash of its source, which Python does not compare


def plain_files(
    application: Iterable[Entry], prefix: str, env: Iterable[tuple[str, str]] = ()
) -> dict[str, Entry]:
    """Return path -> entry of the files that no check but the two looks into.

    prefix: of the environment. env: variables of the image; a library may read what one
    names (OPENSSL_CONF). Files are opened for their first bytes.
    """
    inside, named = under(prefix, ""), "\n".join(value for _, value in env)
    found = {
        one.path: one
        for one in application
        if _is_plain(one, inside) and f"/{one.path}" not in named
    }
    alone = [path for path in found if path.endswith(".pyc") and source_of(path) not in found]
    for path in alone:
        del found[path]
    return found


def has_records(application: Iterable[Entry]) -> bool:
    """Tell whether an application may bring packages with records: these name other files."""
    return any(part.endswith(_RECORDS) for entry in application for part in entry.path.split("/"))


def told(application: Iterable[Entry], plain: Mapping[str, Entry]) -> list[list[str]]:
    """Return all that checks may ask of an application, the content of plain files aside."""
    return sorted(
        [one.path, one.kind.value, f"{one.mode:o} {one.uid} {one.gid}", _content(one, plain)]
        for one in application
    )


def _content(entry: Entry, plain: Mapping[str, Entry]) -> str:
    if entry.path not in plain:
        return entry.identity or entry.link
    return _head(entry)[:8].hex() if entry.path.endswith(".pyc") else ""


def _is_plain(entry: Entry, inside: str) -> bool:
    if (
        entry.kind is not Kind.FILE
        or not entry.identity
        or entry.mode & 0o111
        or entry.path.startswith(inside)
        or entry.path.partition("/")[0] in _SYSTEM
        or entry.path.rpartition("/")[2] in _AT_START
        or entry.path.endswith(_SITE)
    ):
        return False
    head = _head(entry)
    if entry.path.endswith(".pyc"):
        return bool(source_of(entry.path)) and len(head) == _HEADER and head[4:8] == _UNCHECKED
    return not head.startswith(_ELF)


def _head(entry: Entry) -> bytes:
    with entry.open() as stream:
        return stream.read(_HEADER)


def is_in_order(path: str, plain: Mapping[str, Entry]) -> bool:
    """Make the two checks of one plain file; tell whether they find nothing."""
    from slimpack.verify.checks.bytecode import is_hash_of
    from slimpack.verify.checks.secrets import secrets_in

    entry = plain[path]
    if path.endswith(".pyc") and not is_hash_of(plain[source_of(path)], _head(entry)):
        return False
    return next(secrets_in(entry), None) is None
