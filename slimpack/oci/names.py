"""Names of images as engines write them.

Format: github.com/distribution/reference (the grammar behind ``docker tag``).
"""

from __future__ import annotations

import re

from slimpack.errors import InputError

DEFAULT_HOST = "docker.io"
DEFAULT_TAG = "latest"

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
    host, path, tag = split_name(name)
    return f"{host}/{path}:{tag or DEFAULT_TAG}"


def familiar_name(name: str) -> str:
    """Return the short name that Docker shows: ``serve:1.0``, tag included."""
    host, path, tag = split_name(name)
    tag = tag or DEFAULT_TAG
    if host != DEFAULT_HOST:
        return f"{host}/{path}:{tag}"
    return f"{path.removeprefix('library/')}:{tag}"


def is_full_name(name: str) -> bool:
    """Tell whether `name` is as `canonical_name` writes it."""
    try:
        return canonical_name(name) == name
    except InputError:
        return False


def has_host(name: str) -> bool:
    """Tell whether the first part of a name looks like a host, as Docker decides it."""
    first, slash, _ = name.partition("/")
    looks = set(first) & set(".:") or first == "localhost" or first != first.lower()
    return bool(slash and looks)


def split_name(name: str) -> tuple[str, str, str]:
    """Split into host, repository and tag ("" if there is none).

    Without a host it is docker.io's, and there ``library/`` comes before a single word.
    Raises InputError for a name that Docker would refuse.
    """
    first, _, rest = name.partition("/")
    host, path = (first, rest) if has_host(name) else (DEFAULT_HOST, name)
    match = _PATH.fullmatch(path) if len(path) <= 255 else None
    if match is None or not _HOST.fullmatch(host):
        hint = "use lower-case letters, digits and . _ - as in name:tag or host/name:tag"
        if "://" in name:
            hint = "leave out what stands before the host, as in ghcr.io/me/app:1.0"
        raise InputError(f"{name[:300]!r} is not a name for an image", hint=hint)
    host = DEFAULT_HOST if host == "index.docker.io" else host
    bare = host == DEFAULT_HOST and "/" not in match["path"]
    return host, f"library/{match['path']}" if bare else match["path"], match["tag"] or ""
