"""Builds that nothing has changed since: the image of the last one, told without a look.

The key covers all that a build reads: the configuration with its flags, a lock, the
application and every other file it names, what the base is made of, and our own code. So
there is none for a specification, which has to be solved to know what it comes to.
This is imported before the rest of a build, most of which it saves.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

from slimpack import app
from slimpack.cache.folders import Cache
from slimpack.cache.layers import LayerCache
from slimpack.cache.memo import Memo, digest_of
from slimpack.cache.record import LayerRecord, record_of
from slimpack.config import Config
from slimpack.errors import ImageError, SlimpackError
from slimpack.oci.image import Image
from slimpack.oci.jsontext import parse_object
from slimpack.oci.layer import Source
from slimpack.oci.parse import parse_image
from slimpack.platforms import here
from slimpack.reading import unchanging
from slimpack.result import BuildResult
from slimpack.runtimes import Runtime, load_runtime
from slimpack.tree import Kind
from slimpack.warm.code import own_code
from slimpack.warm.kinds import WHOLE
from slimpack.warm.restore import restored

_FORMAT = 1
_DAY = 86_400.0  # as long as a Release of Debian's is believed (`slimpack.debian.base.DAY`)


@dataclass(frozen=True)
class Whole:
    """What a build came to: its images, and what was told of each."""

    images: tuple[Image, ...]
    results: tuple[BuildResult, ...]


def whole_key(config: Config, epoch: int, cache: Cache) -> str | None:
    """Return by what a build is remembered, None where that cannot be told.

    Reads the files that the build would read, and raises nothing because of them: the
    build itself does.
    """
    if config.env.lock is not None or len(config.env.inputs) != 1:
        return None
    try:
        base = _base(config, cache)
        contents = list(_contents(config))
    except (OSError, SlimpackError):
        return None
    if base is None:
        return None
    return digest_of(
        _FORMAT,
        own_code(),
        epoch,
        here(),
        shutil.which("micromamba") or "",
        base,
        contents,
        _plain(asdict(config)),
    )


def recall_whole(key: str, layers: LayerCache, memos: Memo) -> Whole | None:
    """Return what the build with that key came to, if all its layers are here."""
    data = memos.get(WHOLE, key)
    if data is None:
        return None
    with suppress(ValueError, KeyError, TypeError, AttributeError, ImageError):
        value = json.loads(data)
        images = tuple(_image(one, layers) for one in value["images"])
        results = tuple(restored(BuildResult, one["result"]) for one in value["images"])
        if all(layers.has(record_of(layer)) for image in images for layer in image.layers):
            return Whole(images, results)
    return None


def remember_whole(key: str, whole: Whole, memos: Memo) -> None:
    """Keep what a build came to."""
    with suppress(ValueError):  # a layer whose size nobody knows
        value = [
            {
                "manifest": image.manifest_json.decode(),
                "type": image.manifest_type,
                "config": image.config_json.decode(),
                "layers": [[one.name, asdict(record_of(one))] for one in image.layers],
                "result": asdict(result),
            }
            for image, result in zip(whole.images, whole.results, strict=True)
        ]
        memos.put(WHOLE, key, json.dumps({"images": value}).encode())


def _image(value: Mapping[str, Any], layers: LayerCache) -> Image:
    manifest, config = value["manifest"].encode(), value["config"].encode()
    known = [(name, LayerRecord(**record)) for name, record in value["layers"]]

    def source(digest: str, size: int) -> Source:
        path = layers.blobs.path(digest)
        return lambda: path.open("rb")

    image = parse_image(manifest, parse_object(manifest, "manifest"), value["type"], config, source)
    return Image(
        layers=tuple(
            record.layer(name, layer.source)
            for (name, record), layer in zip(known, image.layers, strict=True)
        ),
        config=image.config,
        history=image.history,
        annotations=image.annotations,
        raw_config=config,
        raw_manifest=manifest,
        manifest_type=image.manifest_type,
    )


def _base(config: Config, cache: Cache) -> list[Any] | None:
    """Return what the base follows from, None for one that may be another now."""
    runtime = load_runtime(config.image.runtime)
    said = _plain(asdict(runtime))
    reference = config.image.base or runtime.image
    if reference:
        return [said, reference] if "@sha256:" in reference else None
    if runtime.debian is None:
        return None
    releases = _releases(runtime, config, cache)
    return [said, *releases] if releases else None


def _releases(runtime: Runtime, config: Config, cache: Cache) -> list[str]:
    """Return the digests of the Releases that are believed now, [] when one is too old."""
    source = runtime.debian
    assert source is not None
    platforms = config.env.platforms or (config.env.platform or here(),)
    if all(platform in source.pins for platform in platforms):
        return ["pinned"]
    found = []
    for suite in source.suites:
        path = cache.debian / "release" / suite
        if not 0 <= time.time() - path.stat().st_mtime < _DAY:
            return []
        found.append(_digest(path))
    return found


def _contents(config: Config) -> Iterator[list[Any]]:
    """Yield what the files hold that the configuration names."""
    (text,) = config.env.inputs
    for path in (Path(text), *config.slim.rules, *config.slim.trace):
        yield [str(path), _digest(path)]
    for entry in app.collect(config.app):
        identity = unchanging(entry).identity if entry.kind is Kind.FILE else entry.link
        yield [entry.path, entry.kind.value, entry.mode, identity]
    if config.app.prepare:  # what is not packed may be read, too
        for rule in config.app.copy:
            for folder, folders, files in os.walk(rule.source):
                folders.sort()
                for name in sorted(files):
                    path = Path(folder, name)
                    yield [str(path), _digest(path) if path.is_file() else ""]


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        value = hashlib.sha256()
        while data := stream.read(1 << 20):
            value.update(data)
    return value.hexdigest()


def _plain(value: Any) -> Any:
    """Return data as JSON has it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    return str(value) if isinstance(value, Path) else value
