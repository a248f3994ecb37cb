"""Which file goes into which layer.

Layers exist for what does not have to be moved again: a registry, an engine and
our own cache each keep a layer they have seen. So files that change together
belong together, and those of one package change together. Engines limit the
number of layers (containerd to 127) and each costs a little, hence a budget:

1. The biggest packages get a layer of their own. Size decides,
   and not the name, because that is where the bytes are; and since a package in
   this rank is far bigger than the ones that are not, a change of a small one
   moves no border: its layer, the rest, is the only one that changes.
   They are stacked biggest first, since an engine unpacks again what lies above a layer
   that changed; but of the five biggest among many, the smallest lies lowest. Engines
   unpack from below, and download a few layers at a time: below the others, the biggest
   one would keep them all waiting until most of the image is there.
2. The other packages share a few layers, "the rest", by their names: those that a
   package lies with are always the same. A new version of one renews its layer, which
   is cheap, as it holds small ones. With a small budget the rest is one layer.
3. Files of no package come next, then the application, which changes with
   every commit and lies on top, so that an engine unpacks nothing else again.

What is wider than a layer may be is split along the sorted paths.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from slimpack.errors import InputError
from slimpack.tree import Entry, Kind, Tree

DEFAULT_BUDGET = 24
"""Layers. Twice as many make a serving environment 0.1 % larger, half as many 0.4 % smaller,
and a new version of a small package then moves five times as much."""

_RISING = 5  # of the biggest packages, stacked smallest first
_MANY = 2 * _RISING  # packages with layers of their own, up to which that gains nothing
_SHARES = 4  # layers of the rest
_SMALL = 12  # a budget below which there is one
MAX_LAYER_BYTES = 4 << 30
"""Bytes of files in one layer before it is split; some registries refuse 8 GiB."""


@dataclass(frozen=True)
class LayerPlan:
    """The content of one layer, decided but not written.

    name: for humans; the owner, or what the layer gathers.
    entries: sorted by path. Directories that entries of this layer lie in are
        among them whenever the tree knows them, whichever layer owns them, so
        that no layer resets their mode; everything else is in one layer only. None
        is a hard link before `slimpack.oci.sharing` makes some.
    owners: the owners whose files these are, sorted; "" stands for nobody.
    """

    name: str
    entries: tuple[Entry, ...]
    owners: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of the regular files."""
        return sum(entry.size for entry in self.entries)


def plan_layers(
    tree: Tree,
    *,
    budget: int = DEFAULT_BUDGET,
    max_layer_bytes: int = MAX_LAYER_BYTES,
    last_owners: Sequence[str] = (),
    directories: Iterable[Entry] = (),
) -> list[LayerPlan]:
    """Distribute `tree` over at most `budget` layers, in the order they are stacked.

    budget: number of layers, all kinds together; more only where
        `max_layer_bytes` forces a split. With fewer than the kinds there are,
        unowned files join the rest first, then the application does.
    max_layer_bytes: most bytes of regular files in one layer; a single file that
        is bigger still makes a layer.
    last_owners: owners whose files form the top layer (the application).
    directories: those of the base that the tree may pass through without
        listing them (see `slimpack.oci.rootfs.base_directories`).
    Raises InputError for a budget or a size below 1.
    """
    if budget < 1 or max_layer_bytes < 1:
        raise InputError(
            f"cannot plan {budget} layers of {max_layer_bytes} bytes",
            hint="the layer budget and the maximum layer size are at least 1",
        )
    by_owner: dict[str, list[Entry]] = {}
    for entry in tree:
        by_owner.setdefault(entry.owner, []).append(entry)
    known = {entry.path: entry for entry in directories}
    known.update((entry.path, entry) for entry in tree if entry.kind is Kind.DIRECTORY)

    plans: list[LayerPlan] = []
    for name, owners in _groups(by_owner, budget, frozenset(last_owners)):
        entries = sorted((e for o in owners for e in by_owner[o]), key=lambda entry: entry.path)
        parts = _split(entries, max_layer_bytes)
        for number, part in enumerate(parts, 1):
            title = name if len(parts) == 1 else f"{name} ({number}/{len(parts)})"
            plans.append(LayerPlan(title, _with_known_parents(part, known), tuple(sorted(owners))))
    return plans


def _groups(
    by_owner: dict[str, list[Entry]], budget: int, last: frozenset[str]
) -> list[tuple[str, list[str]]]:
    """Return (name, owners) for each layer, before any split."""
    sizes = {owner: sum(e.size for e in entries) for owner, entries in by_owner.items()}
    top = sorted(owner for owner in by_owner if owner in last)
    named = sorted((o for o in by_owner if o and o not in last), key=lambda o: (-sizes[o], o))
    nobody = [""] if "" in by_owner and "" not in last else []

    tail: list[tuple[str, list[str]]] = []
    if top and (budget > 1 or not (named or nobody)):
        tail = [(_title(top), top)]
    else:
        named += top
    if nobody and (budget - len(tail) > 1 or not named):
        tail.insert(0, ("files of no package", nobody))
    else:
        named += nobody

    slots = budget - len(tail)
    shares = _SHARES if budget >= _SMALL else 1
    alone = named if len(named) <= slots else named[: slots - shares]
    rising = _RISING if len(alone) > _MANY else 0
    stacked = [*reversed(alone[:rising]), *alone[rising:]]
    groups = [(_title([owner]), [owner]) for owner in stacked]
    kind = "smaller packages" if alone else "packages"
    rests = _shares(named[len(alone) :], shares)
    return [*groups, *((f"{len(rest)} {kind}", rest) for rest in rests), *tail]


def _shares(owners: Sequence[str], number: int) -> list[list[str]]:
    """Deal owners out by their names alone, so that none moves when another comes or goes."""
    found: dict[int, list[str]] = {}
    for owner in owners:
        digest = hashlib.sha256(owner.encode()).digest()
        found.setdefault(digest[0] % number, []).append(owner)
    return [found[share] for share in sorted(found)]


def _title(owners: Sequence[str]) -> str:
    return ", ".join(owner or "files of no package" for owner in owners)


def _split(entries: list[Entry], limit: int) -> list[list[Entry]]:
    parts: list[list[Entry]] = [[]]
    filled = 0
    for entry in entries:
        if filled and filled + entry.size > limit:
            parts.append([])
            filled = 0
        parts[-1].append(entry)
        filled += entry.size
    return parts


def _with_known_parents(entries: list[Entry], known: dict[str, Entry]) -> tuple[Entry, ...]:
    members = {entry.path: entry for entry in entries}
    seen: set[str] = set()
    for path in list(members):
        above = path.rpartition("/")[0]
        while above and above not in seen:
            seen.add(above)
            if above in known:
                members.setdefault(above, known[above])
            above = above.rpartition("/")[0]
    return tuple(members[path] for path in sorted(members))
