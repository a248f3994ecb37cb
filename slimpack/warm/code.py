"""Which code of ours made something."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import slimpack

_LIBRARIES = (("conda_pack", "conda_pack"), ("rattler", "py_rattler"), ("installer", "installer"))
"""Modules and distributions of others by which the files of an environment come about."""


@cache
def own_code() -> str:
    """Return a text that is another one for other code of ours.

    The version is not enough: in a checkout it stays while the code changes. The same
    release, with the same libraries, gives the same text on every machine.
    """
    value = hashlib.sha256("\n".join(libraries()).encode())
    root = Path(slimpack.__file__).parent
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(name for name in files if name.endswith((".py", ".toml"))):
            path = Path(folder, name)
            value.update(f"{path.relative_to(root)}\0".encode())
            value.update(path.read_bytes())
    return value.hexdigest()


def libraries() -> list[str]:
    """Return the names and versions of the libraries that take part in what is remembered.

    `importlib.metadata` tells the same and takes longer than all else that a warm build does.
    """
    found = []
    for module, name in _LIBRARIES:
        spec = find_spec(module)
        if spec and spec.origin:
            found += [
                entry.rpartition(".")[0]
                for entry in os.listdir(Path(spec.origin).parent.parent)  # noqa: PTH208 (names)
                if entry.startswith(f"{name}-") and entry.endswith((".dist-info", ".egg-info"))
            ]
    return sorted(found)
