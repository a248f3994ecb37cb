"""The ``lock`` command: choose versions and pin them. Pins that are there already stay.

Wheels are resolved by pip (``install --dry-run --report``), Debian packages by reading the
indices of the suite, whose hashes its Release file holds.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from benchmarks.channel.deb import checksums, find_mirror, parse_stanzas
from benchmarks.channel.errors import ChannelError
from benchmarks.channel.fetch import pip_platform, read_url, run_pip
from benchmarks.channel.lock import Lock, LockedFile
from benchmarks.channel.recipes import Channel, Platform, Recipe


def resolve(
    channel: Channel,
    platform: Platform,
    kept: Lock,
    report: Callable[[str], None],
    like: Lock | None = None,
) -> Lock:
    """Pins for everything that ``packages.toml`` names; those of ``kept`` do not move.

    like: those of another platform, whose wheels these shall equal in their versions.
    """
    report(f"resolving wheels for {platform.subdir} with pip")
    wheels = resolve_wheels(channel, platform, kept.wheels, like.wheels if like else {})
    debs = {name: kept.debs[name] for name in deb_names(channel) if name in kept.debs}
    sources = {name: kept.sources[name] for name in source_names(channel) if name in kept.sources}
    new_debs = [name for name in deb_names(channel) if name not in debs]
    new_sources = [name for name in source_names(channel) if name not in sources]
    if new_debs or new_sources:
        report(f"reading the indices of Debian {channel.suite} for {platform.debian_arch}")
        mirror = find_mirror(channel.suite)
        debs |= resolve_debs(channel, platform, mirror, new_debs)
        sources |= resolve_sources(channel, mirror, new_sources)
    return Lock(wheels, debs, sources)


def wheel_requirement(recipe: Recipe) -> str:
    """Return the line that pip gets for a wheel recipe."""
    extras = f"[{','.join(recipe.extras)}]" if recipe.extras else ""
    return f"{recipe.pypi or recipe.name}{extras}{recipe.require}"


def resolve_wheels(
    channel: Channel,
    platform: Platform,
    kept: Mapping[str, LockedFile],
    like: Mapping[str, LockedFile] | None = None,
) -> dict[str, LockedFile]:
    """One consistent set of wheels; packages that only dependencies name must be listed too.

    Versions of ``kept``, and of ``like``, constrain pip. Of one version the kept file stays,
    whichever pip prefers. A second version of a project (a recipe with ``package``) is resolved
    apart from the set.
    """
    wheels = channel.of_kind("wheel", "cuda")
    recipes = [r for r in wheels if not r.package]
    apart = {r.wheel_key: r for r in wheels if r.package}
    wanted = [
        *(wheel_requirement(r) for r in recipes),
        *(f"{n}{s}" for n, s in channel.tools.items()),
    ]
    with tempfile.TemporaryDirectory() as scratch:
        versions = Path(scratch, "constraints.txt")
        held = {**(like or {}), **kept}
        lines = [f"{name}=={pin.version}\n" for name, pin in held.items() if name not in apart]
        versions.write_text("".join(lines))
        pins = pip_report(channel, platform, ["--constraint", str(versions), *wanted])
    listed = {r.wheel_key for r in recipes} | set(channel.tools)
    extra = sorted(set(pins) - listed)
    if extra:
        raise ChannelError(f"packages.toml lacks dependencies; add to [wheel]: {', '.join(extra)}")
    for key in apart.keys() - kept.keys():
        found = pip_report(channel, platform, ["--no-deps", wheel_requirement(apart[key])])
        (pins[key],) = found.values()
    names = [*pins, *(apart.keys() & kept.keys())]
    return {name: kept.get(name) or pins[name] for name in names}


def pip_report(
    channel: Channel, platform: Platform, arguments: Sequence[str]
) -> dict[str, LockedFile]:
    """Pins of what pip would install, by project."""
    with tempfile.TemporaryDirectory() as scratch:
        options = ["--dry-run", "--ignore-installed", "--quiet", "--target", scratch]
        options += ["--report", "-", *pip_platform(channel.python, platform)]
        out = run_pip(["install", *options, *arguments])
    return dict(read_report_item(item) for item in json.loads(out)["install"])


def read_report_item(item: dict[str, Any]) -> tuple[str, LockedFile]:
    """Name and pin from one entry of pip's installation report (its address is dropped)."""
    download = item["download_info"]
    name = canonicalize_name(item["metadata"]["name"])
    path = download["url"].rpartition("/")[2].replace("%2B", "+")
    return name, LockedFile(
        item["metadata"]["version"], path, download["archive_info"]["hashes"]["sha256"]
    )


def read_index(mirror: str, suite: str, name: str) -> str:
    """Return an index of the suite, checked against the hash in its Release file."""
    base = f"{mirror}/dists/{suite}"
    release = next(parse_stanzas(read_url(f"{base}/Release").decode()))
    data = read_url(f"{base}/{name}")
    if hashlib.sha256(data).hexdigest() != checksums(release, "SHA256").get(name):
        raise ChannelError(f"{name} does not match the Release file of {suite}; try again later")
    return lzma.decompress(data).decode()


def deb_names(channel: Channel) -> list[str]:
    """Every binary package that a recipe repackages, sorted."""
    return sorted({name for recipe in channel.recipes for name in recipe.packages})


def source_names(channel: Channel) -> list[str]:
    """Every source package that a recipe needs, sorted."""
    return sorted({recipe.source for recipe in channel.recipes if recipe.source})


def resolve_debs(
    channel: Channel, platform: Platform, mirror: str, names: Collection[str]
) -> dict[str, LockedFile]:
    """Pins for binary packages."""
    index = read_index(mirror, channel.suite, f"main/binary-{platform.debian_arch}/Packages.xz")
    return select_debs(index, names)


def select_debs(index: str, names: Collection[str]) -> dict[str, LockedFile]:
    """Find packages in the text of a Packages index."""
    found = {
        stanza["Package"]: LockedFile(stanza["Version"], stanza["Filename"], stanza["SHA256"])
        for stanza in parse_stanzas(index)
        if stanza.get("Package") in names
    }
    missing = sorted(set(names) - set(found))
    if missing:
        raise ChannelError(f"Debian has no package {missing[0]}: correct packages.toml")
    return found


def resolve_sources(
    channel: Channel, mirror: str, names: Collection[str]
) -> dict[str, tuple[LockedFile, ...]]:
    """Pins for source packages."""
    return select_sources(read_index(mirror, channel.suite, "main/source/Sources.xz"), names)


def select_sources(index: str, names: Collection[str]) -> dict[str, tuple[LockedFile, ...]]:
    """Find source packages in the text of a Sources index: upstream's archive, Debian's changes."""
    found = {}
    for stanza in parse_stanzas(index):
        if stanza.get("Package") in names:
            found[stanza["Package"]] = tuple(
                LockedFile(stanza["Version"], f"{stanza['Directory']}/{name}", sha256)
                for name, sha256 in sorted(checksums(stanza, "Checksums-Sha256").items())
                if ".tar." in name and not name.endswith(".asc")
            )
    missing = sorted(set(names) - set(found))
    if missing:
        raise ChannelError(f"Debian has no source package {missing[0]}: correct packages.toml")
    return found
