"""Reading a bundle from anywhere in it, without unpacking.

What the statement says is taken as a promise: members are found by it, and their bytes
are verified against it whenever they are read. Whether the statement itself is to be
trusted is a matter of its signature (`slimpack.bundle.signature`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from slimpack.bundle.model import (
    MAX_SIGNATURE,
    MAX_STATEMENT,
    SIGNATURE,
    STATEMENT,
    Blob,
    Bundled,
    Statement,
    parse_statement,
)
from slimpack.bundle.volumes import SUFFIX, list_path, open_medium
from slimpack.errors import BundleError, ImageError, InputError
from slimpack.oci import jsontext
from slimpack.oci.digest import VerifyingReader, chunks, hex_of, sha256
from slimpack.oci.index import Deliverable
from slimpack.oci.jsontext import Object
from slimpack.oci.parse import MAX_MANIFEST, check_blob
from slimpack.oci.read import read_described
from slimpack.oci.source import Files, Medium, Stored, tar_files_in

_NAME_FIELD = 100  # bytes of a tar header that hold the name of the member


@dataclass(frozen=True)
class Elsewhere:
    """A blob that is not in the bundle: it is patched together, or the far side has it."""

    digest: str
    size: int
    why: str

    def open(self) -> VerifyingReader:
        """Raise BundleError: whoever needs the bytes has to get them first."""
        raise BundleError(f"blob {self.digest} is not in the bundle: {self.why}")


class BundleFiles:
    """The files of a bundle, as `slimpack.oci.read` wants them.

    Blobs of the statement that are elsewhere are found too, with their size, so that images
    can be described; opening one is an error.
    """

    def __init__(self, files: Files, statement: Statement) -> None:
        self.what = files.what
        self._files = files
        self._sizes = {path: size for path, size, _ in statement.members}
        elsewhere = [
            *(Elsewhere(one.digest, one.size, "the far side has to have it")
              for one in statement.absent),
            *(Elsewhere(one.target.digest, one.target.size, "a patch makes it")
              for one in statement.patches),
        ]  # fmt: skip
        self._elsewhere = {Blob(one.digest, one.size).path: one for one in elsewhere}

    def has(self, name: str) -> bool:
        """Tell whether the statement names such a file."""
        return name in self._sizes or name in self._elsewhere

    def find(self, name: str) -> Stored:
        """Return a file of the statement; raise ImageError when there is none."""
        if name in self._elsewhere:
            return self._elsewhere[name]
        if name not in self._sizes:
            raise ImageError(f"{self.what} lacks the file {name[:200]!r}")
        found = self._files.find(name)
        if found.size != self._sizes[name]:
            raise ImageError(
                f"{name} of {self.what} has {found.size} bytes, but {STATEMENT} "
                f"declares {self._sizes[name]}"
            )
        return found

    def read(self, name: str, limit: int) -> bytes:
        """Return a whole small file, unverified; raise ImageError if missing or too large."""
        if self.find(name).size > limit:
            raise ImageError(f"{name} of {self.what} has more than the {limit} bytes allowed")
        return self._files.read(name, limit)


@dataclass(frozen=True)
class Bundle:
    """A bundle that can be read. path: as it was given. raw: the bytes of the statement.

    signature: the text of its signature, b"" without one.
    """

    path: Path
    medium: Medium
    statement: Statement
    raw: bytes
    signature: bytes
    files: BundleFiles

    @cached_property
    def digest(self) -> str:
        """Digest of the statement: what the bundle is known by."""
        return sha256(self.raw)

    @cached_property
    def _digests(self) -> dict[str, str]:
        return {path: digest for path, _, digest in self.statement.members}

    def open(self, path: str) -> VerifyingReader:
        """Open a member; its last byte is given when it has the digest of the statement."""
        stored = self.files.find(path)
        what = f"{path} of {self.files.what}"
        return VerifyingReader(stored.open(), self._digests[path], stored.size, what)

    def read(self, path: str, limit: int) -> bytes:
        """Return a whole member of at most `limit` bytes, verified."""
        if self.files.find(path).size > limit:
            raise BundleError(f"{path} of {self.files.what} has more than {limit} bytes")
        with self.open(path) as stream:
            return b"".join(chunks(stream))

    def target(self, bundled: Bundled) -> Deliverable:
        """Return an image or index of the bundle; layers that are elsewhere cannot be opened.

        Raises ImageError for one that is malformed or lacks a blob.
        """
        return read_described(self.files, bundled.descriptor)

    def manifest(self, descriptor: Object) -> bytes:
        """Return the verified bytes of a manifest by its descriptor."""
        digest = str(descriptor["digest"])
        data = self.files.read(f"blobs/sha256/{hex_of(digest)}", MAX_MANIFEST)
        return check_blob(data, descriptor, "manifest")

    def document_blobs(self, descriptor: Object) -> Iterator[Blob]:
        """Yield what the manifest of a document (an `Attached`) names: config and layers."""
        what = f"manifest {descriptor['digest']}"
        manifest = jsontext.parse_object(self.manifest(descriptor), what)
        items = [
            jsontext.mapping(manifest, "config", what),
            *jsontext.objects(manifest, "layers", what),
        ]
        for item in items:
            yield Blob(jsontext.text(item, "digest", what), jsontext.number(item, "size", what))


def is_bundle(path: Path) -> bool:
    """Tell whether a file is a bundle by its first member, or a list of its volumes is there."""
    if not path.is_file():
        return not path.exists() and list_path(path).is_file()
    if path.name.endswith(SUFFIX):
        return True
    try:
        with path.open("rb") as stream:
            return stream.read(_NAME_FIELD).rstrip(b"\0") == STATEMENT.encode()
    except OSError:
        return False


def open_bundle(path: Path) -> Bundle:
    """Open a bundle: a tar, or its volumes by their list or by the name of the tar.

    Nothing but its table of members and its statement is read. Raises InputError when
    nothing is there, BundleError for what is no bundle or lacks volumes.
    """
    try:
        medium = open_medium(path)
        files = tar_files_in(medium)
        if not files.has(STATEMENT):
            raise InputError(
                f"{path} is not a bundle: it has no {STATEMENT}",
                hint="`slimpack bundle create` makes one; images are read by other commands",
            )
        raw = files.read(STATEMENT, MAX_STATEMENT)
        signature = files.read(SIGNATURE, MAX_SIGNATURE) if files.has(SIGNATURE) else b""
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except ImageError as error:
        raise BundleError(
            error.message,
            hint=error.hint or f"`slimpack bundle verify {path}` tells which part is damaged",
        ) from error
    statement = parse_statement(raw, str(path))
    return Bundle(path, medium, statement, raw, signature, BundleFiles(files, statement))
