"""containerd with its stargz-snapshotter: a new one for each start, so that nothing is there."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.demo import ROOT
from benchmarks.link import Namespace, namespace
from benchmarks.running import RunError
from benchmarks.setup.apt import SetupError, install

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
_SECONDS = 60


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
    _called("go", "build", "-o", str(program), ".", cwd=_SOURCE, env=environment)
    return program


def versions() -> dict[str, str]:
    """Return the versions of what starts the images."""
    asked = ("dpkg-query", "--show", "--showformat", "${Version}", _LIBRARY)
    return {
        "containerd": _called("containerd", "--version").split()[2],
        "stargz-snapshotter": _called(*asked),
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
            _called(*remote, "images", "rpull", "--plain-http", reference)
        else:
            _called(*self.command, "images", "pull", "--plain-http", reference)

    def fetched_blobs(self) -> int:
        """Return how many blobs of layers lie in containerd's own store."""
        return len(list((self.folder / "root").glob("*content*/blobs/sha256/*")))

    def create(self, reference: str, name: str, *, mounted: bool) -> None:
        """Make a container."""
        how = ("--snapshotter", "stargz" if mounted else "overlayfs")
        network = ("--with-ns", f"network:{self.network.path}")
        _called(*self.command, "containers", "create", *how, *network, reference, name)

    def start(self, name: str) -> None:
        """Start a container."""
        log = (self.folder / "container.log").as_uri()
        _called(*self.command, "tasks", "start", "--detach", "--log-uri", log, name)

    def logs(self) -> str:
        """Return what the container wrote."""
        path = self.folder / "container.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

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
        state = Path(stack.enter_context(TemporaryDirectory(prefix="lazy-")))  # short, for sockets
        stack.callback(_unmount, folder, state)
        lazy, own = state / "lazy.sock", state / "own.sock"
        (folder / "config.toml").write_text(_configuration(folder, state, own, lazy))
        command = ("ctr", "--address", str(own), "--namespace", "slimpack-lazy")
        network = stack.enter_context(namespace())
        serving = (str(program), str(lazy), str(folder / "lazy"), registry)
        stack.enter_context(_running(serving, folder / "lazy.log", ("test", "-S", str(lazy))))
        daemon = ("containerd", "--config", str(folder / "config.toml"))
        asked = (*command, "snapshots", "--snapshotter", "stargz", "list")
        stack.enter_context(_running(daemon, folder / "containerd.log", asked))
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


@contextmanager
def _running(argv: Sequence[str], log: Path, asking: Sequence[str]) -> Iterator[None]:
    """Run a daemon; the block begins when the command `asking` ends well."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
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


def _unmount(*folders: Path) -> None:
    """Unmount all that is mounted below folders, the last one first."""
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    for place in reversed([line.split()[1] for line in lines]):
        if any(place.startswith(f"{folder}/") for folder in folders):
            subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)


def _called(*command: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        check=False,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RunError(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout.strip()
