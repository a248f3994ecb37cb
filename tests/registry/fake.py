"""A registry in this process, which goes wrong in every way that a test asks for.

It keeps to distribution-spec v1.1 (uploads with POST and PUT, mounts, ranges, referrers
with OCI-Subject) until one of its `faults` matches a request.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import ssl
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

INDEX = "application/vnd.oci.image.index.v1+json"
_PATH = re.compile(r"/v2/(?P<name>.+)/(?P<kind>manifests|blobs|tags|referrers)/(?P<rest>.+)")


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass(frozen=True)
class Seen:
    """A request as it came. body: bytes of it that were read."""

    method: str
    path: str
    headers: dict[str, str]
    body: int = 0

    @property
    def authorization(self) -> str:
        return self.headers.get("authorization", "")


@dataclass
class Fault:
    """What happens to the first `times` requests that match. act: answers in the registry's place.

    skip: how many of them go well before.
    """

    method: str
    pattern: str
    act: Callable[[Handler], object]
    times: int = 1
    skip: int = 0

    def takes(self, method: str, path: str) -> bool:
        if method != self.method or not re.search(self.pattern, path) or not self.times:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True


Guard = Callable[["Handler"], bool]
"""Tells whether a request may pass; answers it if not."""


@dataclass
class Fake:
    """What the registry holds, and what it was asked.

    blobs: repository -> digest -> content. manifests: (repository, tag or digest) ->
    (content, media type). referrers, ranges: whether it can do that.
    guard: asks for credentials.
    """

    host: str = ""
    blobs: dict[str, dict[str, bytes]] = field(default_factory=lambda: defaultdict(dict))
    manifests: dict[tuple[str, str], tuple[bytes, str]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    referrers: bool = True
    ranges: bool = True
    guard: Guard | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)

    def on(
        self,
        method: str,
        pattern: str,
        act: Callable[[Handler], object],
        *,
        times: int = 1,
        skip: int = 0,
    ) -> None:
        self.faults.append(Fault(method, pattern, act, times, skip))

    def asked(self, method: str, pattern: str = "") -> list[Seen]:
        return [one for one in self.seen if one.method == method and re.search(pattern, one.path)]

    def put(self, repository: str, tag: str, manifest: bytes, kind: str) -> str:
        """Store a manifest as it is, whatever it is."""
        digest = digest_of(manifest)
        for name in (tag, digest):
            self.manifests[repository, name] = (manifest, kind)
        return digest

    def add(self, repository: str, data: bytes) -> str:
        self.blobs[repository][digest_of(data)] = data
        return digest_of(data)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    fake: Fake

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, ssl.SSLError):
            self.close_connection = True

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_CONNECT = do_GET  # noqa: N815

    # Answers

    def answer(self, status: int, data: bytes = b"", **headers: str) -> None:
        """Send a response; `_` in names of headers stands for `-`."""
        self.drop_body()
        self.send_response(status)
        headers.setdefault("Content_Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def error(self, status: int, code: str, message: str = "", **headers: str) -> None:
        text = json.dumps({"errors": [{"code": code, "message": message}]})
        self.answer(status, text.encode(), **headers)

    def cut(self, *, reset: bool = False) -> None:
        """Break the connection; with a reset, what is on its way is lost as well."""
        self.close_connection = True
        self.wfile.flush()
        if reset:
            linger = b"\1\0\0\0\0\0\0\0"
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
        else:
            self.connection.shutdown(socket.SHUT_RDWR)

    def body(self, at_most: int | None = None) -> bytes:
        """Read what was sent, or the first bytes of it."""
        length = int(self.headers.get("Content-Length") or 0)
        taken = length if at_most is None else min(length, at_most)
        self.taken = True
        return self.rfile.read(taken)

    def drop_body(self) -> None:
        if not getattr(self, "taken", False):
            self.body()

    # Requests

    def _serve(self) -> None:
        self.taken = False
        fake = self.fake
        with fake.lock:
            headers = {name.lower(): value for name, value in self.headers.items()}
            fake.seen.append(Seen(self.command, self.path, headers))
            fault = next((one for one in fake.faults if one.takes(self.command, self.path)), None)
        if fault is not None:
            fault.act(self)
            return
        if fake.guard is not None and not fake.guard(self):
            return
        if self.path == "/v2/":
            self.answer(200, b"{}")
            return
        parts = urlsplit(self.path)
        match = _PATH.fullmatch(parts.path)
        if parts.path.endswith("/blobs/uploads/"):
            name = parts.path.removeprefix("/v2/").removesuffix("/blobs/uploads/")
            self._begin(name, parse_qs(parts.query))
        elif match is None:
            self.error(404, "NAME_INVALID")
        elif match["kind"] == "manifests":
            self._manifest(match["name"], match["rest"])
        elif match["kind"] == "tags":
            self._tags(match["name"], parse_qs(parts.query))
        elif match["kind"] == "referrers":
            self._referrers(match["name"], match["rest"])
        elif match["rest"].startswith("uploads/"):
            self._upload(match["name"], parse_qs(parts.query))
        else:
            self._blob(match["name"], match["rest"])

    def _begin(self, name: str, query: dict[str, list[str]]) -> None:
        if "mount" in query:
            digest, source = query["mount"][0], query["from"][0]
            with self.fake.lock:
                data = self.fake.blobs[source].get(digest)
                if data is not None:
                    self.fake.blobs[name][digest] = data
            if data is not None:
                self.answer(201, Docker_Content_Digest=digest)
                return
        self.answer(202, Location=f"/v2/{name}/blobs/uploads/1?state=x")

    def _upload(self, name: str, query: dict[str, list[str]]) -> None:
        if self.command == "DELETE":
            self.answer(204)
            return
        data = self.body()
        digest = query["digest"][0]
        if digest_of(data) != digest:
            self.error(400, "DIGEST_INVALID")
            return
        with self.fake.lock:
            self.fake.blobs[name][digest] = data
        self.answer(201, Docker_Content_Digest=digest)

    def _blob(self, name: str, digest: str) -> None:
        data = self.fake.blobs[name].get(digest)
        if data is None:
            self.error(404, "BLOB_UNKNOWN")
            return
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if wanted and self.fake.ranges:
            start = int(wanted[1])
            where = f"bytes {start}-{len(data) - 1}/{len(data)}"
            self.answer(206, data[start:], Content_Range=where)
        else:
            self.answer(200, data, Docker_Content_Digest=digest)

    def _manifest(self, name: str, reference: str) -> None:
        fake = self.fake
        if self.command == "PUT":
            data = self.body()
            digest = digest_of(data)
            subject = json.loads(data).get("subject")
            with fake.lock:
                for key in {reference, digest}:
                    fake.manifests[name, key] = (data, self.headers["Content-Type"])
            more = {"OCI_Subject": subject["digest"]} if subject and fake.referrers else {}
            self.answer(201, Docker_Content_Digest=digest, **more)
            return
        found = fake.manifests.get((name, reference))
        if self.command == "DELETE" and found:
            del fake.manifests[name, reference]
            self.answer(202)
        elif found is None:
            self.error(404, "MANIFEST_UNKNOWN")
        else:
            data, kind = found
            self.answer(200, data, Content_Type=kind, Docker_Content_Digest=digest_of(data))

    def _tags(self, name: str, query: dict[str, list[str]]) -> None:
        """Answer with two tags a page."""
        tags = sorted(
            t for repository, t in self.fake.manifests if repository == name and ":" not in t
        )
        last = query.get("last", [""])[0]
        left = [tag for tag in tags if tag > last]
        more = {}
        if len(left) > 2:
            more = {"Link": f'</v2/{name}/tags/list?last={left[1]}>; rel="next"'}
        self.answer(200, json.dumps({"name": name, "tags": left[:2]}).encode(), **more)

    def _referrers(self, name: str, digest: str) -> None:
        if not self.fake.referrers:
            self.answer(404, b"404 page not found")
            return
        listed = {}
        for (repository, _), (data, kind) in self.fake.manifests.items():
            manifest = json.loads(data)
            if repository == name and manifest.get("subject", {}).get("digest") == digest:
                listed[digest_of(data)] = {
                    "mediaType": kind,
                    "digest": digest_of(data),
                    "size": len(data),
                    "artifactType": manifest.get("artifactType", ""),
                }
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(listed.values())}
        self.answer(200, json.dumps(index).encode(), Content_Type=INDEX)


@contextmanager
def serving(fake: Fake, context: ssl.SSLContext | None = None) -> Iterator[Fake]:
    """Serve on a free port of loopback; `fake.host` says where."""
    handler = type("Bound", (Handler,), {"fake": fake})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    fake.host = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# Faults


def status(number: int, code: str = "X", **headers: str) -> Callable[[Handler], None]:
    """Answer with an error."""
    return lambda handler: handler.error(number, code, "as the test wanted", **headers)


def cut_download(data: bytes, after: int, *, reset: bool = False) -> Callable[[Handler], None]:
    """Announce all of a blob and break the connection after some bytes of it."""

    def act(handler: Handler) -> None:
        start = int((handler.headers.get("Range") or "bytes=0-")[6:-1])
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(data) - start))
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        handler.end_headers()
        handler.wfile.write(data[start : start + after])
        handler.cut(reset=reset)

    return act


def cut_upload(after: int) -> Callable[[Handler], None]:
    """Break the connection after some bytes of a body."""

    def act(handler: Handler) -> None:
        handler.body(after)
        handler.cut(reset=True)

    return act


def redirect(url: str, number: int = 307) -> Callable[[Handler], None]:
    """Lead elsewhere."""
    return lambda handler: handler.answer(number, Location=url)


def keep(fake: Fake, repository: str) -> Callable[[Handler], None]:
    """Store a blob for another registry: the storage host of one."""

    def act(handler: Handler) -> None:
        fake.add(repository, handler.body())
        handler.answer(201)

    return act
