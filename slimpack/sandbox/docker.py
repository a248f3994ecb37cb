"""Sandboxes made by the Docker engine from the image's layers.

The engine gets an image of the same layers and nothing else: no variable, volume or
entry point of the image's config comes in by itself, and since its label is unique, its
removal takes nothing away that was there before.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from slimpack.errors import DaemonError, InputError
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import Image
from slimpack.sandbox.containers import Engine, run_container
from slimpack.sandbox.model import PLAIN, Command, Finished, Options, Prepared
from slimpack.sandbox.process import call
from slimpack.sandbox.users import find_user

ENGINE = Engine(
    "docker",
    ("docker",),
    ("--pull", "never"),
    gpu=("--gpus", "all"),
    gpu_hint="to get the GPU, install the NVIDIA container toolkit and run "
    "`nvidia-ctk runtime configure --runtime=docker`",
)
LABEL = "slimpack.sandbox"


@dataclass(frozen=True)
class Docker:
    """The engine that the ``docker`` on PATH reaches."""

    engine: Engine = ENGINE
    name: str = "docker"

    @contextmanager
    def prepare(self, root: Path, image: Image | None = None) -> Iterator[Prepared]:
        """Load the layers of `image`, and remove them afterwards; users are found in `root`."""
        if image is None:
            raise InputError(
                "docker runs images, not folders", hint="use the sandbox bubblewrap or unshare"
            )
        mark = secrets.token_hex(8)
        tag = f"slimpack-sandbox:{mark}"
        try:
            _load(_bare(image, mark), tag)
            yield _Prepared(self, root, tag)
        finally:
            # "No such image" is what an interrupted load leaves.
            with suppress(DaemonError):
                call([*self.engine.program, "image", "rm", "--force", tag])


@dataclass(frozen=True)
class _Prepared:
    sandbox: Docker
    root: Path
    tag: str

    def run(
        self, command: Command, options: Options = PLAIN, *, stop: threading.Event | None = None
    ) -> Finished:
        program, *arguments = command.argv
        return run_container(
            self.sandbox.engine,
            ["--entrypoint", program, self.tag, *arguments],
            command,
            options,
            find_user(self.root, command.user),
            workdir=command.workdir or "/",
            stop=stop,
        )


def _bare(image: Image, mark: str) -> Image:
    platform = image.platform
    config = ImageConfig(
        architecture=platform.architecture,
        os=platform.os,
        variant=platform.variant,
        labels={LABEL: mark},
    )
    return replace(
        image, config=config, history=(), annotations={}, raw_config=b"", raw_manifest=b""
    )


def _load(image: Image, tag: str) -> None:
    from slimpack.daemon.docker import load_into_docker  # Docker's SDK takes a while

    load_into_docker(image, [tag])
