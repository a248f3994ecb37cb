"""What is wrong with a bundle, found byte by byte."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

FindingKind = Literal[
    "statement",
    "signature",
    "age",
    "header",
    "content",
    "padding",
    "size",
    "missing",
    "unlisted",
    "duplicate",
    "order",
    "end",
    "list",
    "volume",
    "layout",
    "image",
]
"""statement, signature, age: whom the bundle is from, and of when. header to end: the tar.
list, volume: what it was cut into. layout, image: what its members say of each other."""

MAX_FINDINGS = 10_000


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    message: what, in one sentence. path: of the member (or the volume), "" for the whole.
    what: the member for people. begin, end: where in the tar; None where it is no place.
    volumes: names of those that hold these bytes.
    """

    kind: FindingKind
    message: str
    path: str = ""
    begin: int | None = None
    end: int | None = None
    what: str = ""
    volumes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON; what it does not have is left out."""
        return {key: value for key, value in asdict(self).items() if value not in (None, "", ())}


@dataclass
class Findings:
    """What was found so far, `MAX_FINDINGS` at most; `count` counts the others, too."""

    items: list[Finding] = field(default_factory=list)
    count: int = 0

    def add(
        self,
        kind: FindingKind,
        message: str,
        path: str = "",
        begin: int | None = None,
        end: int | None = None,
    ) -> None:
        """Keep one, if it is not one of too many."""
        self.count += 1
        if len(self.items) < MAX_FINDINGS:
            self.items.append(Finding(kind, message, path, begin, end))
