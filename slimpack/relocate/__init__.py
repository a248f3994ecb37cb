"""From an installed prefix to a `Tree`: for one place, or portable for any.

conda-pack is the relocation engine: its `Packer` hands every file to an
"archive", and the archive here collects entries instead of writing bytes. Files
come from the package cache that the prefix was installed from, or from
`slimpack.prefix.files`, which restores them from the prefix itself. conda-pack's
known faults are closed: a package cache that is gone raises instead of warning,
and every file that goes in is compared with the SHA-256 that its package
declares, so that a damaged cache cannot reach the result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from conda_pack import core as conda_pack

from slimpack.env.meta import Installed, portable_record
from slimpack.errors import RelocationError
from slimpack.prefix import links
from slimpack.prefix.found import PrefixFile
from slimpack.prefix.origin import homes_of
from slimpack.prefix.scripts import direct_shebang, portable_shebang
from slimpack.reading import verified
from slimpack.relocate.cached import files_from_cache
from slimpack.tree import (
    Entry,
    Kind,
    Tree,
    bytes_entry,
    content_identity,
    file_entry,
    linked,
    under,
)

# Rewritten files above this are kept in the scratch folder, not in memory.
_SPILL_BYTES = 64 * 1024
# What the installer leaves for itself in a prefix.
_INSTALLER_FILES = frozenset({"CACHEDIR.TAG", "conda-meta/history"})


@dataclass(frozen=True)
class PrefixedFile:
    """A file of a portable tree in which `placeholder` must become the new prefix.

    path: below the root of the environment. mode: "text" or "binary", as
    conda-pack's ``conda-unpack`` takes them.
    """

    path: str
    placeholder: str
    mode: str


@dataclass(frozen=True)
class Relocated:
    """A relocated prefix.

    sources: path in the tree -> file on disk, for the files that are exactly as
        they were installed and stay so; the others were rewritten or will be.
    verified: paths in the tree of files that are byte for byte as packaged.
    prefixes: what is left to do at the other end; empty unless the tree is portable.
    unmoved: paths below the prefix that name it in a form that cannot be rewritten.
    """

    tree: Tree
    sources: dict[str, Path]
    verified: frozenset[str] = frozenset()
    prefixes: tuple[PrefixedFile, ...] = ()
    unmoved: tuple[str, ...] = ()
    portable: bool = False


class _Collector:
    """What conda-pack takes for an archive: keeps entries, writes nothing but spilled bytes."""

    def __init__(self, dest_prefix: str, files: Iterable[PrefixFile], scratch: Path) -> None:
        self.entries: list[Entry] = []
        self.sources: dict[str, Path] = {}
        self.verified: set[str] = set()
        self._dest = dest_prefix
        self._files = {file.target: file for file in files}
        self._scratch = scratch
        self._spilled = 0

    def add(self, source: str, target: str) -> None:
        """Take a file, link or empty directory as it is."""
        file = self._files[target]
        # A path is as large as all else that is known of a file: there is one for each.
        path = file.source if source == str(file.source) else Path(source)
        entry = file_entry(under(self._dest, target), path, owner=file.owner)
        if entry.opener and not target.startswith("conda-meta/"):
            self.sources[entry.path] = path
        if entry.opener and file.sha256:
            self.verified.add(entry.path)
            entry = verified(entry, file.sha256)
        self.entries.append(entry)

    def add_bytes(self, source: str, data: bytes, target: str) -> None:
        """Take a file whose prefix conda-pack has rewritten."""
        file = self._files[target]
        path = Path(source)
        if file.sha256 and hashlib.sha256(path.read_bytes()).hexdigest() != file.sha256:
            raise RelocationError(
                f"{target} of package {file.owner} does not have the SHA-256 that its "
                "package declares",
                hint=f"remove the damaged cache entry that holds {path.name} and build again",
            )
        mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
        self.entries.append(self.kept(under(self._dest, target), data, mode=mode, owner=file.owner))

    def kept(self, path: str, data: bytes, *, mode: int, owner: str) -> Entry:
        """Return an entry for rewritten bytes, large ones on disk."""
        if len(data) <= _SPILL_BYTES:
            return bytes_entry(path, data, mode=mode, owner=owner)
        self._spilled += 1
        spilled = self._scratch / f"rewritten-{self._spilled}"
        spilled.write_bytes(data)
        known = content_identity(hashlib.sha256(data).hexdigest())
        return replace(file_entry(path, spilled, mode=mode, owner=owner), identity=known)


def relocate(
    prefix: Path,
    dest_prefix: str | None,
    *,
    installed: Installed,
    scratch: Path,
    files: Sequence[PrefixFile] | None = None,
    origin: str = "",
    programs: Collection[str] = (),
    owners: Collection[str] | None = None,
) -> Relocated:
    """Return the files of `prefix` as they must be at `dest_prefix`.

    prefix: an installed conda environment.
    dest_prefix: absolute path in the image (`slimpack.config.check_prefix`). None
        gives the portable form: paths in the tree are relative to the environment,
        and `Relocated.prefixes` lists the files in which placeholders are left.
    scratch: a folder that outlives the tree; large rewritten files go there.
    files: what `slimpack.prefix.files.prefix_files` made of an existing environment.
        None takes them from the package cache that `prefix` was installed from.
    origin: the path that the files name, "" when that is `prefix`.
    programs: that will be in its ``bin`` beside those that are.
    owners: of the files to return, None for all; files of others need not be there.

    Records in conda-meta are still as they were installed; `with_records` mends
    them once the rest is final. Nothing is written to `prefix` or the package
    cache. Raises RelocationError when conda-pack warns or fails, or when a file
    is not as its package says.
    """
    dest = dest_prefix or ""
    taken = [
        file
        for file in (
            files_from_cache(prefix, installed, scratch, owners) if files is None else files
        )
        if file.target not in _INSTALLER_FILES and (owners is None or file.owner in owners)
    ]
    collector = _Collector(dest, taken, scratch)
    packer = conda_pack.Packer(str(prefix), collector, dest_prefix=dest_prefix)
    for file in taken:
        _add(packer, collector, file, dest_prefix)
    left = tuple(PrefixedFile(*record) for record in packer.prefixes)
    homes = homes_of(prefix, origin or str(prefix))
    change = _runnable(dest_prefix, prefix, left, programs)
    entries = [_moved(change(entry), homes, dest_prefix) for entry in collector.entries]
    same = {
        entry.path
        for before, entry in zip(collector.entries, entries, strict=True)
        if entry is before
    }
    unfinished = {under(dest, file.path) for file in left}
    sources = {
        path: source
        for path, source in collector.sources.items()
        if path in same and path not in unfinished
    }
    return Relocated(
        tree=Tree(entries).merge([_history(dest, installed)]),
        sources=sources,
        verified=frozenset(collector.verified & same),
        prefixes=left,
        unmoved=tuple(file.target for file in taken if file.mode == "unknown"),
        portable=dest_prefix is None,
    )


def _add(
    packer: conda_pack.Packer, collector: _Collector, file: PrefixFile, dest_prefix: str | None
) -> None:
    try:
        if file.target.startswith("conda-meta/") or file.mode in ("", "unknown"):
            # Records: see with_records.
            collector.add(str(file.source), file.target)
        else:
            packer.add(
                conda_pack.File(
                    str(file.source),
                    file.target,
                    file_mode=file.mode,
                    prefix_placeholder=file.placeholder,
                )
            )
    except FileNotFoundError as error:
        raise RelocationError(
            f"{file.target} of package {file.owner or '?'}: {error.filename} is gone",
            hint="it was deleted meanwhile, or its package cache entry is damaged: remove that, "
            "and run again",
        ) from error
    except ValueError as error:
        raise _no_room(file, dest_prefix, error) from error


def _no_room(file: PrefixFile, dest_prefix: str | None, error: ValueError) -> RelocationError:
    room, wanted = len(file.placeholder.encode()), len((dest_prefix or "").encode())
    if file.mode == "binary" and wanted > room:
        return RelocationError(
            f"{file.target} ({file.owner or 'no package'}) has room for a prefix of {room} bytes; "
            f"{dest_prefix} has {wanted}",
            hint="choose a shorter prefix",
        )
    return RelocationError(f"{file.target}: cannot be relocated: {error}")


def rewritten_files(
    tree: Tree, relocated: Relocated, dest_prefix: str
) -> dict[str, tuple[str, int]]:
    """Return path below the prefix -> (SHA-256, size) of the files that nobody declares so.

    A link that took the place of a file counts as what is read there. relocated: what
    `relocate` gave; an entry of it that is still the same object is as it was installed.
    dest_prefix: "" when it is portable.
    """
    inside = under(dest_prefix, "")
    found = {}
    for entry in tree:
        path = entry.path.removeprefix(inside)
        before = relocated.tree.get(entry.path)
        if not entry.path.startswith(inside) or _is_record(path):
            continue
        if entry.path in relocated.sources and entry is before:
            continue
        was_file = before is not None and before.kind is Kind.FILE
        read = _target(tree, entry) if entry.kind is Kind.SYMLINK and was_file else entry
        if read is not None and read.kind is Kind.FILE:
            found[path] = read.sha256(), read.size
    return found


def _target(tree: Tree, link: Entry) -> Entry | None:
    return tree.get(linked(link.path, link.link))


def with_records(
    tree: Tree,
    relocated: Relocated,
    dest_prefix: str,
    rewritten: Mapping[str, tuple[str, int]] | None = None,
) -> Tree:
    """Let the records in conda-meta tell of the files as they are in `tree`, the result's.

    rewritten: see `rewritten_files`, which is asked when this is None. Of a portable
    tree the records still say where placeholders are.
    """
    if rewritten is None:
        rewritten = rewritten_files(tree, relocated, dest_prefix)
    inside = under(dest_prefix, "")
    there = {entry.path.removeprefix(inside) for entry in tree if entry.path.startswith(inside)}
    return tree.merge(
        bytes_entry(
            record.path,
            portable_record(record.read(), rewritten, there, keep_placeholders=relocated.portable),
            mode=record.mode,
            owner=record.owner,
        )
        for record in tree
        if record.path.startswith(inside) and _is_record(record.path.removeprefix(inside))
    )


def _is_record(path: str) -> bool:
    return path.startswith("conda-meta/") and path.endswith(".json")


def _runnable(
    dest_prefix: str | None, prefix: Path, left: Sequence[PrefixedFile], programs: Collection[str]
) -> Callable[[Entry], Entry]:
    """Return what mends the first lines of programs; other entries come back as they are."""
    scripts = under(dest_prefix or "", "bin/")
    placeholders = {file.path: file.placeholder for file in left}

    def change(entry: Entry) -> Entry:
        if not entry.path.startswith(scripts):
            return entry
        if dest_prefix is None:
            return portable_shebang(entry, placeholders.get(entry.path, ""))
        return direct_shebang(
            entry,
            dest_prefix,
            lambda name: name in programs or (prefix / "bin" / name).exists(),
        )

    return change


def _moved(entry: Entry, homes: Sequence[str], dest_prefix: str | None) -> Entry:
    """Point a link that names the old prefix at the new one."""
    if not entry.link:
        return entry
    path = entry.path.removeprefix(under(dest_prefix or "", ""))
    link = links.moved(path, entry.link, homes, dest_prefix)
    return entry if link == entry.link else replace(entry, link=link)


def _history(dest_prefix: str, installed: Installed) -> Entry:
    """Return the sign by which conda takes a folder for an environment.

    Its log of dates and command lines would differ in every build. Empty, it never
    changes, so it may travel with any package instead of in a layer of its own.
    """
    owner = installed.packages[0].name if installed.packages else ""
    return bytes_entry(under(dest_prefix, "conda-meta/history"), b"", owner=owner)
