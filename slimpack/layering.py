"""From files to layers: planned, shared, and made only where no earlier build has made them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from threading import Event

from slimpack import app
from slimpack.cache.kinds import DUPLICATES, SHARING
from slimpack.cache.memo import MALFORMED, Memo, digest_of
from slimpack.cache.record import layer_key
from slimpack.compose import layer_names, sharing_notes
from slimpack.config import ImageConfig
from slimpack.means import Means
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import Compression, cores
from slimpack.oci.layer import Layer, build_layer
from slimpack.oci.members import Listed, written_members
from slimpack.oci.plan import LayerPlan, plan_layers
from slimpack.oci.rootfs import Placed, base_directories
from slimpack.oci.sharing import Duplicate, Shared, duplicates, is_library, share
from slimpack.oci.tar import tar_size, with_parents
from slimpack.result import LayerRow
from slimpack.tree import Kind, Tree, hardlink_entry

_APART = (app.OWNER,)
_AT_ONCE = 4  # layers that are written; each holds tables of a compressor


@dataclass(frozen=True)
class Layering:
    """The layers of some files, from the bottom up.

    plans: what is in them. keys: by which they are known, None for unknown. notes: what
    lies in them twice.
    """

    layers: tuple[Layer, ...]
    keys: tuple[str | None, ...]
    plans: tuple[LayerPlan, ...]
    notes: tuple[str, ...]

    @property
    def rows(self) -> tuple[LayerRow, ...]:
        """The layers for the final table."""
        return tuple(_row(plan, layer) for plan, layer in zip(self.plans, self.layers, strict=True))

    @property
    def holders(self) -> dict[str, int]:
        """Path of a file -> the number of the layer that has it."""
        return {
            entry.path: number
            for number, plan in enumerate(self.plans)
            for entry in plan.entries
            if entry.kind is not Kind.DIRECTORY
        }


def members_listed(layering: Layering, means: Means) -> Listed:
    """Return digest of a layer -> the members that are in it, if it is what was written.

    Nothing of layers in pieces, which have more in them.
    """
    if means.compression.chunked:
        return {}
    return {
        layer.digest: written_members(plan.entries, means.epoch)
        for layer, plan in zip(layering.layers, layering.plans, strict=True)
    }


class _StoppedError(Exception):
    """Ends the writing of a layer that nobody wants any more."""


def layered(
    tree: Tree,
    titles: Mapping[str, str],
    *,
    config: ImageConfig,
    below: Mapping[str, Placed],
    means: Means,
) -> Layering:
    """Return the layers of `tree`; what is known of them costs no reading.

    titles: owner -> what its layer is called. below: what lies in the base.
    Raises what openers do, ImageError and SlimpackError as `build_layer` does.
    """
    plans = plan_layers(
        tree,
        budget=config.layers,
        max_layer_bytes=config.max_layer_size,
        last_owners=_APART,
        directories=base_directories(below, (entry.path for entry in tree)),
    )
    keys = _keys(plans, means)
    identical = _duplicates(plans, means.memos)
    shares = [_shared(plan, key, means.memos) for plan, key in zip(plans, keys, strict=True)]
    plans = [plan for plan, _ in shares]
    keys = _keys(plans, means)
    made = _made(plans, keys, layer_names(plans, titles), means)
    total = Shared(sum(s.files for _, s in shares), sum(s.size for _, s in shares))
    return Layering(
        layers=tuple(made),
        keys=tuple(keys),
        plans=tuple(plans),
        notes=tuple(sharing_notes(identical, total)),
    )


def _keys(plans: Sequence[LayerPlan], means: Means) -> list[str | None]:
    return [
        layer_key(plan.entries, mtime=means.epoch, compression=means.compression) for plan in plans
    ]


def _made(
    plans: Sequence[LayerPlan], keys: Sequence[str | None], names: Sequence[str], means: Means
) -> list[Layer]:
    """Return the layers; several are made at a time, the biggest first.

    One alone keeps all cores busy only while it is big: tar and digests are made by one.
    """
    layers = means.layers
    layers.find(key for key in keys if key)
    missing = [n for n, key in enumerate(keys) if key is None or layers.get(key) is None]
    sizes = {number: tar_size(with_parents(plans[number].entries)) for number in missing}
    total, pool_size = sum(sizes.values()), min(_AT_ONCE, cores())

    # One that is most of the work gets all cores, and nothing else runs beside it.
    alone = {number for number, size in sizes.items() if size * 2 > total}

    def compression(number: int) -> Compression:
        threads = cores() if number in alone else max(1, cores() // pool_size)
        return replace(means.compression, threads=threads)

    done: dict[int, Layer] = {}
    stopped = Event()

    def advance(amount: int) -> None:
        if stopped.is_set():
            raise _StoppedError
        task.advance(amount)

    with means.progress.task("layers", total=total) as task:

        def make(number: int) -> Layer:
            def built(blobs: BlobStore) -> Layer:
                return build_layer(
                    names[number],
                    plans[number].entries,
                    blobs=blobs,
                    mtime=means.epoch,
                    compression=compression(number),
                    advance=advance if number not in done else None,
                )

            return layers.layer_for(keys[number], names[number], built)

        done.update((number, make(number)) for number in alone)
        left = set(range(len(plans))) - alone
        order = sorted(left, key=lambda number: -plans[number].size)
        with ThreadPoolExecutor(pool_size) as pool:
            waiting = {number: pool.submit(make, number) for number in order}
            try:
                done.update((number, waiting[number].result()) for number in order)
            except BaseException:
                stopped.set()  # those under way end soon, and nobody waits for their end
                for future in waiting.values():
                    future.cancel()
                raise
    return [done[number] for number in range(len(plans))]


def _row(plan: LayerPlan, layer: Layer) -> LayerRow:
    return LayerRow(
        name=layer.name,
        files=sum(entry.kind is not Kind.DIRECTORY for entry in plan.entries),
        unpacked=plan.size,
        compressed=layer.size,
        digest=layer.digest,
    )


def _shared(plan: LayerPlan, key: str | None, memos: Memo) -> tuple[LayerPlan, Shared]:
    """Return `share` of a plan, as it came out before if the plan is known."""
    if key is None:
        return share(plan, apart=_APART)
    key = digest_of(key, sorted(one.path for one in plan.entries if one.owner in _APART))
    data = memos.get(SHARING, key)
    if data is not None:
        with suppress(*MALFORMED):
            return _linked(plan, json.loads(data))
    done, shared = share(plan, apart=_APART)
    links = {entry.path: entry.link for entry in done.entries if entry.kind is Kind.HARDLINK}
    memos.put(SHARING, key, json.dumps(links).encode())
    return done, shared


def _linked(plan: LayerPlan, links: Mapping[str, str]) -> tuple[LayerPlan, Shared]:
    """Return a plan with those hard links; ValueError when it lacks a file of theirs."""
    entries = {entry.path: entry for entry in plan.entries}
    saved = 0
    for path, target in links.items():
        entry = entries[path]
        saved += entry.size
        entries[path] = hardlink_entry(
            path, target, mode=entry.mode, owner=entry.owner, uid=entry.uid, gid=entry.gid
        )
    if any(entries[target].kind is not Kind.FILE for target in links.values()):
        raise ValueError("a link that leads to no file")
    return replace(plan, entries=tuple(entries.values())), Shared(len(links), saved)


def _duplicates(plans: Sequence[LayerPlan], memos: Memo) -> tuple[Duplicate, ...]:
    """Return `duplicates` of all plans, as they came out before for the same libraries."""
    entries = [entry for plan in plans for entry in plan.entries if is_library(entry.path)]
    files = [entry for entry in entries if entry.kind is Kind.FILE]
    if not all(entry.identity for entry in files):
        return duplicates(entries)
    key = digest_of(sorted([one.path, one.owner, one.size, one.identity] for one in files))
    data = memos.get(DUPLICATES, key)
    if data is not None:
        with suppress(*MALFORMED):
            return tuple(
                Duplicate(
                    item["sha256"], int(item["size"]), tuple((o, p) for o, p in item["copies"])
                )
                for item in json.loads(data)
            )
    found = duplicates(entries)
    memos.put(DUPLICATES, key, json.dumps([asdict(item) for item in found]).encode())
    return found
