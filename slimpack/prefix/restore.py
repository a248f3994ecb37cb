"""Undo what an installer did: the installed path becomes the placeholder again.

Sources of the rules: conda's ``binary_replace`` and rattler's
``copy_and_replace_cstring_placeholder``. In text, each occurrence is replaced. In
a binary file, a C string that holds the placeholder shrinks and is filled up with
NULs behind its end, so that nothing else in the file moves.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from slimpack.prefix.shebang import originals

# As long as conda-build's, so that the same room is there. Joined at run time:
# neither this file nor its bytecode may contain it.
PLACEHOLDER = "".join(("/slimpack", *("_placehold",) * 25))[:255]

# What goes on as the same file name behind a path: /opt/env is not in /opt/env2.
_GOES_ON = re.compile(rb"[\w\x80-\xff-]|\.\w")
# The name that ends right before a path; with one, the path began further left.
_NAME_BEFORE = re.compile(rb"[\w.~}\x80-\xff)-]*\Z")
_LOOK_BACK = 64


def restore(data: bytes, prefix: str, placeholder: str, mode: str) -> bytes:
    """Return `data` with every `prefix` replaced by `placeholder`.

    mode: "text" or "binary". In binary files the NULs behind a string give up
    the room that its growth needs. Raises ValueError when there are too few of
    them, or when `prefix` is longer than `placeholder`.
    """
    old, new = prefix.encode(), placeholder.encode()
    if mode == "text":
        return data.replace(old, new)
    if mode != "binary":
        raise ValueError(f"expected mode text or binary, not {mode!r}")
    if len(old) > len(new):
        raise ValueError("the path is longer than the placeholder")
    return b"".join(_grown(data, old, new))


def _grown(data: bytes, old: bytes, new: bytes) -> Iterator[bytes]:
    done = 0
    start = data.find(old)
    while start >= 0:
        end = data.find(b"\0", start)
        end = len(data) if end < 0 else end
        string = data[start:end]
        room = (len(new) - len(old)) * string.count(old)
        if data.count(b"\0", end, end + room) != room:
            raise ValueError(f"no room behind the string at byte {start}")
        yield data[done:start]
        yield string.replace(old, new)
        done = end + room
        start = data.find(old, done)
    yield data[done:]


def proven(
    data: bytes, sha256: str, *, prefix: str, placeholder: str, mode: str = ""
) -> bytes | None:
    """Return the packaged file that the installed one was made of, None when it cannot be.

    sha256: hex digest that the package declares; only bytes that have it are returned.
    mode: as the package declares it; when it does not, a NUL byte tells.
    """
    for candidate in _candidates(data, prefix, placeholder, mode):
        if hashlib.sha256(candidate).hexdigest() == sha256:
            return candidate
    return None


def _candidates(data: bytes, prefix: str, placeholder: str, mode: str) -> Iterator[bytes]:
    yield data
    if not placeholder:
        return
    if (mode or ("binary" if b"\0" in data else "text")) == "binary":
        try:
            yield restore(data, prefix, placeholder, "binary")
        except ValueError:
            return
        return
    for text in (data, *originals(data, placeholder.encode())):
        yield restore(text, prefix, placeholder, "text")
        # The package itself may name a path that happens to begin like the prefix.
        yield replaced(text, prefix, placeholder)


def occurrences(data: bytes, prefix: str) -> Iterator[int]:
    """Yield where `prefix` stands as a path of its own: not in ``/opt/env2``, ``/a/opt/env``."""
    old = prefix.encode()
    start = data.find(old)
    while start >= 0:
        if not _GOES_ON.match(data, start + len(old)) and _begins(data, start):
            yield start
        start = data.find(old, start + len(old))


def stands_in(data: bytes, prefix: str) -> bool:
    """Tell whether binary data names `prefix`; any byte may stand before it there."""
    old = prefix.encode()
    start = data.find(old)
    while start >= 0 and _GOES_ON.match(data, start + len(old)):
        start = data.find(old, start + len(old))
    return start >= 0


def replaced(data: bytes, prefix: str, by: str) -> bytes:
    """Return `data` with `by` at every one of the `occurrences` of `prefix`."""
    parts = []
    done = 0
    for start in occurrences(data, prefix):
        parts += [data[done:start], by.encode()]
        done = start + len(prefix.encode())
    return b"".join([*parts, data[done:]])


def _begins(data: bytes, start: int) -> bool:
    before = data[max(0, start - _LOOK_BACK) : start]
    match = _NAME_BEFORE.search(before)
    name = match[0] if match else b""
    if not name:
        return True
    # -I/opt/env/include, and the "n" of "\n/opt/env" in source code.
    escape = len(name) == 1 and before[:-1].endswith(b"\\")
    return name.startswith(b"-") or escape
