"""What goes into a bundle beside images: packages, archives, slimpack itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slimpack.archive.formats import Packing
from slimpack.bundle.channel import file_part
from slimpack.bundle.contents import Extra, Part
from slimpack.bundle.own_wheels import own_wheels
from slimpack.bundle.packages import BundledLock, package_extras
from slimpack.bundling.arguments import understood
from slimpack.bundling.building import Made, Means
from slimpack.bundling.gather import Gathered, distinct
from slimpack.cache import Cache
from slimpack.config import DEFAULT_GLIBC
from slimpack.env.inputs.identify import Input, identify
from slimpack.env.locking import is_specification, read_locked
from slimpack.env.locks.lock import Lock, NotForPlatformError
from slimpack.env.rattler.engine import RattlerEngine, merge_locks
from slimpack.env.redact import redacted
from slimpack.errors import InputError
from slimpack.pack import pack
from slimpack.platforms import SUBDIRS, here, resolve

_LOCK = ".pixi.lock"
# micromamba keeps the files of packages in a folder of its own.
_CACHES = ("", "micromamba")


@dataclass(frozen=True)
class Payload:
    """What is wanted.

    packages: conda packages and wheels of all locks. locks: files, beside the locks of what is
    built. archives: portable ones of what is built. slimpack: its own wheels, for `python`
    ("" for this one's). platforms: OCI's, of all of these; () for those that locks have, and
    this machine's for slimpack.
    """

    packages: bool = False
    locks: tuple[Path, ...] = ()
    archives: bool = False
    slimpack: bool = False
    python: str = ""
    platforms: tuple[str, ...] = ()

    @property
    def subdirs(self) -> tuple[str, ...]:
        """The platforms by conda's names."""
        return tuple(SUBDIRS[resolve(platform)] for platform in self.platforms)


def check_payload(payload: Payload, arguments: Sequence[str]) -> None:
    """Raise InputError for what nothing can come of. arguments: of the command."""
    specs = any(understood(text).kind in ("spec", "configuration") for text in arguments)
    if payload.packages and not (specs or payload.locks):
        raise InputError(
            "--with-packages: nothing tells which packages",
            hint="images do not say it exactly; add --lock FILE, or build from a specification",
        )
    if payload.archives and not specs:
        raise InputError(
            "--with-archives: an archive is made of what is built, and nothing is",
            hint="give an environment.yml or a lock among the arguments",
        )


def with_payload(
    gathered: Gathered, payload: Payload, means: Means, scratch: Path
) -> tuple[Extra, ...]:
    """Return all files beside the images. They lie in `scratch` until the bundle is written.

    Raises the children of SlimpackError.
    """
    given = [_read(path, payload.subdirs, means.cache) for path in payload.locks]
    locks = _placed([*((one.lock, one.locks) for one in gathered.made if one.lock), *given])
    found = [extra for extra, _ in locks]
    if payload.packages:
        caches = [means.cache.packages / name for name in _CACHES]
        packages = package_extras(
            [BundledLock(_name(extra.part.path), of) for extra, of in locks],
            scratch / "packages",
            caches=caches,
            progress=means.progress,
        )
        _tell(packages.notes, means)
        found += packages.extras
    if payload.archives:
        for one in gathered.made:
            found += _archives(one, scratch / "archives", means)
    if payload.slimpack:
        subdirs = payload.subdirs or (SUBDIRS[here()],)
        wheels, notes = own_wheels(
            scratch / "slimpack", python=payload.python, subdirs=subdirs, glibc=DEFAULT_GLIBC
        )
        _tell(notes, means)
        found += wheels
    return tuple(found)


def _tell(notes: Sequence[str], means: Means) -> None:
    for note in notes:
        means.progress.note(note)


def _placed(
    locks: Sequence[tuple[Extra, tuple[Lock, ...]]],
) -> list[tuple[Extra, tuple[Lock, ...]]]:
    """Return locks under different paths (as `distinct` gives them), each once."""
    found: dict[str, tuple[Extra, tuple[Lock, ...]]] = {}
    placed: tuple[Extra, ...] = ()
    for extra, of in locks:
        known = {one.part.path for one in placed}
        placed = distinct([*placed, extra])
        found.update({one.part.path: (one, of) for one in placed if one.part.path not in known})
    return list(found.values())


def _name(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(_LOCK)


def _read(path: Path, subdirs: Sequence[str], cache: Cache) -> tuple[Extra, tuple[Lock, ...]]:
    """Read a lock of any format, for all its platforms or those that are wanted."""
    source = identify([path])
    if is_specification(source):
        raise InputError(
            f"--lock {path}: {source.kind.value}, not a lock",
            hint="`slimpack lock` makes one of it",
        )
    engine = RattlerEngine(cache.packages, cache.repodata)
    locks = tuple(
        lock
        for subdir in subdirs or tuple(SUBDIRS.values())
        if (lock := _for_platform(source, engine, subdir)) is not None
    )
    if not locks:
        raise InputError(
            f"--lock {path}: nothing is locked for {' or '.join(subdirs or SUBDIRS.values())}",
            hint="lock the environment for the platform of the images",
        )
    text = locks[0].text if len(locks) == 1 else merge_locks(locks)
    stem = path.name
    for suffix in (_LOCK, ".lock", ".yml", ".yaml", ".txt"):
        stem = stem.removesuffix(suffix)
    return Extra(Part.of(f"locks/{stem}{_LOCK}", redacted(text).encode()), "lock"), locks


def _for_platform(source: Input, engine: RattlerEngine, subdir: str) -> Lock | None:
    try:
        return read_locked(source, engine, subdir).lock
    except NotForPlatformError:
        return None


def _archives(made: Made, folder: Path, means: Means) -> list[Extra]:
    """Pack what was built, for each of its platforms, as ``slimpack pack`` does."""
    folder.mkdir(parents=True, exist_ok=True)
    env = made.spec.config.env
    platforms = env.platforms or (env.platform,)
    name = made.lock.part.path if made.lock else made.spec.names[0]
    name = _name(name).replace(":", "-")
    found = []
    for platform in platforms:
        label = f"{name}-{platform.replace('/', '-')}" if len(platforms) > 1 else name
        path = folder / f"{label}.tar.zst"
        config = made.spec.config.with_env(platforms=(platform,) if platform else ())
        result = pack(
            config,
            path,
            Packing("tar.zst"),
            cache=means.cache,
            epoch=means.epoch,
            progress=means.progress,
        )
        part = file_part(f"archives/{path.name}", path, result.size, result.sha256)
        found.append(Extra(part, "archive"))
    return found
