"""Small environments in memory for the tests of slimming."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from slimpack.slim.ruleset import Keep, Rule, Rules
from slimpack.slim.slimming import Choice, Scope, choose
from slimpack.tree import Entry, Tree, bytes_entry, symlink_entry

SITE = "lib/python3.11/site-packages"
PREFIX = "opt/env"


def tree(files: Mapping[str, str | bytes | tuple[str, str]], **links: str) -> Tree:
    """A tree below PREFIX; a value is the content, or (owner, content)."""
    entries: list[Entry] = []
    for path, value in files.items():
        owner, content = value if isinstance(value, tuple) else ("pkg", value)
        data = content.encode() if isinstance(content, str) else content
        if isinstance(content, str) and content.startswith("-> "):
            entries.append(symlink_entry(f"{PREFIX}/{path}", content[3:], owner=owner))
        else:
            entries.append(bytes_entry(f"{PREFIX}/{path}", data, owner=owner))
    return Tree(entries)


def scope(graph: Mapping[str, Sequence[str]] | None = None) -> Scope:
    return Scope(prefix=PREFIX, graph={"pkg": ()} if graph is None else graph)


def chosen(
    files: Mapping[str, str | bytes | tuple[str, str]],
    *rules: Rule,
    keeps: Sequence[Keep] = (),
    graph: Mapping[str, Sequence[str]] | None = None,
) -> Choice:
    return choose(tree(files), Rules(rules, tuple(keeps)), scope(graph))


def taken(choice: Choice) -> dict[str, str]:
    """Path -> rule."""
    return {change.path: change.rule for change in choice.changes}
