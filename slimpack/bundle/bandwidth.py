"""What a bundle saves: bytes to carry, and how long that takes over a link."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from slimpack.bundle.model import Bundled, Statement
from slimpack.bundle.reader import Bundle
from slimpack.oci.index import Deliverable, images_of

DEFAULT_LINKS = ("2Mbit/s", "10Mbit/s", "100Mbit/s", "1Gbit/s")
_LINK = re.compile(r"(?P<number>[0-9]{1,9}(?:\.[0-9]{1,6})?) ?(?P<unit>[kMG]?)(?P<what>bit/s|B/s)")
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


@dataclass(frozen=True)
class Link:
    """A link. text: as it was written. speed: bits a second."""

    text: str
    speed: Fraction

    def seconds(self, size: int) -> float:
        """Return how long `size` bytes take, if nothing else is sent."""
        return float(size * 8 / self.speed)


def parse_link(text: str) -> Link:
    """Read ``10Mbit/s`` or ``2 MB/s``, units of powers of 1000; ValueError for anything else."""
    match = _LINK.fullmatch(text)
    speed = Fraction(match["number"]) * _UNITS[match["unit"]] if match else Fraction(0)
    if match is None or not speed:
        raise ValueError(
            f"expected the speed of a link, such as '10Mbit/s' or '2MB/s', not {text!r}"
        )
    return Link(text, speed * (8 if match["what"] == "B/s" else 1))


@dataclass(frozen=True)
class Weight:
    """An image of a bundle. size: bytes that it has alone, each blob once.

    documents: how many tell of it.
    """

    names: tuple[str, ...]
    digest: str
    platforms: tuple[str, ...]
    size: int
    documents: int = 0


@dataclass(frozen=True)
class Traffic:
    """Bytes to carry.

    full: each image for each platform alone, as if they were shipped one by one.
    deduplicated: in a bundle, where blobs are stored once. bundle: of this one, which may
    lack what the far side has. blobs: how many different ones the images have.
    """

    full: int
    deduplicated: int
    bundle: int
    blobs: int

    @property
    def shared(self) -> int:
        """Bytes that sharing saves."""
        return self.full - self.deduplicated

    @property
    def spared(self) -> int:
        """Bytes that need not travel because the far side has them, or can make them."""
        return self.deduplicated - self.bundle


def weigh(bundled: Bundled, target: Deliverable) -> Weight:
    """Return what an image weighs alone."""
    return Weight(
        names=bundled.names,
        digest=bundled.digest,
        platforms=tuple(str(image.platform) for image in images_of(target)),
        size=target.size,
        documents=len(bundled.attached),
    )


def traffic(statement: Statement, targets: Iterable[Deliverable], size: int) -> Traffic:
    """Return what travels. targets: all images of the bundle. size: of the bundle, in bytes."""
    elsewhere = (*statement.absent, *(patch.target for patch in statement.patches))
    whole = size + sum(blob.size for blob in elsewhere) - sum(p.size for p in statement.patches)
    images = [image for target in targets for image in images_of(target)]
    distinct: dict[str, int] = {}
    for image in images:
        distinct[image.digest] = len(image.manifest_json)
        distinct[image.config_digest] = len(image.config_json)
        distinct.update((layer.digest, layer.size) for layer in image.layers)
    alone = sum(image.size for image in images)
    return Traffic(
        full=whole - sum(distinct.values()) + alone,
        deduplicated=whole,
        bundle=size,
        blobs=len(statement.blobs) + len(elsewhere),
    )


def report_of(bundle: Bundle) -> tuple[Traffic, tuple[Weight, ...]]:
    """Return what a bundle that is there saves, and its images. Raises ImageError."""
    targets = [bundle.target(one) for one in bundle.statement.images]
    weights = [
        weigh(one, target) for one, target in zip(bundle.statement.images, targets, strict=True)
    ]
    return traffic(bundle.statement, targets, bundle.medium.size), tuple(weights)


def links_of(texts: Sequence[str]) -> tuple[Link, ...]:
    """Return links, those that many people have when none is named; raise as `parse_link`."""
    return tuple(map(parse_link, texts or DEFAULT_LINKS))
