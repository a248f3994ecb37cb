"""README.txt of a bundle: for somebody who has nothing but the file and the usual tools."""

from __future__ import annotations

from slimpack.bundle.contents import Contents, Part
from slimpack.bundle.model import Statement

PATH = "README.txt"


def readme(statement: Statement, contents: Contents) -> Part:
    """Return README.txt of the bundle that has this statement, without its texts."""
    return Part.of(PATH, b"A bundle of slimpack.\n")
