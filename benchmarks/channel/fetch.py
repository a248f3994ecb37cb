"""Download pinned sources into the cache; every byte is checked against ``channel.lock``."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from packaging.utils import parse_wheel_filename

from benchmarks.channel.errors import ChannelError
from benchmarks.channel.lock import RENEW, LockedFile
from benchmarks.channel.recipes import Platform
from slimpack.files import atomic_file

_TIMEOUT = 60
_TRIES = 3


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def cached(cache: Path, pin: LockedFile) -> Path:
    """Where a source lies in the cache: its folder is named after its hash."""
    return cache / "sources" / pin.sha256[:16] / pin.name


def read_url(address: str) -> bytes:
    """Fetch a small file, with a few tries; 404 and the like are final."""
    for attempt in range(_TRIES):
        try:
            with urllib.request.urlopen(address, timeout=_TIMEOUT) as answer:
                data: bytes = answer.read()
                return data
        except urllib.error.HTTPError as problem:
            raise ChannelError(f"{address}: HTTP {problem.code}") from problem
        except OSError as problem:
            if attempt + 1 == _TRIES:
                raise ChannelError(f"{address}: {problem}") from problem
    raise AssertionError("unreachable")


def fetch_debian(cache: Path, mirror: str, pins: Iterable[LockedFile]) -> None:
    """Download missing files from a Debian mirror, four at a time."""

    def one(pin: LockedFile) -> None:
        target = cached(cache, pin)
        if target.exists():
            return
        try:
            data = read_url(f"{mirror}/{pin.path}")
        except ChannelError as problem:
            raise ChannelError(
                f"cannot fetch {pin.name}: {problem}; if it is gone, {RENEW}"
            ) from None
        found = hashlib.sha256(data).hexdigest()
        if found != pin.sha256:
            raise ChannelError(
                f"{pin.name} has sha256 {found}, pinned is {pin.sha256}; "
                f"try another mirror, or {RENEW}"
            )
        # Another platform's thread may fetch the same file (``_all.deb``).
        with atomic_file(target, durable=False) as out:
            out.write(data)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, pins))


def pip_platform(python: str, platform: Platform) -> list[str]:
    """Pip's options that choose wheels for the packaged interpreter, whatever runs pip."""
    tags = [option for tag in platform.wheel_tags for option in ("--platform", tag)]
    return [
        *("--only-binary", ":all:", "--implementation", "cp", "--python-version", python),
        *tags,
    ]


def requirement_lines(pins: Mapping[str, LockedFile]) -> str:
    """Return a requirements file that accepts exactly the pinned wheels."""
    lines = []
    for _, pin in sorted(pins.items()):
        project, version, *_ = parse_wheel_filename(pin.name)
        lines.append(f"{project}=={version} --hash=sha256:{pin.sha256}\n")
    return "".join(lines)


def fetch_wheels(
    cache: Path, pins: Mapping[str, LockedFile], python: str, platform: Platform
) -> None:
    """Download missing wheels with pip, which knows the machine's mirrors.

    One call gets one version of a project; where two are wanted, there is a second call.
    """
    missing = {name: pin for name, pin in pins.items() if not cached(cache, pin).exists()}
    if not missing:
        return
    first = {parse_wheel_filename(pin.name)[0]: name for name, pin in sorted(missing.items())}
    now = {name: missing[name] for name in first.values()}
    download_wheels(cache, now, python, platform)
    fetch_wheels(cache, pins, python, platform)


def download_wheels(
    cache: Path, pins: Mapping[str, LockedFile], python: str, platform: Platform
) -> None:
    """Download wheels of different projects with one call of pip, into the cache."""
    (cache / "sources").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache / "sources", prefix=".tmp-") as scratch:
        folder = Path(scratch)
        wanted = folder / "requirements.txt"
        wanted.write_text(requirement_lines(pins))
        options = ["--no-deps", "--require-hashes", "--quiet", "--dest", scratch, "-r", str(wanted)]
        run_pip(["download", *options, *pip_platform(python, platform)])
        for name, pin in pins.items():
            draft, target = folder / pin.name, cached(cache, pin)
            if not draft.exists() or sha256_of(draft) != pin.sha256:
                raise ChannelError(f"pip did not deliver {pin.name} for {name}; {RENEW}")
            target.parent.mkdir(parents=True, exist_ok=True)
            draft.replace(target)


def run_pip(arguments: list[str]) -> str:
    """Run pip of this interpreter, with the machine's own configuration."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = errors[0] if errors else done.stderr.strip()[-300:]
        raise ChannelError(f"pip {arguments[0]} failed: {reason}; if a wheel is gone, {RENEW}")
    return done.stdout
