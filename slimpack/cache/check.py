"""Reading all that is kept, and removing what is not what its name says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from slimpack.cache.contents import DEBIAN, LAYERS, RECORDS, RESULTS, Item, fetched, kept
from slimpack.cache.folders import Cache
from slimpack.cache.layers import intact
from slimpack.cache.memo import unsealed
from slimpack.cache.record import read_record
from slimpack.errors import ImageError
from slimpack.progress import SILENT, Progress

_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Checked:
    """What was read. wrong: what did not match. stuck: of those, what cannot be removed."""

    number: int
    size: int
    wrong: tuple[Item, ...]
    stuck: tuple[Item, ...]


def check(cache: Cache, *, progress: Progress = SILENT) -> Checked:
    """Read every layer, record, result and Debian file; remove what is damaged.

    Conda packages are not looked at: what installs them checks them.
    """
    items = [item for item in (*kept(cache), *fetched(cache)) if _checkable(item)]
    wrong, stuck = [], []
    with progress.task("verify", total=sum(item.size for item in items)) as task:
        for item in items:
            if not _matches(item):
                wrong.append(item)
                try:
                    item.path.unlink(missing_ok=True)
                except OSError:
                    stuck.append(item)
            task.advance(item.size)
    return Checked(len(items), sum(item.size for item in items), tuple(wrong), tuple(stuck))


def _checkable(item: Item) -> bool:
    if item.part == DEBIAN:
        return item.path.parent.name == "sha256" and bool(_HEX.fullmatch(item.path.name))
    return item.part in (LAYERS, RECORDS, RESULTS)


def _matches(item: Item) -> bool:
    if item.part in (LAYERS, DEBIAN):
        name = item.path.name
        return bool(_HEX.fullmatch(name)) and intact(item.path, f"sha256:{name}")
    return _memo_matches(item.path, record=item.part == RECORDS)


def _memo_matches(path: Path, *, record: bool) -> bool:
    kind, head, rest = path.parts[-3:]
    try:
        data = unsealed(kind, head + rest, path.read_bytes())
    except FileNotFoundError:
        return True  # another process removed it
    except OSError:
        return False
    if data is None or not record:
        return data is not None
    try:
        read_record(data, "the record")
    except ImageError:
        return False
    return True
