"""Names of images as engines write them.

Format: github.com/distribution/reference (the grammar behind ``docker tag``).
"""

from __future__ import annotations

import re

from slimpack.errors import InputError

_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = re.compile(
    rf"(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}))?"
)
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")


def canonical_name(name: str) -> str:
    """Return the full name: ``serve:1.0`` is ``docker.io/library/serve:1.0``.

    A missing tag is ``latest``, a missing host ``docker.io``. Raises InputError
    for a name that Docker would refuse.
    """
    host, path, tag = _parts(name)
    if host == "docker.io" and "/" not in path:
        path = f"library/{path}"
    return f"{host}/{path}:{tag}"


def familiar_name(name: str) -> str:
    """Return the short name that Docker shows: ``serve:1.0``, tag included."""
    host, path, tag = _parts(name)
    if host != "docker.io":
        return f"{host}/{path}:{tag}"
    return f"{path.removeprefix('library/')}:{tag}"


def _parts(name: str) -> tuple[str, str, str]:
    """Split into host, path and tag; a first part is a host if it looks like one."""
    first, slash, rest = name.partition("/")
    is_host = slash and (set(first) & set(".:") or first == "localhost" or first != first.lower())
    host, path = (first, rest) if is_host else ("docker.io", name)
    match = _PATH.fullmatch(path) if len(path) <= 255 else None
    if match is None or not _HOST.fullmatch(host):
        raise InputError(
            f"{name[:300]!r} is not a name for an image",
            hint="use lower-case letters, digits and . _ - as in name:tag or host/name:tag",
        )
    return (
        "docker.io" if host == "index.docker.io" else host,
        match["path"],
        match["tag"] or "latest",
    )
