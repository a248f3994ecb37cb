"""Engines of one's own: each has a new store, and nothing else of this machine is touched.

An image of others may have a layer in common with one that is measured, and an engine pulls
a layer once.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.link import namespace
from benchmarks.setup.apt import SetupError
from benchmarks.setup.peers import zstd_dockerd
from benchmarks.starting.engines import Containerd, Docker, Engine, files_of, said
from benchmarks.starting.progress import docker_pull, podman_pull

_SECONDS = 60
_NETWORK = "198.18.{}.1/24"  # RFC 2544 gives 198.18.0.0/15 to benchmarks
_TRIES = 20
_PLAIN = ("--tls-verify=false",)
# podman asks for more than is allowed where not even root may raise limits.
_LIMITS = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024")
_RUNC = ("runc", "containerd-shim-runc-v2")


@contextmanager
def docker(folder: Path) -> Iterator[Engine]:
    """Run a dockerd, with a bridge for its containers and no rules of the firewall.

    It is one that pulls zstd layers: Debian 12's own, 20.10, does not.
    """
    _need("docker", "dockerd", "ip")
    program = zstd_dockerd()
    with ExitStack() as stack:
        stack.callback(unmount, folder)
        state = stack.enter_context(state_folder())
        address = f"unix://{state}/docker.sock"
        command = ("docker", "--host", address)
        bridge = stack.enter_context(_bridge())
        daemon = (
            *(program, "--host", address, "--pidfile", f"{state}/docker.pid"),
            *("--data-root", f"{folder}/docker", "--exec-root", f"{state}/docker"),
            *("--bridge", bridge, "--iptables=false", "--ip-forward=false", "--ip-masq=false"),
        )
        stack.enter_context(kept_running(daemon, folder / "dockerd.log", (*command, "version")))
        programs = ("docker", program, "containerd", "docker-init", *_RUNC)
        version = said(*command, "version", "--format", "{{.Server.Version}}")
        yield Docker(command, version, programs, docker_pull)


@contextmanager
def podman(folder: Path) -> Iterator[Engine]:
    """Have a storage for podman, which has no daemon; containers are on its default network."""
    _need("podman")
    with ExitStack() as stack:
        stack.callback(unmount, folder)
        places = (
            "--root",
            f"{folder}/podman",
            "--runroot",
            str(stack.enter_context(state_folder())),
        )
        command = ("podman", *places, "--storage-driver", "overlay")
        programs = ("podman", "conmon", "runc", "crun")
        version = said("podman", "--version").split()[-1]
        yield Docker(command, version, programs, podman_pull, _PLAIN, _LIMITS)


@contextmanager
def containerd(folder: Path) -> Iterator[Engine]:
    """Run a containerd, with a network namespace for its containers."""
    _need("containerd", "ctr", "ip")
    with ExitStack() as stack:
        stack.callback(unmount, folder)
        state = stack.enter_context(state_folder())
        socket = f"{state}/containerd.sock"
        config = folder / "containerd.toml"
        config.write_text(
            f'version = 2\nroot = "{folder}/containerd"\nstate = "{state}/containerd"\n'
            f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "{socket}"\n'
        )
        command = ("ctr", "--address", socket, "--namespace", "slimpack-bench")
        network = stack.enter_context(namespace())
        daemon = ("containerd", "--config", str(config))
        stack.enter_context(kept_running(daemon, folder / "containerd.log", (*command, "version")))
        programs = ("ctr", "containerd", *_RUNC)
        version = said("containerd", "--version").split()[2]
        yield Containerd(command, version, programs, network.path, network.far, folder)


ENGINES: Mapping[str, Callable[[Path], AbstractContextManager[Engine]]] = {
    "docker": docker,
    "podman": podman,
    "containerd": containerd,
}
"""Name -> what gives an engine with a store in a folder; SetupError where it cannot run."""


def unmount(folder: Path) -> None:
    """Unmount all that is mounted below a folder, so that it can be removed."""
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    for place in mounted_below(lines, folder):
        subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)


def mounted_below(mounts: Sequence[str], folder: Path) -> list[str]:
    """Return the mount points below a folder, the last one first; lines of /proc/mounts."""
    points = (line.split()[1] for line in mounts)
    return [point for point in points if point.startswith(f"{folder}/")][::-1]


@contextmanager
def state_folder() -> Iterator[Path]:
    """Have a folder for what only lives as long as an engine; paths of sockets must be short."""
    with TemporaryDirectory(prefix="slimpack-") as name:
        try:
            yield Path(name)
        finally:
            unmount(Path(name))


@contextmanager
def _bridge() -> Iterator[str]:
    """Make a bridge with a network that this machine does not have; give its name."""
    for _ in range(_TRIES):
        number = random.randrange(256)
        name = f"slimbridge{number}"
        # One name for each network: only one of two that try has it.
        if _ip("link", "add", name, "type", "bridge"):
            break
    else:
        raise SetupError("no network of 198.18.0.0/16 is free for containers")
    try:
        if not _ip("address", "add", _NETWORK.format(number), "dev", name):
            raise SetupError(f"{name} takes no address")
        if not _ip("link", "set", name, "up"):
            raise SetupError(f"{name} does not come up")
        yield name
    finally:
        _ip("link", "delete", name)


def _ip(*arguments: str) -> bool:
    return subprocess.run(["ip", *arguments], check=False, capture_output=True).returncode == 0


def _need(*programs: str) -> None:
    absent = sorted(set(programs) - {path.name for path in files_of(programs)})
    if absent:
        raise SetupError(f"not installed: {', '.join(absent)}")


@contextmanager
def kept_running(argv: Sequence[str], log: Path, asking: Sequence[str]) -> Iterator[None]:
    """Run a daemon; the block begins when the command `asking` has an answer from it."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for the benchmark, which ends it in its turn
        )
    try:
        end = time.monotonic() + _SECONDS
        while subprocess.run(asking, check=False, capture_output=True).returncode:
            if process.poll() is not None or time.monotonic() > end:
                told = log.read_text("utf-8", "replace")[-2000:]
                raise SetupError(f"{argv[0]} does not start:\n{told}")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()
