"""What a Dockerfile is made of, as data, before it becomes text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slimpack.dockerfile.patterns import Term
from slimpack.oci.config import ImageConfig

BUILDER_IMAGE = "docker.io/mambaorg/micromamba:2.8.1"
"""Debian with micromamba, by those who make it; the version that slimpack knows best."""
CONDA_PACK = "conda-pack=0.9.2"
DISTROLESS = {
    "bookworm": "gcr.io/distroless/base-nossl-debian12:nonroot",
    "trixie": "gcr.io/distroless/base-nossl-debian13:nonroot",
}
"""Debian's suite -> the image that the runtimes of these names are equal to."""


@dataclass(frozen=True)
class Source:
    """A file or folder of the application.

    path: relative to the context, "" for the context itself. target: where it goes in the
    image, without slashes around it; of a file, its own place. ignore: as in .gitignore.
    """

    path: str
    target: str
    folder: bool
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """All that the Dockerfile says.

    file: the Dockerfile, relative to the context. builder, final: images.
    platform: OCI's; subdir: conda's name for it.
    lock, requirements: files below the context, the second "" where pip installs nothing.
    prefix: where the environment lies, in the builder and in the image.
    python: whether there is one. run: how the image starts, complete.
    sources: in the order of the configuration. prepare: a command, () for none.
    drops: what each slimming rule takes, by its terms; keeps: what stays all the same.
    link: a symbolic link outside of the prefix and where it leads, or ().
    prepare_env: what is set while `prepare` runs, without PATH.
    epoch: of all files' times. notes: what `slimpack build` does beyond, one sentence each.
    """

    file: str
    builder: str
    final: str
    platform: str
    subdir: str
    lock: str
    requirements: str
    prefix: str
    python: bool
    run: ImageConfig
    sources: tuple[Source, ...] = ()
    prepare: tuple[str, ...] = ()
    prepare_env: tuple[tuple[str, str], ...] = ()
    drops: tuple[tuple[str, tuple[Term, ...]], ...] = ()
    keeps: tuple[tuple[Term, ...], ...] = ()
    link: tuple[str, ...] = ()
    epoch: int = 0
    tag: str = ""
    notes: Sequence[str] = ()
