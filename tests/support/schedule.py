"""In which order several processes (pytest-xdist) take the tests, file by file."""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadFileScheduling

# What takes longest begins first: nobody is left alone with it in the end.
FIRST = (
    "tests/slim/test_heavy_packages.py",
    "tests/test_build.py",
    "tests/engine/",
    "tests/test_docs.py",
    "tests/test_inputs.py",
    "tests/platforms/",
    "tests/sandbox/",
    "tests/slim/test_real_packages.py",
    "tests/trace/",
    "tests/verify/test_verify_sandboxes.py",
)
# Folders whose files share a running container or an image in an engine.
TOGETHER = ("tests/engine/",)


class Schedule(LoadFileScheduling):  # type: ignore[misc]
    """The tests of a file go to one process, so do those of a folder in `TOGETHER`."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return next((folder for folder in TOGETHER if file.startswith(folder)), file)


def rank(item: pytest.Item) -> int:
    """Return the place of a test's file in the order."""
    return next((n for n, path in enumerate(FIRST) if item.nodeid.startswith(path)), len(FIRST))
