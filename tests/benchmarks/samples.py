"""Records as each part makes them, with invented figures, to draw pictures from."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.records import Record, Results

_METHODS = {"naive": 1.3, "best": 1.0, "none": 0.7, "safe": 0.52, "tight": 0.45}
_SIZES = {"w0": 21e6, "w1": 151e6, "w2": 99e6}
_CHANGES = {
    "cold": 1.0,
    "nothing changed": 0.0,
    "application changed": 0.001,
    "one pure package changed": 0.005,
    "one heavy package changed": 0.2,
}


def parts() -> dict[str, Results]:
    """Return a few results of every part."""
    makers = {
        "images": images,
        "builds": builds,
        "start": start,
        "lazy": lazy,
        "scale": scale,
    }
    return {name: Results(name, records=tuple(maker())) for name, maker in makers.items()}


def images() -> Iterator[Record]:
    """Yield sizes, each with its bound."""
    for workload, size in _SIZES.items():
        for method, share in _METHODS.items():
            yield Record(workload, method, "compressed", (size * share,), limit=size * 0.4)


def builds() -> Iterator[Record]:
    """Yield rebuilds of one workload; nothing is sent where nothing changed."""
    for case, share in _CHANGES.items():
        for method, factor in {"naive": 1.3, "best": 1.0, "safe": 0.5, "unverified": 0.4}.items():
            ours = method not in ("naive", "best")
            seconds = 15 * factor * (share + 0.03 if ours else 1)
            sent = 150e6 * factor * (share if ours else min(1, share * 200))
            yield Record("w1", method, "total", (seconds,), case)
            yield Record("w1", method, "sent", (sent,), case)


def start() -> Iterator[Record]:
    """Yield cold starts with two engines over two links."""
    for engine in ("docker", "podman"):
        for link, rate in {"100 Mbit/s": 1.0, "1 Gbit/s": 0.15}.items():
            for method, share in _METHODS.items():
                case = f"{engine}, {link}"
                values = {"pull": 14 * share * rate + 1, "create": 0.2, "first-answer": 2.4}
                for metric, value in values.items():
                    yield Record("w1", method, metric, (value,), case)
                whole = sum(values.values())
                yield Record("w1", method, "cold-start", (whole,), case, limit=whole * 0.8)


def lazy() -> Iterator[Record]:
    """Yield a plain pull, and two lazy ones of which one loses."""
    for case in ("containerd, 100 Mbit/s", "containerd, 1 Gbit/s"):
        for method, seconds in {"zstd": 9.0, "estargz": 4.5, "zstd:chunked": 9.9}.items():
            yield Record("w1", method, "cold-start", (seconds,), case)
            yield Record("w1", method, "fetched", (seconds * 8e6,), case)


def scale() -> Iterator[Record]:
    """Yield curves of files, and of images in a registry."""
    for files in (1e4, 1e5, 1e6):
        for case, cost in {"verified": 3.0, "--no-verify": 2.0}.items():
            yield Record("files", "safe", "build", (4 + cost * files / 1e4,), case, files, 1, "tar")
            yield Record("files", "safe", "memory", (1e8 + 900 * files,), case, files)
        for method, cost in {"conda-pack": 1.4, "tar and zstd -9": 0.4}.items():
            yield Record("files", method, "build", (cost * files / 1e4,), "", files)
            yield Record("files", method, "memory", (1e8,), "", files)
    for images in (1.0, 8.0, 64.0):
        yield Record("images", "safe", "stored", (50e6 * images**0.2,), "", images)
        yield Record("images", "alone", "stored", (50e6 * images,), "", images)
        yield Record("images", "safe", "build", (10 * images**0.8,), "built and pushed", images)
        yield Record("images", "safe", "build", (images,), "bundle create", images)
