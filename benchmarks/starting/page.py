"""The page of the part ``start``: tables of what was measured, and how to read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from benchmarks.records import Record, Results
from benchmarks.starting.turns import COLD, WARM
from benchmarks.tables import facts, method_title, records_table, workload_title

REFERENCE = "best"
TARGET = 1.8
"""How much faster than the best practice slimpack is to answer, at the link of the target."""
TARGET_CASE, TARGET_WAYS = "docker, 100 Mbit/s", ("safe", "tight")
_PARTS = (
    *("cold-start", "pull", "download", "unpack", "create", "first-byte", "first-answer"),
    *("fetched", "resident", "charged"),
)
_HERE = ("first-answer", "first-byte", "create", "import")
_TEXT = """\
Cold start: the image is in a registry behind a link, nothing of it is here, the page cache is \
empty but for the engine's own programs. *Pull to first good answer* is the sum of pull, create \
and first good answer. *First byte* and *first good answer* count from the command that starts \
the container: the first byte is there when a connection is accepted at the service's port, or \
when something is printed; the answer is asked for until it is the right one. What is \
downloaded last ends *until all is downloaded*; layers that came before are unpacked meanwhile, \
and *from then on* has the rest. podman does not tell them apart.

*To its limit* is the ratio to what cannot be gone below: for the whole, the bytes of the \
image's blobs at the link's rate, and the imports of the service's modules in a container of \
the same image whose files are in memory; for the pull, these bytes at that rate; for the \
answer, the imports alone.

Memory of the running service, after its first answer: the sum over its processes, pages that \
are shared counted in shares, and what its cgroup is charged with, where files that it was the \
first to read count too.

Each engine has a new store of its own. Docker has a bridge and podman its own network; ctr \
makes none and is given one. The registry runs on the same machine, in a network namespace \
behind a veth pair; a token bucket at each end keeps the rate, and there is no delay. Processors \
and disk are shared with what is measured, the registry's blobs are in memory."""


def markdown(results: Results) -> str:
    """Return the page."""
    return "\n".join((*_lines(results), ""))


def _lines(results: Results) -> Iterator[str]:
    yield "## From a registry over a link"
    yield ""
    yield from records_table(
        _only(results, (WARM, COLD), inside=False),
        _PARTS,
        reference=REFERENCE,
        limits=("cold-start", "pull"),
    )
    yield from targets(results)
    yield ""
    yield "## Image already here"
    yield ""
    here = _only(results, (WARM, COLD), inside=True)
    yield from records_table(here, _HERE, reference=REFERENCE, limits=("first-answer",))
    yield ""
    yield _TEXT
    yield from links(results)
    yield from facts(results)


def targets(results: Results) -> Iterator[str]:
    """Yield a line for each workload and way that has a target: what it is, and what came out."""
    for workload in dict.fromkeys(record.workload for record in results.records):
        base = results.value(workload, REFERENCE, "cold-start", TARGET_CASE)
        for way in TARGET_WAYS:
            value = results.value(workload, way, "cold-start", TARGET_CASE)
            if base and value:
                speed = base / value
                verdict = "reached" if speed >= TARGET else "not reached"
                yield ""
                yield (
                    f"{workload_title(workload)}, {method_title(way)}, {TARGET_CASE}: "
                    f"{speed:.2f} times as fast as {method_title(REFERENCE)}; "
                    f"target {TARGET}: {verdict}."
                )


def links(results: Results) -> Iterator[str]:
    """Yield what the links carried in truth."""
    found = results.find(metric="link")
    if found:
        told = "; ".join(
            f"{record.case}: {8 * record.median / 1e6:.0f} Mbit/s of payload" for record in found
        )
        yield ""
        yield f"One connection over the links carries: {told}."


def _only(results: Results, words: Sequence[str], *, inside: bool) -> Results:
    """Return the records whose case has one of the words, or those that have none."""

    def has(record: Record) -> bool:
        return any(record.case.endswith(word) for word in words)

    kept = tuple(record for record in results.records if has(record) == inside)
    return replace(results, records=kept)
