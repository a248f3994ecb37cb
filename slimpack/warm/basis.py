"""The base of an image, as an earlier build assembled it.

A runtime of Debian's follows from its file and from the Releases that are believed now;
verifying these, and reading all packages again, would find the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from slimpack.base import Base, assemble
from slimpack.cache.kinds import BASE
from slimpack.cache.memo import MALFORMED, digest_of
from slimpack.config import Config
from slimpack.debian.model import ResolvedPackage
from slimpack.errors import SlimpackError
from slimpack.means import Means
from slimpack.oci.rootfs import Placed
from slimpack.oci.untar import Member
from slimpack.platforms import here
from slimpack.warm.code import own_code
from slimpack.warm.identity import base_identity
from slimpack.warm.images import image_from_json, image_to_json


def basis(config: Config, platform: str, means: Means, *, warm: bool) -> Base:
    """Return the base that `config` names; see `slimpack.base.assemble`.

    warm: as an earlier build knew it, if all its layers are in the cache.
    """
    if warm and (known := _known(config, platform, means)):
        return known
    before = _key(config, platform, means)
    base = assemble(
        config,
        platform,
        cache=means.cache,
        layers=means.layers,
        epoch=means.epoch,
        compression=means.compression,
        progress=means.progress,
        registries=means.registries,
    )
    key = _key(config, platform, means)
    if key and before in (None, key):  # else another build has asked Debian anew meanwhile
        with suppress(ValueError):  # a layer whose size nobody knows
            means.memos.put(BASE, key, json.dumps(_to_json(base)).encode())
    return base


def _key(config: Config, platform: str, means: Means) -> str | None:
    with suppress(OSError, SlimpackError):
        identity = base_identity(config, (platform or here(),), means.cache)
        if identity is not None:
            how = means.compression
            settings = [means.epoch, how.key, sorted(how.first), platform]
            return digest_of(own_code(), identity, settings)
    return None


def _known(config: Config, platform: str, means: Means) -> Base | None:
    key = _key(config, platform, means)
    data = means.memos.get(BASE, key) if key else None
    if data is None:
        return None
    with suppress(*MALFORMED):
        return _from_json(json.loads(data), means)
    return None


def _to_json(base: Base) -> dict[str, Any]:
    return {
        "image": image_to_json(base.image),
        "glibc": base.glibc,
        "prefix": base.prefix,
        "user": base.user,
        "view": [
            [path, _row(one.member), one.layer, _row(one.target) if one.target else None]
            for path, one in base.view.items()
        ],
        "gpu": base.gpu,
        "env": base.env,
        "notes": base.notes,
        "reference": base.reference,
        "debian": [asdict(package) for package in base.debian],
    }


def _row(member: Member) -> list[Any]:
    return [
        *(member.path, member.kind, member.mode, member.uid, member.gid, member.size),
        *(member.offset, member.link, member.mtime, member.name),
    ]


def _from_json(value: Mapping[str, Any], means: Means) -> Base | None:
    image = image_from_json(value["image"], means.layers)
    if image is None:
        return None
    return Base(
        image=image,
        glibc=value["glibc"],
        prefix=value["prefix"],
        user=value["user"],
        view={
            path: Placed(Member(*member), layer, Member(*target) if target else None)
            for path, member, layer, target in value["view"]
        },
        gpu=value["gpu"],
        env=tuple((name, text) for name, text in value["env"]),
        notes=tuple(value["notes"]),
        reference=value["reference"],
        debian=tuple(ResolvedPackage(**package) for package in value["debian"]),
    )
