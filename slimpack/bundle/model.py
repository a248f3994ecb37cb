"""What a bundle says of itself: `slimpack/bundle.json`, its first member.

The statement names every other member by path, size and digest, so a signature of it is one
of the whole bundle, and who reads a stream knows what must come (docs/bundle-format.md).

It is not trusted: paths stay inside, sizes and numbers are bounded, nothing comes twice.
It has its own digest, which shows damage (and only that: whoever alters it makes a new one).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, cast, get_args

from slimpack.errors import BundleError, ImageError
from slimpack.oci import jsontext
from slimpack.oci.digest import check_digest, hex_of, sha256
from slimpack.oci.jsontext import Object, canonical
from slimpack.oci.untar import normal_path

MEDIA_TYPE = "application/vnd.slimpack.bundle.v1+json"
STATEMENT = "slimpack/bundle.json"
SIGNATURE = "slimpack/bundle.json.sig"
MAX_STATEMENT = 64 << 20
MAX_SIGNATURE = 64 << 10
MAX_MEMBERS = 200_000
_TOKENS = (b"[", b"{", b",", b'"')
_MAX_TOKENS = 24 * MAX_MEMBERS  # each may become an object of Python's: 19 are usual
_OWN = "statementDigest"  # of the statement without this key
_MAX_SIZE = (1 << 53) - 1  # of one member: what every reader of JSON can hold
_MAX_TIME = 253_402_300_799  # the last second of the year 9999

FileKind = Literal["layout", "text", "lock", "channel", "wheelhouse", "archive", "slimpack"]
"""layout: what makes the bundle an OCI layout and a docker-archive. text: README.txt,
SHA256SUMS, install.sh. slimpack: wheels of slimpack itself."""
_FIRST: tuple[FileKind, ...] = ("layout", "text")  # what people and readers of layouts want first


@dataclass(frozen=True, order=True)
class Blob:
    """A blob by its digest, and its size in bytes."""

    digest: str
    size: int

    @property
    def path(self) -> str:
        """Where it lies in a bundle, as in every OCI layout."""
        return f"blobs/sha256/{hex_of(self.digest)}"


@dataclass(frozen=True, order=True)
class File:
    """A member that is no blob of an image."""

    path: str
    size: int
    digest: str
    kind: FileKind


@dataclass(frozen=True, order=True)
class Patch:
    """A member that makes a blob of blobs which the far side has (`slimpack.patch`).

    target: what it makes. digest, size: of the patch itself. bases: digests of the blobs
    that it is applied to.
    """

    target: Blob
    digest: str
    size: int
    bases: tuple[str, ...]

    @property
    def path(self) -> str:
        """Where it lies in a bundle."""
        return f"slimpack/patches/{hex_of(self.target.digest)}"


@dataclass(frozen=True)
class Attached:
    """The manifest of what tells of an image: a referrer, or what cosign keeps under a tag.

    descriptor: mediaType, digest, size, artifactType, annotations. subject: digest of the
    manifest that it tells of. tag: under which it is found beside the image, "" for a referrer.
    """

    descriptor: Object
    subject: str
    tag: str = ""


@dataclass(frozen=True)
class Bundled:
    """An image, or an index of images, in a bundle.

    names: full ones (``docker.io/library/serve:1.0``); () for what is known by digest alone.
    descriptor: mediaType, digest, size (and platform) of its manifest.
    """

    names: tuple[str, ...]
    descriptor: Object
    attached: tuple[Attached, ...] = ()

    @property
    def digest(self) -> str:
        """Digest of the manifest."""
        return str(self.descriptor["digest"])


@dataclass(frozen=True)
class Statement:
    """All that a bundle holds.

    images: in the order in which they were asked for. blobs, files, patches: the members
    beside this statement and its signature; blobs in their order in the tar, the others
    sorted. absent: blobs that images need and the far side has. since: digests of the
    statements (or inventories) that it follows.
    created: seconds since the epoch, None when nobody said (a date makes other bytes).
    tool: who wrote it.
    """

    images: tuple[Bundled, ...] = ()
    blobs: tuple[Blob, ...] = ()
    files: tuple[File, ...] = ()
    patches: tuple[Patch, ...] = ()
    absent: tuple[Blob, ...] = ()
    since: tuple[str, ...] = ()
    created: int | None = None
    tool: str = field(default="")

    @property
    def is_delta(self) -> bool:
        """Whether the far side must have something already."""
        return bool(self.absent or self.patches)

    @property
    def members(self) -> tuple[tuple[str, int, str], ...]:
        """Path, size and digest of every member that it names, in their order in the tar.

        So who has the statement knows where each of them is, even if a header is damaged.
        """
        files = sorted((file.path, file.size, file.digest, file.kind) for file in self.files)
        return (
            *(file[:3] for file in files if file[3] in _FIRST),
            *((blob.path, blob.size, blob.digest) for blob in self.blobs),
            *sorted((patch.path, patch.size, patch.digest) for patch in self.patches),
            *(file[:3] for file in files if file[3] not in _FIRST),
        )

    def to_json(self) -> bytes:
        """Return the one text of the statement."""
        value: Object = {
            "schemaVersion": 1,
            "mediaType": MEDIA_TYPE,
            "tool": self.tool,
            "images": [_bundled_json(one) for one in self.images],
            "blobs": [_blob_json(blob) for blob in self.blobs],
            "files": [
                {"path": one.path, "size": one.size, "digest": one.digest, "kind": one.kind}
                for one in sorted(self.files)
            ],
            "patches": [
                {
                    "target": _blob_json(one.target),
                    "digest": one.digest,
                    "size": one.size,
                    "bases": list(one.bases),
                }
                for one in sorted(self.patches)
            ],
            "absent": [_blob_json(blob) for blob in sorted(self.absent)],
            "since": list(self.since),
        }
        if self.created is not None:
            value["created"] = self.created
        return canonical({**value, _OWN: sha256(canonical(value))})


def parse_statement(data: bytes, what: str) -> Statement:
    """Read a statement. Raises BundleError, naming `what`, for anything but a sound one."""
    if len(data) > MAX_STATEMENT or sum(map(data.count, _TOKENS)) > _MAX_TOKENS:
        raise BundleError(f"{what}: {STATEMENT} is too large")
    try:
        value = jsontext.parse_object(data, STATEMENT)
        statement = _parsed(value)
        # Nothing else says what its bytes are: a flipped one would look like a damaged member.
        own = value.pop(_OWN, None)
        if sha256(canonical(value)) != own or canonical({**value, _OWN: own}) != data:
            raise BundleError(
                f"{what}: {STATEMENT} is damaged: it is not what its own digest names"
            )
        return statement
    except ImageError as error:
        raise BundleError(f"{what}: {error.message}", hint=error.hint) from error
    except RecursionError as error:
        raise BundleError(f"{what}: {STATEMENT} is nested too deeply") from error


def _parsed(value: Object) -> Statement:
    kind = jsontext.text(value, "mediaType", STATEMENT)
    version = value.get("schemaVersion")
    if kind != MEDIA_TYPE or version != 1:
        raise BundleError(
            f"{STATEMENT} is of the type {kind[:100]!r}, version {str(version)[:20]!r}, "
            "which this slimpack does not know",
            hint="the bundle may come from a newer slimpack; it can carry that one's wheels",
        )
    statement = Statement(
        images=tuple(map(_bundled, jsontext.objects(value, "images", STATEMENT))),
        blobs=_blobs(value, "blobs"),
        files=tuple(map(_file, jsontext.objects(value, "files", STATEMENT))),
        patches=tuple(map(_patch, jsontext.objects(value, "patches", STATEMENT))),
        absent=_blobs(value, "absent"),
        since=tuple(
            check_digest(one, "since") for one in jsontext.texts(value, "since", STATEMENT)
        ),
        created=moment(value, STATEMENT),
        tool=jsontext.text(value, "tool", STATEMENT)[:200],
    )
    if len(statement.members) > MAX_MEMBERS:
        raise BundleError(f"{STATEMENT} lists more than {MAX_MEMBERS} members")
    _unique((path for path, _, _ in statement.members), "member")
    targets = (patch.target.digest for patch in statement.patches)
    _unique(
        (*(one.digest for one in (*statement.blobs, *statement.absent)), *targets),
        "blob",
    )
    _unique((name for image in statement.images for name in image.names), "name")
    return statement


def moment(value: Object, what: str) -> int | None:
    """Return when something was made, in seconds since the epoch; None if it does not say so."""
    if "created" not in value:
        return None
    found = jsontext.number(value, "created", what)
    if found > _MAX_TIME:
        raise ImageError(f"{what} is of a time that is none: {str(found)[:40]}")
    return found


def _unique(values: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise BundleError(f"{STATEMENT} lists the {what} {value[:200]!r} twice")
        seen.add(value)


def _blob_json(blob: Blob) -> Object:
    return {"digest": blob.digest, "size": blob.size}


def _bundled_json(one: Bundled) -> Object:
    attached = []
    for item in one.attached:
        found: Object = {"descriptor": item.descriptor, "subject": item.subject}
        attached.append({**found, "tag": item.tag} if item.tag else found)
    return {"names": list(one.names), "descriptor": one.descriptor, "attached": attached}


def _blobs(value: Object, key: str) -> tuple[Blob, ...]:
    return tuple(_blob(item, key) for item in jsontext.objects(value, key, STATEMENT))


def _blob(item: Object, what: str) -> Blob:
    size = jsontext.number(item, "size", what)
    if size > _MAX_SIZE:
        raise ImageError(f"{what} cannot have {str(size)[:40]} bytes")
    return Blob(check_digest(item.get("digest"), what), size)


def _file(item: Object) -> File:
    path = jsontext.text(item, "path", "a file")
    try:
        path.encode()
    except UnicodeEncodeError as error:  # half of a pair of surrogates
        raise BundleError(f"{STATEMENT} lists a path that is no text: {path[:200]!r}") from error
    if not path or normal_path(path, STATEMENT) != path or path.startswith(("blobs/", "slimpack/")):
        raise BundleError(f"{STATEMENT} lists a file in the wrong place: {path[:200]!r}")
    kind = jsontext.text(item, "kind", path)
    if kind not in get_args(FileKind):
        raise BundleError(f"{STATEMENT}: {path} is of the unknown kind {kind[:40]!r}")
    blob = _blob(item, path)
    return File(path, blob.size, blob.digest, cast("FileKind", kind))


def _patch(item: Object) -> Patch:
    target = _blob(jsontext.mapping(item, "target", "a patch"), "the target of a patch")
    what = f"the patch for {target.digest}"
    own = _blob(item, what)
    bases = tuple(check_digest(one, what) for one in jsontext.texts(item, "bases", what))
    return Patch(target, own.digest, own.size, bases)


def _bundled(item: Object) -> Bundled:
    return Bundled(
        tuple(jsontext.texts(item, "names", "an image")),
        _descriptor(item, "an image"),
        tuple(map(_attached, jsontext.objects(item, "attached", "an image"))),
    )


def _attached(item: Object) -> Attached:
    return Attached(
        _descriptor(item, "a document"),
        check_digest(item.get("subject"), "the subject of a document"),
        jsontext.text(item, "tag", "a document"),
    )


def _descriptor(item: Object, what: str) -> Object:
    found = jsontext.mapping(item, "descriptor", what)
    blob = _blob(found, what)
    jsontext.text(found, "mediaType", f"{what} {blob.digest}")
    return found
