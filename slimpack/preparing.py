"""Where the step that prepares the application runs: here, or emulated for another platform.

There it has the base below it, because the environment brings no C library, and nothing of
this machine but its network.
"""

from __future__ import annotations

from pathlib import Path

from slimpack.app import Run, run_here
from slimpack.errors import DaemonError, InputError
from slimpack.oci.image import Image
from slimpack.platforms import here
from slimpack.rootfs import unpack_image
from slimpack.sandbox import Bind, Command, Options, choose_sandbox

_DAY = 86_400.0
_ELSEWHERE = "or prepare the application before the build, and copy what comes out"


def runs_on(platform: str, base: Image, prefix: Path, scratch: Path) -> Run:
    """Return what runs a command of the environment at `prefix`, which is for `platform`.

    base: what lies below the environment. scratch: a folder for the root file system.
    """
    if platform == here():
        return run_here

    def run(
        command: tuple[str, ...], folder: Path, environment: dict[str, str]
    ) -> tuple[int, bytes]:
        try:
            sandbox = choose_sandbox("auto", platform)
        except DaemonError as error:
            raise InputError(
                f"[app] prepare: {command[0]} is for {platform}, and this machine cannot run it",
                details="\n".join(filter(None, (error.message, error.details))),
                hint=f"{error.hint}, {_ELSEWHERE}",
            ) from error
        root = scratch / "prepare"
        unpack_image(base, root)
        work = Path(environment["HOME"])
        binds = (Bind(prefix, str(prefix)), Bind(work, str(work), writable=True))
        with sandbox.prepare(root, base) as prepared:
            done = prepared.run(
                Command(command, tuple(environment.items()), workdir=str(folder), timeout=_DAY),
                Options(binds, network=True),
            )
        return done.returncode, done.stdout + done.stderr

    return run
