"""A bundle applied again and again, and killed while it is.

``python -m tests.bundle.worker layout FOLDER SEED KILLS`` (or ``registry=HOST`` for ``layout``)
makes two bundles of one name in FOLDER and brings them to the target in turn. Each run is a
process that gets SIGKILL at a random moment; after each the name has to lead to the whole old
or the whole new image, and now and then a run is left alone and has to end right. Prints how
many were killed, and how many of them between their first blob and their last step.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from slimpack.bundle.apply import apply, plan_apply
from slimpack.bundle.far import Far
from slimpack.bundle.reader import Bundle, open_bundle
from slimpack.bundle.to_layout import LayoutFar
from slimpack.bundle.to_registry import Place, RegistryFar
from slimpack.oci.blobs import BlobStore
from slimpack.oci.index import images_of
from slimpack.registry.connecting import Registries
from slimpack.registry.pull import pull_all
from slimpack.registry.reference import Reference
from tests.bundle.shipping import (
    SERVE,
    bundle_of,
    document,
    image_of,
    layout_image,
    packed,
    read_layers,
    signature,
)

ALONE = 0.1
"""How many of the runs are left alone."""


@dataclass(frozen=True)
class LayoutPlace:
    """A layout folder. Blobs of the old image go with it, so each turn writes all anew."""

    folder: Path

    def bring(self, bundle: Bundle) -> None:
        far = LayoutFar(self.folder)
        apply(bundle, far, plan_apply(bundle, far), self.folder)

    def digest(self) -> str:
        """Return what the name leads to, after every byte of it was read."""
        found = layout_image(self.folder, SERVE)
        return found.digest if found else ""

    def lacking(self, bundle: Bundle) -> int:
        return lacking(bundle, LayoutFar(self.folder))


@dataclass(frozen=True)
class RegistryPlace:
    """A repository of a registry."""

    host: str
    prefix: str

    def bring(self, bundle: Bundle) -> None:
        with Registries() as registries:
            far = RegistryFar(Place(self.host, self.prefix), registries)
            apply(bundle, far, plan_apply(bundle, far), bundle.path.parent)

    def digest(self) -> str:
        reference = Reference.parse(f"{self.host}/{self.prefix}/serve:1.0")
        with TemporaryDirectory() as folder, Registries() as registries:
            found = pull_all(reference, registries, blobs=BlobStore(Path(folder), durable=False))
            read_layers(images_of(found))
        return found.digest

    def lacking(self, bundle: Bundle) -> int:
        with Registries() as registries:
            return lacking(bundle, RegistryFar(Place(self.host, self.prefix), registries))


AnyPlace = LayoutPlace | RegistryPlace


def lacking(bundle: Bundle, far: Far) -> int:
    """Return how many blobs are not there."""
    return sum(len(parcel.lacking) for parcel in plan_apply(bundle, far).parcels)


def bundles(folder: Path) -> list[Path]:
    """Write two bundles with other images of one name, and with documents."""
    paths = []
    for seed in (1, 2):
        image = image_of(folder, seed, 150_000, 90_000, 30_000)
        told = [document(image), signature(image)]
        paths.append(folder / f"{seed}.tar")
        bundle_of(paths[-1], packed(image, documents=told))
    return paths


def forked(work: Callable[[], None]) -> int:
    """Do something in another process; return its number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


@dataclass
class Killer:
    """Kills. window: seconds that a run takes, about. killed, halfway: how many so far."""

    chance: random.Random
    window: float
    killed: int = 0
    halfway: int = 0

    def turn(self, place: AnyPlace, old: Path, new: Path) -> None:
        """Bring `new` where `old` is, killed as often as it takes to end."""
        before, after = (open_bundle(path) for path in (old, new))
        digests = [one.statement.images[0].digest for one in (before, after)]
        everything = place.lacking(after)
        while place.digest() != digests[1]:
            child = forked(lambda: place.bring(open_bundle(new)))
            alone = self.chance.random() < ALONE
            if not alone:
                time.sleep(self.chance.uniform(0, self.window))
                os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            found = place.digest()
            if os.WIFSIGNALED(status):
                self.killed += 1
                self.halfway += found == digests[0] and place.lacking(after) < everything
                check(found in digests, f"{found} is neither the old image nor the new one")
            else:
                check(os.WEXITSTATUS(status) == 0, "a run that nobody killed failed")
                check(found == digests[1], "a run has ended, and the name has not moved")


def check(condition: bool, message: str) -> None:
    if not condition:
        print(message, file=sys.stderr, flush=True)
        sys.exit(1)


def watch(place: AnyPlace, digests: set[str]) -> None:
    """Read what the name leads to for ever; end when it is neither."""
    while place.digest() in digests:
        time.sleep(0.1)  # the processor is for others, too
    raise AssertionError


def kill(target: str, folder: Path, seed: int, kills: int) -> None:
    old, new = bundles(folder)
    digests = {open_bundle(path).statement.images[0].digest for path in (old, new)}
    host = target.partition("=")[2]
    for name in ("warm", "layout"):  # the first run takes longer
        start = time.monotonic()
        place: AnyPlace = RegistryPlace(host, name) if host else LayoutPlace(folder / name)
        place.bring(open_bundle(old))
        window = 1.2 * (time.monotonic() - start)
    killer = Killer(random.Random(seed), window)
    number = 0
    while killer.killed < kills:
        number += 1
        if not host:
            killer.turn(place, old, new)
            old, new = new, old
            continue
        # What a repository has is never sent again: each turn gets one of its own.
        place = RegistryPlace(host, f"turn{number}")
        place.bring(open_bundle(old))
        reader = forked(partial(watch, place, digests))
        try:
            killer.turn(place, old, new)
        finally:
            os.kill(reader, signal.SIGKILL)
            _, status = os.waitpid(reader, 0)
        check(os.WIFSIGNALED(status), "a reader found something that is not whole")
    if isinstance(place, LayoutPlace):
        place.bring(open_bundle(new))
        check(not list(place.folder.rglob("*.tmp")), "what was killed has left files")
        check(place.digest() == open_bundle(new).statement.images[0].digest, "not the new image")
    print(killer.killed, killer.halfway)


if __name__ == "__main__":
    kill(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
