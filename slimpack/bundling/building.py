"""Building what is to go into a bundle and is no image yet, as ``slimpack build`` does it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slimpack.bundle.contents import Extra, Part
from slimpack.bundling.arguments import Argument
from slimpack.cache import Cache
from slimpack.env.inputs.text import MAX_LOCK_BYTES, read_text
from slimpack.env.redact import redacted
from slimpack.oci.names import canonical_name, familiar_name
from slimpack.outputs import Outputs
from slimpack.progress import Progress

# Most bundles are made of what is there; what builds is imported by those that need it.
if TYPE_CHECKING:
    from slimpack.config import Config
    from slimpack.env.locks.lock import Lock
    from slimpack.result import Built


@dataclass(frozen=True)
class Means:
    """How it is built. documents: names of `slimpack.attestation.FORMS`. epoch: see `build`."""

    cache: Cache
    progress: Progress
    epoch: int
    documents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Spec:
    """Something to build, and the full names that its image gets."""

    text: str
    config: Config
    names: tuple[str, ...]


def spec_of(argument: Argument, platforms: Sequence[str], names: Sequence[str]) -> Spec:
    """Return what an argument says is to be built; nothing is read but the configuration.

    names: instead of those of the configuration, where there are any. platforms: likewise.
    Raises InputError for a configuration that is wrong.
    """
    from slimpack.config_file import find_config, read_config
    from slimpack.deliver import references

    if argument.kind == "configuration":
        config = read_config(argument.path)
        if not config.env.inputs:
            config = config.with_env(inputs=(str(argument.path),))
    else:
        config = find_config(Path()).with_env(inputs=(argument.text,))
    config = config.with_env(platforms=tuple(platforms) or None)
    if names:
        config = config.with_image(references=tuple(names))
    return Spec(argument.text, config, tuple(map(canonical_name, references(config.image))))


@dataclass(frozen=True)
class Made:
    """What was built. layout: of the image. lock: as a file of the bundle.

    locks: the same, one for each platform. There is none of an environment that was there
    already.
    """

    spec: Spec
    layout: Path
    lock: Extra | None
    locks: tuple[Lock, ...]


def built(spec: Spec, folder: Path, means: Means) -> Made:
    """Build an image below `folder`. Raises what `build` does."""
    from slimpack.build import build

    layout = folder / "image"
    result = build(
        spec.config,
        Outputs(paths=(f"{layout}/",), documents=means.documents),
        cache=means.cache,
        progress=means.progress,
        epoch=means.epoch,
    )
    for note in (*(note for one in result.images for note in one.notes), *result.notes):
        means.progress.note(f"{spec.text}: {note}")
    text = _lock(spec.config, result, folder)
    lock = Extra(Part.of(lock_path(spec.names), text), "lock") if text else None
    return Made(spec, layout, lock, result.locks)


def lock_path(names: Sequence[str]) -> str:
    """Return where the lock of an image lies in a bundle, by the first of its names."""
    name = familiar_name(names[0]) if names else "image"
    return f"locks/{re.sub('[^A-Za-z0-9._-]', '-', name)}.pixi.lock"


def _lock(config: Config, result: Built, folder: Path) -> bytes:
    """Return the lock that the image was built from, as pixi writes them; b"" for none."""
    from slimpack.env.inputs.identify import InputKind, identify
    from slimpack.env.locks.files import LockFormat, as_spec, write_locks

    source = identify(config.env.inputs)
    if source.kind is InputKind.LOCK and source.path is not None:
        return redacted(read_text(source.path, limit=MAX_LOCK_BYTES, what="a lock")).encode()
    if not result.locks:
        return b""
    path = folder / "image.pixi.lock"
    write_locks(result.locks, path, LockFormat.RATTLER, as_spec(source, result.locks))
    return path.read_bytes()
