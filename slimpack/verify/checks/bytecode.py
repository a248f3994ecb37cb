"""Bytecode that the interpreter can load, and that says what its source says.

Format: PEP 552 and importlib/_bootstrap_external.py. Sixteen bytes stand before the code:
magic number, flags, then mtime and size of the source, or its hash.
"""

from __future__ import annotations

import _imp
import re
import struct
from collections.abc import Iterator

from slimpack.slim.bytecode import source_of
from slimpack.tree import Entry, Kind
from slimpack.verify.context import Context
from slimpack.verify.model import Check, Finding, SkippedError
from slimpack.verify.modules import UNWANTED
from slimpack.verify.subject import Python, Subject

_HEADER = 16
_HASHED, _CHECKED = 1, 2
_MAX_SOURCE = 64 << 20
# importlib/_bootstrap_external.py of each release: the magic number of its last version.
MAGIC = {
    "3.7": 3394,
    "3.8": 3413,
    "3.9": 3425,
    "3.10": 3439,
    "3.11": 3495,
    "3.12": 3531,
    "3.13": 3571,
    "3.14": 3627,
}
_ASK = "import importlib.util as u,sys;sys.stdout.write(u.MAGIC_NUMBER.hex())"


def _run(subject: Subject, context: Context) -> Iterator[Finding]:
    python = subject.python
    if python is None:
        raise SkippedError("there is no Python in it")
    magic = magic_number(subject, python, context)
    tag = re.compile(rf"\.{re.escape(python.tag)}t?(?:\.opt-\w+)?\.pyc\Z")
    for entry in subject.asked:
        if not entry.path.endswith(".pyc") or entry.path in subject.below:
            continue
        source = source_of(entry.path)
        if source and tag.search(entry.path):
            message = _cached(subject, entry, subject.tree.get(source), magic)
        elif not source and _is_module(python, entry.path):
            message = _alone(entry, magic)
        else:
            continue
        if message:
            yield Finding(entry.path, message, subject.owner(entry.path))


def magic_number(subject: Subject, python: Python, context: Context) -> bytes:
    """Return the interpreter's magic number: it is asked, else its version tells.

    Raises SkippedError for a version that nobody knows, when it cannot be asked.
    """
    if context.runner is not None:
        program = subject.absolute(python.program)
        done = context.runner.run([program, "-I", "-S", "-B", "-c", _ASK])
        answer = done.stdout.decode("ascii", "replace")
        if done.returncode == 0 and re.fullmatch(r"[0-9a-f]{4}0d0a", answer):
            return bytes.fromhex(answer)
    if python.version not in MAGIC:
        raise SkippedError(f"the bytecode of Python {python.version} is not known here")
    return struct.pack("<H", MAGIC[python.version]) + b"\r\n"


def _cached(subject: Subject, entry: Entry, source: Entry | None, magic: bytes) -> str:
    """Return what is wrong with a .pyc of __pycache__, "" for nothing."""
    if source is None or source.kind is not Kind.FILE:
        return ""  # never looked at without its source; a leftover, and harmless
    head = _head(entry)
    message = _header_message(head, magic)
    if message:
        return message
    (flags,) = struct.unpack_from("<I", head, 4)
    if flags & _HASHED:
        if is_hash_of(source, head):
            return ""
        effect = (
            "Python compiles it again at each start" if flags & _CHECKED else "Python runs the old"
        )
        return f"does not belong to its source ({source.path.rpartition('/')[2]}): {effect}"
    mtime, size = struct.unpack_from("<II", head, 8)
    status = (subject.root / source.path).lstat()
    if mtime != int(status.st_mtime) & 0xFFFFFFFF or size != source.size & 0xFFFFFFFF:
        return "is older or newer than its source: Python compiles it again at each start"
    return ""


def is_hash_of(source: Entry, head: bytes) -> bool:
    """Tell whether the first 16 bytes of a .pyc with a hash have that of `source`."""
    if source.size > _MAX_SOURCE:
        return True
    return head[8:] == _imp.source_hash(int.from_bytes(head[:4], "little"), source.read())


def _alone(entry: Entry, magic: bytes) -> str:
    """Return what is wrong with a .pyc that stands in for its source, "" for nothing."""
    return _header_message(_head(entry), magic)


def _header_message(head: bytes, magic: bytes) -> str:
    if len(head) < _HEADER:
        return "is cut off"
    if head[:4] != magic:
        found = int.from_bytes(head[:2], "little")
        wanted = int.from_bytes(magic[:2], "little")
        return f"is for another Python (magic number {found}, not {wanted})"
    (flags,) = struct.unpack_from("<I", head, 4)
    return f"has unknown flags ({flags:#x})" if flags & ~(_HASHED | _CHECKED) else ""


def _head(entry: Entry) -> bytes:
    with entry.open() as stream:
        return stream.read(_HEADER)


def _is_module(python: Python, path: str) -> bool:
    """Tell whether a path is one under which Python would import a module."""
    inside = f"{python.library}/"
    if not path.startswith(inside):
        return False
    parts = path[len(inside) :].removesuffix(".pyc").split("/")
    if parts[0] == "site-packages":
        del parts[0]
    return all(part.isidentifier() for part in parts) and not UNWANTED.intersection(parts[:1])


CHECK = Check(
    name="bytecode",
    severity="error",
    explanation="Bytecode for another Python or another source is compiled again at every start, "
    "which is slow and cannot be kept in a read-only image; unchecked bytecode runs old code.",
    fix="build again; do not change sources or their times after bytecode was made",
    run=_run,
)
