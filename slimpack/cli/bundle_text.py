"""What commands of ``slimpack bundle`` tell of a bundle: images, and bytes to carry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from slimpack.bundle.bandwidth import DEFAULT_LINKS, Link, Traffic, Weight, links_of
from slimpack.cli.table import megabytes, printable, table
from slimpack.oci.names import familiar_name


def _links(
    context: click.Context, parameter: click.Parameter, value: tuple[str, ...]
) -> tuple[Link, ...]:
    try:
        return links_of(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from error


link_option = click.option(
    "--link",
    "links",
    multiple=True,
    metavar="SPEED",
    callback=_links,
    help="Tell how long the bundle takes over such a link; more than once for several "
    f"[default: {', '.join(DEFAULT_LINKS)}].",
)


def images_table(weights: Sequence[Weight]) -> str:
    """Return a line for each image."""
    rows = [
        (
            printable(", ".join(map(familiar_name, weight.names)) or weight.digest),
            printable(", ".join(weight.platforms)),
            str(weight.documents),
            megabytes(weight.size),
        )
        for weight in weights
    ]
    return table(("image", "platforms", "documents", "MB alone"), rows, right=(2, 3))


def traffic_table(traffic: Traffic, links: Sequence[Link], *, delta: bool) -> str:
    """Return bytes to carry and times, for each way to carry them."""
    ways = [("each image alone", traffic.full), ("blobs stored once", traffic.deduplicated)]
    ways += [("this delta", traffic.bundle)] if delta else []
    rows = [
        (name, megabytes(size), *(duration(link.seconds(size)) for link in links))
        for name, size in ways
    ]
    header = ("to carry", "MB", *(link.text for link in links))
    return table(header, rows, right=range(1, len(header)))


def traffic_json(traffic: Traffic, links: Sequence[Link]) -> dict[str, Any]:
    """Return the same as data: bytes, and seconds for each link."""
    sizes = {
        "full": traffic.full,
        "deduplicated": traffic.deduplicated,
        "bundle": traffic.bundle,
    }
    return {
        **sizes,
        "saved_by_sharing": traffic.shared,
        "left_out": traffic.spared,
        "blobs": traffic.blobs,
        "links": [
            {
                "link": link.text,
                "bits_per_second": float(link.speed),
                "seconds": {name: round(link.seconds(size), 3) for name, size in sizes.items()},
            }
            for link in links
        ],
    }


def weights_json(weights: Sequence[Weight]) -> list[dict[str, Any]]:
    """Return images as data."""
    return [
        {
            "names": list(weight.names),
            "digest": weight.digest,
            "platforms": list(weight.platforms),
            "size": weight.size,
            "documents": weight.documents,
        }
        for weight in weights
    ]


def duration(seconds: float) -> str:
    """Return a time as people say it, in its two largest units."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    units = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    parts: list[tuple[int, str]] = []
    for name, size in units:
        amount, whole = divmod(whole, size)
        if amount or parts:
            parts.append((amount, name))
    return " ".join(f"{amount} {name}" for amount, name in parts[:2] if amount)
