"""The sink for podman: over its Docker-compatible socket, or to ``podman load`` on stdin.

podman takes zstd layers as they are. It looks each layer up by digest before it opens
its blob, wherever the layer lies, so that blobs it has can be left out of the archive.
Names without a host mean docker.io, as they do in the archive when ``podman load`` reads
it from a file.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import docker
import docker.errors
import requests

from slimpack.daemon.docker import TIMEOUT, check_line
from slimpack.daemon.process import ProgramError, ask, feed
from slimpack.daemon.seen import Seen
from slimpack.errors import DaemonError
from slimpack.oci.archive import archive_chunks, archive_size
from slimpack.oci.image import Image
from slimpack.oci.names import canonical_name, familiar_name
from slimpack.progress import SILENT, Progress

_LOST = (docker.errors.DockerException, requests.exceptions.RequestException)
_INSTEAD = "or write a file with --output and load that"


class Podman(Protocol):
    """What is asked of podman. Each call raises DaemonError when it cannot be done."""

    def layers(self) -> Iterable[Sequence[str]]:
        """Return the diffIDs of each image that it has."""

    def load(self, data: Iterator[bytes]) -> None:
        """Take an archive of one image without a name."""

    def tag(self, image: str, name: str) -> None:
        """Give an image, found by its id, a full name."""

    def find(self, name: str) -> str:
        """Return the id (with ``sha256:``) of an image by name or id, "" for none."""

    def close(self) -> None:
        """End the connection."""


class _Client(Protocol):
    """The part of `docker.APIClient` that is used here."""

    def load_image(self, data: Iterator[bytes], /) -> Iterable[object]: ...
    def images(self) -> Iterable[Mapping[str, object]]: ...
    def inspect_image(self, image: str, /) -> Mapping[str, object]: ...
    def tag(self, image: str, repository: str, tag: str, /) -> bool: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Socket:
    """podman's service, at the address of its socket."""

    address: str
    client: _Client

    @classmethod
    def open(cls, address: str) -> Socket:
        """Connect; raise DaemonError when nothing answers."""
        try:
            client = docker.APIClient(base_url=address, timeout=TIMEOUT)
        except _LOST as error:
            denied = "PermissionError" in str(error) or "Permission denied" in str(error)
            raise DaemonError(
                f"cannot reach podman at {address}: {error}",
                hint=f"you may not use its socket: use sudo, or your own podman, {_INSTEAD}"
                if denied
                else f"start it (podman system service, or podman.socket of systemd), {_INSTEAD}",
            ) from error
        return cls(address, cast("_Client", client))

    def layers(self) -> Iterator[Sequence[str]]:
        """As `Podman.layers`."""
        with _explained():
            for found in self.client.images():
                with suppress(docker.errors.ImageNotFound):
                    rootfs = self.client.inspect_image(str(found["Id"])).get("RootFS")
                    yield rootfs.get("Layers") or [] if isinstance(rootfs, dict) else []

    def load(self, data: Iterator[bytes]) -> None:
        """As `Podman.load`."""
        with _explained():
            for line in self.client.load_image(data):
                check_line(line, "podman", "podman")

    def tag(self, image: str, name: str) -> None:
        """As `Podman.tag`."""
        repository, _, tag = name.rpartition(":")
        with _explained():
            self.client.tag(image, repository, tag)

    def find(self, name: str) -> str:
        """As `Podman.find`."""
        with _explained():
            try:
                return str(self.client.inspect_image(name)["Id"])
            except docker.errors.ImageNotFound:
                return ""

    def close(self) -> None:
        """As `Podman.close`."""
        self.client.close()


class _explained:  # noqa: N801 (a context manager, used like a function)
    """Turn what the library raises into DaemonError."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, docker.errors.ImageNotFound):
            return
        if isinstance(error, docker.errors.DockerException):
            raise DaemonError(f"podman refused: {error}") from error
        if isinstance(error, requests.exceptions.RequestException):
            raise DaemonError(
                f"lost podman while loading the image: {error}",
                hint="see its log (journalctl --user -u podman); it may have run out of disk",
            ) from error


@dataclass(frozen=True)
class Program:
    """The program. argv: how it is called, with options that every call needs."""

    argv: tuple[str, ...] = ("podman",)

    def layers(self) -> list[Sequence[str]]:
        """As `Podman.layers`."""
        ids = ask((*self.argv, "images", "--quiet", "--no-trunc")).split()
        try:
            inspected = ask((*self.argv, "image", "inspect", *ids)) if ids else "[]"
        except ProgramError:
            return []  # one of them has been removed meanwhile
        return [(item.get("RootFS") or {}).get("Layers") or [] for item in json.loads(inspected)]

    def load(self, data: Iterator[bytes]) -> None:
        """As `Podman.load`."""
        feed((*self.argv, "load", "--quiet"), data)

    def tag(self, image: str, name: str) -> None:
        """As `Podman.tag`."""
        ask((*self.argv, "tag", image, name))

    def find(self, name: str) -> str:
        """As `Podman.find`."""
        try:
            found = ask((*self.argv, "image", "inspect", "--format", "{{.Id}}", name))
        except ProgramError as error:
            if "no such" in error.message or "not known" in error.message:
                return ""
            raise
        return f"sha256:{found}"

    def close(self) -> None:
        """As `Podman.close`."""


def load_into_podman(
    image: Image,
    names: Sequence[str],
    *,
    progress: Progress = SILENT,
    podman: Podman | None = None,
) -> str:
    """Load `image` into podman under each of `names`; return its id, the config digest.

    podman: how to reach it; by default as `connect` does.
    Layers that podman has are not sent again. Raises DaemonError for a podman that is not
    there, may not be used or refuses, ImageError for an image that is not consistent or
    whose layers do not match their digests.
    """
    full = [canonical_name(name) for name in names]
    ours = podman is None
    podman = podman or connect()
    try:
        omit = _layers_there(podman, image)
        if not omit or not _sent(podman, image, progress, omit):
            _send(podman, image, progress)
        if podman.find(image.config_digest) != image.config_digest:
            raise DaemonError(f"podman took the image, but has no {image.config_digest}")
        for name in full:
            podman.tag(image.config_digest, name)
            _check_tagged(podman, image, name, progress)
        return image.config_digest
    finally:
        if ours:
            podman.close()


def look(image: Image, names: Sequence[str], /) -> Seen:
    """Tell what podman has of an image; raise DaemonError where it does not answer."""
    podman = connect()
    try:
        ids = {name: podman.find(canonical_name(name)) for name in names}
        return Seen(image.config_digest, frozenset(_layers_there(podman, image)), ids)
    finally:
        podman.close()


def _layers_there(podman: Podman, image: Image) -> set[str]:
    there = {diff_id for layers in podman.layers() for diff_id in layers}
    return {layer.digest for layer in image.layers if layer.diff_id in there}


def reach() -> None:
    """Raise DaemonError, with what to do, unless the engine answers."""
    connect().close()


def connect() -> Podman:
    """Return the podman that CONTAINER_HOST names, else this user's socket, else the program.

    The socket of root is another storage than that of other users, and for root alone.
    Raises DaemonError when there is none of them.
    """
    named = os.environ.get("CONTAINER_HOST", "")
    if named.startswith(("unix://", "tcp://")):
        return Socket.open(named)
    if not named:
        for path in _sockets():
            if path.exists():
                with suppress(DaemonError):  # one that was left behind
                    return Socket.open(f"unix://{path}")
    if shutil.which("podman"):
        return Program()  # which knows CONTAINER_HOST, and how to use ssh
    raise DaemonError(
        "there is no podman: no socket of it, and no program podman on PATH",
        hint=f"install podman, or name its socket in CONTAINER_HOST, {_INSTEAD}",
    )


def _sockets() -> Iterator[Path]:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        yield Path(runtime) / "podman" / "podman.sock"
    if os.geteuid() == 0:
        yield Path("/run/podman/podman.sock")


def _sent(podman: Podman, image: Image, progress: Progress, omit: Collection[str]) -> bool:
    """Send all but the layers to omit; tell whether podman could do with that."""
    try:
        _send(podman, image, progress, omit)
    except DaemonError:
        return False  # it has them compressed in another way: it gets the whole
    return bool(podman.find(image.config_digest))


def _send(podman: Podman, image: Image, progress: Progress, omit: Collection[str] = ()) -> None:
    with progress.task("podman load", total=archive_size(image, omit=omit)) as task:

        def sent() -> Iterator[bytes]:
            for chunk in archive_chunks(image, omit=omit):
                yield chunk
                task.advance(len(chunk))

        try:
            podman.load(sent())
        except ProgramError as error:
            full = "no space left" in error.message
            raise DaemonError(
                "podman could not load the image",
                details=error.message,
                hint="free some space (podman system prune)" if full else "",
            ) from error


def _check_tagged(podman: Podman, image: Image, name: str, progress: Progress) -> None:
    found = podman.find(name)
    if found != image.config_digest:
        raise DaemonError(
            f"podman has {found or 'nothing'} as {name}, not {image.config_digest}",
            hint="another build may have used the name at the same time; run again",
        )
    short = familiar_name(name)
    other = podman.find(short)
    if other and other != found:
        progress.warn(
            f"podman takes {short} for another image of that name (localhost/{short}); "
            f"call this one {name}, or remove that one"
        )


load = load_into_podman
