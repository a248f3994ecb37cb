"""Control data: stanzas of fields (deb822(5)), and finding a few among many.

A Packages index holds some 60,000 stanzas in 50 MB. Parsing them all takes
many seconds; looking for ``Package: name`` at the start of a line takes
milliseconds, so only the stanzas of wanted packages are parsed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

MAX_STANZA = 4 << 20


def parse_stanza(text: str) -> dict[str, str]:
    """Parse one stanza; field names in lower case, folded lines joined by newlines.

    ValueError when a line is no field or a field is there twice.
    """
    fields: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if not line.strip():
            continue
        if line[0] in " \t":
            if not name:
                raise ValueError("a continuation line without a field")
            fields[name] += "\n" + line[1:]
            continue
        if line[0] == "#":
            continue
        key, colon, value = line.partition(":")
        name = key.strip().lower()
        if not colon or not name:
            raise ValueError(f"not a field: {line[:60]!r}")
        if name in fields:
            raise ValueError(f"field {key} is there twice")
        fields[name] = value.strip()
    return fields


def split_stanzas(text: str) -> list[str]:
    """Split control data at its empty lines."""
    stanzas: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.strip():
            stanzas[-1].append(line)
        elif stanzas[-1]:
            stanzas.append([])
    return ["\n".join(lines) for lines in stanzas if lines]


def find_stanzas(chunks: Iterable[bytes], names: Iterable[str]) -> Iterator[dict[str, str]]:
    """Yield the parsed stanzas of the packages `names` from a streamed index."""
    needles = [b"\nPackage: " + name.encode() + b"\n" for name in names]
    # Every stanza starts after a newline; the first one gets its own.
    rest = b"\n"
    for chunk in chunks:
        block = rest + chunk
        end = block.rfind(b"\n\n")
        if end < 0:
            if len(block) > MAX_STANZA:
                raise ValueError("a stanza of the index is too long")
            rest = block
            continue
        yield from _search(block[: end + 1], needles)
        rest = block[end + 1 :]
    yield from _search(rest + b"\n", needles)


def _search(block: bytes, needles: list[bytes]) -> Iterator[dict[str, str]]:
    for needle in needles:
        at = block.find(needle)
        while at >= 0:
            start = block.rfind(b"\n\n", 0, at + 1) + 1
            end = block.find(b"\n\n", at + 1)
            stanza = block[start : end if end >= 0 else len(block)]
            yield parse_stanza(stanza.decode("utf-8"))
            at = block.find(needle, at + 1)
