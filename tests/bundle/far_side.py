"""A far side that is really cut off: a network namespace of its own, fed by one file.

``unshare --net python -m tests.bundle.far_side FOLDER NAME``: there is no route out of it. It
starts a registry and a Docker engine with its containerd, and podman, all with their data in
FOLDER, and brings FOLDER/site.slimpack.tar to each of them with the command line. Prints
what each has under NAME afterwards, as JSON.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.setup.registry import docker_registry

_SECONDS = 60
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_OUTSIDE = (("192.0.2.1", socket.AF_INET), ("2001:db8::1", socket.AF_INET6))


def main(folder: Path, name: str) -> None:
    raise_loopback()
    found: dict[str, Any] = {"routes": routes()}
    with ExitStack() as stack:
        host = stack.enter_context(docker_registry(folder / "registry"))
        docker = stack.enter_context(docker_engine(folder))
        podman = stack.enter_context(podman_service(folder))
        os.environ |= {
            "DOCKER_HOST": docker,
            "CONTAINER_HOST": podman,
            "CONTAINERD_ADDRESS": f"{folder}/x/containerd/containerd.sock",
            "CONTAINERD_NAMESPACE": "far-side",
        }
        for target in (f"registry={host}/site", "layout=layout", "docker", "podman", "containerd"):
            command = ("bundle", "apply", "site.slimpack.tar", "--json", "--to", target)
            first, again = (
                json.loads(output(sys.executable, "-m", "slimpack", *command, cwd=folder))
                for _ in range(2)
            )
            kind = target.partition("=")[0]
            found[kind] = {"sent": first["sent"], "again": again["sent"]}
        inspect = ("skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}")
        found["registry"]["digest"] = output(*inspect, f"docker://{host}/site/{name}")
        found["layout"]["digest"] = output(*inspect, f"oci:{folder}/layout:{name}")
        found["docker"]["says"] = output("docker", "run", "--rm", "--network=none", name)
        shown = output("docker", "--host", podman, "image", "inspect", "-f", "{{.Id}}", name)
        found["podman"]["id"] = shown
        ctr = ("ctr", "-a", os.environ["CONTAINERD_ADDRESS"], "-n", "far-side")
        found["containerd"]["images"] = output(*ctr, "images", "ls")
    print(json.dumps(found))


def raise_loopback() -> None:
    """Bring ``lo`` up (netdevice(7)): a new namespace has nothing else, and that is down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def routes() -> list[str]:
    """Return every way out: interfaces beside ``lo``, and what can be sent to elsewhere."""
    ways = [name for _, name in socket.if_nameindex() if name != "lo"]
    ways += Path("/proc/self/net/route").read_text(encoding="ascii").splitlines()[1:]
    for address, family in _OUTSIDE:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((address, 9))
            except OSError as error:
                if error.errno in (errno.ENETUNREACH, errno.EADDRNOTAVAIL):
                    continue
            ways.append(address)
    return ways


@contextmanager
def docker_engine(folder: Path) -> Iterator[str]:
    """Run a Docker engine, and the containerd that it brings, with all their data in `folder`."""
    address = f"unix://{folder}/docker.sock"
    (folder / "daemon.json").write_text("{}")
    options = {
        "config-file": folder / "daemon.json",
        "data-root": folder / "docker",
        "exec-root": folder / "x",
        "pidfile": folder / "docker.pid",
        "host": address,
        "bridge": "none",
    }
    off = ("iptables", "ip6tables", "ip-forward", "ip-masq")
    argv = ["dockerd", *(f"--{key}={value}" for key, value in options.items())]
    asked = ("docker", "--host", address, "version")
    with running([*argv, *(f"--{key}=false" for key in off)], folder / "dockerd.log", asked):
        yield address


@contextmanager
def podman_service(folder: Path) -> Iterator[str]:
    address = f"unix://{folder}/podman.sock"
    places = ("--root", f"{folder}/podman", "--runroot", f"{folder}/run")
    service = ("system", "service", "--time", "0", address)
    asked = ("docker", "--host", address, "version")
    argv = ["podman", *places, "--storage-driver", "overlay", *service]
    with running(argv, folder / "podman.log", asked):
        yield address


@contextmanager
def running(argv: Sequence[str], log: Path, asked: Sequence[str]) -> Iterator[None]:
    """Run a service until the end of the block, which begins when `asked` succeeds."""
    with log.open("wb") as said:
        process = subprocess.Popen(argv, stdout=said, stderr=said, stdin=subprocess.DEVNULL)
    try:
        end = time.monotonic() + _SECONDS
        while subprocess.run(asked, capture_output=True, check=False).returncode:
            if process.poll() is not None or time.monotonic() > end:
                sys.exit(f"{argv[0]} does not start: {log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait()


def output(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr}")
    return done.stdout.strip()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
