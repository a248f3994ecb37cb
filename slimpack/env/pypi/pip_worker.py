"""The process in which pip runs; started by `slimpack.env.pypi.pip`.

``python -I pip_worker.py REQUEST ARGUMENT...``: REQUEST is a JSON file with

- ``root``: the folder that holds slimpack's own ``pip`` package; no other is used,
- ``installed``: folders whose distributions count as installed,
- ``glibc``: [major, minor] that decides about manylinux wheels, instead of the host's,
- ``markers``: environment markers of the target, null for those of this Python.

pip evaluates markers and manylinux tags for the Python and the C library that it
runs with, also when it is told another platform. So the two functions of its
copy of ``packaging`` that ask the host are replaced (as pex does it); when they
are not there, this fails rather than resolve for the wrong platform. It imports
nothing of slimpack: it is a program of its own, run by the prefix's Python.
"""

from __future__ import annotations

import importlib
import json
import runpy
import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any


class PipFinder:
    """Finds ``pip`` in one folder and nothing else, as pip's own ``__pip-runner__`` does."""

    root = ""

    @classmethod
    def find_spec(cls, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return where pip is; leave everything else to others."""
        return PathFinder.find_spec(fullname, [cls.root], target) if fullname == "pip" else None


def aim(request: dict[str, Any]) -> None:
    """Make pip choose for the platform of the request."""
    manylinux: Any = importlib.import_module("pip._vendor.packaging._manylinux")
    markers: Any = importlib.import_module("pip._vendor.packaging.markers")
    if not hasattr(manylinux, "_get_glibc_version") or not hasattr(markers, "default_environment"):
        raise SystemExit("this pip cannot be told about another platform")
    manylinux._get_glibc_version = lambda: tuple(request["glibc"])
    if request["markers"] is not None:
        markers.default_environment = lambda: dict(request["markers"])


def main() -> None:
    """Run pip as the request says."""
    request = json.loads(Path(sys.argv.pop(1)).read_text(encoding="utf-8"))
    PipFinder.root = request["root"]
    sys.meta_path.insert(0, PipFinder)
    sys.path.extend(request["installed"])
    aim(request)
    runpy.run_module("pip", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
