"""What podman and docker have in common: a container for each command, gone afterwards.

Variables go through a file that only its owner can read, since arguments can be read by
all. podman and docker add some of their own (HOSTNAME, ``container``).
"""

from __future__ import annotations

import os
import secrets
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from slimpack.errors import DaemonError, InputError
from slimpack.sandbox.model import Command, Finished, Options, Pairs
from slimpack.sandbox.process import Control, call, supervise
from slimpack.sandbox.surroundings import check_bind, environment
from slimpack.sandbox.users import User

_TMP = "/tmp:rw,exec,nosuid,nodev,mode=1777"  # noqa: S108 (the container's)
_REFUSED = 125  # exit code of `run` when there was no container (podman-run(1), docker run)
_REFUSAL = (b"Error:", b"docker:", b"error")
_NO_GPU = b"unresolvable CDI devices"  # podman, which returns 126 then


@dataclass(frozen=True)
class Engine:
    """A command line that runs containers.

    program: with the options that every call of it needs.
    options: of `run`, beyond those that all sandboxes have.
    remove: of `rm`, so that it does not wait for the container.
    gpu: of `run`, for a command that gets the GPU. gpu_hint: what an engine without that needs.
    """

    name: str
    program: tuple[str, ...]
    options: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    gpu: tuple[str, ...] = ()
    gpu_hint: str = ""


def run_container(
    engine: Engine,
    what: Sequence[str],
    command: Command,
    options: Options,
    user: User,
    *,
    workdir: str,
    stop: threading.Event | None,
) -> Finished:
    """Run `what`, the image and its command line with options of its own, as `Prepared.run`."""
    if options.wrapper:
        raise InputError(
            f"{engine.name} cannot put {options.wrapper[0]} in front of the sandbox",
            hint="use the sandbox bubblewrap or unshare",
        )
    name = f"slimpack-sandbox-{secrets.token_hex(8)}"
    with ExitStack() as stack:
        variables = stack.enter_context(_env_file(environment(command, user), engine))
        # A run that is over removes its container itself; one that was cut short may not.
        argv = [*engine.program, "run", "--rm", "--interactive", "--name", name]
        argv += [*engine.options, *_common(options, user), "--env-file", str(variables)]
        argv += engine.gpu if options.gpu else ()
        argv += ["--workdir", workdir, *what]

        def ask() -> None:
            call([*engine.program, "kill", "--signal", "TERM", name])

        finished = None
        try:
            finished = supervise(argv, command, env=os.environ, control=Control(ask), stop=stop)
        finally:
            if finished is None or finished.timed_out:
                _remove(engine, name)
    refused = finished.returncode == _REFUSED or (options.gpu and _NO_GPU in finished.stderr)
    if refused and finished.stderr.lstrip().startswith(_REFUSAL):
        why = finished.stderr.decode(errors="replace").strip()
        hint = "use another sandbox: bubblewrap or unshare"
        raise DaemonError(
            f"{engine.name} could not make the sandbox: {why[-500:]}",
            hint=f"{engine.gpu_hint}, or {hint}" if options.gpu else hint,
        )
    return finished


def _common(options: Options, user: User) -> list[str]:
    arguments = ["--network", "host" if options.network else "none", "--read-only"]
    arguments += ["--tmpfs", _TMP, "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    arguments += ["--log-driver", "none", "--user", f"{user.uid}:{user.gid}"]
    for group in user.groups:
        arguments += ["--group-add", str(group)]
    for bind in options.binds:
        check_bind(bind)
        host = os.path.realpath(bind.host)
        if "," in host + bind.inside or '"' in host + bind.inside:
            raise InputError(f"{bind.host} cannot be shown by a container engine: its name has a ,")
        text = f"type=bind,source={host},target={bind.inside}"
        arguments += ["--mount", text if bind.writable else f"{text},readonly"]
    return arguments


@contextmanager
def _env_file(env: Pairs, engine: Engine) -> Iterator[Path]:
    """Give a file of variables; its format knows no quoting and no line breaks."""
    for name, value in env:
        if "\n" in name + value or "\r" in name + value or name.startswith("#") or " " in name:
            raise InputError(
                f"{engine.name} cannot pass the variable {name[:200]!r}, which has a line break",
                hint="use the sandbox bubblewrap or unshare",
            )
    with tempfile.TemporaryDirectory(prefix="slimpack-") as folder:
        path = Path(folder) / "env"
        path.touch(0o600)
        path.write_bytes(b"".join(os.fsencode(f"{name}={value}\n") for name, value in env))
        yield path


def _remove(engine: Engine, name: str) -> None:
    """Remove a container, also one that the engine was still making when its client ended."""
    for _ in range(2):
        call([*engine.program, "rm", "--force", "--volumes", *engine.remove, name])
    listed = call([*engine.program, "ps", "--all", "--quiet", "--filter", f"name=^{name}$"])
    if listed.returncode or listed.stdout.strip():
        raise DaemonError(
            f"{engine.name} did not remove the container {name}",
            hint=f"remove it with: {engine.program[0]} rm --force {name}",
        )
