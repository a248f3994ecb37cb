"""Platform selectors in environment.yml.

Two dialects: mamba's ``- sel(linux): spec`` and the comments of conda-build
that conda-lock honours too, ``- spec  # [linux64]``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from slimpack.errors import InputError

_SEL = re.compile(r"sel\((?P<word>[^()]*)\)\Z")
_COMMENT = re.compile(r".*\S\s+#.*\[(?P<word>[^\[\]]+)\]\s*\Z")
_MAX_LINE = 1000  # the pattern would be slow on endless ones
# Word -> the subdirs for which it is true; other systems' words are never true here.
_LINUX = ("linux-64", "linux-aarch64", "linux-ppc64le")
_TRUE: Mapping[str, tuple[str, ...]] = {
    "linux": _LINUX,
    "unix": _LINUX,
    "linux64": ("linux-64",),
    "aarch64": ("linux-aarch64",),
    "ppc64le": ("linux-ppc64le",),
    **dict.fromkeys(("osx", "osx64", "arm64", "win", "win64"), ()),
}


def chosen(item: Mapping[object, object], subdir: str, where: str) -> list[object]:
    """Return the specs of a mapping ``sel(WORD): spec`` that are meant for `subdir`."""
    specs: list[object] = []
    for key, value in item.items() or [(None, None)]:
        match = _SEL.match(key) if isinstance(key, str) else None
        if match is None:
            raise InputError(
                f"{where}: expected a match spec such as 'numpy >=2', got a mapping",
                hint="mappings are 'pip:' with a list, or 'sel(linux): spec'",
            )
        word = match["word"].strip()
        if word not in _TRUE:
            raise InputError(
                f"{where}: unknown selector sel({word})", hint=f"use one of {', '.join(_TRUE)}"
            )
        if _holds(word, subdir, where):
            specs.append(value)
    return specs


def without_other_platforms(text: str, subdir: str, where: str) -> str:
    """Blank the lines whose comment ``# [WORD]`` names another platform; lines keep their numbers.

    A comment with any other word in brackets is a comment.
    """
    lines = text.split("\n")
    for index, line in enumerate(lines):
        if "]" not in line or len(line) > _MAX_LINE or line.lstrip().startswith("#"):
            continue
        match = _COMMENT.match(line)
        if match is None:
            continue
        word = match["word"].strip()
        if word in _TRUE and not _holds(word, subdir, f"{where}:{index + 1}"):
            lines[index] = ""
    return "\n".join(lines)


def _holds(word: str, subdir: str, where: str) -> bool:
    subdirs = _TRUE[word]
    if not subdir and subdirs not in ((), _LINUX):
        raise InputError(
            f"{where}: the selector {word!r} depends on the platform",
            hint="pass --platform",
        )
    return subdir in subdirs if subdir else bool(subdirs)
