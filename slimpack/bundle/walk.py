"""One pass over the members of a bundle, each against its digest as it comes by.

Members are followed by what their headers say, as long as those are sound. Where one is
damaged, the statement tells what has to be there and where the next one begins, so a flipped
bit costs one member and not all behind it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Protocol

from slimpack.bundle.beginning import read_padding
from slimpack.bundle.findings import FindingKind, Findings
from slimpack.bundle.frame import Foreign, foreign, header_of, is_header
from slimpack.bundle.model import SIGNATURE, STATEMENT, Statement
from slimpack.bundle.passing import Passing, Update
from slimpack.oci.digest import ByteStream
from slimpack.oci.tar import BLOCK, END

_BEFORE = (STATEMENT, SIGNATURE)
_MOST_BEHIND = 1 << 20  # bytes behind the end that are looked at


class Witness(Protocol):
    """Who wants to see the content of some members as it comes by."""

    def begin(self, path: str, size: int) -> Update | None:
        """Return what takes the content of a member, None for one that is of no interest."""

    def reader(self, path: str) -> Callable[[ByteStream], None] | None:
        """Return what reads the content of a member as far as it likes, None for nothing."""

    def end(self, path: str, whole: bool) -> None:
        """Hear that the content has passed, and whether it is what its digest names."""


class _Content:
    """The content of the member that comes by."""

    def __init__(self, source: Passing, size: int, update: Callable[[bytes], object]) -> None:
        self.left = size
        self._source = source
        self._update = update

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.some(self.left if size < 0 else min(size, self.left))
        self._update(data)
        self.left -= len(data)
        return data

    def close(self) -> None:
        """Leave the source open."""


class Walk:
    """The pass. After `run`, `verified` counts members whose content is whole."""

    def __init__(
        self, source: Passing, statement: Statement, findings: Findings, witness: Witness
    ) -> None:
        self.verified = 0
        self._source = source
        self._findings = findings
        self._witness = witness
        self._members = statement.members
        self._places = {path: number for number, (path, _, _) in enumerate(self._members)}
        self._seen = bytearray(len(self._members))
        self._long: set[int] | None = None  # hashes of headers of several blocks
        self._next = 0  # number of the member that must come

    def run(self) -> None:
        """Pass all members and the end of the tar."""
        while self._next < len(self._members):
            path, size, _ = self._members[self._next]
            wanted = header_of(path, size)
            begin = self._source.position
            found = self._source.read(len(wanted))
            if found == wanted or self._source.lost(begin, self._source.position):
                self._take(self._next, size, begin)
            elif self._ended(found):
                break
            elif is_header(found[:BLOCK]) and not self._resembles(found, wanted):
                self._source.unread(found)
                self._foreign(begin)
            else:
                self._findings.add(
                    "header", "its header is damaged", path, begin, begin + len(wanted)
                )
                self._take(self._next, size, begin)
        self._finish()
        self._missing()

    def _resembles(self, found: bytes, wanted: bytes) -> bool:
        """Tell whether a header of several blocks is the wanted one with a damaged block.

        Names that are long and alike have headers that are, too: those must not be taken for
        damaged ones.
        """
        places = range(0, len(wanted), BLOCK)
        same = sum(found[at : at + BLOCK] == wanted[at : at + BLOCK] for at in places)
        if same < len(places) - 1 or not same:
            return False
        if self._long is None:
            headers = (header_of(path, size) for path, size, _ in self._members)
            self._long = {hash(header) for header in headers if len(header) > BLOCK}
        return hash(found) not in self._long

    def _ended(self, found: bytes) -> bool:
        """Tell whether the file ends here, with nothing but zeros, before all members came."""
        if len(found) < BLOCK:
            self._source.unread(found)
            return True
        if found.strip(b"\0"):
            return False
        rest = self._source.read(2 * len(END))
        ended = len(found) + len(rest) <= len(END)
        self._source.unread(found + rest if ended else rest)
        return ended

    def _take(self, number: int, size: int, header: int) -> None:
        """Pass the content of a member, `size` bytes in the tar, and note that it came.

        header: where its header begins.
        """
        path, declared, digest = self._members[number]
        self._seen[number] = True
        self._next = number + 1
        while self._next < len(self._members) and self._seen[self._next]:
            self._next += 1
        begin = self._source.position
        sha = hashlib.sha256()
        content = _Content(self._source, size, sha.update)
        reader = self._witness.reader(path)
        if reader is not None and not self._source.lost(begin, begin + size):
            reader(content)
            update = None
        else:
            update = self._witness.begin(path, declared)
        left = content.left
        left -= self._source.feed(left, sha.update, *([update] if update else []))
        end = self._source.position
        said = ""
        if self._source.lost(header, end):
            said = "bytes of it are lost"
        elif left:
            said = f"it is cut off: the last {left} of its {size} bytes are missing"
        elif size == declared and f"sha256:{sha.hexdigest()}" != digest:
            said = "its content is damaged: it is not what its digest names"
        if said:
            self._findings.add("content", said, path, begin, end)
        whole = not said and size == declared
        self.verified += whole
        self._witness.end(path, whole)
        read_padding(self._source, path, size, self._findings)

    def _foreign(self, begin: int) -> None:
        """Take a member whose header is sound, but is not the one that must come."""
        found = foreign(self._source)
        here = self._source.position
        member = found.member
        if member is None:
            self._findings.add("unlisted", f"refused: {found.refused}", "", begin, here)
            return
        number = self._places.get(member.path)
        end = here + member.size + -member.size % BLOCK
        kind: FindingKind
        if member.kind != "file":
            kind, said = "unlisted", f"it is a {member.kind}, and a bundle has files alone"
        elif member.path in _BEFORE or (number is not None and self._seen[number]):
            kind, said = "duplicate", "it comes a second time"
        elif number is None:
            kind, said = "unlisted", "the statement does not list it"
        else:
            self._compare(number, found, begin)
            self._take(number, member.size, begin)
            return
        self._findings.add(kind, said, member.path, begin, end)
        self._source.skip(end - here)

    def _compare(self, number: int, found: Foreign, begin: int) -> None:
        """Tell how a header differs from the one that the writer makes."""
        path, declared, _ = self._members[number]
        member = found.member
        end = self._source.position
        add = self._findings.add
        if member is not None and member.size != declared:
            said = f"it has {member.size} bytes, but the statement declares {declared}"
            add("size", said, path, begin, end + member.size)
        elif found.header != header_of(path, declared):
            name = "" if member is None or member.name == path else f": {member.name[:200]!r}"
            add("header", f"its header is not the one that slimpack writes{name}", path, begin, end)
        if number < self._next:
            add("order", "it comes behind members that must follow it", path, begin, end)

    def _finish(self) -> None:
        """Pass what else there is, and the end."""
        source = self._source
        while is_header(found := source.read(BLOCK)):
            source.unread(found)
            self._foreign(source.position)
        begin = source.position - len(found)
        found += source.read(len(END) - len(found))
        end = source.position
        if source.lost(begin, max(end, begin + 1)):
            self._findings.add("end", "the end is lost", "", begin, end)
        elif len(found) < len(END):
            self._findings.add("end", f"it is cut off at byte {end}", "", begin, end)
        elif found.strip(b"\0"):
            self._findings.add("end", "the zeros that end the tar are damaged", "", begin, end)
        behind = source.skip(_MOST_BEHIND + 1)
        if behind:
            many = f"more than {_MOST_BEHIND}" if behind > _MOST_BEHIND else str(behind)
            self._findings.add("end", f"{many} bytes follow the end", "", end, source.position)

    def _missing(self) -> None:
        """Tell what never came."""
        number = self._seen.find(0)
        while number >= 0:
            path, size, _ = self._members[number]
            self._findings.add("missing", f"it is not there ({size} bytes)", path)
            number = self._seen.find(0, number + 1)
