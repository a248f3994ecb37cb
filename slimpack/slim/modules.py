"""Python modules by path, and what a source imports, told from its text.

Reading every source as an AST would cost more than the rest of a build, and fails on
sources for other versions. A statement that imports begins a line; what regular
expressions make of text in a docstring too only keeps a file that could go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# lib/python3.11/site-packages/a/b.py, lib/python3.11/lib-dynload/_x.cpython-311-x86_64.so
_MODULE = re.compile(
    r"lib/python\d+\.\d+t?/(?:(?:site-packages|lib-dynload)/)?"
    r"(?P<dotted>(?:\w+/)*\w+)(?P<ending>\.pyc?|(?:\.[\w-]+)*\.so)\Z"
)
_CACHED = re.compile(r"(?P<folder>.*/)__pycache__/(?P<stem>\w+)\.[\w.-]+\.pyc\Z")
_IMPORT = re.compile(
    rb"^(?P<indent>[ \t]*)(?:from[ \t]+(?P<base>\.*[ \t]*[\w.]*)[ \t]+import[ \t]*"
    rb"(?P<names>\([^)]*\)|[^\n#;]*)|import[ \t]+(?P<plain>[^\n#;]*))",
    re.MULTILINE,
)
# "try: import a", "x = 1; import a"; "from .import a", "from.a import b".
_SHORT_LINE = re.compile(rb"([:;])[ \t]*(?=(?:import|from)[ \t.])")
_SHORT_FROM = re.compile(rb"^([ \t]*from)[ \t]*(\.+)[ \t]*(?=\w)", re.MULTILINE)
_COMMENT = re.compile(rb"#[^\n]*")
_NAME = re.compile(rb"[\w.]+")


@dataclass(frozen=True)
class Module:
    """A module of an environment. name: dotted; package: it has modules below it."""

    name: str
    package: bool

    @property
    def top(self) -> str:
        """The first part of the name."""
        return self.name.partition(".")[0]


@dataclass(frozen=True)
class Import:
    """An imported name: a module, or something in one. at_start: when its importer is loaded."""

    name: str
    at_start: bool


def module_at(path: str) -> Module | None:
    """Return the module that a path below the prefix holds; bytecode in `__pycache__` counts."""
    if cached := _CACHED.match(path):
        path = f"{cached['folder']}{cached['stem']}.py"
    match = _MODULE.match(path)
    if match is None:
        return None
    parts = match["dotted"].split("/")
    if parts[-1] == "__init__":
        return Module(".".join(parts[:-1]), package=True) if parts[:-1] else None
    return Module(".".join(parts), package=False)


def imports_of(source: bytes, module: Module) -> Iterator[Import]:
    """Yield every name that `source`, the text of `module`, may import.

    ``from a import b`` gives ``a`` and ``a.b``, as b may be a module.
    """
    package = module.name if module.package else module.name.rpartition(".")[0]
    text = _SHORT_FROM.sub(rb"\1 \2 ", _SHORT_LINE.sub(rb"\1\n ", statements(source)))
    for match in _IMPORT.finditer(text):
        at_start = not match["indent"]
        if match["plain"] is not None:
            for name in _plain(match["plain"]):
                yield Import(name, at_start)
            continue
        base = _absolute(match["base"].replace(b" ", b"").decode("utf-8", "replace"), package)
        if base is None:
            continue
        if base:
            yield Import(base, at_start)
        for name in _plain(_COMMENT.sub(b"", match["names"]).strip(b"() \t\r\n")):
            yield Import(f"{base}.{name}" if base else name, at_start)


def statements(source: bytes) -> bytes:
    """Return the lines of a source that hold its imports, and those in their parentheses.

    `imports_of` finds in them what it finds in the source. The expressions look at every
    character of a text; this jumps from one ``import`` to the next, and leaves them a twentieth.
    """
    source = source.replace(b"\\\n", b" ")
    found = []
    at = source.find(b"import")
    while at >= 0:
        start = source.rfind(b"\n", 0, at) + 1
        end = _line_end(source, at)
        # Without a parenthesis that closes it, the statement ends with its line.
        while source.rfind(b"(", start, end) > source.rfind(b")", start, end):
            closing = source.find(b")", end)
            if closing < 0:
                break
            end = _line_end(source, closing)
        found.append(source[start:end])
        at = source.find(b"import", end)
    return b"\n".join(found)


def _line_end(source: bytes, at: int) -> int:
    end = source.find(b"\n", at)
    return len(source) if end < 0 else end


def _plain(names: bytes) -> Iterator[str]:
    """Yield the names of ``a, b as c``."""
    for item in names.split(b","):
        if match := _NAME.match(item.strip()):
            yield match[0].decode("utf-8", "replace")


def _absolute(base: str, package: str) -> str | None:
    """Resolve the leading dots of a relative import; None when it leaves the top."""
    name = base.lstrip(".")
    dots = len(base) - len(name)
    if not dots:
        return base
    parts = package.split(".") if package else []
    if dots - 1 >= len(parts):
        return None
    parts = parts[: len(parts) - (dots - 1)]
    return ".".join([*parts, name] if name else parts)
