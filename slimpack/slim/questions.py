"""What the predicates of rules want to know of the files that stay, and what files answer.

A decision of `slimpack.slim.slimming.choose` follows from the candidates of each rule and
from the answers of all files. So where some files are replaced by others that answer the
same, what was decided for the rest of the environment holds: a build that knows the
questions of an earlier one asks those files alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from slimpack.globs import matcher
from slimpack.slim.modules import module_at
from slimpack.slim.predicates import (
    Files,
    Texts,
    asks_sources,
    elf_of,
    imported_names,
    mentions_of,
    spelled_in,
    texts_of,
    words_of,
)
from slimpack.slim.ruleset import Rule

Answers = dict[str, list[Any]]
"""Path -> what its file answers, as JSON has it; files that answer nothing are left out."""

_ZONES = "share/zoneinfo/"


@dataclass(frozen=True)
class Questions:
    """All that the predicates of some rules, with their candidates, ask.

    words: rule -> what stands in a source that may import a candidate (`words_of`).
    modules: rule -> dotted names of its candidates. at_start: rules for which only imports
    at start count. ignored: rule -> globs of files whose answers do not count for it.
    """

    words: Mapping[str, frozenset[bytes]]
    modules: Mapping[str, frozenset[str]]
    at_start: frozenset[str]
    ignored: Mapping[str, tuple[str, ...]]
    texts: Texts

    @classmethod
    def of(cls, asked: Iterable[tuple[Rule, Collection[str]]], stays: Files) -> Questions:
        """Return what rules ask. asked: each with its candidates. stays: all files there are."""
        asked = list(asked)
        imports = [(rule, candidates) for rule, candidates in asked if asks_sources(rule)]
        return cls(
            words={rule.name: frozenset(words_of(found, stays)) for rule, found in imports},
            modules={
                rule.name: frozenset(m.name for path in found if (m := module_at(path)))
                for rule, found in imports
            },
            at_start=frozenset(r.name for r, _ in imports if r.when == "unimported-at-start"),
            ignored={rule.name: tuple(rule.ignore) for rule, _ in asked},
            texts=texts_of(asked),
        )

    def asked_of(self, stays: Files) -> Files:
        """Return the files with what predicates need to have looked up in all of them."""
        return replace(
            stays, mentions=mentions_of(stays, self.words), spelled=spelled_in(stays, self.texts)
        )

    def answers(self, files: Files) -> Answers:
        """Return what `files` answer; no other file has a say in it.

        Libraries that they need count too, as does that time zones are among them.
        """
        found: Answers = {}

        def add(path: str, *answer: object) -> None:
            found.setdefault(path, []).append(list(answer))

        looked = self.asked_of(files)
        for key, paths in sorted(looked.spelled.items()):
            for path in sorted(paths):
                add(path, "spells", key.decode("latin-1"))
        for rule, paths in sorted(looked.mentions.items()):
            ignored = matcher(self.ignored[rule])
            at_start = rule in self.at_start
            for path in sorted(paths):
                source = b"" if ignored(path) else files.read(path)
                names = imported_names(source, path, self.modules[rule], at_start=at_start)
                if names:
                    add(path, "imports", rule, *sorted(names))
        for path, entry in sorted(files.entries.items()):
            elf = elf_of(path, entry, files)
            if elf:
                add(path, "needs", *elf.needed)
            if entry.link:
                add(path, "leads", entry.link)
            if path.startswith(_ZONES):
                found.setdefault(_ZONES, [])
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the questions as JSON has them."""
        return {
            "words": {rule: sorted(map(_text, found)) for rule, found in self.words.items()},
            "modules": {rule: sorted(found) for rule, found in self.modules.items()},
            "at_start": sorted(self.at_start),
            "ignored": {rule: list(globs) for rule, globs in self.ignored.items()},
            "whole": {_text(text): _text(key) for text, key in self.texts.whole.items()},
            "bare": {_text(text): _text(key) for text, key in self.texts.bare.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Questions:
        """Return what `to_json` gave; KeyError, TypeError, ValueError for anything else."""
        return cls(
            words={rule: frozenset(map(_bytes, found)) for rule, found in value["words"].items()},
            modules={rule: frozenset(found) for rule, found in value["modules"].items()},
            at_start=frozenset(value["at_start"]),
            ignored={rule: tuple(globs) for rule, globs in value["ignored"].items()},
            texts=Texts(
                {_bytes(text): _bytes(key) for text, key in value["whole"].items()},
                {_bytes(text): _bytes(key) for text, key in value["bare"].items()},
            ),
        )


def _text(data: bytes) -> str:
    return data.decode("latin-1")


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")
