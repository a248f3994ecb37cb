"""Whose file is it, and who changed it: the verdict on each path that a record lists."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from slimpack.env.dists import Dist
from slimpack.prefix.compare import Claim, State
from slimpack.prefix.examination import Finding, Verdict
from slimpack.prefix.pip import Pip
from slimpack.prefix.rules import harmless


@dataclass
class Judgement:
    """Collected verdicts; see `Examination` for `holders`, `owners` and `lost`."""

    holders: dict[str, Claim] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    lost: dict[str, set[str]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def judge(claims: Iterable[Claim], pip: Pip) -> Judgement:
    """Judge every path once, whatever number of packages claims it."""
    by_path: dict[str, list[Claim]] = {}
    for claim in claims:
        by_path.setdefault(claim.path, []).append(claim)
    judgement = Judgement()
    for path, rivals in by_path.items():
        _settle(path, rivals, pip, judgement)
    return judgement


def _settle(path: str, rivals: list[Claim], pip: Pip, judgement: Judgement) -> None:
    holder = next((claim for claim in rivals if claim.intact), None)
    taken = pip.culprit(holder or rivals[0])
    if isinstance(taken, Dist) and rivals[0].state is not State.DELETED:
        judgement.owners[path] = taken.owner
        lost = rivals
    elif holder is not None:
        judgement.holders[path] = holder
        lost = [claim for claim in rivals if not claim.intact]
    elif rivals[0].state is State.DELETED:
        lost = rivals
    else:
        judgement.owners[path] = rivals[0].package.name
        lost = rivals[1:]
    for claim in lost:
        judgement.lost.setdefault(claim.package.name, set()).add(claim.file.path)
    judgement.findings += [_finding(claim, holder, taken) for claim in rivals if not claim.intact]


def _finding(claim: Claim, holder: Claim | None, taken: Dist | str) -> Finding:
    package = claim.package.name
    what = claim.state.value
    if isinstance(taken, Dist):
        why = f"replaced by pip package {taken.name} {taken.version}"
        return Finding(claim.path, package, what, Verdict.REPLACED, why)
    if taken:
        return Finding(claim.path, package, what, Verdict.REPLACED, taken)
    if holder is not None:
        why = f"package {holder.package.name} has a file of that name too"
        return Finding(claim.path, package, what, Verdict.REPLACED, why)
    if claim.file.path_type.endswith("entry_point") and what == "changed":
        return Finding(
            claim.path, package, what, Verdict.HARMLESS, "entry point: written by installers"
        )
    rule = harmless(claim.path, deleted=what == "deleted")
    if rule:
        return Finding(claim.path, package, what, Verdict.HARMLESS, f"{rule.name}: {rule.reason}")
    return Finding(claim.path, package, what)
