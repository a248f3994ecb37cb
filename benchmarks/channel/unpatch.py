"""Take a unified diff back: restore upstream's files from Debian's patched ones.

Debian ships its patches beside the source; applying them in reverse gives upstream's behaviour
where Debian differs (``dist-packages``), while its security fixes stay. Neither ``patch`` nor
``git`` is needed, and a hunk that fits nowhere is an error, never skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.channel.errors import ChannelError


@dataclass(frozen=True)
class Hunk:
    """Lines before and after a change, with their context."""

    start: int
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True)
class FilePatch:
    """The changes to one file; ``created`` if the patch makes the file."""

    path: str
    created: bool
    hunks: tuple[Hunk, ...]


def parse_patch(text: str) -> Iterator[FilePatch]:
    """Return the files of a unified diff whose paths start with ``a/`` and ``b/``."""
    for section in re.split(r"^(?=--- )", text, flags=re.MULTILINE)[1:]:
        lines = section.splitlines()
        path = lines[1].split()[1].partition("/")[2]
        yield FilePatch(path, lines[0].split()[1] == "/dev/null", tuple(_hunks(lines[2:])))


def _hunks(lines: Sequence[str]) -> Iterator[Hunk]:
    position = 0
    while position < len(lines):
        header = re.match(r"@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", lines[position])
        position += 1
        if not header:
            continue
        old, new = int(header[1] or 1), int(header[3] or 1)
        before: list[str] = []
        after: list[str] = []
        while len(before) < old or len(after) < new:
            # Some editors strip the blank of an empty context line.
            mark, content = (lines[position] or " ")[0], lines[position][1:]
            if mark in " -":
                before.append(content)
            if mark in " +":
                after.append(content)
            position += 1
        yield Hunk(int(header[2]), tuple(before), tuple(after))


def reverse(lines: list[str], hunks: Sequence[Hunk], name: str) -> list[str]:
    """Replace what the hunks made by what they found, the last hunk first."""
    for hunk in reversed(hunks):
        size = len(hunk.after)
        places = [
            at for at in range(len(lines) - size + 1) if tuple(lines[at : at + size]) == hunk.after
        ]
        if not places:
            raise ChannelError(f"a Debian patch does not come off {name} at line {hunk.start}")
        at = min(places, key=lambda place: abs(place - hunk.start + 1))
        lines = [*lines[:at], *hunk.before, *lines[at + size :]]
    return lines


def unpatch_tree(root: Path, patches: Sequence[str], top: str) -> None:
    """Take patches back, in the given order, from files whose path starts with ``top``.

    Files that are not there (tests, build files) are skipped; files that a patch made vanish.
    """
    for text in patches:
        for change in parse_patch(text):
            path = root / change.path.removeprefix(top)
            if not change.path.startswith(top) or not path.is_file():
                continue
            if change.created:
                path.unlink()
                continue
            lines = reverse(path.read_text().split("\n"), change.hunks, change.path)
            path.write_text("\n".join(lines))
