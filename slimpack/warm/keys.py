"""What the environment's part of an image follows from, as keys of the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from slimpack.base import Base
from slimpack.cache.memo import digest_of
from slimpack.config import Config
from slimpack.env.locks.lock import Lock
from slimpack.errors import InputError
from slimpack.files import file_digest
from slimpack.warm.closure import depends
from slimpack.warm.code import own_code

FORMAT = 1
"""Raised when what is remembered, or how, is another than before."""


def package_identities(lock: Lock) -> dict[str, str] | None:
    """Return package -> digest of all that the lock says of it, None where that cannot be told.

    The text of the lock is what is installed from; a block of it is one package.
    """
    blocks: dict[str, str] = {}
    section = lock.text.partition("\npackages:\n")[2]
    for block in f"\n{section}".split("\n- ")[1:]:
        kind, _, rest = block.partition(": ")
        if kind == "conda":
            blocks[_tail(rest.partition("\n")[0].strip())] = block.strip()
    found = {}
    for package in lock.packages:
        block = blocks.get(_tail(package.url), "")
        if not package.sha256 or package.sha256 not in block:
            return None
        found[package.name] = hashlib.sha256(block.encode()).hexdigest()
    return found


def _tail(url: str) -> str:
    return "/".join(url.rsplit("/", 2)[1:])


def environment_key(
    config: Config,
    base: Base,
    prefix: str,
    subdir: str,
    engine: str,
    variables: Sequence[tuple[str, str]],
    notes: Sequence[str],
    files: Sequence[str],
) -> str:
    """Return what the part follows from beside packages and application.

    subdir: conda's. engine: name of what installs. variables, notes: of the specification.
    files: see `slim_files`.
    """
    env = config.env
    return digest_of(
        FORMAT,
        own_code(),
        [subdir, prefix, engine],
        [base.image.config_digest, base.prefix, base.gpu],
        [env.cuda, list(env.allow_cpu), env.cuda_compat],
        _slim(config, files),
        list(config.image.allow_build_paths),
        [list(pair) for pair in variables],
        list(notes),
    )


def slim_files(config: Config) -> list[str]:
    """Return the digests of files with rules and traces; InputError for what cannot be read."""
    return [_content(path) for path in (*config.slim.rules, *config.slim.trace)]


def _slim(config: Config, files: Sequence[str]) -> dict[str, Any]:
    count = len(config.slim.rules)
    found = {**asdict(config.slim), "rules": files[:count], "trace": files[count:]}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in found.items()}


def _content(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


def part_key(environment: str, packages: Mapping[str, str]) -> str:
    """Return the key of the part that these packages give."""
    return digest_of(environment, sorted(packages.items()))


def family_key(environment: str, lock: Lock) -> str:
    """Return the key that parts share whose packages have the same names and needs.

    Some rules of slimming spare what depends on certain packages.
    """
    needs = depends(lock)
    return digest_of(environment, [[name, sorted(needs[name])] for name in sorted(needs)])
