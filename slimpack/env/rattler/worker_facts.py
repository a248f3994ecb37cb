"""What a lock says about a specification, for the process in which py-rattler works.

Only facts are gathered here, with rattler's own idea of what matches;
`slimpack.env.locks.agreement` judges them. It imports nothing of slimpack, like `worker`.
"""

from __future__ import annotations

from typing import Any

import rattler
from rattler.package import BuildString

from slimpack.env.rattler.worker_lock import Part


def facts(
    part: Part,
    specs: list[rattler.MatchSpec],
    texts: list[str],
    virtual_packages: list[tuple[str, str, str]],
) -> dict[str, Any]:
    """Return what `specs` find in a lock, and what its packages find in each other.

    ``satisfied`` is None where no package of that name is there.
    """
    there: dict[str, rattler.PackageRecord] = {
        record.name.normalized: record for record in part.records
    }
    for name, version, build in virtual_packages:
        there[name] = rattler.PackageRecord(name, version, BuildString(build), 0, part.subdir)
    return {
        "specs": [
            {
                "spec": text,
                "name": spec.name.normalized,
                "satisfied": _satisfied(spec, there),
                "channel": spec.channel.base_url if spec.channel else "",
                "subdir": spec.subdir or "",
            }
            for spec, text in zip(specs, texts, strict=True)
        ],
        "packages": [
            {
                "name": record.name.normalized,
                "depends": [_edge(text, there) for text in record.depends],
                "constrains": [_edge(text, there) for text in record.constrains],
            }
            for record in part.records
        ],
    }


def _edge(text: str, there: dict[str, rattler.PackageRecord]) -> dict[str, Any]:
    spec = rattler.MatchSpec(text)
    return {
        "spec": text,
        "name": spec.name.normalized,
        "satisfied": _satisfied(spec, there),
        "conditional": spec.condition is not None,
    }


def _satisfied(spec: rattler.MatchSpec, there: dict[str, rattler.PackageRecord]) -> bool | None:
    record = there.get(spec.name.normalized)
    return None if record is None else spec.matches(record)
