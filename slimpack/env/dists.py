"""Python distributions that pip or uv put into a prefix: ``*.dist-info``.

Formats: PEP 376 and PEP 427 (RECORD), PEP 610 (direct_url.json), core metadata.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Dist:
    """One installed distribution that no conda package owns.

    name: normalised (PEP 503).
    folder: its ``.dist-info``, path below the prefix.
    files: what RECORD lists, normal paths below the prefix (those outside are left out).
    installer: what INSTALLER says, "" when it says nothing.
    url: of direct_url.json, "" when there is none.
    editable: it only points to a source folder (`url`).
    """

    name: str
    version: str
    folder: str
    files: tuple[str, ...]
    installer: str = ""
    url: str = ""
    editable: bool = False
    license: str = ""

    @property
    def owner(self) -> str:
        """What `Entry.owner` says for its files; never the name of a conda package."""
        return f"pypi:{self.name}"
