"""The page of the part ``lazy``."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.records import Results
from benchmarks.tables import facts, records_table

REFERENCE = "zstd-whole"
_TEXT = """\
Cold starts by containerd, of an image of which nothing is here: *pulled*, unpacked into its \
overlayfs snapshotter as always, or *mounted* by its stargz-snapshotter, which fetches what is \
read. What is fetched are the bytes that came over the link until the first good answer, headers \
included; to its limit is the ratio to the whole image. A mounted image goes on being fetched \
when more of it is read; the snapshotter's fetching of the rest in the background is off here, \
and by default it is on. The registry is on this machine, behind a link without delay: on a real \
one each request that a mounted file waits for costs a round trip more.

containerd mounts no zstd:chunked layer of ours: its reader wants a digest of the table in an \
annotation of eStargz's, which podman refuses beside its own (docs/lazy.md)."""


def markdown(results: Results) -> str:
    """Return the page."""
    return "\n".join((*_lines(results), ""))


def _lines(results: Results) -> Iterator[str]:
    yield "## Layers of each form"
    yield ""
    yield from records_table(results, ("compressed",), reference=REFERENCE)
    yield ""
    yield "## From a registry over a link"
    yield ""
    columns = ("cold-start", "pull", "create", "first-answer", "fetched")
    yield from records_table(results, columns, reference=REFERENCE, limits=("fetched",))
    yield ""
    yield _TEXT
    yield from facts(results)
