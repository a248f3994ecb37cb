"""The head of a patch: which blob it makes, from what, and how that is compressed.

Layout of the file: eight bytes of magic, the length of the header (32 bits, little
endian), the header (canonical JSON), and the body: segments, see `slimpack.patch.segment`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import cast, get_args

from slimpack.errors import ImageError, InputError
from slimpack.oci.compress import Compression, Kind
from slimpack.oci.decompress import MAX_UNPACKED
from slimpack.oci.digest import ByteStream, check_digest
from slimpack.oci.jsontext import Object, canonical, mapping, number, objects, parse_object, text
from slimpack.oci.layer import LAYER_TYPES

MAGIC = b"slimpch\x01"
VERSION = 1
MAX_BASES = 127  # layers of an image that engines take
MAX_SIZE = MAX_UNPACKED
"""Most bytes that a blob, its tar, a base's tar or a patch may have."""

_LENGTH = struct.Struct("<I")
_MAX_HEADER = 1 << 20
_MAX_NAME = 100


@dataclass(frozen=True)
class Base:
    """An old layer that a patch reads.

    digest: of its blob, under which the other side has it.
    diff_id, unpacked_size: of its tar, which is what the patch reads.
    """

    digest: str
    diff_id: str
    unpacked_size: int


@dataclass(frozen=True)
class PatchInfo:
    """What a patch makes, and from what.

    media_type, digest, size: of the blob that it makes.
    diff_id, unpacked_size: of that blob's tar.
    kind, level, library: how the tar is compressed; `library` as `Compression.library`
        names it, because the bytes depend on its version.
    bases: the layers that must be there, each read somewhere in the patch.
    patch_size: bytes of the whole patch file.
    """

    media_type: str
    digest: str
    size: int
    diff_id: str
    unpacked_size: int
    kind: Kind
    level: int
    library: str
    bases: tuple[Base, ...]
    patch_size: int

    @property
    def what(self) -> str:
        """Name of the patch in messages."""
        return f"the patch for layer {self.digest}"

    @property
    def compression(self) -> Compression:
        """The compressor that makes the blob of the tar."""
        return Compression(self.kind, self.level)


def can_rebuild(info: PatchInfo) -> str:
    """Return why this machine cannot make the blob of `info`, "" when it can.

    Only the version of the compressor's library is looked at, so that a whole bundle
    can be judged before anything is written. The digest is checked in any case.
    """
    here = info.compression.library
    if here == info.library:
        return ""
    return f"layer {info.digest} was compressed by {info.library}, and this machine has {here}"


def write_head(info: PatchInfo, body: int) -> bytes:
    """Return the beginning of a patch file whose body has `body` bytes."""
    target = {
        "mediaType": info.media_type,
        "digest": info.digest,
        "size": info.size,
        "diffID": info.diff_id,
        "unpackedSize": info.unpacked_size,
    }
    header = canonical(
        {
            "version": VERSION,
            "target": target,
            "compression": {"kind": info.kind, "level": info.level, "library": info.library},
            "bases": [
                {"digest": base.digest, "diffID": base.diff_id, "unpackedSize": base.unpacked_size}
                for base in info.bases
            ],
            "body": body,
        }
    )
    return MAGIC + _LENGTH.pack(len(header)) + header


def read_info(stream: ByteStream, what: str = "the patch") -> PatchInfo:
    """Read the head of a patch; `stream` stands at the body afterwards.

    what: names the patch in messages. Raises ImageError for anything but a sound head.
    """
    start = exactly(stream, len(MAGIC) + _LENGTH.size, what)
    if not start.startswith(MAGIC):
        raise ImageError(f"{what} is not a patch of slimpack, or of a newer one")
    (length,) = _LENGTH.unpack(start[len(MAGIC) :])
    if length > _MAX_HEADER:
        raise ImageError(f"{what} has a header of {length} bytes")
    header = parse_object(exactly(stream, length, what), what)
    if header.get("version") != VERSION:
        raise ImageError(
            f"{what} has the version {str(header.get('version'))[:20]}, expected {VERSION}",
            hint="apply it with a newer slimpack",
        )
    target, how = mapping(header, "target", what), mapping(header, "compression", what)
    info = PatchInfo(
        media_type=text(target, "mediaType", what),
        digest=check_digest(target.get("digest"), what),
        size=_bounded(target, "size", what),
        diff_id=check_digest(target.get("diffID"), what),
        unpacked_size=_bounded(target, "unpackedSize", what),
        kind=_kind(text(how, "kind", what), what),
        level=number(how, "level", what),
        library=_printable(text(how, "library", what), what),
        bases=tuple(_base(item, what) for item in objects(header, "bases", what)),
        patch_size=len(start) + length + _bounded(header, "body", what),
    )
    _check(info, what)
    return info


def exactly(stream: ByteStream, size: int, what: str) -> bytes:
    """Read `size` bytes; raise ImageError, naming `what`, when there are fewer."""
    data = stream.read(size) if size else b""
    while len(data) < size and (more := stream.read(size - len(data))):
        data += more
    if len(data) < size:
        raise ImageError(f"{what} is cut off", hint="fetch or copy it again")
    return data


def _check(info: PatchInfo, what: str) -> None:
    try:
        media_type = info.compression.media_type
    except InputError as error:
        raise ImageError(f"{what}: {error.message}") from error
    if info.media_type not in LAYER_TYPES or info.media_type != media_type:
        raise ImageError(f"{what} makes no layer of {info.kind}: {info.media_type[:100]!r}")
    if len(info.bases) > MAX_BASES or len({base.digest for base in info.bases}) < len(info.bases):
        raise ImageError(f"{what} names too many base layers, or one of them twice")


def _base(item: Object, what: str) -> Base:
    return Base(
        digest=check_digest(item.get("digest"), what),
        diff_id=check_digest(item.get("diffID"), what),
        unpacked_size=_bounded(item, "unpackedSize", what),
    )


def _bounded(item: Object, key: str, what: str) -> int:
    value = number(item, key, what)
    if value > MAX_SIZE:
        raise ImageError(f"{what}: {key} is {value}, more than the {MAX_SIZE} allowed")
    return value


def _printable(name: str, what: str) -> str:
    if len(name) > _MAX_NAME or not name.isprintable():
        raise ImageError(f"{what} names its compressor in a strange way: {name[:100]!a}")
    return name


def _kind(name: str, what: str) -> Kind:
    if name not in get_args(Kind):
        raise ImageError(f"{what} uses the unknown compression {name[:40]!r}")
    return cast("Kind", name)
