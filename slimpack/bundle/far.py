"""The far side: what every place that takes images has in common.

Whatever it is, it is looked at first (`Far.plan`), and nothing is written before all that
is needed is known to be there. Then each image goes (`Far.carry`): blobs, manifests by
digest, documents, and names last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from slimpack.bundle.inventory import Inventory
from slimpack.bundle.model import Blob
from slimpack.bundle.rebuild import Held
from slimpack.bundle.shipment import Shipment
from slimpack.bundle.supply import Supply
from slimpack.progress import Progress


@dataclass(frozen=True)
class Move:
    """A name and what it leads to: digests, or the ids of an engine; before "" for nothing."""

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class Parcel:
    """An image on its way to one place: a repository, a layout, an engine.

    lacking, there: its blobs, and those of its documents, that the place lacks and has.
    What an earlier parcel brings is there.
    """

    shipment: Shipment
    place: str
    moves: tuple[Move, ...]
    lacking: tuple[Blob, ...]
    there: tuple[Blob, ...]


@dataclass(frozen=True)
class Sent:
    """Bytes of blobs of one parcel that travelled, that were mounted, and that were there."""

    sent: int = 0
    mounted: int = 0
    present: int = 0


class Far(Protocol):
    """A place that takes images."""

    @property
    def name(self) -> str:
        """What messages call it."""

    def plan(self, shipments: Sequence[Shipment]) -> list[Parcel]:
        """Look at what is there. Raises InputError for names that do not fit."""

    def find(self, place: str, digest: str) -> Held | None:
        """Return a blob that `place` has, or can have from elsewhere on the far side."""

    def carry(self, parcel: Parcel, supply: Supply, progress: Progress) -> Sent:
        """Bring a parcel there; its names move last. What it has brought stays on an error."""

    def stock(self, parcels: Sequence[Parcel], progress: Progress) -> Inventory:
        """Return what it has now, at least where the parcels went."""
