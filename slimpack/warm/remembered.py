"""What is kept of an environment's part, so that a later build can start from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

from slimpack.cache.record import LayerRecord, check_record
from slimpack.env.activation import Activation
from slimpack.part import Part
from slimpack.result import Slimmed
from slimpack.slim.bytecode import BytecodeReport
from slimpack.slim.decisions import Decisions
from slimpack.slim.questions import Questions
from slimpack.slim.record import read_record
from slimpack.slim.slimming import Change
from slimpack.tree import Entry, Kind, Tree

Row = tuple[str, str, int, str, int, str, int, int, str, int]
"""An entry, its content aside, and the number of the layer that has it."""

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

    packages: name -> identity (`slimpack.warm.keys`). paths: all paths of the environment
    before slimming, below the prefix, with their owners. links: those that are links, with
    what they lead to. programs: what scripts find in its ``bin``. fixed: packages that cannot
    be replaced without a look at others (`slimpack.warm.ties`). layers: those that rows name,
    by their keys.
    decisions: None where nothing was slimmed.
    """

    packages: Mapping[str, str]
    paths: Mapping[str, str]
    links: Mapping[str, str]
    programs: frozenset[str]
    fixed: frozenset[str]
    rows: tuple[Row, ...]
    layers: tuple[tuple[str, LayerRecord], ...]
    part: Mapping[str, Any]
    decisions: Decisions | None

    def to_json(self) -> bytes:
        """Return it as it is kept."""
        known = self.decisions
        value = {
            "packages": dict(self.packages),
            "paths": dict(self.paths),
            "links": dict(self.links),
            "programs": sorted(self.programs),
            "fixed": sorted(self.fixed),
            "rows": self.rows,
            "layers": [[key, asdict(layer)] for key, layer in self.layers],
            "part": self.part,
            "decisions": known
            and {
                "questions": known.questions.to_json(),
                "answers": known.answers,
                "application": known.application,
                "before": known.before,
                "changes": [
                    [one.path, one.owner, one.rule, one.bytes, one.removed] for one in known.changes
                ],
                "account": known.account.to_json().decode(),
                "record": known.record.to_json().decode(),
            },
        }
        return json.dumps(value, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Remembered:
        """Return what `to_json` gave; KeyError, TypeError, ValueError or ImageError otherwise."""
        value = json.loads(data)
        known = value["decisions"]
        return cls(
            packages=value["packages"],
            paths=value["paths"],
            links=value["links"],
            programs=frozenset(value["programs"]),
            fixed=frozenset(value["fixed"]),
            rows=tuple(map(tuple, value["rows"])),
            layers=tuple(
                (key, check_record(LayerRecord(**layer), "what is remembered"))
                for key, layer in value["layers"]
            ),
            part=value["part"],
            decisions=known
            and Decisions(
                questions=Questions.from_json(known["questions"]),
                answers=known["answers"],
                application=known["application"],
                before=tuple(map(tuple, known["before"])),
                changes=tuple(Change(*one) for one in known["changes"]),
                account=read_record(known["account"].encode(), "what is remembered"),
                record=read_record(known["record"].encode(), "what is remembered"),
            ),
        )

    def to_part(self, opener: Opener) -> Part:
        """Return the part, whose contents `opener` gives."""
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
    """Return what is known of a part beside its files, as JSON has it."""
    return {
        "activation": asdict(part.activation),
        "titles": dict(part.titles),
        "packages": part.packages,
        "pypi": part.pypi,
        "cuda": part.cuda,
        "source": part.source,
        "engine": part.engine,
        "placeholders": list(part.placeholders),
        "bytecode": asdict(part.bytecode),
        "slimmed": asdict(part.slimmed),
        "devices": list(part.devices),
        "notes": list(part.notes),
    }


def part_of(facts: Mapping[str, Any], tree: Tree) -> Part:
    """Return the part that `facts_of` was given, with `tree`."""
    activation, bytecode, slimmed = facts["activation"], facts["bytecode"], facts["slimmed"]
    return Part(
        tree=tree,
        activation=Activation(
            env=_pairs(activation["env"]),
            path=tuple(activation["path"]),
            notes=tuple(activation["notes"]),
        ),
        titles=facts["titles"],
        packages=facts["packages"],
        pypi=facts["pypi"],
        cuda=facts["cuda"],
        source=facts["source"],
        engine=facts["engine"],
        placeholders=tuple(facts["placeholders"]),
        bytecode=BytecodeReport(**{**bytecode, "failed": _pairs(bytecode["failed"])}),
        slimmed=Slimmed(
            **{
                **slimmed,
                "rules": tuple(map(tuple, slimmed["rules"])),
                "packages": tuple(slimmed["packages"]),
            }
        ),
        devices=tuple(facts["devices"]),
        notes=tuple(facts["notes"]),
    )


def _pairs(values: Sequence[Sequence[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in values)
