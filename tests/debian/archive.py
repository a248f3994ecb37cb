"""A Debian archive made by hand: packages, indexes, a signed Release, a server."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import tarfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import pysequoia
import zstandard

Member = tuple[tarfile.TarInfo, bytes]
PACK: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".xz": lzma.compress,
    ".zst": lambda data: zstandard.ZstdCompressor().compress(data),
}


def file(name: str, data: bytes = b"", mode: int = 0o644, **fields: object) -> Member:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), mode
    return _with(info, fields), data


def folder(name: str, mode: int = 0o755, **fields: object) -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, mode
    return _with(info, fields), b""


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE, **fields: object) -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.linkname = kind, 0o777, target
    return _with(info, fields), b""


def special(name: str, kind: bytes) -> Member:
    info = tarfile.TarInfo(name)
    info.type = kind
    return info, b""


def _with(info: tarfile.TarInfo, fields: dict[str, object]) -> tarfile.TarInfo:
    for key, value in fields.items():
        setattr(info, key, value)
    return info


def tar(members: Iterable[Member]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def ar(members: Iterable[tuple[str, bytes]]) -> bytes:
    out = bytearray(b"!<arch>\n")
    for name, data in members:
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
        out += data + b"\n" * (len(data) % 2)
    return bytes(out)


def control(name: str, version: str, architecture: str) -> str:
    return (
        f"Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n"
        "Maintainer: Nobody <nobody@example.org>\nDescription: a package\n of the tests\n"
    )


def deb(
    members: Iterable[Member],
    *,
    name: str = "thing",
    version: str = "1.0-1",
    architecture: str = "all",
    suffix: str = ".xz",
    control_suffix: str = ".xz",
) -> bytes:
    members = list(members)
    sums = "".join(
        f"{hashlib.md5(data).hexdigest()}  {info.name.removeprefix('./')}\n"
        for info, data in members
        if info.isreg()
    )
    text = control(name, version, architecture).encode()
    control_tar = tar([folder("./"), file("./control", text), file("./md5sums", sums.encode())])
    return ar(
        [
            ("debian-binary", b"2.0\n"),
            (f"control.tar{control_suffix}", PACK[control_suffix](control_tar)),
            (f"data.tar{suffix}", PACK[suffix](tar(members))),
        ]
    )


def new_key() -> pysequoia.Tsk:
    return pysequoia.Tsk.generate("An archive of the tests <archive@example.org>")


def public(key: pysequoia.Tsk) -> bytes:
    return bytes(key.extract_certificate())


def sign(key: pysequoia.Tsk, text: str) -> bytes:
    mode = pysequoia.SignatureMode.CLEAR
    return bytes(pysequoia.sign(key.signer(), text.encode(), mode=mode))


@dataclass
class Suite:
    """One suite of an archive; fields override what a good Release says."""

    name: str
    packages: list[tuple[str, bytes]] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)
    by_hash: bool = True
    date: datetime = field(default_factory=lambda: datetime.now(timezone.utc))

    def add(self, members: Iterable[Member], *, name: str, version: str, arch: str = "all") -> None:
        data = deb(members, name=name, version=version, architecture=arch)
        stanza = control(name, version, arch).rstrip("\n")
        path = f"pool/main/{name[0]}/{name}/{name}_{version.replace(':', '%3a')}_{arch}.deb"
        self.packages.append(
            (
                f"{stanza}\nFilename: {path}\nSize: {len(data)}\n"
                f"SHA256: {hashlib.sha256(data).hexdigest()}\n",
                data,
            )
        )


@dataclass
class Archive:
    """Files by path, as a mirror serves them."""

    key: pysequoia.Tsk
    files: dict[str, bytes] = field(default_factory=dict)

    def publish(self, suite: Suite) -> None:
        """Write indexes, Release and pool of a suite."""
        lines = []
        for arch in ("amd64", "arm64"):
            # A careless archive lists packages of a third architecture everywhere.
            listed = (f"Architecture: {arch}\n", "Architecture: all\n", "Architecture: i386\n")
            stanzas = [text for text, _ in suite.packages if any(line in text for line in listed)]
            index = lzma.compress("\n".join(stanzas).encode())
            digest = hashlib.sha256(index).hexdigest()
            path = f"main/binary-{arch}"
            lines.append(f" {digest} {len(index)} {path}/Packages.xz")
            where = f"by-hash/SHA256/{digest}" if suite.by_hash else "Packages.xz"
            self.files[f"dists/{suite.name}/{path}/{where}"] = index
        for text, data in suite.packages:
            path = next(line[10:] for line in text.splitlines() if line.startswith("Filename: "))
            self.files[path] = data
        fields = {
            "Origin": "Tests",
            "Suite": "stable",
            "Codename": suite.name,
            "Date": http_date(suite.date),
            "Valid-Until": http_date(suite.date + timedelta(days=7)),
            "Acquire-By-Hash": "yes" if suite.by_hash else "no",
            "Architectures": "all amd64 arm64",
            "Components": "main",
            **suite.fields,
        }
        text = "".join(f"{key}: {value}\n" for key, value in fields.items() if value)
        text += "SHA256:\n" + "\n".join(lines) + "\n"
        self.files[f"dists/{suite.name}/InRelease"] = sign(self.key, text)


def http_date(moment: datetime) -> str:
    return moment.strftime("%a, %d %b %Y %H:%M:%S UTC")


@dataclass
class Mirror:
    """A running server: what it serves, what was asked, and faults to play."""

    url: str
    files: dict[str, bytes]
    asked: Counter[str] = field(default_factory=Counter)
    # path -> statuses to answer first; 0 stands for a connection that breaks off.
    faults: dict[str, list[int]] = field(default_factory=dict)


@contextmanager
def serve(files: dict[str, bytes]) -> Iterator[Mirror]:
    mirror = Mirror("", files)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(self.path).removeprefix("/debian/")
            mirror.asked[path] += 1
            data = mirror.files.get(path)
            fault = mirror.faults.get(path, [])
            status = fault.pop(0) if fault else (200 if data is not None else 404)
            if status not in (0, 200) or data is None:
                self.send_response(status or 500)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if status:
                self.wfile.write(data)
            else:
                self.wfile.write(data[: len(data) // 2])
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name)
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    mirror.url = f"http://127.0.0.1:{server.server_address[1]}/debian"
    try:
        yield mirror
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
