"""What an examination found, as data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from slimpack.prefix.compare import Claim, State
from slimpack.prefix.rules import matches


class Verdict(Enum):
    """Why a file is not as its package has it."""

    REPLACED = "replaced"
    HARMLESS = "harmless"
    ACCEPTED = "accepted"
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True)
class Finding:
    """A file that is not as its package has it, or that no image can hold.

    package: whose record lists it, "" for nobody's.
    what: "deleted", "changed", or what it is ("a socket").
    verdict, why: with the culprit, the rule or the glob; "" for nobody.
    """

    path: str
    package: str
    what: str
    verdict: Verdict = Verdict.UNEXPLAINED
    why: str = ""

    def accepted(self, globs: tuple[str, ...]) -> Finding:
        """Return the finding as the user's globs leave it."""
        if self.verdict is Verdict.UNEXPLAINED and matches(self.path, globs):
            return replace(self, verdict=Verdict.ACCEPTED, why="accepted")
        return self


@dataclass(frozen=True)
class Examination:
    """What `slimpack.prefix.examine.examine` found.

    origin: the path that the environment's files name.
    holders: path below the prefix -> the claim of the package whose file is there,
        as the package has it.
    owners: owner (`Entry.owner`) of the other files that records list.
    unmanaged: paths that no record of conda lists.
    lost: conda package -> paths in its record that are another's now.
    dropped: conda packages of which nothing is left.
    findings: all differences, explained or accepted.
    notes: what a reader of the result should know.
    """

    origin: str
    holders: dict[str, Claim]
    owners: dict[str, str]
    unmanaged: tuple[str, ...]
    lost: dict[str, frozenset[str]]
    dropped: frozenset[str]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    @property
    def unfinished(self) -> bool:
        """What activation reads still has placeholders: no conda-unpack was run.

        Elsewhere they do no harm; conda-pack's own leaves them in Python's executable.
        """
        return any(
            claim.state is State.SHIPPED
            and claim.file.placeholder
            and path.startswith("etc/conda/")
            for path, claim in self.holders.items()
        )
