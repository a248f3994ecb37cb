"""tar-split: a tar without the contents of its files, from which and from them it is made again.

Format: vbatts/tar-split, tar/storage. JSON lines: segments hold the bytes between contents,
in base64; files are named, with their sizes and sums. podman proves with it that the files
that it fetched make the tar that the image's configuration names.
"""

from __future__ import annotations

import json
from base64 import b64encode

from slimpack.oci.crc64 import Crc64
from slimpack.oci.tar import BLOCK
from slimpack.tree import Entry

_FILE, _SEGMENT = 1, 2


class TarSplit:
    """Sees a tar being made (`slimpack.oci.toc.Witness`)."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._entry: Entry | None = None
        self._sum = Crc64()

    def header(self, entry: Entry, data: bytes) -> None:
        """Take the headers of the next member, behind the padding of the one before."""
        self._segment(data)
        self._entry = entry

    def content(self, data: bytes) -> None:
        """Take more of the member's content."""
        self._sum.update(data)

    def finish(self, end: bytes) -> bytes:
        """Take the end of the tar; return the whole text."""
        self._segment(end)
        return b"".join(self._lines)

    def _segment(self, data: bytes) -> None:
        before, self._entry = self._entry, None
        padding = b""
        if before is not None:
            self._file(before)
            padding = bytes(-before.size % BLOCK)
        self._add({"type": _SEGMENT, "payload": b64encode(padding + data).decode()})

    def _file(self, entry: Entry) -> None:
        slash = "/" if entry.kind.value == "directory" else ""
        found: dict[str, object] = {"type": _FILE, "name": entry.path + slash}
        if entry.size:
            found |= {"size": entry.size, "payload": b64encode(self._sum.digest()).decode()}
            self._sum = Crc64()
        self._add({"payload": None, **found})

    def _add(self, value: dict[str, object]) -> None:
        position = len(self._lines)
        text = json.dumps({**value, "position": position}, separators=(",", ":"))
        self._lines.append(text.encode("ascii") + b"\n")
