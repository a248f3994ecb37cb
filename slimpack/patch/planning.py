"""Which bytes of a new tar are in old ones, and which old bytes the others resemble."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from slimpack.patch.index import Index, Old, Span
from slimpack.patch.segment import Operation, Plan, Range
from slimpack.patch.spool import Spool

NEW = 4 << 20
"""New bytes of a segment. Larger ones are slower, and find more only with larger tables."""

REFERENCES = 8 << 20
"""Old bytes that the new ones of a segment refer to."""

_MAX_OPERATIONS = 20_000  # of a segment
_WORTH = 64 << 10  # bytes for which a base layer is read, or
_SHARE = 16  # this part of the new tar


@dataclass(frozen=True, slots=True)
class Step:
    """The next `size` bytes of a new tar.

    copy: where they are in an old one, None for new bytes.
    like: what new bytes resemble.
    """

    size: int
    copy: Range | None = None
    like: Range | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """A segment, and the ranges (offset, size) of the new tar that its new bytes are."""

    plan: Plan
    new: tuple[tuple[int, int], ...]


def steps(members: Iterable[Span], tar: Spool, index: Index, tars: Sequence[Spool]) -> list[Step]:
    """Return how `tar`, with these `members`, comes about from the old `tars`."""
    found: list[Step] = []
    end = 0
    for span in members:
        found += _member(span, tar, index, tars)
        end = span.end
    if end < tar.size:
        found += _new(tar.size - end, None)
    return found


def worth_reading(plan: Iterable[Step], size: int) -> frozenset[int]:
    """Return the bases that serve enough bytes of a tar of `size` bytes to be read for it."""
    served: dict[int, int] = {}
    for step in plan:
        used = step.copy or step.like
        if used is not None:
            served[used.base] = served.get(used.base, 0) + min(used.size, step.size)
    least = min(_WORTH, size // _SHARE)
    return frozenset(base for base, amount in served.items() if amount >= least)


def segments(plan: Iterable[Step]) -> Iterator[Planned]:
    """Yield `plan` in segments, which bound the memory of those who make and apply it."""
    draft = _Draft(0)
    for step in plan:
        if not draft.takes(step):
            yield draft.planned()
            draft = _Draft(draft.end)
        draft.add(step)
    if draft.operations:
        yield draft.planned()


def _member(span: Span, tar: Spool, index: Index, tars: Sequence[Spool]) -> Iterator[Step]:
    head = span.offset - span.start
    size = span.end - span.offset
    there = index.at(span.path)
    known = there is not None and _same_head(span, tar, there, tars)
    same = index.same(span) if size else None
    if size and same is None:
        old = index.like(span.path)
        yield from _new(head + size, None if old is None else old.whole)
        return
    if known and there is not None:
        yield Step(head, copy=Range(there.base, there.span.start, head))
    else:
        yield Step(head)
    if same is not None:
        yield Step(size, copy=same.content)


def _same_head(span: Span, tar: Spool, old: Old, tars: Sequence[Spool]) -> bool:
    size = span.offset - span.start
    if old.span.offset - old.span.start != size:
        return False
    return tars[old.base].read(old.span.start, size) == tar.read(span.start, size)


def _new(size: int, like: Range | None) -> Iterator[Step]:
    """Yield steps for new bytes; each piece of a large file resembles what is as far in the old."""
    for at in range(0, size, NEW):
        piece = min(NEW, size - at)
        near = like
        if like is not None and like.size > REFERENCES:
            middle = (at + piece // 2) * like.size // size
            first = max(0, min(middle - REFERENCES // 2, like.size - REFERENCES))
            near = Range(like.base, like.offset + first, REFERENCES)
        yield Step(piece, like=near)


class _Draft:
    """A segment that is being put together; it begins at `end` in the new tar."""

    def __init__(self, end: int) -> None:
        self.end = end
        self.operations: list[Operation] = []
        self._new: list[tuple[int, int]] = []
        self._references: dict[Range, None] = {}
        self._new_size = 0
        self._reference_size = 0

    def takes(self, step: Step) -> bool:
        if not self.operations:
            return True
        if len(self.operations) + len(self._references) >= _MAX_OPERATIONS:
            return False
        if step.copy is not None:
            return True
        more = 0 if step.like is None or step.like in self._references else step.like.size
        return self._new_size + step.size <= NEW and self._reference_size + more <= REFERENCES

    def add(self, step: Step) -> None:
        last = self.operations[-1] if self.operations else None
        if step.copy is None:
            self._add_new(step, last)
        elif (
            isinstance(last, Range) and last.base == step.copy.base and last.end == step.copy.offset
        ):
            self.operations[-1] = Range(last.base, last.offset, last.size + step.copy.size)
        else:
            self.operations.append(step.copy)
        self.end += step.size

    def _add_new(self, step: Step, last: Operation | None) -> None:
        if isinstance(last, int):
            self.operations[-1] = last + step.size
            offset, size = self._new[-1]
            self._new[-1] = (offset, size + step.size)
        else:
            self.operations.append(step.size)
            self._new.append((self.end, step.size))
        self._new_size += step.size
        if step.like is not None and step.like not in self._references:
            self._references[step.like] = None
            self._reference_size += step.like.size

    def planned(self) -> Planned:
        return Planned(Plan(tuple(self.operations), tuple(self._references)), tuple(self._new))
