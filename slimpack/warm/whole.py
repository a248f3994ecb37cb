"""Builds that nothing has changed since: the image of the last one, told without a look.

The key covers all that a build reads: the configuration with its flags, a lock, the
application and every other file it names, what the base is made of, and our own code. So
there is none for a specification, which has to be solved to know what it comes to.
This is imported before the rest of a build, most of which it saves.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from slimpack import app
from slimpack.cache.folders import Cache
from slimpack.cache.kinds import WHOLE
from slimpack.cache.layers import LayerCache
from slimpack.cache.memo import MALFORMED, Memo, digest_of
from slimpack.config import Config, VerifyConfig
from slimpack.errors import SlimpackError
from slimpack.files import file_digest
from slimpack.oci.image import Image
from slimpack.platforms import here
from slimpack.reading import unchanging
from slimpack.result import BuildResult
from slimpack.tree import Kind
from slimpack.warm.code import own_code
from slimpack.warm.complete import is_complete
from slimpack.warm.identity import base_identity, plain
from slimpack.warm.images import image_from_json, image_to_json
from slimpack.warm.restore import restored

_FORMAT = 1


@dataclass(frozen=True)
class Whole:
    """What a build came to: its images, and what was told of each."""

    images: tuple[Image, ...]
    results: tuple[BuildResult, ...]

    def is_proven(self, config: VerifyConfig) -> bool:
        """Tell whether another build would prove no more."""
        return all(is_complete(one.verified, config) for one in self.results)


def contents_of(config: Config) -> list[Any] | None:
    """Return what the files hold that a build reads, None where that cannot be told.

    Raises nothing because of them: the build itself does.
    """
    if config.env.lock is not None or len(config.env.inputs) != 1:
        return None
    try:
        return list(_contents(config))
    except (OSError, SlimpackError):
        return None


def whole_key(contents: list[Any] | None, config: Config, epoch: int, cache: Cache) -> str | None:
    """Return by what a build is remembered, None where that cannot be told.

    contents: see `contents_of`. What the base is made of is looked at now: a build may
    have asked Debian anew.
    """
    base = None
    with suppress(OSError, SlimpackError):
        base = base_identity(config, _platforms(config), cache)
    if contents is None or base is None:
        return None
    return digest_of(
        _FORMAT,
        own_code(),
        [epoch, here(), shutil.which("micromamba") or ""],
        base,
        contents,
        plain(asdict(config)),
    )


def recall_whole(key: str, layers: LayerCache, memos: Memo) -> Whole | None:
    """Return what the build with that key came to, if all its layers are here."""
    data = memos.get(WHOLE, key)
    if data is None:
        return None
    with suppress(*MALFORMED):
        value = json.loads(data)
        images = [image_from_json(one["image"], layers) for one in value["images"]]
        results = tuple(restored(BuildResult, one["result"]) for one in value["images"])
        there = tuple(image for image in images if image)
        return Whole(there, results) if len(there) == len(images) else None
    return None


def remember_whole(key: str, whole: Whole, memos: Memo) -> None:
    """Keep what a build came to."""
    with suppress(ValueError):  # a layer whose size nobody knows
        value = [
            {"image": image_to_json(image), "result": asdict(result)}
            for image, result in zip(whole.images, whole.results, strict=True)
        ]
        memos.put(WHOLE, key, json.dumps({"images": value}).encode())


def _platforms(config: Config) -> tuple[str, ...]:
    named = config.env.platforms or (config.env.platform,)
    return tuple(platform or here() for platform in named)


def _contents(config: Config) -> Iterator[list[Any]]:
    """Yield what the files hold that the configuration names."""
    (text,) = config.env.inputs
    for path in (Path(text), *config.slim.rules, *config.slim.trace):
        yield [str(path), file_digest(path)]
    for entry in app.collect(config.app):
        identity = unchanging(entry).identity if entry.kind is Kind.FILE else entry.link
        yield [entry.path, entry.kind.value, entry.mode, identity]
    if config.app.prepare:  # what is not packed may be read, too
        for rule in config.app.copy:
            for folder, folders, files in os.walk(rule.source):
                folders.sort()
                for path in (Path(folder, name) for name in sorted(files)):
                    mode = path.lstat().st_mode
                    yield [str(path), mode, file_digest(path) if path.is_file() else ""]
