"""The shaped link: its addresses and commands, and a real one where root and iproute2 are."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import shutil
import subprocess
import urllib.request
from pathlib import Path

import pytest

from benchmarks.link import PROGRAMS, addresses, shaped_link, shaping
from benchmarks.setup.apt import SetupError
from benchmarks.setup.registry import docker_registry
from tests.support.channel import missing

RATE = 80_000_000  # bit/s
BLOB = bytes(range(256)) * 1000


def test_ends_have_neighbouring_addresses_of_loopback_and_no_other_link_has_them() -> None:
    loopback = ipaddress.ip_network("127.0.0.0/8")
    found = [addresses(number) for number in (0, 1, 2**22 - 1)]
    assert found[0] == ("127.128.0.0", "127.128.0.1")
    assert found[-1][1] == "127.255.255.255"
    assert all(ipaddress.ip_address(end) in loopback for pair in found for end in pair)
    assert len({end for pair in found for end in pair}) == 6


def test_both_ends_are_shaped_with_a_millisecond_of_burst() -> None:
    near, far = shaping("slim1", 10**10)
    assert near[:6] == ("tc", "qdisc", "add", "dev", "slim1", "root")
    assert far[:3] == ("tc", "-netns", "slim1")
    assert near[-7:] == far[-7:]
    assert near[-6:-2] == ("rate", "10000000000bit", "burst", "1250000b")


def test_slow_links_have_a_burst_that_holds_what_the_kernel_hands_over() -> None:
    assert "131072b" in next(shaping("slim1", 1_000_000))


def test_a_link_without_a_rate_is_refused() -> None:
    with pytest.raises(ValueError):
        next(shaping("slim1", 0))


@pytest.fixture
def programs() -> None:
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if os.geteuid() or absent:
        missing("PEERS", f"a link needs root and {', '.join(absent or PROGRAMS)}")


@pytest.mark.usefixtures("programs")
def test_a_registry_filled_before_serves_over_the_link(tmp_path: Path) -> None:
    with docker_registry(tmp_path) as host:
        digest = put(host, BLOB)
    with shaped_link(RATE, tmp_path) as link, shaped_link(RATE) as other:
        assert link.address != other.address
        assert rate("tc", "-j", "qdisc", "show", "dev", link.device) == RATE // 8
        assert rate("tc", "-j", "-netns", link.device, "qdisc", "show", "dev", "far") == RATE // 8
        before, idle = link.received_bytes(), other.received_bytes()
        with urllib.request.urlopen(f"http://{link.address}/v2/app/blobs/{digest}") as answer:
            assert answer.read() == BLOB
        assert len(BLOB) < link.received_bytes() - before < 1.2 * len(BLOB)
        assert other.received_bytes() - idle < 10_000
        assert link.reached_bits(10_000) > 0
    assert gone(link.device)
    assert gone(other.device)


@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize("error", [KeyboardInterrupt, SetupError])
def test_nothing_is_left_of_a_link_that_ends_early(
    error: type[BaseException], tmp_path: Path
) -> None:
    links = []

    def end_early() -> None:
        with shaped_link(RATE, tmp_path) as link:
            links.append(link.device)
            assert not gone(link.device)
            raise error

    with pytest.raises(error):
        end_early()
    assert gone(*links)


@pytest.mark.usefixtures("programs")
def test_nothing_is_left_when_the_registry_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(FileExistsError), shaped_link(RATE, tmp_path / "file"):
        raise AssertionError
    assert not list(Path("/run/netns").glob(f"slim{os.getpid()}-*"))


def put(host: str, blob: bytes) -> str:
    """Upload a blob; return its digest."""
    digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
    begin = urllib.request.Request(f"http://{host}/v2/app/blobs/uploads/", b"", method="POST")
    with urllib.request.urlopen(begin) as answer:
        place = answer.headers["Location"]
    headers = {"Content-Type": "application/octet-stream"}
    url = f"{place}{'&' if '?' in place else '?'}digest={digest}"
    with urllib.request.urlopen(urllib.request.Request(url, blob, headers, method="PUT")) as answer:
        assert answer.status == 201
    return digest


def rate(*command: str) -> int:
    """Return the rate of a device's token bucket, byte/s, as tc tells it."""
    told = subprocess.run(command, check=True, capture_output=True)
    (row,) = json.loads(told.stdout)
    assert row["kind"] == "tbf"
    return int(row["options"]["rate"])


def gone(device: str) -> bool:
    return (
        not (Path("/sys/class/net") / device).exists()
        and not (Path("/run/netns") / device).exists()
    )
