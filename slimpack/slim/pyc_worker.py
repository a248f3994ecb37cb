"""Makes hash-based bytecode (PEP 552); run by the environment's own interpreter.

A program of its own: standard library only, and no syntax newer than Python
3.8, because any interpreter of an environment may have to run it. It is
started by `slimpack.slim.bytecode` with ``-c``, in an environment whose only
variables are fixed, and reads a JSON request from standard input::

    {"out": folder, "jobs": n, "checked": false,
     "groups": [[[id, source, path, shipped], ...], ...]}

checked: whether Python shall compare the source's hash at each import; source:
file with the source as it ships; path: where it will be in the image; shipped: a
``.pyc`` that came with it, or null. The bytecode of a group goes to one file, ``out/<id of its
first>``, one after the other: making a file for each takes longer than compiling where the disk
is slow at that. A line ``[id, how, message, offset, size]`` goes to standard output, how being
``kept`` (shipped bytecode, new header), ``moved`` (also with the new path inside), ``compiled`` or
``failed``.

Each group (a package) is worked on by a fork of the freshly started process:
marshal's output depends on which strings the process has interned, so the
bytecode of one package must not depend on what else is compiled.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import marshal
import os
import struct
import sys
import types
import warnings
from typing import Any, NoReturn

_HEADER = 16  # magic, flags, then mtime and size or the source hash: PEP 552
_REF = 0x80  # marshal's flag: later objects may refer to this one
_HASHED = 1
_CHECK_SOURCE = 2


def header(source: bytes, checked: bool) -> bytes:
    """Return the 16 bytes before the code of a hash-based .pyc."""
    return (
        importlib.util.MAGIC_NUMBER
        + struct.pack("<I", _HASHED | _CHECK_SOURCE if checked else _HASHED)
        + importlib.util.source_hash(source)
    )


def is_valid(data: bytes, source: bytes, source_stat: os.stat_result) -> bool:
    """Tell whether this .pyc belongs to this source file: by its hash, else mtime and size."""
    if len(data) < _HEADER or data[:4] != importlib.util.MAGIC_NUMBER:
        return False
    (flags,) = struct.unpack("<I", data[4:8])
    if flags == 0:
        expected = struct.pack(
            "<II", int(source_stat.st_mtime) & 0xFFFFFFFF, source_stat.st_size & 0xFFFFFFFF
        )
        return data[8:16] == expected
    return bool(flags & _HASHED) and data[8:16] == importlib.util.source_hash(source)


def encodings(name: str) -> list[tuple[int, bytes]]:
    """Return every way marshal may write a file name (format version 4, with and without ref)."""
    raw = name.encode("utf-8", "surrogatepass")
    found = []
    if name.isascii():
        if len(raw) < 256:
            found += [(kind, bytes([len(raw)]) + raw) for kind in b"zZ"]
        found += [(kind, struct.pack("<i", len(raw)) + raw) for kind in b"aA"]
    found += [(kind, struct.pack("<i", len(raw)) + raw) for kind in b"ut"]
    return [(kind | flag, rest) for kind, rest in found for flag in (0, _REF)]


def with_file_name(body: bytes, old: str, new: str) -> bytes:
    """Return marshalled code with another co_filename, all else byte for byte the same.

    marshal has no offsets, so a string can change its length in place. The
    new one is written as marshal writes such a string, interned and shared
    (flag REF) as the old one was.
    """
    raw = new.encode("utf-8", "surrogatepass")
    for kind, rest in encodings(old):
        interned = (kind & ~_REF) in b"ZAt"
        if not new.isascii():
            code, size = ("t" if interned else "u"), struct.pack("<i", len(raw))
        elif len(raw) < 256:
            code, size = ("Z" if interned else "z"), bytes([len(raw)])
        else:
            code, size = ("A" if interned else "a"), struct.pack("<i", len(raw))
        replacement = bytes([ord(code) | (kind & _REF)]) + size + raw
        body = body.replace(bytes([kind]) + rest, replacement)
    return body


def file_names(code: types.CodeType) -> set[str]:
    """Return the set of co_filename of a code object and all inside it."""
    names = {code.co_filename}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= file_names(constant)
    return names


def reuse(source_path: str, source: bytes, path: str, shipped: str) -> tuple[str, bytes] | None:
    """Return (how, body) from a shipped .pyc, or None when it cannot be used."""
    with open(shipped, "rb") as stream:
        data = stream.read()
    if not is_valid(data, source, os.stat(source_path)):
        return None
    body = data[_HEADER:]
    try:
        names = file_names(marshal.loads(body))
        if names == {path}:
            return "kept", body
        for name in names:
            body = with_file_name(body, name, path)
        if file_names(marshal.loads(body)) != {path}:
            return None
    except (ValueError, EOFError, TypeError, AttributeError):
        return None
    return "moved", body


def make(source_path: str, path: str, shipped: str | None, checked: bool) -> tuple[str, bytes]:
    """Return (how, bytes of the .pyc) for one source file."""
    with open(source_path, "rb") as stream:
        source = stream.read()
    reused = reuse(source_path, source, path, shipped) if shipped else None
    if reused is None:
        code = compile(source, path, "exec", dont_inherit=True, optimize=0)
        reused = "compiled", marshal.dumps(code)
    how, body = reused
    return how, header(source, checked) + body


def work(group: list[Any], out: str, checked: bool) -> list[str]:
    """Do one group and return its report lines."""
    lines = []
    offset = 0
    with open(os.path.join(out, str(group[0][0])), "wb") as stream:
        for number, source_path, path, shipped in group:
            try:
                how, data = make(source_path, path, shipped, checked)
            except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
                message = "%s: %s" % (type(error).__name__, error)
                lines.append(json.dumps([number, "failed", message, offset, 0]))
                continue
            stream.write(data)
            lines.append(json.dumps([number, how, "", offset, len(data)]))
            offset += len(data)
    return lines


def child(group: list[Any], out: str, checked: bool) -> NoReturn:
    """Do one group in a forked process; its report goes out in one write."""
    status = 1
    gc.disable()  # short-lived, and makes many small objects
    try:
        report = "".join(line + "\n" for line in work(group, out, checked)).encode()
        with open(os.path.join(out, "report-%d" % group[0][0]), "wb") as stream:
            stream.write(report)
        status = 0
    except BaseException as error:
        sys.stderr.write("%s: %s\n" % (type(error).__name__, error))
        sys.stderr.flush()
    os._exit(status)


def main() -> None:
    """Fork a process for each group, a few at a time, and pass their reports on."""
    warnings.simplefilter("ignore")
    sys.setrecursionlimit(10000)
    request = json.load(sys.stdin)
    waiting = [group for group in request["groups"] if group]
    running: dict[int, int] = {}
    failed = False
    while waiting or running:
        while waiting and len(running) < request["jobs"]:
            group = waiting.pop()
            pid = os.fork()
            if pid == 0:
                child(group, request["out"], request["checked"])
            running[pid] = group[0][0]
        pid, status = os.wait()
        number = running.pop(pid)
        if status:
            failed = True
            continue
        report = os.path.join(request["out"], "report-%d" % number)
        with open(report, encoding="utf-8") as stream:
            sys.stdout.write(stream.read())
        sys.stdout.flush()
        os.unlink(report)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
