"""The near side of an air gap: servers that the far side does not reach, and bundles."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from slimpack.bundle.contents import Contents, Extra, plan
from slimpack.bundle.write import write_bundle
from tests.support.channel import missing
from tests.support.command import variables


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder over HTTP on this machine while the context lasts; yield the URL."""
    handler = functools.partial(_Quiet, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def write_extras(path: Path, *extras: Extra) -> Path:
    """Write a bundle of files alone."""
    write_bundle(plan(Contents(extras=extras, tool="test")), path)
    return path


def unpacked(bundle: Path, folder: Path) -> Path:
    """Unpack a bundle as somebody without slimpack does."""
    folder.mkdir(parents=True)
    with tarfile.open(bundle) as tar:
        tar.extractall(folder, filter="data")
    return folder


def cut_off(
    *command: object, cwd: Path, env: Mapping[str, str] | None = None, code: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run a command where there is no network at all, not even this machine's own."""
    # As root without a user namespace, in which not every owner of a file would be known.
    isolated = ["unshare", "--net", *(["--map-root-user"] if os.geteuid() else [])]
    if subprocess.run([*isolated, "true"], check=False, capture_output=True).returncode:
        missing("SANDBOX", "no network namespace can be made here")
    done = subprocess.run(
        [*isolated, *map(str, command)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr + done.stdout
    return done


def slimpack_cut_off(
    *arguments: object, cwd: Path, cache: Path, code: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run slimpack there, with a cache of its own."""
    command = (sys.executable, "-m", "slimpack", *arguments)
    return cut_off(*command, cwd=cwd, env=variables(cache), code=code)
