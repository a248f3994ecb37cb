"""A container engine of this machine as the far side: Docker, podman, containerd.

An engine takes the image of its own platform, and no documents. It keeps layers unpacked,
so it has no blobs from which a delta could be put together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from slimpack.bundle.far import Move, Parcel, Sent
from slimpack.bundle.inventory import Inventory, Listed
from slimpack.bundle.model import Blob
from slimpack.bundle.reader import Bundle
from slimpack.bundle.rebuild import Held
from slimpack.bundle.shipment import Shipment
from slimpack.bundle.supply import Supply
from slimpack.daemon import Sink, for_here
from slimpack.errors import BundleError
from slimpack.oci.image import Image
from slimpack.oci.layer import Layer
from slimpack.progress import Progress


@dataclass(frozen=True)
class EngineFar:
    """An engine."""

    sink: Sink
    bundle: Bundle

    @property
    def name(self) -> str:
        """What it is called."""
        return self.sink.name

    def plan(self, shipments: Sequence[Shipment]) -> list[Parcel]:
        """As `Far.plan`. Raises DaemonError, and BundleError for an image of a delta."""
        members = {blob.digest for blob in self.bundle.statement.blobs}
        return [self._parcel(one, members) for one in shipments]

    def _parcel(self, one: Shipment, members: set[str]) -> Parcel:
        image = for_here(one.target)
        layers = {layer.digest: Blob(layer.digest, layer.size) for layer in image.layers}
        if outside := sorted(set(layers) - members):
            raise BundleError(
                f"{one.title} needs {outside[0]}, which the bundle leaves out or has as a patch; "
                f"{self.name} keeps no blobs to put it together from",
                hint="apply the delta to a layout or a registry, and load the image from there",
            )
        seen = self.sink.look(image, one.names)
        return Parcel(
            one,
            self.name,
            tuple(Move(name, seen.ids[name], seen.id) for name in one.names),
            tuple(blob for digest, blob in layers.items() if digest not in seen.there),
            tuple(blob for digest, blob in layers.items() if digest in seen.there),
        )

    def find(self, place: str, digest: str) -> Held | None:
        """As `Far.find`: nothing."""
        return None

    def carry(self, parcel: Parcel, supply: Supply, progress: Progress) -> Sent:
        """As `Far.carry`. Raises DaemonError."""
        image = _supplied(for_here(parcel.shipment.target), supply)
        self.sink.load(image, parcel.shipment.names, progress=progress)
        sizes = (sum(blob.size for blob in blobs) for blobs in (parcel.lacking, parcel.there))
        return Sent(next(sizes), 0, next(sizes))

    def stock(self, parcels: Sequence[Parcel], progress: Progress) -> Inventory:
        """As `Far.stock`: images, and no blobs, since it cannot be asked for them."""
        images = []
        for one in (parcel.shipment for parcel in parcels):
            found = one.target.descriptor()
            found = {key: found[key] for key in ("mediaType", "digest", "size")}
            images.append(Listed(one.names, found))
        return Inventory(tuple(images))


def _supplied(image: Image, supply: Supply) -> Image:
    """Return the image with layers whose faults are said of the bundle."""

    def layer(one: Layer) -> Layer:
        return replace(one, source=lambda: supply.open(Blob(one.digest, one.size)))

    return replace(
        image,
        layers=tuple(map(layer, image.layers)),
        raw_config=image.config_json,
        raw_manifest=image.manifest_json,
    )
