"""Programs that are scripts: first lines that work where the environment will be."""

from __future__ import annotations

import re
from collections.abc import Callable

from slimpack.prefix.shebang import shortened
from slimpack.tree import Entry, bytes_entry

_MAX_SCRIPT_BYTES = 1024 * 1024

# The kernel passes one argument at most; -S exists to get round that, and more
# than one cannot be had without env.
_ENV_SHEBANG = re.compile(
    rb"#![ \t]*/usr/bin/env[ \t]+(?:-S[ \t]+)?(?P<name>[^\s/=-][^\s/=]*)"
    rb"(?P<rest>(?:[ \t]+\S+)?)[ \t\r]*(?:\n|\Z)"
)
# As conda-pack writes it: env then takes "python -s" for the name of a program.
_ENV_OPTIONS = re.compile(rb"#!/usr/bin/env (?=[^\s/=-][^\s/=]*[ \t]+\S)")


def portable_shebang(entry: Entry, placeholder: str) -> Entry:
    """Give a script a first line that works wherever its environment is activated.

    placeholder: what stands for the prefix in it, "" for none. conda-pack does this
    where the first line alone names the prefix, and does not let env split options. A
    place with a blank in it cannot stand in a first line at all.
    """
    data = _script(entry)
    changed = data
    if placeholder:
        program = re.compile(rb"#![ \t]*" + re.escape(placeholder.encode()) + rb"/bin/(?=[^\s/]+)")
        changed = program.sub(b"#!/usr/bin/env ", data, count=1) if program.match(data) else data
    if match := _ENV_OPTIONS.match(changed):
        changed = match[0] + b"-S " + changed[match.end() :]
    if changed == data:
        return entry
    return bytes_entry(entry.path, changed, mode=entry.mode, owner=entry.owner)


def direct_shebang(entry: Entry, dest_prefix: str, has: Callable[[str], bool]) -> Entry:
    """Give a script a first line that works without /bin/sh and /usr/bin/env.

    has: tells whether the environment has a program of that name in its ``bin``.
    """
    data = _script(entry)
    if not data:
        return entry
    changed = _rewrite(shortened(data), _ENV_SHEBANG, _in_bin(dest_prefix, has))
    if changed == data:
        return entry
    return bytes_entry(entry.path, changed, mode=entry.mode, owner=entry.owner)


def _script(entry: Entry) -> bytes:
    """Return the content of a script, b"" when it is none."""
    if entry.opener is None or entry.size > _MAX_SCRIPT_BYTES:
        return b""
    with entry.open() as stream:
        start = stream.read(2)
        return start + stream.read() if start == b"#!" else b""


def _rewrite(
    data: bytes, pattern: re.Pattern[bytes], replace: Callable[[re.Match[bytes]], bytes]
) -> bytes:
    match = pattern.match(data)
    return replace(match) + data[match.end() :] if match else data


def _in_bin(dest_prefix: str, has: Callable[[str], bool]) -> Callable[[re.Match[bytes]], bytes]:
    def replace(match: re.Match[bytes]) -> bytes:
        name = match["name"].decode("utf-8", "replace")
        if not has(name):
            return match[0]
        return f"#!{dest_prefix}/bin/{name}".encode() + match["rest"] + b"\n"

    return replace
