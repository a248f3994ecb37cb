"""The lower bound of slimming: what a workload touches, packed as an image is.

The files are whole and as they are shipped, in the layers that they have in the image,
in the same order and with the same compressor. A profile can still be below the bound:
it may shorten libraries and leave out sources, which the bound does not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from slimpack.app import OWNER
from slimpack.config import DEFAULT_EPOCH
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import Compression
from slimpack.oci.image import Image
from slimpack.oci.layer import build_layer
from slimpack.oci.plan import plan_layers
from slimpack.oci.rootfs import Placed
from slimpack.oci.sharing import share_all
from slimpack.rootfs import tree_of
from slimpack.slim.bytecode import source_of
from slimpack.trace.record import Trace
from slimpack.tree import Kind, Tree

# Who touches what, in the results. The first is what profiles are compared with.
TOUCHED = "service and self-test"
SERVICE = "the service alone"
OPENED = "both, without the sources of bytecode"


@dataclass(frozen=True)
class Bound:
    """What is touched, as layers. size: bytes compressed; unpacked: bytes of the files.

    of: which files, one of the names above.
    """

    of: str
    level: int
    size: int
    unpacked: int
    files: int


def touched(trace: Trace, paths: Collection[str], *, sources: bool) -> frozenset[str]:
    """Return which of an image's paths were opened, links on the way among them.

    sources: also the sources whose bytecode was opened. Python asks for their size and
    time alone, but whoever ships sources ships these.
    """
    opened = frozenset(trace.opened).intersection(paths)
    if not sources:
        return opened
    return opened | {source_of(path) for path in opened}.intersection(paths)


def selected(image: Image, view: Mapping[str, Placed], root: Path, paths: Collection[str]) -> Tree:
    """Return some files of `image`, unpacked from `view` to `root`, owned by their layers."""
    return Tree(
        replace(entry, owner=image.layers[view[entry.path].layer].name)
        for entry in tree_of(view, root)
        if entry.path in paths
    )


def measure_bound(of: str, tree: Tree, level: int, scratch: Path) -> Bound:
    """Pack `tree`, a layer for each owner, and tell how large it is; nothing stays in `scratch`."""
    owners = {entry.owner for entry in tree}
    plans, _ = share_all(plan_layers(tree, budget=max(1, len(owners))), apart=(OWNER,))
    size = 0
    with TemporaryDirectory(dir=scratch) as folder:
        blobs = BlobStore(Path(folder), durable=False)
        for plan in plans:
            size += build_layer(
                plan.name,
                plan.entries,
                blobs=blobs,
                mtime=DEFAULT_EPOCH,
                compression=Compression(level=level),
            ).size
    return Bound(
        of=of,
        level=level,
        size=size,
        unpacked=sum(plan.size for plan in plans),
        files=sum(entry.kind is not Kind.DIRECTORY for plan in plans for entry in plan.entries),
    )
