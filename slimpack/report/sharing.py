"""Which layers of an image need not be moved where another image is already.

Registries, containerd and podman know a layer by the digest of its compressed bytes.
The Docker Engine's own store (the default before version 29) finds a layer only on top
of the same layers, so it pulls everything above the first one that differs
(moby, distribution/xfer/download.go).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from slimpack.oci.image import Image
from slimpack.oci.layer import Layer

State = Literal["shared", "recompressed", "new"]
_Test = Callable[["SharedLayer"], bool]


@dataclass(frozen=True)
class SharedLayer:
    """A layer and whether a host that has the other image has it too.

    state: "shared" (the same bytes), "recompressed" (the same files, compressed in
    another way: pulled again) or "new". stacked: whether it and all below are the same.
    compressed: bytes to pull.
    """

    number: int
    name: str
    digest: str
    compressed: int
    state: State
    stacked: bool


@dataclass(frozen=True)
class Sharing:
    """The layers of an image, compared with those that a host has."""

    layers: tuple[SharedLayer, ...]

    @property
    def kept(self) -> int:
        """Bytes that need not be pulled."""
        return sum(self._sizes(lambda layer: layer.state == "shared").values())

    @property
    def pulled(self) -> int:
        """Bytes to pull where layers are known by their digest."""
        return sum(self._sizes(lambda layer: layer.state != "shared").values())

    @property
    def pulled_stacked(self) -> int:
        """Bytes to pull by the Docker Engine's own store."""
        return sum(self._sizes(lambda layer: not layer.stacked).values())

    def _sizes(self, wanted: _Test) -> dict[str, int]:
        return {layer.digest: layer.compressed for layer in self.layers if wanted(layer)}


def sharing(there: Image, wanted: Image) -> Sharing:
    """Compare the layers of `wanted` with those of an image that is on the host."""
    digests = {layer.digest for layer in there.layers}
    diff_ids = {layer.diff_id for layer in there.layers}
    same = _common(there.layers, wanted.layers)
    return Sharing(
        tuple(
            SharedLayer(
                number=number,
                name=layer.name,
                digest=layer.digest,
                compressed=layer.size,
                state="shared"
                if layer.digest in digests
                else "recompressed"
                if layer.diff_id in diff_ids
                else "new",
                stacked=number < same,
            )
            for number, layer in enumerate(wanted.layers)
        )
    )


def _common(one: Sequence[Layer], other: Sequence[Layer]) -> int:
    """Return how many layers from the bottom on are the same."""
    number = 0
    while number < min(len(one), len(other)) and one[number].diff_id == other[number].diff_id:
        number += 1
    return number
