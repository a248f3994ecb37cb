"""Sandboxes made by podman from the unpacked folder, which stays as it is below an overlay."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from slimpack.errors import InputError
from slimpack.oci.image import Image
from slimpack.sandbox import surroundings
from slimpack.sandbox.containers import Engine, run_container
from slimpack.sandbox.model import PLAIN, Command, Finished, Options, Prepared
from slimpack.sandbox.users import find_user

# Which of these a machine allows depends on its cgroups, its limits and its runtimes.
# Lower limits than podman's own need no privilege.
_LIMITS = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024")
_AT_ONCE = ("--time", "0")
_GPU = ("--device", "nvidia.com/gpu=all")
_GPU_HINT = (
    "to get the GPU, install the NVIDIA container toolkit and run "
    "`nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`"
)
ENGINES = (
    Engine("podman", ("podman",), (), _AT_ONCE, _GPU, _GPU_HINT),
    Engine("podman", ("podman",), (*_LIMITS, "--cgroups=disabled"), _AT_ONCE, _GPU, _GPU_HINT),
    Engine("podman", ("podman", "--runtime=runc"), _LIMITS, _AT_ONCE, _GPU, _GPU_HINT),
)


@dataclass(frozen=True)
class Podman:
    """engine: how podman is called on this machine, one of `ENGINES`."""

    engine: Engine = ENGINES[0]
    name: str = "podman"

    @contextmanager
    def prepare(self, root: Path, image: Image | None = None) -> Iterator[Prepared]:
        """As `Sandbox.prepare` says; the image is not needed."""
        root = root.resolve()
        if ":" in str(root):
            raise InputError(f"podman takes no folder with a colon in its name: {root}")
        surroundings.make_mount_points(root)
        yield _Prepared(self, root)


@dataclass(frozen=True)
class _Prepared:
    sandbox: Podman
    root: Path

    def run(
        self, command: Command, options: Options = PLAIN, *, stop: threading.Event | None = None
    ) -> Finished:
        return run_container(
            self.sandbox.engine,
            ["--rootfs", f"{self.root}:O", *command.argv],
            command,
            options,
            find_user(self.root, command.user),
            workdir=surroundings.workdir(self.root, command),
            stop=stop,
        )
