"""A registry behind a link of a certain speed: a network namespace with a veth pair, shaped by tc.

::

    with shaped_link(100_000_000, folder) as link:
        docker("pull", f"{link.address}/app:1")
        link.received_bytes()

Both ends have addresses of 127.0.0.0/8, on which Docker and others speak plain HTTP without
being told to; the kernel lets them leave the machine's loopback on these two devices alone
(route_localnet). Each link has two addresses and device names of its own, so that several may
be there at once. It needs root, and iproute2.
"""

from __future__ import annotations

import ipaddress
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.running import RunError
from benchmarks.setup.apt import SetupError
from benchmarks.setup.registry import Settings, docker_registry

LINKS: Mapping[str, int] = {"100 Mbit/s": 10**8, "1 Gbit/s": 10**9}
"""Those that are measured: name -> bit/s, the fastest last."""
PROGRAMS = ("ip", "tc", "docker-registry")
_NETWORK = ipaddress.ip_network("127.128.0.0/9")  # far from what people use of loopback
_TRIES = 20  # of finding addresses that no other link has
_BURST_SECONDS = 0.001  # what may leave at once, at the link's rate
_LEAST_BURST = 2 * 65536  # two packets as the kernel hands them to a device
_QUEUE = "50ms"
_FAR = "far"  # the device's name inside
# Sends argv[2] bytes to whoever connects first; the port is printed.
_SENDER = """
import socket, sys
with socket.create_server((sys.argv[1], 0)) as server:
    print(server.getsockname()[1], flush=True)
    taker, _ = server.accept()
    with taker:
        taker.sendall(bytes(int(sys.argv[2])))
"""


@dataclass(frozen=True)
class Link:
    """A link that is up. rate_bits: bit/s each way. address: ``host:port`` of its registry.

    device: the near end's name; its far end is in the network namespace of the same name.
    """

    rate_bits: int
    address: str
    device: str

    @property
    def inside(self) -> tuple[str, ...]:
        """What runs a command at the far end, in front of the command."""
        return "ip", "netns", "exec", self.device

    def received_bytes(self) -> int:
        """Return the bytes that have come from the far end, with headers, since it is up."""
        return int(_statistics(self.device, "rx_bytes").read_text())

    def reached_bits(self, size: int) -> float:
        """Return the bit/s of payload at which `size` bytes come over one TCP connection."""
        far = self.address.partition(":")[0]
        command = [*self.inside, sys.executable, "-c", _SENDER, far, str(size)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as sender:
            assert sender.stdout is not None
            try:
                return _received((far, int(sender.stdout.readline())), size)
            finally:
                sender.kill()


@dataclass(frozen=True)
class Namespace:
    """A network namespace. name: of the near end's device, too. far: its address, from here."""

    name: str
    far: str

    @property
    def path(self) -> Path:
        """The file that programs enter it by."""
        return Path("/run/netns") / self.name


@contextmanager
def namespace() -> Iterator[Namespace]:
    """Have a network namespace, with a link as fast as the kernel; it is gone afterwards.

    Raises SetupError where it cannot be made.
    """
    _check("ip")
    name = f"slim{os.getpid() % 10**7}-{random.randrange(16**3):03x}"
    with ExitStack() as stack:
        _call("ip", "netns", "add", name)
        stack.callback(_try, "ip", "netns", "delete", name)
        pair = ("ip", "link", "add", name, "type", "veth", "peer", "name", _FAR)
        _call(*pair, "netns", name)
        # Before the namespace, which goes in its own time: the addresses are free at once.
        stack.callback(_try, "ip", "link", "delete", name)
        yield Namespace(name, _connect(name))


@contextmanager
def shaped_link(rate_bits: int, folder: Path | None = None) -> Iterator[Link]:
    """Run a registry behind a link of `rate_bits` bit/s each way; everything is gone afterwards.

    folder: of the registry; it may have been filled by a registry without a link. None for an
    empty one. Raises SetupError where a link cannot be made.
    """
    _check(*PROGRAMS)
    with ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="registry-")))
        place = stack.enter_context(namespace())
        for command in shaping(place.name, rate_bits):
            _call(*command)
        settings = Settings(address=place.far, inside=("ip", "netns", "exec", place.name))
        address = stack.enter_context(docker_registry(folder, settings))
        yield Link(rate_bits, address, place.name)


def shaping(device: str, rate_bits: int) -> Iterator[tuple[str, ...]]:
    """Yield the commands that shape both ends. A token bucket keeps the rate, nothing else.

    The bucket is small, so that what comes in its burst does not count, but holds what the
    kernel hands over at once: bigger packets would be cut up by the processor.
    """
    if rate_bits <= 0:
        raise ValueError(f"a link of {rate_bits} bit/s")
    burst = max(_LEAST_BURST, int(rate_bits / 8 * _BURST_SECONDS))
    bucket = ("tbf", "rate", f"{rate_bits}bit", "burst", f"{burst}b", "latency", _QUEUE)
    yield ("tc", "qdisc", "add", "dev", device, "root", *bucket)
    yield ("tc", "-netns", device, "qdisc", "add", "dev", _FAR, "root", *bucket)


def addresses(number: int) -> tuple[str, str]:
    """Return the addresses of the near and the far end of the link with this number, from 0."""
    near = _NETWORK[2 * number]
    return str(near), str(near + 1)


def _connect(device: str) -> str:
    """Give both ends their addresses and bring them up; return the far end's."""
    Path(f"/proc/sys/net/ipv4/conf/{device}/route_localnet").write_text("1")
    allow = f"echo 1 >/proc/sys/net/ipv4/conf/{_FAR}/route_localnet"
    _call("ip", "netns", "exec", device, "sh", "-c", allow)
    _call("ip", "link", "set", device, "up")
    near, far = _claim(device)
    _call("ip", "address", "add", f"{near}/32", "dev", device)
    inside = ("ip", "-netns", device)
    for name in ("lo", _FAR):
        _call(*inside, "link", "set", name, "up")
    _call(*inside, "address", "add", f"{far}/32", "dev", _FAR)
    _call(*inside, "route", "add", f"{near}/32", "dev", _FAR, "src", far, "table", "local")
    return far


def _claim(device: str) -> tuple[str, str]:
    """Route an address to the far end that no other link has: the kernel takes it once only.

    The table ``local`` has 127.0.0.0/8 as a whole, so that is where one address goes before.
    """
    for _ in range(_TRIES):
        near, far = addresses(random.randrange(_NETWORK.num_addresses // 2))
        route = ("ip", "route", "add", f"{far}/32", "dev", device, "table", "local")
        if _try(*route) == 0:
            return near, far
    raise SetupError(f"no address of {_NETWORK} is free for a link")


def _check(*programs: str) -> None:
    if os.geteuid():
        raise SetupError("only root can make a network namespace with a link")
    absent = [program for program in programs if shutil.which(program) is None]
    if absent:
        raise SetupError(
            f"not installed: {', '.join(absent)}; `python -m benchmarks.setup tests` does it"
        )


def _received(server: tuple[str, int], size: int) -> float:
    with socket.create_connection(server, timeout=60) as connection:
        begun, count = time.monotonic(), 0
        while count < size and (part := connection.recv(1 << 20)):
            count += len(part)
        seconds = time.monotonic() - begun
    if count < size:
        raise RunError(f"{count} of {size} bytes came over the link")
    return 8 * size / seconds


def _statistics(device: str, name: str) -> Path:
    return Path("/sys/class/net") / device / "statistics" / name


def _call(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SetupError(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip()}")


def _try(*command: str) -> int:
    return subprocess.run(command, check=False, capture_output=True).returncode
