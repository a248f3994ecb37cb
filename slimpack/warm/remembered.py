"""What is kept of an environment's part, so that a later build can start from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cached_property
from typing import Any, BinaryIO, cast

from slimpack.cache.record import LayerRecord, check_record
from slimpack.part import Part
from slimpack.slim.decisions import Decisions, Found
from slimpack.slim.questions import Answers, Questions
from slimpack.slim.record import read_record
from slimpack.slim.slimming import Change
from slimpack.tree import Entry, Kind, Tree
from slimpack.warm.restore import restored_fields, rows, strings, texts

Row = tuple[str, str, int, str, int, str, int, int, str, int]
"""An entry, its content aside, and the number of the layer that has it."""

_NAMES = ("whole", "bare")  # of libraries, in questions
_ROW = (str, str, int, str, int, str, int, int, str, int)

Opener = Callable[[int, str], BinaryIO]
"""Opens the content of a path in a layer, by that layer's number."""


@dataclass(frozen=True)
class Kept:
    """What is remembered of a part beside itself; see `Remembered`."""

    packages: Mapping[str, str]
    paths: Mapping[str, str]
    links: Mapping[str, str]
    programs: frozenset[str]
    fixed: frozenset[str]
    decisions: Decisions | None


@dataclass(frozen=True)
class Remembered:
    """One part, without the bytes of its files: those are in its layers.

    packages: name -> identity (`slimpack.warm.keys`). programs: what scripts find in its
    ``bin``. layers: those that rows name, by their keys. questions, application: what
    slimming asked, and what the application answered; None where nothing was slimmed.
    rest: the JSON of `Rest`, most of all of it, and of use for other packages alone.
    """

    packages: Mapping[str, str]
    programs: frozenset[str]
    rows: tuple[Row, ...]
    layers: tuple[tuple[str, LayerRecord], ...]
    part: Mapping[str, Any]
    questions: Questions | None
    application: Answers
    rest: bytes

    @classmethod
    def from_json(cls, data: bytes) -> Remembered:
        """Return what `to_json` gave; KeyError, TypeError, ValueError or ImageError otherwise."""
        head, _, rest = data.partition(b"\n")
        value = json.loads(head)
        asked = value["questions"]
        return cls(
            packages=texts(value["packages"]),
            programs=frozenset(strings(value["programs"])),
            rows=cast(tuple[Row, ...], rows(value["rows"], *_ROW)),
            layers=tuple(
                (key, check_record(LayerRecord(**layer), "what is remembered"))
                for key, layer in value["layers"]
            ),
            part=restored_fields(Part, value["part"], without="tree"),
            questions=None if asked is None else _questions(asked),
            application=dict(value["application"]),
            rest=rest,
        )

    @cached_property
    def _rest(self) -> Rest:
        return Rest.from_json(self.rest, self.questions, self.application)

    @property
    def paths(self) -> Mapping[str, str]:
        """All paths of the environment before slimming, below the prefix, with their owners.

        This and what follows is read when it is asked for, and raises as `from_json`.
        """
        return self._rest.paths

    @property
    def links(self) -> Mapping[str, str]:
        """Those of the paths that are links, with what they lead to."""
        return self._rest.links

    @property
    def fixed(self) -> frozenset[str]:
        """Packages that cannot be replaced without a look at others (`slimpack.warm.ties`)."""
        return self._rest.fixed

    @property
    def decisions(self) -> Decisions | None:
        """What slimming decided; None where nothing was slimmed."""
        return self._rest.decisions

    def to_part(self, opener: Opener) -> Part:
        """Return the part, whose contents `opener` gives; ValueError for rows that are none."""
        return part_of(self.part, Tree(self.entries(opener)))

    def entries(self, opener: Opener, without: frozenset[str] = frozenset()) -> Iterable[Entry]:
        """Yield the files, but for those of some owners."""
        for path, kind, mode, owner, size, link, uid, gid, identity, layer in self.rows:
            if owner in without:
                continue
            content = (
                (lambda layer=layer, path=path: opener(layer, path)) if kind == "file" else None
            )
            yield Entry(path, Kind(kind), mode, owner, size, content, link, uid, gid, identity)


@dataclass(frozen=True)
class Rest:
    """What only builds with other packages ask of a part; see `Remembered`."""

    paths: Mapping[str, str]
    links: Mapping[str, str]
    fixed: frozenset[str]
    decisions: Decisions | None

    @classmethod
    def from_json(cls, data: bytes, questions: Questions | None, application: Answers) -> Rest:
        """Return what `to_json` put there; raises as `Remembered.from_json`."""
        value = json.loads(data)
        known = value["decisions"]
        if (known is None) != (questions is None):
            raise ValueError("decisions without questions, or the other way round")
        return cls(
            paths=texts(value["paths"]),
            links=texts(value["links"]),
            fixed=frozenset(strings(value["fixed"])),
            decisions=None
            if questions is None
            else Decisions(
                questions=questions,
                answers=dict(known["answers"]),
                application=application,
                before=cast(tuple[Found, ...], rows(known["before"], str, str, int)),
                changes=tuple(
                    Change(*one) for one in rows(known["changes"], str, str, str, int, bool)
                ),
                account=read_record(known["account"].encode(), "what is remembered"),
                record=read_record(known["record"].encode(), "what is remembered"),
            ),
        )


def to_json(
    kept: Kept,
    found: tuple[Row, ...],
    layers: Iterable[tuple[str, LayerRecord]],
    part: Mapping[str, Any],
) -> bytes:
    """Return a part as it is kept: two JSON texts, a line each.

    found: see `rows_of`. layers: that these name, by their keys. part: see `facts_of`.
    """
    known = kept.decisions
    head = {
        "packages": dict(kept.packages),
        "programs": sorted(kept.programs),
        "rows": found,
        "layers": [[key, asdict(layer)] for key, layer in layers],
        "part": {name: _plain(one) for name, one in part.items()},
        "questions": known and known.questions.to_json(),
        "application": known.application if known else {},
    }
    rest = {
        "paths": dict(kept.paths),
        "links": dict(kept.links),
        "fixed": sorted(kept.fixed),
        "decisions": known
        and {
            "answers": known.answers,
            "before": known.before,
            "changes": [
                [one.path, one.owner, one.rule, one.bytes, one.removed] for one in known.changes
            ],
            "account": known.account.to_json().decode(),
            "record": known.record.to_json().decode(),
        },
    }
    return b"\n".join(json.dumps(one, separators=(",", ":")).encode() for one in (head, rest))


def rows_of(tree: Tree, layers: Mapping[str, int]) -> tuple[Row, ...]:
    """Return the entries as they are kept. layers: path -> number of the layer that has it."""
    return tuple(
        (
            *(entry.path, entry.kind.value, entry.mode, entry.owner, entry.size),
            *(entry.link, entry.uid, entry.gid, entry.identity, layers.get(entry.path, -1)),
        )
        for entry in tree
    )


def facts_of(part: Part) -> dict[str, Any]:
    """Return what is known of a part beside its files, by the names of its fields."""
    found = {one.name: getattr(part, one.name) for one in fields(part) if one.name != "tree"}
    return {**found, "source": ""}  # a path of this machine is of no use on others


def part_of(facts: Mapping[str, Any], tree: Tree) -> Part:
    """Return the part that `facts_of` was given, with `tree`."""
    return Part(tree=tree, **facts)


def _questions(value: Mapping[str, Any]) -> Questions:
    for name in ("candidates", "words", "modules", "ignored"):
        for found in dict(value[name]).values():
            strings(found)
    strings(value["at_start"])
    questions = Questions.from_json({**value, **{one: texts(value[one]) for one in _NAMES}})
    asked, rules = questions.words.keys(), questions.candidates.keys() & questions.ignored.keys()
    if asked != questions.modules.keys() or not asked <= rules:
        raise ValueError("questions of rules that have no candidates")
    return questions


def _plain(value: Any) -> Any:
    """Return a fact of a part as JSON has it."""
    if isinstance(value, Mapping):
        return dict(value)
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
