"""The sink for containerd: the archive goes to ``ctr images import -``, never to disk.

containerd keeps blobs as they are, by digest, in namespaces that do not see each other:
``default`` for people, ``k8s.io`` for Kubernetes. Its images are names that point at
manifests; there is no image without a name.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from slimpack.daemon.process import ProgramError, ask, feed
from slimpack.daemon.seen import Seen
from slimpack.errors import DaemonError, InputError
from slimpack.oci.archive import archive_chunks, archive_size
from slimpack.oci.image import Image
from slimpack.oci.names import canonical_name
from slimpack.progress import SILENT, Progress

ADDRESS = "/run/containerd/containerd.sock"
NAMESPACE = "default"


@dataclass(frozen=True)
class Ctr:
    """How ``ctr`` is called. address: of containerd's socket. namespace: in containerd."""

    address: str
    namespace: str
    program: str = "ctr"

    @classmethod
    def here(cls) -> Ctr:
        """Return the one that CONTAINERD_ADDRESS and CONTAINERD_NAMESPACE name, as for ctr."""
        return cls(
            address=os.environ.get("CONTAINERD_ADDRESS") or ADDRESS,
            namespace=os.environ.get("CONTAINERD_NAMESPACE") or NAMESPACE,
        )

    def call(self, *arguments: str) -> str:
        """Return what it answers; raise ProgramError."""
        return ask((*self._argv, *arguments))

    def load(self, image: Image, data: Iterator[bytes]) -> None:
        """Import an archive; raise ProgramError."""
        # Without it an image for another machine than this one is left out.
        platform = f"--platform={image.platform}"
        feed((*self._argv, "images", "import", platform, "-"), data)

    @property
    def _argv(self) -> tuple[str, ...]:
        return (self.program, "--address", self.address, "--namespace", self.namespace)


def load_into_containerd(
    image: Image, names: Sequence[str], *, progress: Progress = SILENT, ctr: Ctr | None = None
) -> str:
    """Import `image` into containerd under each of `names`; return the manifest digest.

    ctr: which containerd; by default the one that CONTAINERD_ADDRESS and
        CONTAINERD_NAMESPACE name.
    Blobs that the namespace has are not sent again. Raises InputError without a name,
    DaemonError for a containerd that is not there, may not be used or refuses, ImageError
    for an image that is not consistent or whose layers do not match their digests.
    """
    ctr = ctr or Ctr.here()
    if not names:
        raise InputError(
            "containerd keeps images by their names only, and this one has none",
            hint="give it one: --tag NAME:TAG",
        )
    check_reachable(ctr)
    before = _images(ctr)
    there = {layer.digest for layer in image.layers} & _blobs(ctr)
    try:
        if not there or not _sent(ctr, image, names, progress, there):
            _send(ctr, image, names, progress)
    except DaemonError:
        _forget(ctr, image, names, before)
        raise
    _check_loaded(ctr, image, names)
    return image.digest


def look(image: Image, names: Sequence[str], /) -> Seen:
    """Tell what containerd has of an image; raise DaemonError where it does not answer."""
    ctr = Ctr.here()
    check_reachable(ctr)
    there = {layer.digest for layer in image.layers} & _blobs(ctr)
    now = _images(ctr)
    ids = {name: now.get(canonical_name(name), "") for name in names}
    return Seen(image.digest, frozenset(there), ids)


def reach() -> None:
    """Raise DaemonError, with what to do, unless containerd answers."""
    check_reachable(Ctr.here())


def check_reachable(ctr: Ctr) -> None:
    """Raise DaemonError, with what to do, unless containerd answers."""
    try:
        ctr.call("version")
    except ProgramError as error:
        raise DaemonError(
            f"cannot reach containerd at {ctr.address}: {error.message}", hint=_hint(ctr, error)
        ) from error


def _hint(ctr: Ctr, error: ProgramError) -> str:
    instead = "or write a file with --output and import that"
    if isinstance(error.__cause__, OSError):
        return f"install {ctr.program}, which comes with containerd, {instead}"
    if "permission denied" in error.message:
        return f"you may not use its socket: run as root (sudo), {instead}"
    if not Path(ctr.address).exists():
        return (
            "there is no socket: start containerd, or name it in CONTAINERD_ADDRESS "
            f"(k3s has /run/k3s/containerd/containerd.sock), {instead}"
        )
    return f"see whether containerd runs (systemctl status containerd), {instead}"


def _sent(
    ctr: Ctr, image: Image, names: Sequence[str], progress: Progress, omit: Collection[str]
) -> bool:
    """Send all but the layers to omit; tell whether containerd could do with that."""
    try:
        _send(ctr, image, names, progress, omit)
    except DaemonError:
        return False  # it removed a blob meanwhile: it gets the whole
    return _blobs(ctr).issuperset(omit)


def _send(
    ctr: Ctr,
    image: Image,
    names: Sequence[str],
    progress: Progress,
    omit: Collection[str] = (),
) -> None:
    total = archive_size(image, names, omit=omit)
    with progress.task("ctr images import", total=total) as task:

        def sent() -> Iterator[bytes]:
            for chunk in archive_chunks(image, names, omit=omit):
                yield chunk
                task.advance(len(chunk))

        try:
            ctr.load(image, sent())
        except ProgramError as error:
            full = "no space left" in error.message
            raise DaemonError(
                "containerd could not import the image",
                details=error.message,
                hint="free some space (ctr images prune)" if full else "",
            ) from error


def _blobs(ctr: Ctr) -> set[str]:
    """Return the digests of what the namespace has."""
    return set(ctr.call("content", "ls", "-q").split())


def _images(ctr: Ctr) -> dict[str, str]:
    """Return full name -> digest of the manifest."""
    lines = [line.split() for line in ctr.call("images", "ls").splitlines()[1:]]
    return {line[0]: line[2] for line in lines if len(line) > 2}


def _forget(ctr: Ctr, image: Image, names: Sequence[str], before: Mapping[str, str]) -> None:
    """Remove names that an import has given to an image which it could not unpack then."""
    with suppress(ProgramError):
        there = _images(ctr)
        full = set(map(canonical_name, names))
        new = [name for name in full if there.get(name) == image.digest != before.get(name)]
        if new:
            ctr.call("images", "rm", *sorted(new))


def _check_loaded(ctr: Ctr, image: Image, names: Sequence[str]) -> None:
    """Raise DaemonError unless each name points at the image's manifest."""
    there = _images(ctr)
    for name in map(canonical_name, names):
        if name not in there:
            raise DaemonError(f"containerd took the image, but has no {name}")
        if there[name] != image.digest:
            raise DaemonError(
                f"containerd has {there[name]} as {name}, not {image.digest}",
                hint="another build may have used the name at the same time; run again",
            )


load = load_into_containerd
