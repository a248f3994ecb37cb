"""Uploading a blob.

Protocol: OCI distribution-spec v1.1, 'POST then PUT' and 'Mounting a blob from another
repository'. The body tells how far it is, and stops when asked to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote, urlencode, urlsplit

from slimpack.errors import ImageError, RegistryError
from slimpack.oci.digest import ByteStream
from slimpack.registry.calls import Answer, Body, Call
from slimpack.registry.failures import DeniedError, NotThereError, PassingError, RefusalError
from slimpack.registry.retry import Retry
from slimpack.registry.session import Session, joined
from slimpack.registry.tokens import Access

DIGEST_HEADER = "Docker-Content-Digest"
# What a second try from the beginning may mend.
_LOST = {"BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID", "DIGEST_INVALID", "SIZE_INVALID"}

Advance = Callable[[int], object]


class Told:
    """Passes progress on, without what an earlier try has told already."""

    def __init__(self, advance: Advance | None) -> None:
        self._advance = advance
        self._most = 0

    @property
    def begun(self) -> bool:
        """Whether any byte was told of."""
        return self._most > 0

    def reach(self, done: int) -> None:
        """Say that `done` bytes of the whole are done."""
        if self._advance is not None and done > self._most:
            self._advance(done - self._most)
        self._most = max(self._most, done)


class Outgoing:
    """A stream of exactly `size` bytes on its way to a registry.

    Raises StoppedError once nobody wants it any more, and ImageError for a stream
    of another length: a request must have what it announced.
    """

    def __init__(self, stream: ByteStream, size: int, told: Told, retry: Retry, what: str) -> None:
        self._stream = stream
        self._left = size
        self._size = size
        self._told = told
        self._retry = retry
        self._what = what

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes."""
        self._retry.check()
        try:
            data = self._stream.read(size)
        except OSError as error:  # which would be taken for a broken connection
            raise ImageError(f"{self._what} cannot be read: {error.strerror or error}") from error
        self._left -= len(data)
        if self._left < 0 or (self._left and size and not data):
            raise ImageError(f"{self._what} has not the {self._size} bytes that it declares")
        self._told.reach(self._size - self._left)
        return data

    def close(self) -> None:
        """Close the stream below."""
        self._stream.close()


@dataclass(frozen=True)
class Upload:
    """One blob on its way into a repository."""

    session: Session
    host: str
    repository: str
    digest: str
    size: int = 0

    def send(
        self,
        open_stream: Callable[[], ByteStream],
        sources: Sequence[str],
        advance: Advance | None,
        has_blob: Callable[[str, str], int | None],
    ) -> bool:
        """Mount the blob or send it, as `Registry.upload_blob` says."""
        place = self._mount(sources)
        if place is None:
            return False
        waiting = [place] if place else []
        told = Told(advance)
        retry = self.session.retry

        def attempt() -> None:
            # The registry may have taken it although its answer was lost.
            if told.begun and has_blob(self.repository, self.digest) is not None:
                return
            where = waiting.pop() if waiting else self.begin()
            try:
                self._put(where or "", open_stream, told)
            except BaseException:
                self.cancel(where or "")
                raise

        retry.run(attempt)
        told.reach(self.size)
        return True

    def _mount(self, sources: Sequence[str]) -> str | None:
        """Try each source; return None when it worked, else an upload that has begun, or ""."""
        place: str | None = ""
        for source in sources:
            if place:
                self.cancel(place)
            place = self.begin(source)
            if place is None:
                break
        return place

    def begin(self, source: str = "") -> str | None:
        """Start an upload and return where it goes; None when the blob was mounted.

        source: a repository to mount it from; "" is returned if we may not look there.
        """
        mount = {"mount": self.digest, "from": source}
        call = Call(
            f"{self.host}/{self.repository}: starting an upload",
            "POST",
            f"/v2/{self.repository}/blobs/uploads/{f'?{urlencode(mount)}' if source else ''}",
            Access(self.repository, "pull,push", source),
            ok=(201, 202),
        )
        try:
            answer = self.session.ask(call)
        except (DeniedError, NotThereError):
            if not source:
                raise
            return ""
        if answer.status == 201 and source:
            check_stored(answer, self.digest, call.what)
            return None
        location = answer.headers.get("Location", "")
        where = joined(answer.url, location) if location else ""
        if not where:
            raise RegistryError(f"{call.what}: the registry does not say where it goes")
        return where

    def _put(self, place: str, open_stream: Callable[[], ByteStream], told: Told) -> None:
        """Send the whole of it, once."""
        blob = f"blob {self.digest}"

        def body() -> Outgoing:
            return Outgoing(open_stream(), self.size, told, self.session.retry, blob)

        call = Call(
            f"{self.host}/{self.repository}: pushing {blob}",
            "PUT",
            f"{place}{'&' if urlsplit(place).query else '?'}digest={quote(self.digest, safe='')}",
            Access(self.repository, "pull,push"),
            body=Body(body, self.size),
            ok=(200, 201, 202, 204),
        )
        try:
            answer = self.session.ask_once(call)
        except RefusalError as error:
            if error.status in (404, 416) or _LOST & set(error.codes):
                raise PassingError(error.message, hint=error.hint) from error
            raise
        check_stored(answer, self.digest, call.what)

    def cancel(self, place: str) -> None:
        """Tell the registry that an upload will not be finished; it may not care."""
        if place and not self.session.retry.stopped.is_set():
            access = Access(self.repository, "pull,push")
            with suppress(RegistryError):
                self.session.ask_once(Call("", "DELETE", place, access, ok=(200, 202, 204)))


def check_stored(answer: Answer, digest: str, what: str) -> None:
    """Raise ImageError if the registry says that it got something else."""
    said = answer.headers.get(DIGEST_HEADER, "")
    if said.startswith("sha256:") and said != digest:
        raise ImageError(
            f"{what}: the registry stored {said[:80]!r}, not {digest}",
            hint="what was sent was altered on the way, or the registry is at fault",
        )
