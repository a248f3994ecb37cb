"""Makes patches of new layers against the layers of an old image."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from slimpack.closing import Closing
from slimpack.errors import ImageError
from slimpack.oci.compress import Compression, cores
from slimpack.oci.digest import Nowhere, Writable
from slimpack.oci.layer import Layer
from slimpack.patch.apply import write_patched
from slimpack.patch.index import Index, Span, spans
from slimpack.patch.info import Base, PatchInfo, write_head
from slimpack.patch.planning import Planned, Step, segments, steps, worth_reading
from slimpack.patch.reproduce import find_compression
from slimpack.patch.segment import Plan, Range, pack_segment
from slimpack.patch.spool import Spool, spool_tar
from slimpack.progress import SILENT, Progress

_MAX_WORKERS = 2  # each needs up to 110 MB


class PatchMaker(Closing):
    """Makes patches against `bases`, each unpacked and looked through once, when first needed.

    bases: layers that the other side has, the lowest first; best those of the old image
        that the new one has no more.
    scratch: a folder for unnamed files: the tars of all bases and of one new layer.
    """

    def __init__(
        self, bases: Sequence[Layer], *, scratch: Path, progress: Progress = SILENT
    ) -> None:
        self._bases = tuple({base.digest: base for base in bases}.values())
        self._scratch = scratch
        self._progress = progress
        self._old: _Old | None = None

    def make(self, new: Layer, out: Writable, *, limit: int | None = None) -> PatchInfo | None:
        """Write a patch that makes the blob of `new` to `out`, after having proved it.

        limit: bytes that the whole patch must stay below; None means `new.size`.
        Returns None, with nothing written, where no patch stays below it, or where no
        compressor of this machine makes that blob (layers that others made). The same
        layers give the same patch, as long as zstd's version stays. Memory does not depend on
        their size. Raises ImageError for a layer that does not match its digests,
        SlimpackError when `scratch` is full.
        """
        limit = new.size if limit is None else limit
        with spool_tar(new, self._scratch) as tar:
            compression = find_compression(new, tar)
            members = _members(tar, new)
            if compression is None or members is None:
                return None
            old = self._prepared()
            plan = steps(members, tar, old.index, old.tars)
            used = worth_reading(plan, tar.size)
            plan = steps(members, tar, old.index.only(used), old.tars)
            bases = _bases_of(plan)
            with Spool(self._scratch) as body:
                told = f"patch for {new.name or new.digest}"
                packing = closing(_packed(plan, tar, old.tars, bases))
                with self._progress.task(told, total=tar.size) as task, packing as packed:
                    for size, segment in packed:
                        body.write(segment)
                        if body.size >= limit:
                            return None
                        task.advance(size)
                tars = [old.tars[number] for number in bases]
                described = [self._described(number, old.tars[number]) for number in bases]
                info, head = _info(new, tar, compression, described, body.size)
                if info.patch_size >= limit:
                    return None
                _prove(info, body, tars)
                out.write(head)
                for data in body.pieces(0, body.size):
                    out.write(data)
                return info

    def _prepared(self) -> _Old:
        if self._old is None:
            old = _Old([], Index())
            self._old = old
            size = sum(base.size for base in self._bases)
            with self._progress.task("reading the old layers", total=size) as task:
                for number, base in enumerate(self._bases):
                    old.tars.append(spool_tar(base, self._scratch))
                    for span in _members(old.tars[-1], base) or ():
                        if not old.index.full:
                            old.index.add(number, span)
                    task.advance(base.size)
        return self._old

    def _described(self, number: int, tar: Spool) -> Base:
        layer = self._bases[number]
        return Base(layer.digest, layer.diff_id, tar.size)

    def close(self) -> None:
        """Free the space in `scratch`."""
        if self._old is not None:
            for tar in self._old.tars:
                tar.close()
        self._old = None


@dataclass(frozen=True)
class _Old:
    """The old layers, by number: their tars on disk, and what is where in them."""

    tars: list[Spool]
    index: Index


def _members(tar: Spool, layer: Layer) -> list[Span] | None:
    """Return the members of a tar, None for one that our reader does not take."""
    try:
        return list(spans(tar, f"the tar of layer {layer.digest}"))
    except ImageError:
        return None


def _bases_of(plan: Sequence[Step]) -> dict[int, int]:
    """Return the bases that a plan reads, with their numbers in the patch."""
    used = [step.copy or step.like for step in plan]
    return {base: at for at, base in enumerate(sorted({item.base for item in used if item}))}


def _packed(
    plan: Sequence[Step], tar: Spool, tars: Sequence[Spool], bases: Mapping[int, int]
) -> Generator[tuple[int, bytes], None, None]:
    """Yield the segments of a plan, and how much of the tar each makes; threads pack them."""
    workers = min(cores(), _MAX_WORKERS)
    jobs: deque[tuple[int, Future[bytes]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for segment in segments(plan):
                jobs.append((segment.plan.size, pool.submit(_pack, segment, tar, tars, bases)))
                if len(jobs) > workers:
                    size, job = jobs.popleft()
                    yield size, job.result()
            for size, job in jobs:
                yield size, job.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _pack(segment: Planned, tar: Spool, tars: Sequence[Spool], bases: Mapping[int, int]) -> bytes:
    def renumbered(item: Range) -> Range:
        return Range(bases[item.base], item.offset, item.size)

    plan = Plan(
        tuple(op if isinstance(op, int) else renumbered(op) for op in segment.plan.operations),
        tuple(map(renumbered, segment.plan.references)),
    )
    new = b"".join(tar.read(offset, size) for offset, size in segment.new)
    return pack_segment(plan, new, [tars[number] for number in bases])


def _info(
    new: Layer, tar: Spool, compression: Compression, bases: Sequence[Base], body: int
) -> tuple[PatchInfo, bytes]:
    info = PatchInfo(
        media_type=new.media_type,
        digest=new.digest,
        size=new.size,
        diff_id=new.diff_id,
        unpacked_size=tar.size,
        kind=compression.kind,
        level=compression.level,
        library=compression.library,
        bases=tuple(bases),
        patch_size=body,
    )
    head = write_head(info, body)
    return replace(info, patch_size=len(head) + body), head


def _prove(info: PatchInfo, body: Spool, tars: Sequence[Spool]) -> None:
    """See that the patch gives the tar, of which `find_compression` has made the blob."""
    write_patched(body.stream(), info, tars, Nowhere())
