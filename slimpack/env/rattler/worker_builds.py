"""Which builds a channel has for CUDA, for the process in which py-rattler works.

It imports nothing of slimpack, like `worker`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import rattler

from slimpack.env.specs import spec_name


def cuda_builds(
    records: Iterable[rattler.RepoDataRecord], texts: dict[str, list[str]], marks: list[str]
) -> dict[str, Any]:
    """Return for each package that has builds for CUDA what is known of them.

    texts: name -> match specs that name it. marks: names of packages on which only such builds
    depend. ``excluding`` are those of `texts` that match no such build, ``needs`` what
    the builds of the newest version ask of `marks`, ``spec`` one that matches only such builds.
    """
    found: dict[str, list[rattler.RepoDataRecord]] = {}
    for record in records:
        if _for_cuda(record, marks):
            found.setdefault(record.name.normalized, []).append(record)
    return {
        name: _described(name, builds, texts.get(name, []), marks) for name, builds in found.items()
    }


def _for_cuda(record: rattler.RepoDataRecord, marks: list[str]) -> bool:
    return "cuda" in str(record.build).lower() or bool(_needs(record, marks))


def _needs(record: rattler.RepoDataRecord, marks: list[str]) -> list[str]:
    return [text for text in record.depends if spec_name(text) in marks]


def _described(
    name: str, builds: list[rattler.RepoDataRecord], texts: list[str], marks: list[str]
) -> dict[str, Any]:
    newest = max(builds, key=lambda record: record.version)
    same = [record for record in builds if record.version == newest.version]
    specs = {text: rattler.MatchSpec(text) for text in texts}
    named = all("cuda" in str(record.build) for record in builds)
    return {
        "count": len(builds),
        "newest": str(newest.version),
        "needs": sorted({text for record in same for text in _needs(record, marks)}),
        "spec": f"{name} * *cuda*" if named else f"{name} {newest.version} {newest.build}",
        "excluding": [text for text, spec in specs.items() if not any(map(spec.matches, builds))],
    }
