"""The beginning of a bundle that comes by: its statement, and the signature of that."""

from __future__ import annotations

from dataclasses import dataclass

from slimpack.bundle.findings import Findings
from slimpack.bundle.frame import header_of, is_header, name_in, size_in
from slimpack.bundle.model import (
    MAX_SIGNATURE,
    MAX_STATEMENT,
    SIGNATURE,
    STATEMENT,
    Statement,
    parse_statement,
)
from slimpack.bundle.passing import Passing
from slimpack.errors import BundleError, InputError
from slimpack.oci.decompress import sniff
from slimpack.oci.digest import CHUNK
from slimpack.oci.tar import BLOCK, END

_LOOK = MAX_SIGNATURE + 2 * BLOCK  # a signature ends before that


@dataclass(frozen=True)
class Beginning:
    """What a bundle says of itself. signature: b"" for none."""

    statement: Statement
    raw: bytes
    signature: bytes


def read_beginning(
    source: Passing, what: str, findings: Findings, total: int | None = None
) -> Beginning | None:
    """Read statement and signature; None, with a finding, if the statement is damaged or lost.

    total: bytes of the bundle where that is known for sure. Raises InputError for what is
    another tar, BundleError for what is nothing that can be a bundle.
    """
    raw = _read_statement(source, what, findings)
    statement = None
    if raw is not None:
        try:
            statement = parse_statement(raw, what)
        except BundleError as error:
            findings.add("statement", error.message, STATEMENT, 0, source.position)
    if raw is None or statement is None:
        return None
    read_padding(source, STATEMENT, len(raw), findings)
    members = statement.members
    first = header_of(*members[0][:2]) if members else END[:BLOCK]
    room = None
    if total is not None:
        frames = (len(header_of(path, size)) for path, size, _ in members)
        padded = (size + -size % BLOCK for _, size, _ in members)
        room = total - source.position - sum(frames) - sum(padded) - len(END)
    return Beginning(statement, raw, _read_signature(source, first, room, findings))


def read_padding(source: Passing, path: str, size: int, findings: Findings) -> None:
    """Pass what fills the last block of a member of `size` bytes: zeros."""
    begin = source.position
    found = source.read(-size % BLOCK)
    if found.strip(b"\0") and not source.lost(begin, source.position):
        findings.add(
            "padding", "the zeros behind its content are damaged", path, begin, source.position
        )


def _read_statement(source: Passing, what: str, findings: Findings) -> bytes | None:
    block = source.read(BLOCK)
    if source.lost(0, BLOCK):
        findings.add("statement", "it is lost, so no member can be verified", STATEMENT)
        return None
    _check_kind(block, what)
    size = size_in(block)
    if not is_header(block) or not 0 < size <= MAX_STATEMENT:
        raw = _recovered(source, what)
        size = len(raw)
    else:
        raw = source.read(size)
    if block != header_of(STATEMENT, size):
        findings.add("header", "its header is damaged", STATEMENT, 0, BLOCK)
    if len(raw) < size or source.lost(0, source.position):
        findings.add(
            "statement",
            "it is not whole, so no member can be verified",
            STATEMENT,
            0,
            source.position,
        )
        return None
    return raw


def _check_kind(block: bytes, what: str) -> None:
    if not block:
        raise BundleError(f"{what} is empty", hint="bring it again")
    kind = sniff(block)
    if kind != "none":
        raise BundleError(
            f"{what} is compressed as a whole ({kind}); a bundle is a plain tar",
            hint=f"unpack it first: {'gzip' if kind == 'gzip' else 'zstd'} -d",
        )
    if is_header(block) and name_in(block) != STATEMENT:
        raise InputError(
            f"{what} is not a bundle: its first member is {name_in(block)!r}, not {STATEMENT}",
            hint="`slimpack bundle create` makes one; a bundle that was unpacked and packed again "
            "cannot be verified",
        )


def _recovered(source: Passing, what: str) -> bytes:
    """Return the statement whose header is damaged: JSON in ASCII, so zeros end it."""
    data = bytearray()
    while b"\0" not in data[-CHUNK:] and (more := source.read(CHUNK)):
        data += more
        if len(data) > MAX_STATEMENT + CHUNK:
            break
    end = data.find(b"\0")
    # Where it fills its last block, the name of the next member stands behind it.
    end = data.rfind(b"}", 0, end if end >= 0 else len(data)) + 1
    if not data.startswith(b'{"') or not 0 < end <= MAX_STATEMENT:
        raise BundleError(
            f"{what} is not a bundle, or its beginning is damaged",
            hint="`slimpack bundle create` makes bundles; bring this one again",
        )
    source.unread(bytes(data[end:]))
    return bytes(data[:end])


def _read_signature(source: Passing, first: bytes, room: int | None, findings: Findings) -> bytes:
    """Pass the signature, if there is one, and return it.

    Nothing tells of it beforehand. So it is what lies before the header `first` of the next
    member; where that is damaged, what its own header says. room: how many bytes it takes
    with its header, where that is known.
    """
    begin = source.position
    seen = source.read(_LOOK + len(first))
    block = seen[:BLOCK]
    told = is_header(block) and name_in(block) == SIGNATURE and 0 < size_in(block) <= MAX_SIGNATURE
    places = range(0, len(seen), BLOCK)
    end = next((place for place in places if seen.startswith(first, place)), None)
    if end is None and room is not None:
        end = max(0, room)
    if told:
        size = size_in(block)
    elif end is not None and 2 * BLOCK <= end <= _LOOK and not is_header(block):
        size = len(seen[BLOCK:end].rstrip(b"\0"))
    else:
        source.unread(seen)
        return b""
    source.unread(seen[BLOCK + size :])
    if source.lost(begin, source.position):
        findings.add("signature", "it is lost", SIGNATURE, begin, source.position)
    elif block != header_of(SIGNATURE, size):
        findings.add("header", "its header is damaged", SIGNATURE, begin, begin + BLOCK)
    read_padding(source, SIGNATURE, size, findings)
    return seen[BLOCK : BLOCK + size]
