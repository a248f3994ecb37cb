"""The sink for a local Docker engine: the archive goes over its socket, never to disk."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Protocol, cast

import docker
import docker.constants
import docker.errors
import docker.utils
import requests

from slimpack.daemon.seen import Seen
from slimpack.errors import DaemonError
from slimpack.oci.archive import archive_chunks, archive_size
from slimpack.oci.image import Image
from slimpack.progress import SILENT, Progress


class Engine(Protocol):
    """The part of `docker.APIClient` that is used here."""

    def load_image(self, data: Iterator[bytes], /) -> Iterable[object]:
        """Send an archive; return the lines of the answer."""

    def images(self) -> Iterable[Mapping[str, object]]:
        """Return the images that the engine has, each with its Id."""

    def info(self) -> Mapping[str, object]:
        """Return what the engine tells of itself."""

    def inspect_image(self, image: str, /) -> Mapping[str, object]:
        """Return what the engine knows of an image; raise docker.errors.ImageNotFound."""

    def close(self) -> None:
        """End the connection."""


_CAUSES = 50  # of an error, at most so many are looked at
TIMEOUT = 600  # seconds of silence; an engine may unpack a big layer without a word


def load_into_docker(
    image: Image,
    tags: Sequence[str],
    *,
    progress: Progress = SILENT,
    client: Engine | None = None,
) -> str:
    """Load `image` into the Docker engine under each of `tags`; return the engine's image id.

    client: the engine to use (a `docker.APIClient`); by default the one that DOCKER_HOST and its
        relatives name, else the local socket.
    Layers that the engine has below another image are not sent again.
    The id is the config digest, or the manifest digest where the engine keeps
    images in containerd's store; anything else than these two is an error, as is
    a tag that is missing or elsewhere afterwards. Raises DaemonError for an
    engine that is not there, may not be used or refuses; ImageError for an image
    that is not consistent or whose layers do not match their digests.
    """
    ours = client is None
    engine = client or connect()
    try:
        form = image if _knows_zstd(engine) else image.plain()
        there = _layers_there(engine, form)
        if not there or not _sent(engine, form, tags, progress, omit=there):
            _send(engine, form, tags, progress)
        return _check_loaded(engine, image, tags)
    except docker.errors.DockerException as error:
        raise DaemonError(f"the Docker engine refused the image: {error}") from error
    except requests.exceptions.RequestException as error:
        raise DaemonError(
            f"lost the Docker engine while loading the image: {error}",
            hint="see the engine's log (journalctl -u docker); it may have run out of disk",
        ) from error
    finally:
        if ours:
            engine.close()


def look(image: Image, names: Sequence[str], /) -> Seen:
    """Tell what the engine has of an image; raise DaemonError where it does not answer."""
    engine = connect()
    try:
        own = image.digest if _keeps_manifests(engine) else image.config_digest
        ids = {name: _id_of(engine, name) for name in names}
        return Seen(own, frozenset(_layers_there(engine, image)), ids)
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise DaemonError(f"the Docker engine does not say what it has: {error}") from error
    finally:
        engine.close()


def reach() -> None:
    """Raise DaemonError, with what to do, unless the engine answers."""
    connect().close()


def connect() -> Engine:
    """Connect as DOCKER_HOST and its relatives say; raise DaemonError when nothing answers."""
    try:
        client = docker.APIClient(timeout=TIMEOUT, **docker.utils.kwargs_from_env())
        return cast("Engine", client)
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        place = os.environ.get("DOCKER_HOST", "") or docker.constants.DEFAULT_UNIX_SOCKET
        raise DaemonError(
            f"cannot reach a Docker engine at {place.replace('http+unix', 'unix')}: {_why(error)}",
            hint=_hint(error),
        ) from error


def _why(error: BaseException) -> str:
    """Return what the system said; libraries wrap it in several exceptions."""
    waiting: list[object] = [error]
    for inner in waiting:
        if isinstance(inner, OSError) and inner.errno and inner.strerror:
            return inner.strerror
        if isinstance(inner, BaseException) and len(waiting) < _CAUSES:
            waiting += [*inner.args, inner.__cause__, getattr(inner, "reason", None)]
    return str(error)


def _hint(error: BaseException) -> str:
    instead = "or write a file with --output and load that"
    if "paramiko" in str(error):
        return (
            "forward its socket (ssh -nNT -L /tmp/docker.sock:/var/run/docker.sock HOST) and name "
            f"that: DOCKER_HOST=unix:///tmp/docker.sock, {instead}"
        )
    if "PermissionError" in str(error) or "Permission denied" in str(error):
        return f"you may not use its socket: join the group docker, or use sudo, {instead}"
    return f"start Docker, or point DOCKER_HOST at a running engine, {instead}"


def _send(
    engine: Engine,
    image: Image,
    tags: Sequence[str],
    progress: Progress,
    omit: Collection[str] = (),
) -> None:
    chunks = archive_chunks(image, tags, omit=omit)
    with progress.task("docker load", total=archive_size(image, tags, omit=omit)) as task:

        def sent() -> Iterator[bytes]:
            for chunk in chunks:
                yield chunk
                task.advance(len(chunk))

        for line in engine.load_image(sent()):
            check_line(line)


def _sent(
    engine: Engine, image: Image, tags: Sequence[str], progress: Progress, omit: Collection[str]
) -> bool:
    """Send all but the layers to omit; tell whether the engine could do with that."""
    try:
        _send(engine, image, tags, progress, omit)
    except (DaemonError, docker.errors.APIError):
        return False  # it removed a layer meanwhile, or is no Docker: it gets the whole
    return True


def _layers_there(engine: Engine, image: Image) -> set[str]:
    """Return the digests of the lowest layers that an image in the engine has, too.

    Docker's own store looks layers up by what they lie on, and opens only those
    that it lacks. With containerd's store an archive has to be complete.
    """
    if _keeps_manifests(engine):
        return set()
    wanted = [layer.diff_id for layer in image.layers]
    shared = 0
    for found in engine.images():
        with suppress(docker.errors.ImageNotFound):
            rootfs = engine.inspect_image(str(found["Id"])).get("RootFS")
            there = rootfs.get("Layers") or [] if isinstance(rootfs, dict) else []
            same = [one == other for one, other in zip(wanted, there, strict=False)]
            shared = max(shared, (*same, False).index(False))
    above = {layer.digest for layer in image.layers[shared:]}
    return {layer.digest for layer in image.layers[:shared]} - above


def _keeps_manifests(engine: Engine) -> bool:
    """Tell whether images are in containerd's store, with the digests of manifests as ids."""
    return "io.containerd.snapshotter" in str(engine.info().get("DriverStatus"))


def _knows_zstd(engine: Engine) -> bool:
    """Tell whether layers can go as they are: Docker 23.0 and later unpack zstd.

    The others get plain tars, unpacked on the way; the image id is the same.
    """
    major = str(engine.info().get("ServerVersion", "")).partition(".")[0]
    return major.isdigit() and int(major) >= 23


def check_line(line: object, who: str = "the Docker engine", program: str = "docker") -> None:
    """Raise DaemonError if a line of the engine's answer tells of an error."""
    if isinstance(line, dict) and (line.get("error") or line.get("errorDetail")):
        detail = line.get("errorDetail")
        message = line.get("error") or (detail.get("message") if isinstance(detail, dict) else "")
        full = "no space left" in str(message)
        raise DaemonError(
            f"{who} could not load the image: {message}",
            hint=f"free some space in the engine ({program} system df)" if full else "",
        )


def _check_loaded(engine: Engine, image: Image, tags: Sequence[str]) -> str:
    """Return the id that the engine has for every tag; raise DaemonError for another one."""
    ids = (image.config_digest, image.digest)
    if not tags:
        found = next(filter(None, (_id_of(engine, name) for name in ids)), "")
        if not found:
            raise DaemonError(f"the Docker engine took the image, but has no {ids[0]}")
        return found
    for name in tags:
        found = _id_of(engine, name)
        if not found:
            raise DaemonError(f"the Docker engine took the image, but has no {name}")
        if found not in ids:
            raise DaemonError(
                f"the Docker engine has {found} as {name}, not {image.config_digest}",
                hint="another build may have used the name at the same time; run again",
            )
    return found


def _id_of(engine: Engine, name: str) -> str:
    """Return the id of an image by name or id, "" for none."""
    try:
        return str(engine.inspect_image(name)["Id"])
    except docker.errors.ImageNotFound:
        return ""


load = load_into_docker
