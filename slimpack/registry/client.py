"""What a registry can do: blobs, manifests, tags, referrers.

Protocol: OCI distribution-spec v1.1, 'Endpoints'. Every method raises RegistryError (of
it, NotThereError, DeniedError and PassingError), ImageError for what does not match its
digest, and tries again what may go well the next time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

from slimpack.errors import ImageError, RegistryError
from slimpack.oci import jsontext
from slimpack.oci.digest import ByteStream, check_digest, hex_of, sha256
from slimpack.oci.jsontext import Object
from slimpack.oci.parse import INDEX_TYPES, MANIFEST_TYPES, MAX_CONFIG, MAX_MANIFEST
from slimpack.registry.calls import Answer, Body, BodyStream, Call
from slimpack.registry.failures import (
    NotThereError,
    PassingError,
    RefusalError,
)
from slimpack.registry.session import Session, joined
from slimpack.registry.tokens import Access
from slimpack.registry.upload import DIGEST_HEADER, Advance, Upload, check_stored

ACCEPTED = (*MANIFEST_TYPES, *INDEX_TYPES)
_MAX_PAGES = 1000


@dataclass(frozen=True)
class Manifest:
    """A manifest as it was sent. media_type: what the registry calls it."""

    data: bytes = field(repr=False)
    media_type: str
    digest: str


@dataclass(frozen=True)
class Head:
    """What HEAD tells of a manifest; "" and 0 for what it does not tell."""

    digest: str
    size: int
    media_type: str


class Registry:
    """One registry, connected when it is first asked; safe for any number of threads.

    host: as it stands in references. connect: opens the session (see `connecting`).
    """

    def __init__(self, host: str, connect: Callable[[], Session]) -> None:
        self.host = host
        self._connect = connect

    @property
    def session(self) -> Session:
        """The session below."""
        return self._connect()

    def check(self) -> None:
        """See that the registry takes our credentials; DeniedError if it does not."""
        self.session.ask(Call(f"logging in to {self.host}", "GET", "/v2/"))

    # Blobs

    def has_blob(self, repository: str, digest: str) -> int | None:
        """Return the size of a blob (0 when the registry does not say), None if it is not there."""
        answer = self._ask(
            f"asking for blob {digest}", "HEAD", repository, f"blobs/{digest}", ok=(200, 404)
        )
        return None if answer.status == 404 else _number(answer.headers.get("Content-Length"))

    def mount(self, repository: str, digest: str, source: str) -> bool:
        """Make a blob of the repository `source` one of `repository`; tell whether that worked."""
        upload = Upload(self.session, self.host, repository, digest)
        location = upload.begin(source)
        if location:
            upload.cancel(location)
        return location is None

    def upload_blob(
        self,
        repository: str,
        digest: str,
        size: int,
        open_stream: Callable[[], ByteStream],
        *,
        sources: Sequence[str] = (),
        advance: Advance | None = None,
    ) -> bool:
        """Send a blob that the registry lacks, as a stream; tell whether its bytes were sent.

        open_stream: opens the blob; called again for each try, and not at all when it
        can be mounted from one of the repositories `sources`. advance: called with the
        bytes just sent; they add up to `size` whatever goes wrong in between.
        """
        upload = Upload(self.session, self.host, repository, digest, size)
        return upload.send(open_stream, sources, advance, self.has_blob)

    def upload_bytes(self, repository: str, data: bytes) -> str:
        """Send a small blob unless it is there; return its digest."""
        digest = sha256(data)
        if self.has_blob(repository, digest) is None:
            body = Body.of(data, "")
            self.upload_blob(repository, digest, len(data), body.open)
        return digest

    def open_blob(self, repository: str, digest: str, offset: int = 0) -> BodyStream:
        """Open a blob for reading, from `offset` on if the registry can do that.

        `BodyStream.start` says where it begins: `offset` or 0. Nothing is verified here,
        and a connection that breaks off in the middle is a PassingError.
        """
        check_digest(digest, "blob")
        call = Call(
            self._what(f"pulling blob {digest}", repository),
            "GET",
            f"/v2/{repository}/blobs/{digest}",
            Access(repository, "pull"),
            {"Range": f"bytes={offset}-"} if offset else {},
            ok=(200, 206) if offset else (200,),
        )
        return self.session.retry.run(lambda: self.session.stream_once(call, offset))

    def read_blob(self, repository: str, digest: str, limit: int = MAX_CONFIG) -> bytes:
        """Return a small blob of at most `limit` bytes, verified."""
        check_digest(digest, "blob")
        answer = self._ask(
            f"pulling blob {digest}", "GET", repository, f"blobs/{digest}", limit=limit
        )
        return _verified(answer.data, digest, f"blob {digest}")

    def delete_blob(self, repository: str, digest: str) -> None:
        """Delete a blob; many registries refuse that."""
        self._ask(f"deleting blob {digest}", "DELETE", repository, f"blobs/{digest}", ok=(200, 202))

    # Manifests

    def get_manifest(
        self, repository: str, reference: str, accept: Sequence[str] = ACCEPTED
    ) -> Manifest:
        """Return the manifest of a tag or digest, verified against both digest and header."""
        what = f"pulling {reference}"
        answer = self._ask(
            what,
            "GET",
            repository,
            f"manifests/{reference}",
            headers={"Accept": ", ".join(accept)},
            limit=MAX_MANIFEST,
        )
        said = answer.headers.get(DIGEST_HEADER, "")
        expected = reference if ":" in reference else said
        digest = sha256(answer.data)
        if expected.startswith("sha256:"):
            _verified(answer.data, expected, f"manifest {reference} of {self.host}/{repository}")
        return Manifest(answer.data, _media_type(answer), digest)

    def head_manifest(
        self, repository: str, reference: str, accept: Sequence[str] = ACCEPTED
    ) -> Head | None:
        """Return what a tag or digest leads to, None if nothing."""
        answer = self._ask(
            f"asking for {reference}",
            "HEAD",
            repository,
            f"manifests/{reference}",
            headers={"Accept": ", ".join(accept)},
            ok=(200, 404),
        )
        if answer.status == 404:
            return None
        said = answer.headers.get(DIGEST_HEADER, "")
        return Head(said, _number(answer.headers.get("Content-Length")), _media_type(answer))

    def put_manifest(self, repository: str, reference: str, data: bytes, media_type: str) -> bool:
        """Store a manifest under a tag or its digest, and see that it is there.

        Returns whether the registry keeps referrers by itself (it answers with
        ``OCI-Subject`` for a manifest that has a subject).
        """
        digest = sha256(data)
        what = f"pushing {reference}"
        answer = self._ask(
            what,
            "PUT",
            repository,
            f"manifests/{reference}",
            actions="pull,push",
            body=Body.of(data, media_type),
            ok=(200, 201, 202),
        )
        check_stored(answer, digest, self._what(what, repository))
        self.session.retry.run(lambda: self._see(repository, reference, digest))
        return bool(answer.headers.get("OCI-Subject"))

    def delete_manifest(self, repository: str, reference: str) -> None:
        """Delete a manifest by its digest, or a tag where the registry can do that."""
        self._ask(
            f"deleting {reference}",
            "DELETE",
            repository,
            f"manifests/{reference}",
            actions="pull,push,delete",
            ok=(200, 202),
        )

    # Lists

    def tags(self, repository: str) -> list[str]:
        """Return the tags of a repository."""
        pages = self._pages("listing tags", repository, "tags/list?n=1000")
        return [tag for page in pages for tag in jsontext.texts(page, "tags", "a list of tags")]

    def referrers(self, repository: str, digest: str, artifact_type: str = "") -> list[Object]:
        """Return descriptors of the manifests whose subject is `digest`.

        Where the registry has no referrers API, they are those that clients list under a
        tag of their own (distribution-spec v1.1, 'Referrers Tag Schema').
        """
        check_digest(digest, "subject")
        query = f"?{urlencode({'artifactType': artifact_type})}" if artifact_type else ""
        path = f"referrers/{digest}{query}"
        try:
            pages = list(self._pages("listing referrers", repository, path))
        except RefusalError as error:
            if error.status not in (400, 404, 405):
                raise
            pages = [self.referrers_index(repository, digest)]
        found = [item for page in pages for item in jsontext.objects(page, "manifests", "index")]
        return [item for item in found if artifact_type in ("", item.get("artifactType"))]

    def referrers_index(self, repository: str, digest: str) -> Object:
        """Return the index under the referrers' tag of a digest, {} if there is none."""
        try:
            manifest = self.get_manifest(repository, referrers_tag(digest), INDEX_TYPES)
        except NotThereError:
            return {}
        return jsontext.parse_object(manifest.data, "the index of referrers")

    # Steps

    def _see(self, repository: str, reference: str, digest: str) -> None:
        """Raise PassingError unless the registry has under `reference` what was put there."""
        head = self.head_manifest(repository, reference)
        where = f"{self.host}/{repository}: {reference}"
        if head is None:
            raise PassingError(f"{where} is not there although the registry took it")
        if head.digest.startswith("sha256:") and head.digest != digest:
            raise PassingError(
                f"{where} is {head.digest}, not {digest} as it was pushed",
                hint="somebody else may have pushed at the same time",
            )

    def _pages(self, what: str, repository: str, path: str) -> Iterator[Object]:
        url = f"/v2/{repository}/{path}"
        for _ in range(_MAX_PAGES):
            call = Call(self._what(what, repository), "GET", url, Access(repository, "pull"))
            answer = self.session.ask(call)
            yield jsontext.parse_object(answer.data, f"{what} of {self.host}/{repository}")
            link = answer.headers.get("Link", "")
            target, _, parameters = link.partition(">")
            if not target.startswith("<") or "next" not in parameters:
                return
            url = joined(answer.url, target[1:])
        raise RegistryError(f"{what} of {self.host}/{repository}: more than {_MAX_PAGES} pages")

    def _ask(
        self,
        what: str,
        method: str,
        repository: str,
        path: str,
        *,
        actions: str = "pull",
        headers: dict[str, str] | None = None,
        body: Body | None = None,
        ok: Sequence[int] = (200,),
        limit: int = MAX_MANIFEST,
    ) -> Answer:
        call = Call(
            self._what(what, repository),
            method,
            f"/v2/{repository}/{path}",
            Access(repository, actions),
            headers or {},
            body,
            ok,
        )
        return self.session.ask(call, limit=limit)

    def _what(self, what: str, repository: str) -> str:
        return f"{self.host}/{repository}: {what}"


def referrers_tag(digest: str) -> str:
    """Return the tag under which clients list the referrers of a digest."""
    return f"sha256-{hex_of(digest)}"


def _verified(data: bytes, digest: str, what: str) -> bytes:
    if sha256(data) != digest:
        raise ImageError(
            f"{what} does not match its digest", hint="it was altered, or the registry is at fault"
        )
    return data


def _media_type(answer: Answer) -> str:
    return answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdecimal() else 0
