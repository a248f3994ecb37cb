"""An image with Python in it, whose base is this machine's C library; each fitting sandbox."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from slimpack.env.meta import read_installed
from slimpack.errors import DaemonError
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import Compression
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import Image, make_image
from slimpack.oci.layer import build_layer
from slimpack.relocate import relocate
from slimpack.sandbox import Sandbox, choose_sandbox
from slimpack.trace.run import SANDBOXES
from slimpack.tree import Entry, Tree, bytes_entry, file_entry
from tests.support.channel import missing

PREFIX = "/opt/env"
SERVICE = """\
import http.server, signal, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(404 if self.path == "/none" else 200)
        self.end_headers()
        self.wfile.write(b"hello")

    def do_POST(self):
        import fractions
        number = fractions.Fraction(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(number).encode())

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@dataclass(frozen=True)
class Pictured:
    """An image and its files."""

    image: Image
    tree: Tree

    def only(self, paths: frozenset[str], folder: Path) -> Image:
        """Return the image with those files alone."""
        return image_of(self.tree.filter(lambda entry: entry.path in paths), folder)


def image_of(tree: Tree, folder: Path) -> Image:
    """Return an image of one layer, its blobs in `folder`."""
    layer = build_layer(
        "all",
        tree,
        blobs=BlobStore(folder, durable=False),
        mtime=0,
        compression=Compression("zstd", 1, 1),
    )
    config = ImageConfig(
        env=(("PATH", f"{PREFIX}/bin"), ("PYTHONDONTWRITEBYTECODE", "1")),
        entrypoint=("python", "/app/service.py"),
        user="65532",
        workdir="/app",
    )
    return make_image([layer], config)


def libc() -> Iterator[Entry]:
    """Yield the C library of this machine and its loader."""
    yield file_entry("lib64/ld-linux-x86-64.so.2", Path("/lib64/ld-linux-x86-64.so.2").resolve())
    folder = Path("/lib/x86_64-linux-gnu")
    for name in ("c.so.6", "m.so.6", "dl.so.2", "pthread.so.0", "rt.so.1", "util.so.1"):
        yield file_entry(f"lib/x86_64-linux-gnu/lib{name}", (folder / f"lib{name}").resolve())


@pytest.fixture(scope="session")
def pictured(python_prefix: Path, tmp_path_factory: pytest.TempPathFactory) -> Pictured:
    """Python, click and uvicorn at /opt/env, a service at /app."""
    relocated = relocate(
        python_prefix,
        PREFIX,
        installed=read_installed(python_prefix),
        scratch=tmp_path_factory.mktemp("relocated"),
    )
    needless = re.compile(r".*/(?:test|tests|idlelib|ensurepip|turtledemo|lib2to3|include)/.*")
    passwd = "nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"
    tree = relocated.tree.filter(lambda entry: not needless.fullmatch(entry.path)).merge(
        [
            *libc(),
            bytes_entry("etc/passwd", passwd.encode()),
            bytes_entry("app/service.py", SERVICE.encode()),
        ]
    )
    return Pictured(image_of(tree, tmp_path_factory.mktemp("blobs")), tree)


@pytest.fixture(params=SANDBOXES)
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    """Each sandbox that strace can be put in front of."""
    return found(request.param)


@pytest.fixture
def any_sandbox() -> Sandbox:
    """One of them."""
    return found(SANDBOXES[0])


def found(name: str) -> Sandbox:
    """Return a sandbox, or skip (fail in CI) with the reason that it does not work here."""
    if shutil.which("strace") is None:
        missing("PEERS", "strace is not installed")
    try:
        return choose_sandbox(name)
    except DaemonError as error:
        missing("SANDBOX", str(error))
        raise


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder that every user can reach."""
    with tempfile.TemporaryDirectory(prefix="slimpack-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)
