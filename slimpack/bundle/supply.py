"""Where the bytes of blobs come from: the bundle, a patch of it, or the far side itself."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from slimpack.bundle.model import Blob, Patch
from slimpack.bundle.reader import Bundle
from slimpack.bundle.rebuild import Held, Rebuilder
from slimpack.bundle.shipment import damaged, unreadable
from slimpack.errors import BundleError, ImageError
from slimpack.oci.digest import ByteStream, VerifyingReader
from slimpack.progress import SILENT, Progress


class Supply:
    """Opens blobs, verified; safe for any number of threads.

    held: digest -> what the far side has, of the blobs that the bundle leaves out and of the
    bases of its patches. scratch: a folder for blobs that patches make.
    """

    def __init__(
        self,
        bundle: Bundle,
        held: Mapping[str, Held],
        scratch: Path,
        progress: Progress = SILENT,
    ) -> None:
        self._bundle = bundle
        self._held = held
        self._rebuilder = Rebuilder(held, scratch, progress)
        self._rebuilt: dict[str, Path] = {}
        self._members = frozenset(blob.digest for blob in bundle.statement.blobs)
        self._patches = {patch.target.digest: patch for patch in bundle.statement.patches}
        self._rebuilding = threading.Lock()

    def open(self, blob: Blob) -> ByteStream:
        """Open a blob; the read that gives its last byte raises BundleError unless all is well."""
        if blob.digest in self._members:
            return Member(self._bundle, blob.path)
        patch = self._patches.get(blob.digest)
        if patch is not None:
            return _verified(self._made(patch).open("rb"), blob)
        if blob.digest not in self._held:
            raise BundleError(
                f"blob {blob.digest} is not in the bundle, and is gone from where it was",
                hint="somebody else may have removed it meanwhile; start again",
            )
        return _verified(self._held[blob.digest].open(), blob)

    def source(self, blob: Blob) -> str:
        """Return the repository of the far side that a blob can be mounted from, "" for none."""
        held = self._held.get(blob.digest)
        return held.source if held is not None and blob.digest not in self._members else ""

    def _made(self, patch: Patch) -> Path:
        """Make the blob of a patch, once: it takes the processor, so no two at a time."""
        digest = patch.target.digest
        with self._rebuilding:
            if digest not in self._rebuilt:
                self._rebuilt[digest] = self._rebuilder.rebuild(
                    patch, lambda: Member(self._bundle, patch.path)
                )
        return self._rebuilt[digest]

    def close(self) -> None:
        """Free the space that rebuilding took; blobs that it made stay in the folder."""
        self._rebuilder.close()


def _verified(stream: ByteStream, blob: Blob) -> VerifyingReader:
    return VerifyingReader(stream, blob.digest, blob.size, f"blob {blob.digest}")


class Member:
    """A member of the bundle. What goes wrong is said of the bundle, not of who reads it."""

    def __init__(self, bundle: Bundle, path: str) -> None:
        self._bundle = bundle
        try:
            self._stream = bundle.open(path)
        except ImageError as error:
            raise damaged(bundle, error) from error
        except OSError as error:
            raise unreadable(bundle, error) from error

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes. Raises BundleError."""
        try:
            return self._stream.read(size)
        except ImageError as error:
            raise damaged(self._bundle, error) from error
        except OSError as error:
            raise unreadable(self._bundle, error) from error

    def close(self) -> None:
        """Close it."""
        self._stream.close()
