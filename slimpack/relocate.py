"""From an installed prefix to a `Tree` at the image's prefix.

conda-pack is the relocation engine: its `Packer` hands every file to an
"archive", and the archive here collects entries instead of writing bytes. Its
known faults are closed: a package cache that is gone raises instead of
warning, and every file that goes in is compared with the SHA-256 that its
package declares, so that a damaged cache cannot reach the image.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from conda_pack import core as conda_pack

from slimpack.env.meta import Installed, is_clobbered, portable_record
from slimpack.errors import RelocationError
from slimpack.reading import verified
from slimpack.tree import Entry, Kind, Tree, bytes_entry, file_entry, under

# Rewritten files above this are kept in the scratch folder, not in memory.
_SPILL_BYTES = 64 * 1024
# What the installer leaves for itself in a prefix.
_INSTALLER_FILES = frozenset({"CACHEDIR.TAG", "conda-meta/history"})
_MAX_SCRIPT_BYTES = 1024 * 1024

# Scripts whose interpreter path was too long for the kernel, as conda, rattler
# and distlib write them: sh runs the first line, Python sees a string.
_LONG_SHEBANG = re.compile(
    rb"#!/bin/sh\n'''exec' \"?(?P<exe>/[^\"\n]+?)\"? \"\$0\" \"\$@\"(?: #'''|\n' ''')\n"
)
# The kernel passes one argument at most; -S exists to get round that, and more
# than one cannot be had without env.
_ENV_SHEBANG = re.compile(
    rb"#![ \t]*/usr/bin/env[ \t]+(?:-S[ \t]+)?(?P<name>[^\s/=-][^\s/=]*)"
    rb"(?P<rest>(?:[ \t]+\S+)?)[ \t\r]*(?:\n|\Z)"
)


@dataclass(frozen=True)
class Relocated:
    """A relocated prefix.

    sources: image path -> file on disk, for the files that are exactly as
        their package ships them; the others were rewritten.
    """

    tree: Tree
    sources: dict[str, Path]


class _Collector:
    """What conda-pack takes for an archive: keeps entries, writes nothing but spilled bytes."""

    def __init__(self, dest_prefix: str, installed: Installed, scratch: Path) -> None:
        self.entries: list[Entry] = []
        self.sources: dict[str, Path] = {}
        self._dest = dest_prefix
        self._installed = installed
        self._scratch = scratch
        self._spilled = 0

    def add(self, source: str, target: str) -> None:
        """Take a file, link or empty directory as it is."""
        if target in _INSTALLER_FILES:
            return
        entry = file_entry(under(self._dest, target), Path(source), owner=self._owner(target))
        digest = self._installed.digests.get(target)
        if entry.opener and not target.startswith("conda-meta/"):
            self.sources[entry.path] = Path(source)
        self.entries.append(verified(entry, digest) if digest and entry.opener else entry)

    def add_bytes(self, source: str, data: bytes, target: str) -> None:
        """Take a file whose prefix conda-pack has rewritten."""
        if target in _INSTALLER_FILES:
            return
        path = Path(source)
        digest = self._installed.digests.get(target)
        if digest and hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise RelocationError(
                f"{target} of package {self._owner(target)} does not have the SHA-256 that its "
                "package declares",
                hint=f"remove the damaged cache entry that holds {path.name} and build again",
            )
        mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
        self.entries.append(
            self.kept(under(self._dest, target), data, mode=mode, owner=self._owner(target))
        )

    def kept(self, path: str, data: bytes, *, mode: int, owner: str) -> Entry:
        """Return an entry for rewritten bytes, large ones on disk."""
        if len(data) <= _SPILL_BYTES:
            return bytes_entry(path, data, mode=mode, owner=owner)
        self._spilled += 1
        spilled = self._scratch / str(self._spilled)
        spilled.write_bytes(data)
        return file_entry(path, spilled, mode=mode, owner=owner)

    def _owner(self, target: str) -> str:
        return self._installed.owners.get(target, "")


def relocate(prefix: Path, dest_prefix: str, *, installed: Installed, scratch: Path) -> Relocated:
    """Return the files of `prefix` as they must be at `dest_prefix`.

    prefix: an installed conda environment whose package cache is still there.
    dest_prefix: absolute path in the image (`slimpack.config.check_prefix`).
    scratch: an empty folder that outlives the tree; large rewritten files go there.

    Records in conda-meta are still as they were installed; `with_records` mends
    them once the rest is final. Nothing is written to `prefix` or the package
    cache. Raises RelocationError when conda-pack warns or fails, or when a file
    is not as its package says.
    """
    collector = _Collector(dest_prefix, installed, scratch)
    packer = conda_pack.Packer(str(prefix), collector, dest_prefix=dest_prefix)
    for file in _in_place(_load(prefix), installed):
        try:
            if file.target.startswith("conda-meta/"):
                collector.add(file.source, file.target)  # see with_records
            else:
                packer.add(file)
        except FileNotFoundError as error:
            raise RelocationError(
                f"{file.target} of package {installed.owners.get(file.target, '?')} is missing "
                "from the package cache",
                hint=f"remove the damaged cache entry that held {error.filename} and build again",
            ) from error
        except ValueError as error:
            raise RelocationError(f"{file.target}: cannot be relocated: {error}") from error
    scripts = under(dest_prefix, "bin/")
    entries = [
        direct_shebang(entry, dest_prefix, prefix) if entry.path.startswith(scripts) else entry
        for entry in collector.entries
    ]
    sources = {
        entry.path: collector.sources[entry.path]
        for before, entry in zip(collector.entries, entries, strict=True)
        if entry is before and entry.path in collector.sources
    }
    return Relocated(_finish(Tree(entries), prefix, dest_prefix, installed), sources)


def with_records(tree: Tree, relocated: Relocated, dest_prefix: str) -> Tree:
    """Let the records in conda-meta tell of the files as they are in `tree`, the image's.

    relocated: what `relocate` gave; an entry of it that is still the same
    object is as its package ships it.
    """
    inside = under(dest_prefix, "")
    rewritten: dict[str, tuple[str, int]] = {}
    there = set()
    records = []
    for entry in tree:
        if not entry.path.startswith(inside):
            continue  # the application's
        path = entry.path.removeprefix(inside)
        there.add(path)
        if path.startswith("conda-meta/") and path.endswith(".json"):
            records.append(entry)
        elif entry.kind is Kind.FILE and not (
            entry.path in relocated.sources and entry is relocated.tree[entry.path]
        ):
            rewritten[path] = hashlib.sha256(entry.read()).hexdigest(), entry.size
    return tree.merge(
        bytes_entry(
            record.path,
            portable_record(record.read(), rewritten, there),
            mode=record.mode,
            owner=record.owner,
        )
        for record in records
    )


def _load(prefix: Path) -> list[conda_pack.File]:
    try:
        with warnings.catch_warnings():
            # conda-pack's own are of this kind; a library's deprecations are not.
            warnings.simplefilter("error", UserWarning)
            files: list[conda_pack.File] = conda_pack.load_environment(
                str(prefix), on_missing_cache="raise"
            )
    except (conda_pack.CondaPackException, Warning, ValueError, OSError) as error:
        raise RelocationError(
            f"{prefix}: conda-pack cannot relocate this environment",
            details=str(error).strip(),
            hint="build again: damaged packages are fetched anew",
        ) from error
    return sorted(files, key=lambda file: str(file.target))


def _in_place(files: list[conda_pack.File], installed: Installed) -> list[conda_pack.File]:
    """Return one file for each path: that of the package whose file is there.

    conda-pack reads what packages contain, and knows nothing of files that lost
    their place to another package's.
    """
    claims: dict[str, list[conda_pack.File]] = {}
    for file in files:
        if not is_clobbered(file.target):
            claims.setdefault(file.target, []).append(file)
    homes = {package.name: package.extracted for package in installed.packages}

    def chosen(target: str, claimed: list[conda_pack.File]) -> conda_pack.File:
        home = homes.get(installed.owners.get(target, ""), "")
        ours = (file for file in claimed if home and file.source.startswith(f"{home}/"))
        return next(ours, claimed[0]) if len(claimed) > 1 else claimed[0]

    return [chosen(target, claimed) for target, claimed in claims.items()]


def direct_shebang(entry: Entry, dest_prefix: str, prefix: Path) -> Entry:
    """Give a script a first line that works without /bin/sh and /usr/bin/env.

    prefix: the installed environment, to see which programs it has.
    """
    if entry.opener is None or entry.size > _MAX_SCRIPT_BYTES:
        return entry
    with entry.open() as stream:
        start = stream.read(2)
        if start != b"#!":
            return entry
        data = start + stream.read()
    changed = _LONG_SHEBANG.sub(lambda match: b"#!" + match["exe"] + b"\n", data, count=1)
    changed = _rewrite(changed, _ENV_SHEBANG, _in_bin(dest_prefix, prefix))
    if changed == data:
        return entry
    return bytes_entry(entry.path, changed, mode=entry.mode, owner=entry.owner)


def _rewrite(
    data: bytes, pattern: re.Pattern[bytes], replace: Callable[[re.Match[bytes]], bytes]
) -> bytes:
    match = pattern.match(data)
    return replace(match) + data[match.end() :] if match else data


def _in_bin(dest_prefix: str, prefix: Path) -> Callable[[re.Match[bytes]], bytes]:
    def replace(match: re.Match[bytes]) -> bytes:
        name = match["name"].decode("utf-8", "replace")
        if not (prefix / "bin" / name).exists():
            return match[0]
        return f"#!{dest_prefix}/bin/{name}".encode() + match["rest"] + b"\n"

    return replace


def _finish(tree: Tree, prefix: Path, dest_prefix: str, installed: Installed) -> Tree:
    """Point absolute links at the new prefix and leave conda a sign of an environment."""

    def moved(entry: Entry) -> Entry:
        if entry.link and Path(entry.link).is_relative_to(prefix):
            inside = Path(entry.link).relative_to(prefix).as_posix()
            return replace(entry, link=f"{dest_prefix}/{inside}")
        return entry

    # conda takes a folder for an environment when it has this file; its log
    # of dates and command lines would differ in every build. Empty, it never
    # changes, so it may travel with any package instead of in a layer of its own.
    owner = installed.packages[0].name if installed.packages else ""
    history = bytes_entry(under(dest_prefix, "conda-meta/history"), b"", owner=owner)
    return tree.map(moved).merge([history])
