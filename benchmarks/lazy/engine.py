"""containerd with its stargz-snapshotter: a new one for each start, so that nothing is there."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.demo import ROOT
from benchmarks.link import Namespace, namespace
from benchmarks.setup.apt import SetupError, install
from benchmarks.starting.daemons import kept_running, state_folder, unmount
from benchmarks.starting.engines import said

_LIBRARY = "golang-github-containerd-stargz-snapshotter-dev"
_GO_PATH = "/usr/share/gocode"  # where Debian has libraries of Go
_SOURCE = ROOT / "benchmarks" / "lazy" / "snapshotter"
_PROGRAMS = {
    "containerd": "containerd",
    "ctr": "containerd",
    "ctr-remote": "stargz-snapshotter",
    "fusermount": "fuse3",
    "go": "golang-go",
    "ip": "iproute2",
    "tc": "iproute2",
    "docker-registry": "docker-registry",
}


def set_up(folder: Path) -> Path:
    """Install what is missing and build the snapshotter; return the program.

    Raises SetupError where that cannot be, such as without FUSE.
    """
    if not Path("/dev/fuse").exists():
        raise SetupError("this machine has no /dev/fuse: nothing can be mounted lazily")
    absent = {package for name, package in _PROGRAMS.items() if shutil.which(name) is None}
    if not (Path(_GO_PATH) / "src/github.com/containerd/stargz-snapshotter/fs").is_dir():
        absent.add(_LIBRARY)
    install(sorted(absent))
    program = folder / "snapshotter"
    environment = {
        **os.environ,
        "GO111MODULE": "off",
        "GOPATH": _GO_PATH,
        "GOCACHE": str(folder / "go-cache"),
    }
    build = ("go", "build", "-o", str(program), ".")
    done = subprocess.run(
        build, check=False, cwd=_SOURCE, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise SetupError(f"the snapshotter is not built: {done.stderr.strip()}")
    return program


def versions() -> dict[str, str]:
    """Return the versions of what starts the images."""
    asked = ("dpkg-query", "--show", "--showformat", "${Version}", _LIBRARY)
    return {
        "containerd": said("containerd", "--version").split()[2],
        "stargz-snapshotter": said(*asked),
    }


@dataclass(frozen=True)
class Containerd:
    """A containerd with two snapshotters: its own, and one that mounts lazily.

    command: ``ctr`` with its global options. network: where containers are.
    """

    command: tuple[str, ...]
    network: Namespace
    folder: Path

    @property
    def address(self) -> str:
        """Where services in containers are reached."""
        return self.network.far

    def pull(self, reference: str, *, mounted: bool) -> None:
        """Pull and unpack an image; mounted: only mount it."""
        if mounted:
            remote = ("ctr-remote", *self.command[1:])
            said(*remote, "images", "rpull", "--plain-http", reference)
        else:
            said(*self.command, "images", "pull", "--plain-http", reference)

    def fetched_blobs(self) -> int:
        """Return how many blobs of layers lie in containerd's own store."""
        return len(list((self.folder / "root").glob("*content*/blobs/sha256/*")))

    def create(self, reference: str, name: str, *, mounted: bool) -> None:
        """Make a container."""
        how = ("--snapshotter", "stargz" if mounted else "overlayfs")
        network = ("--with-ns", f"network:{self.network.path}")
        said(*self.command, "containers", "create", *how, *network, reference, name)

    def start(self, name: str) -> None:
        """Start a container."""
        log = (self.folder / "container.log").as_uri()
        said(*self.command, "tasks", "start", "--detach", "--log-uri", log, name)

    def logs(self) -> str:
        """Return what the container wrote."""
        path = self.folder / "container.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def told(self) -> str:
        """Return the end of what the lazy snapshotter said."""
        return (self.folder / "lazy.log").read_text("utf-8", "replace")[-2000:]

    def remove(self, name: str) -> None:
        """End a container and remove it."""
        for command in (("tasks", "delete", "--force"), ("containers", "delete")):
            subprocess.run([*self.command, *command, name], check=False, capture_output=True)


@contextmanager
def containerd(program: Path, folder: Path, registry: str) -> Iterator[Containerd]:
    """Run a containerd and a snapshotter with nothing in them; both are gone afterwards.

    program: the snapshotter. registry: ``host:port``. Raises SetupError when they do not start.
    """
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.callback(unmount, folder)
        state = stack.enter_context(state_folder())
        lazy, own = state / "lazy.sock", state / "own.sock"
        (folder / "config.toml").write_text(_configuration(folder, state, own, lazy))
        command = ("ctr", "--address", str(own), "--namespace", "slimpack-lazy")
        network = stack.enter_context(namespace())
        serving = (str(program), str(lazy), str(folder / "lazy"), registry)
        stack.enter_context(kept_running(serving, folder / "lazy.log", ("test", "-S", str(lazy))))
        daemon = ("containerd", "--config", str(folder / "config.toml"))
        asked = (*command, "snapshots", "--snapshotter", "stargz", "list")
        stack.enter_context(kept_running(daemon, folder / "containerd.log", asked))
        yield Containerd(command, network, folder)


def _configuration(folder: Path, state: Path, own: Path, lazy: Path) -> str:
    return f"""\
version = 2
root = "{folder}/root"
state = "{state}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "{own}"
[proxy_plugins.stargz]
type = "snapshot"
address = "{lazy}"
"""
