"""Names of images as engines write them.

Format: github.com/distribution/reference (the grammar behind ``docker tag``).
"""

from __future__ import annotations

import re

from slimpack.errors import InputError

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_NAME = re.compile(
    rf"(?:(?P<host>{_HOST})/)??(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?"
)


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
    match = _NAME.fullmatch(name) if len(name) <= 255 else None
    if match is None:
        raise InputError(
            f"{name[:300]!r} is not a name for an image",
            hint="use lower-case letters, digits and . _ - like name:tag or host/name:tag",
        )
    host, path, tag = match["host"] or "", match["path"], match["tag"] or "latest"
    if not host:
        first, slash, rest = path.partition("/")
        if slash and ("." in first or first == "localhost"):
            host, path = first, rest
    elif not ("." in host or ":" in host or host == "localhost" or host != host.lower()):
        host, path = "", f"{host}/{path}"
    if host in ("", "index.docker.io"):
        host = "docker.io"
    return host, path, tag
