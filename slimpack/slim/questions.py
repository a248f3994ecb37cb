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
    looked_into,
    mentions_of,
    texts_of,
    words_of,
)
from slimpack.slim.ruleset import Rule

Answers = dict[str, list[Any]]
"""Path -> what its file answers, as JSON has it; files that answer nothing are left out."""


@dataclass(frozen=True)
class Questions:
    """All that the predicates of some rules, with their candidates, ask.

    candidates: rule -> paths that it may take. words: rule -> what stands in a source that
    may import one of them (`words_of`). modules: rule -> dotted names of its candidates.
    at_start: rules for which only imports at start count. ignored: rule -> globs of files
    whose answers do not count for it.
    """

    candidates: Mapping[str, frozenset[str]]
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
            candidates={rule.name: frozenset(found) for rule, found in asked},
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
        looked = looked_into(stays, self.texts)
        said = looked.statements
        imports = {
            rule: self._imports(rule, paths, said)
            for rule, paths in mentions_of(said, self.words).items()
        }
        return replace(stays, imports=imports, spelled=looked.spelled)

    def _imports(
        self, rule: str, mentions: Collection[str], said: Mapping[str, bytes]
    ) -> dict[str, frozenset[str]]:
        """Return which of a rule's modules the sources import that no candidates are."""
        ignored = matcher(self.ignored[rule])
        own, modules, at_start = self.candidates[rule], self.modules[rule], rule in self.at_start
        found = {}
        for path in sorted(mentions):
            if path not in own and not ignored(path):
                names = imported_names(said[path], path, modules, at_start=at_start)
                if names:
                    found[path] = frozenset(names)
        return found

    @staticmethod
    def answers(asked: Files, *, elf: bool = False) -> Answers:
        """Return what files answer; no other file of them has a say in any decision.

        asked: what `asked_of` gave. elf: also what libraries need.
        """
        found: Answers = {}

        def add(path: str, *answer: object) -> None:
            found.setdefault(path, []).append(list(answer))

        for key, paths in sorted(asked.spelled.items()):
            for path in sorted(paths):
                add(path, "spells", key.decode("latin-1"))
        for rule, sources in sorted(asked.imports.items()):
            for path, names in sorted(sources.items()):
                add(path, "imports", rule, *sorted(names))
        for path, entry in sorted(asked.entries.items()):
            if entry.link:
                add(path, "leads", entry.link)
            if elf and (read := elf_of(path, entry, asked)):
                add(path, "needs", *read.needed)
        return found

    def spared(self, files: Files, gone: Collection[str]) -> Answers:
        """Return what candidates that stay import of others: it stays with them.

        files: all, as the first predicate saw them. gone: the paths that went.
        """
        found: Answers = {}
        for rule, names in sorted(self.modules.items()):
            for path in sorted(self.candidates[rule]):
                if path.endswith(".py") and path not in gone and path in files.entries:
                    imported = imported_names(files.read(path), path, names, at_start=False)
                    if imported:
                        found.setdefault(path, []).append(["spared", rule, *sorted(imported)])
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the questions as JSON has them."""
        return {
            "candidates": {rule: sorted(found) for rule, found in self.candidates.items()},
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
            candidates={rule: frozenset(found) for rule, found in value["candidates"].items()},
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
