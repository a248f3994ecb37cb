"""Images for engines: one of two small files, and one of a program."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import Compression
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import Image, make_image
from slimpack.oci.layer import build_layer
from slimpack.tree import bytes_entry, directory_entry
from tests.support.channel import missing

# Of this process alone: others use the same engines at the same time.
OWN = f"slimpack-test/daemon-{os.getpid()}"
LABEL = f"slimpack-test.daemon-{os.getpid()}"

_PROGRAM = r"""
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(void) {
    printf("%s %d %d\n", getenv("WORD"), (int) getuid(), (int) getgid());
    return 0;
}
"""

KINDS = {"zstd": 3, "gzip": 6, "none": 0}


def small_image(directory: Path, kind: Any = "zstd", content: bytes = b"x") -> Image:
    layers = [
        build_layer(
            name,
            [directory_entry("tmp", mode=0o1777), bytes_entry(f"opt/{name}", data)],
            blobs=BlobStore(directory, durable=False),
            mtime=0,
            compression=Compression(kind, KINDS[kind], 2),
        )
        for name, data in (("big", content * (3_000_000 // len(content))), ("small", content))
    ]
    config = ImageConfig(
        env=(("A", "1"),), entrypoint=("/opt/big",), user="65532", created=7, labels={LABEL: ""}
    )
    return make_image(layers, config)


def own_image(directory: Path, kind: Any = "zstd") -> Image:
    """The same with content of its own, so that no engine can have its layers already."""
    image = small_image(directory, kind, uuid4().bytes)
    return relabelled(image)


def relabelled(image: Image) -> Image:
    """The same layers under another config digest."""
    return replace(image, config=replace(image.config, labels={LABEL: uuid4().hex}))


def program_image(directory: Path) -> tuple[Image, str]:
    """Return an image of one static program, and what it says as the image's user."""
    if shutil.which("gcc") is None:
        missing("ENGINE", "gcc is not installed")
    (directory / "say.c").write_text(_PROGRAM)
    program = directory / "say"
    compiler = ["gcc", "-static", "-O1", "-o", str(program), str(directory / "say.c")]
    subprocess.run(compiler, check=True)
    layer = build_layer(
        "say",
        [bytes_entry("bin/say", program.read_bytes(), mode=0o755)],
        blobs=BlobStore(directory / "blobs", durable=False),
        mtime=0,
        compression=Compression("zstd", 3, 2),
    )
    word = uuid4().hex
    config = ImageConfig(
        env=(("WORD", word),), entrypoint=("/bin/say",), user="65532:65532", labels={LABEL: ""}
    )
    return make_image([layer], config), f"{word} 65532 65532\n"


def fresh() -> str:
    """A name that nothing has yet."""
    return f"{OWN}:{uuid4().hex}"
