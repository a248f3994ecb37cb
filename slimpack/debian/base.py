"""Assembling a base: resolve, fetch, unpack, choose, add what no package brings."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from slimpack.debian.certs import with_bundle
from slimpack.debian.datatar import data_entries
from slimpack.debian.deb import MAX_DATA, Deb, open_deb, read_control, refuse, unpack
from slimpack.debian.fetch import Fetcher, NotFoundError
from slimpack.debian.keyring import Keyring, debian_keyring
from slimpack.debian.mirrors import DebianMirrors, find_mirrors
from slimpack.debian.model import (
    DebianBase,
    DebianSource,
    Resolution,
    ResolvedPackage,
    architecture_of,
)
from slimpack.debian.resolve import Resolver
from slimpack.debian.skeleton import skeleton
from slimpack.debian.stanzas import parse_stanza
from slimpack.debian.store import Store, digest
from slimpack.debian.versions import Version
from slimpack.errors import InputError, RuntimeBaseError
from slimpack.globs import matcher
from slimpack.progress import SILENT, Progress
from slimpack.tree import Entry, Kind, Tree, bytes_entry, directory_entry

if TYPE_CHECKING:
    from slimpack.runtimes import Runtime

DAY = timedelta(days=1)
STATUS = "var/lib/dpkg/status.d"
_FROM_PACKAGE = "debian:"


def assemble_base(
    runtime: Runtime,
    platform: str,
    *,
    cache_dir: Path,
    mirrors: DebianMirrors | None = None,
    progress: Progress = SILENT,
    max_age: timedelta = DAY,
    keyring: Keyring | None = None,
    fetcher: Fetcher | None = None,
) -> DebianBase:
    """Return the files of a runtime's base for a platform.

    The same packages give the same tree, whatever the mirror, the machine and
    the time. Entries read from the cache when they are opened.
    """
    source = _source(runtime)
    store = Store(cache_dir / "debian")
    mirrors = mirrors or find_mirrors(source.suites[0])
    fetcher = fetcher or Fetcher()

    def attempt(age: timedelta) -> DebianBase:
        resolution = resolve_base(
            runtime,
            platform,
            cache_dir=cache_dir,
            mirrors=mirrors,
            progress=progress,
            max_age=age,
            keyring=keyring,
            fetcher=fetcher,
        )
        total = sum(package.size for package in resolution.packages)
        with progress.task("Debian packages", total=total) as task:
            files = [
                _fetch(store, mirrors, fetcher, package, task.advance)
                for package in resolution.packages
            ]
        return _assembled(runtime, source, resolution, store, files)

    try:
        return attempt(max_age)
    except NotFoundError as error:
        if platform in source.pins:
            raise RuntimeBaseError(
                f"a pinned package of runtime {runtime.name!r} is gone: {error.message}",
                hint="mirrors keep only the newest versions; name a mirror that keeps old ones "
                "(a snapshot archive), or pin again",
            ) from error
        # Packages that a young enough Release still lists may have been replaced.
        return attempt(timedelta(0))


def resolve_base(
    runtime: Runtime,
    platform: str,
    *,
    cache_dir: Path,
    mirrors: DebianMirrors | None = None,
    progress: Progress = SILENT,
    max_age: timedelta = DAY,
    keyring: Keyring | None = None,
    fetcher: Fetcher | None = None,
) -> Resolution:
    """Choose the exact packages of a base without fetching them; pins need no network."""
    source = _source(runtime)
    architecture = architecture_of(platform)
    if platform in source.pins:
        return Resolution(platform, source.pins[platform])
    resolver = Resolver(
        Store(cache_dir / "debian"),
        mirrors or find_mirrors(source.suites[0]),
        keyring or debian_keyring(),
        fetcher or Fetcher(),
        progress,
    )
    packages, releases = resolver.resolve(source, architecture, max_age)
    return Resolution(platform, packages, releases)


def provided(runtime: Runtime, packages: Iterable[ResolvedPackage]) -> dict[str, str]:
    """Return what the runtime provides, ``debian:<package>`` as an upstream version."""
    versions = {package.name: Version(package.version).upstream for package in packages}
    result: dict[str, str] = {}
    for key, value in runtime.provides.items():
        package = value.removeprefix(_FROM_PACKAGE)
        if package != value and package not in versions:
            raise InputError(
                f"runtime {runtime.name!r}: provides.{key} names package {package!r}, "
                "which is not in debian.packages"
            )
        result[key] = versions[package] if package != value else value
    return result


def _source(runtime: Runtime) -> DebianSource:
    if runtime.debian is None:
        raise InputError(
            f"runtime {runtime.name!r} is the image {runtime.image}, "
            "and not assembled from Debian packages",
            hint="an image is pinned by its digest, in the key image of a file of your own",
        )
    return runtime.debian


def _fetch(
    store: Store,
    mirrors: DebianMirrors,
    fetcher: Fetcher,
    package: ResolvedPackage,
    advance: Callable[[int], object],
) -> Path:
    return fetcher.blob(
        store,
        mirrors.url(package.archive),
        package.filename,
        sha256=package.sha256,
        size=package.size,
        advance=advance,
    )


def _assembled(
    runtime: Runtime,
    source: DebianSource,
    resolution: Resolution,
    store: Store,
    files: list[Path],
) -> DebianBase:
    provides = provided(runtime, resolution.packages)
    entries: dict[str, Entry] = {}
    for package, path in zip(resolution.packages, files, strict=True):
        for entry in _package_entries(package, path, source, store):
            before = entries.setdefault(entry.path, entry)
            if before is not entry and not (before.kind is entry.kind is Kind.DIRECTORY):
                raise RuntimeBaseError(
                    f"packages {before.owner} and {package.name} both bring {entry.path}",
                    hint="exclude it from one of them with debian.only in the runtime file",
                )
    try:
        tree = Tree(entries.values()).merge(skeleton()).merge(_own_files(runtime))
    except ValueError as error:
        raise RuntimeBaseError(f"the packages of the base do not fit together: {error}") from error
    return DebianBase(
        tree=tree,
        packages=resolution.packages,
        glibc=provides.get("glibc", ""),
        platform=resolution.platform,
        provides=provides,
        releases=resolution.releases,
    )


def _own_files(runtime: Runtime) -> Iterable[Entry]:
    """Yield the files of the runtime itself; they replace those of packages."""
    for path, text in runtime.files.items():
        yield bytes_entry(path.strip("/"), text.encode())


def _package_entries(
    package: ResolvedPackage, path: Path, source: DebianSource, store: Store
) -> list[Entry]:
    what = f"package {package.name} {package.version}"
    deb = open_deb(path, what)
    control = read_control(deb, what)
    _check_identity(package, control["control"], what)
    excluded = matcher(source.exclude)
    only = source.only.get(package.name)
    included = matcher(only) if only is not None else None

    def keep(name: str) -> bool:
        return included(name) if included is not None else not excluded(name)

    tar = _unpacked(deb, package, store, what)
    entries = with_bundle(data_entries(tar, package.name, keep, what))
    return [*entries, *_status(package.name, control, entries)]


def _unpacked(deb: Deb, package: ResolvedPackage, store: Store, what: str) -> Path:
    """Return the package's data.tar, uncompressed, unpacking it only once."""
    key = f"data.tar of {package.sha256}"
    note = store.note(key)
    if isinstance(note, list) and len(note) == 2 and isinstance(note[1], int):
        found = store.find(str(note[0]), note[1])
        if found is not None:
            return found
    sha256, size = store.add(unpack(deb, deb.data, MAX_DATA, what))
    store.keep_note(key, [sha256, size])
    return store.blob(sha256)


def _check_identity(package: ResolvedPackage, control: bytes, what: str) -> None:
    """Refuse a file that is another package than the index or the pin says."""
    try:
        fields = parse_stanza(control.decode("utf-8"))
    except ValueError as error:
        raise refuse(what, f"its control file cannot be read: {error}") from error
    found = tuple(fields.get(name, "") for name in ("package", "version", "architecture"))
    if found != (package.name, package.version, package.architecture):
        raise refuse(what, f"the file is {' '.join(found)}")


def _status(name: str, control: Mapping[str, bytes], entries: list[Entry]) -> list[Entry]:
    """Describe the package for scanners, as distroless does: status.d, not status.

    Digests of files that were left out are left out as well.
    """
    kept = {entry.path for entry in entries}
    sums = [
        line
        for line in control.get("md5sums", b"").decode("utf-8", "replace").splitlines()
        if line.partition("  ")[2] in kept
    ]
    result = [
        *(directory_entry(path) for path in ("var", "var/lib", "var/lib/dpkg", STATUS)),
        bytes_entry(f"{STATUS}/{name}", control["control"], owner=name),
    ]
    if sums:
        text = "".join(f"{line}\n" for line in sums).encode()
        result.append(bytes_entry(f"{STATUS}/{name}.md5sums", text, owner=name))
    return result


def tree_digest(tree: Tree) -> str:
    """Return one digest over paths, kinds, modes, owners, targets and contents."""
    value = hashlib.sha256()
    for entry in tree:
        content = ""
        if entry.kind is Kind.FILE:
            with entry.open() as stream:
                content = digest(stream)
        fields = (entry.path, entry.kind.value, entry.mode, entry.uid, entry.gid, entry.link)
        value.update(repr((*fields, content)).encode())
    return value.hexdigest()
