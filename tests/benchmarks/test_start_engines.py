"""Cold starts with real engines, over a real link: a static program that serves."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.catalogue import Request, Workload
from benchmarks.link import shaped_link
from benchmarks.setup.registry import docker_registry
from benchmarks.starting import measuring
from benchmarks.starting.daemons import ENGINES
from benchmarks.starting.engines import Docker, Engine
from benchmarks.starting.measuring import Start, pushed
from benchmarks.starting.progress import docker_pull
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import Compression
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import make_image
from slimpack.oci.layer import build_layer
from slimpack.oci.layout import write_layout
from slimpack.tree import bytes_entry
from tests.support.channel import missing
from tests.support.command import call, variables

RATE = 10**9
# Serves one JSON document on port 8000; prints it as "once", and the times of imports as "-c".
PROGRAM = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#define ANSWER "{\"word\": \"here\"}"
int main(int count, char **words) {
  if (count > 1 && !strcmp(words[1], "-c")) return puts("[0.5, 0.25]") < 0;
  if (count > 1) return puts(ANSWER) < 0;
  static char reply[256], asked[4096];
  int size = sprintf(reply, "HTTP/1.0 200 OK\r\nContent-Length: %zu\r\n\r\n" ANSWER,
                     strlen(ANSWER));
  struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons(8000)};
  int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (void *)&place, sizeof place) || listen(listener, 16)) return 1;
  for (;;) {
    int taker = accept(listener, 0, 0);
    if (read(taker, asked, sizeof asked) > 0) write(taker, reply, size);
    close(taker);
  }
}
"""
WORKLOAD = Workload(
    name="tiny",
    title="a program",
    folder=Path("tiny"),
    groups=(),
    modules=("word",),
    request=Request("/", {"word": "here"}),
    port=8000,
    self_test=(),
)


@contextmanager
def shared_docker(folder: Path) -> Iterator[Engine]:
    """The machine's own Docker; that of the benchmark is one to download."""
    yield Docker(("docker",), "", ("docker",), docker_pull)


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """The folder of a registry with two images: one that serves, one that prints."""
    absent = [name for name in ("gcc", "docker-registry") if shutil.which(name) is None]
    if absent or os.geteuid():
        missing("PEERS", f"it needs root and {', '.join(absent or ['more'])}")
    (tmp_path / "serve.c").write_text(PROGRAM)
    compiler = ("gcc", "-static", "-O1", "-w", "-o", "serve", "serve.c")
    subprocess.run(compiler, cwd=tmp_path, check=True)
    data = (tmp_path / "serve").read_bytes()
    layer = build_layer(
        "serve",
        [bytes_entry(f"bin/{name}", data, mode=0o755) for name in ("serve", "python")],
        blobs=BlobStore(tmp_path / "blobs", durable=False),
        mtime=0,
        # Debian 12's Docker pulls no zstd.
        compression=Compression("gzip", 1, 1),
    )
    config = ImageConfig(env=(("PATH", "/bin"),), entrypoint=("/bin/serve",), user="65532:65532")
    folder = tmp_path / "registry"
    with docker_registry(folder) as host:
        for name in ("serves", "prints"):
            entry = config.entrypoint if name == "serves" else ("/bin/serve", "once")
            image = make_image([layer], replace(config, entrypoint=entry))
            write_layout(image, tmp_path / name)
            command = ("push", tmp_path / name, f"{host}/{name}/tiny:1")
            done = call(command, tmp_path, variables(tmp_path / "cache"))
            assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.engine
@pytest.mark.parametrize("name", ["docker", "podman", "containerd"])
def test_an_image_is_pulled_started_and_asked_and_nothing_is_left(
    name: str, registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = {"containerd": "ctr"}.get(name, name)
    if shutil.which(program) is None:
        missing("ENGINE", f"{program} is not installed")
    # Other tests run meanwhile, and would read all their files again.
    monkeypatch.setattr(measuring, "drop", lambda files: [path.stat() for path in files])
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slimpack-start-")))
        here = shared_docker if name == "docker" else ENGINES[name]
        engine = stack.enter_context(here(folder))
        link = stack.enter_context(shaped_link(RATE, registry))
        image = pushed(f"{link.address}/serves/tiny:1")
        stack.callback(engine.forget, image.reference)
        start = Start(engine, WORKLOAD, image, registry)
        found = start.from_far(link)
        assert found["fetched"] >= image.size > 0
        assert 0 < found["first-byte"] <= found["first-answer"] < found["cold-start"]
        assert found["resident"] > 0
        again = start.from_here(cold=True)
        assert again.keys() == {"create", "first-byte", "first-answer"}
        assert start.imports(cold=False) == {"import": 0.5}
        engine.forget(image.reference)

        printing = pushed(f"{link.address}/prints/tiny:1")
        stack.callback(engine.forget, printing.reference)
        quiet = replace(WORKLOAD, request=Request("", {"word": "here"}))
        engine.pull(printing.reference)
        told = Start(engine, quiet, printing, registry).from_here(cold=False)
        assert 0 < told["first-byte"] <= told["first-answer"]
