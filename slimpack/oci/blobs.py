"""A folder of blobs, each named by its digest, as in OCI image-layout 'blobs/'."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from slimpack.files import new_file, publish
from slimpack.oci.digest import HashingWriter, check_digest, hex_of


class BlobStore:
    """Blobs in ``directory/sha256/<hex>``; safe for any number of writers at once.

    A blob has its name only when it is whole, and two writers of the same blob
    write the same bytes, so that whoever comes last replaces like with like.

    durable: whether to wait for the disk before a blob gets its name.
    """

    def __init__(self, directory: Path, *, durable: bool = True) -> None:
        self.directory = directory
        self._durable = durable

    def path(self, digest: str) -> Path:
        """Return where the blob is, or would be. Raises ImageError for a bad digest."""
        return self.directory / "sha256" / hex_of(check_digest(digest, "blob"))

    def __contains__(self, digest: object) -> bool:
        return isinstance(digest, str) and self.path(digest).is_file()

    def open(self, digest: str) -> BinaryIO:
        """Open the blob for reading, unverified. Raises FileNotFoundError."""
        return self.path(digest).open("rb")

    @contextmanager
    def create(self) -> Iterator[HashingWriter]:
        """Open a writer for a new blob; its digest and size are known afterwards.

        The blob is stored when the context ends without error. Any exception,
        KeyboardInterrupt included, leaves nothing; a full disk is a SlimpackError.
        """
        with new_file(self.directory / "sha256" / "new") as stream:
            sink = HashingWriter(stream)
            yield sink
            publish(stream, self.path(sink.digest), durable=self._durable)

    def add(self, data: bytes) -> str:
        """Store `data` and return its digest."""
        with self.create() as sink:
            sink.write(data)
        return sink.digest
