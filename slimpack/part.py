"""The environment's share of an image: its files in their last form, and what is known of them.

It does not depend on the application but for what slimming asked that, and on no layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from slimpack.cache import Cache
from slimpack.env.activation import Activation
from slimpack.result import Slimmed
from slimpack.slim.bytecode import BytecodeReport
from slimpack.tree import Tree
from slimpack.verify.prefixes import forbidden_paths


@dataclass(frozen=True)
class Part:
    """What an environment gives to an image.

    tree: its files; each has an identity, and whoever reads one looks for build paths.
    titles: owner -> what its layer is called. packages, pypi: how many of each.
    cuda: version of CUDA that it brings, "" for none.
    source, engine: as `slimpack.result.BuildResult` has them.
    placeholders: build prefixes that its packages declare, and no file may name.
    devices: the only ones whose GPU code stayed, where any code went.
    """

    tree: Tree
    activation: Activation
    titles: Mapping[str, str]
    packages: int
    pypi: int
    cuda: str
    source: str
    engine: str
    placeholders: tuple[str, ...]
    bytecode: BytecodeReport
    slimmed: Slimmed
    devices: tuple[int, ...]
    notes: tuple[str, ...]


def build_paths(scratch: Path, cache: Cache, placeholders: Iterable[str]) -> tuple[bytes, ...]:
    """Return what no file of an image may name: where it was built, and placeholders."""
    return forbidden_paths([str(scratch), str(cache.packages)], placeholders)
