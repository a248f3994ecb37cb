"""What the user wants, as frozen dataclasses; `slimpack.config_file` reads them from TOML.

The reference of all keys, with an example, is docs/configuration.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from slimpack.sizes import Growth

MAX_PREFIX_LENGTH = 80
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._+-]+)+\Z")
_VERSION = re.compile(r"[0-9]+\.[0-9]+\Z")
Compression = Literal["zstd", "gzip", "none", "zstd:chunked", "estargz"]
COMPRESSIONS: tuple[Compression, ...] = ("zstd", "gzip", "none", "zstd:chunked", "estargz")
LAZY = ("zstd:chunked", "estargz")
"""Those whose files can be read one by one, and so be put in the order of a start."""

DEFAULT_PROFILE = "safe"
"""How images are slimmed."""

DEFAULT_EPOCH = 315_532_800
"""Date of an image's files, in seconds; zip files and some tools know none before 1980."""

DEFAULT_GLIBC = "2.28"
"""Offered to the solver where no base says it: what conda-lock assumes, and old enough
for the systems that are still in use (RHEL 8, Debian 10, Ubuntu 20.04)."""

PRIORITIES = ("strict", "disabled")
SANDBOXES = ("auto", "bubblewrap", "unshare", "podman", "docker", "none")


@dataclass(frozen=True)
class EnvConfig:
    """``[env]``: which packages.

    inputs: one file or folder, or match specs (`slimpack.env.inputs.identify`).
    channels: replace those of the spec file when not empty.
    platform: "" for the input's own, or this machine's. platforms: of an index, in its order;
        used instead of `platform` when not empty.
    cuda: version offered to the solver as ``__cuda``, and the only one that it may take of
        ``cuda-version``; "" for none.
    allow_cpu: globs of packages whose CPU builds are wanted all the same.
    cuda_compat: add NVIDIA's compatibility libraries, for drivers of older major versions.
    glibc: version offered as ``__glibc``, "" for that of the base.
    lock: where the solved environment is written, None for nowhere.
    environment: which of a pixi.lock. categories: which of a conda-lock.yml.
    accept_changes: globs of paths below an existing prefix whose changes are wanted.
    packages_from: folders whose packages and wheels are taken, by digest, before any is fetched.
    """

    inputs: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    channel_priority: str = "strict"
    platform: str = ""
    platforms: tuple[str, ...] = ()
    cuda: str = ""
    allow_cpu: tuple[str, ...] = ()
    cuda_compat: bool = False
    glibc: str = ""
    lock: Path | None = None
    engine: str = "auto"
    environment: str = "default"
    categories: tuple[str, ...] = ("main",)
    accept_changes: tuple[str, ...] = ()
    packages_from: tuple[Path, ...] = ()


@dataclass(frozen=True)
class ImageConfig:
    """``[image]``: where they go and how the image is run.

    references: NAME:TAG as flags give them; used instead of `name` and `tags`.
    prefix, user, workdir: "" for what the runtime says.
    base: an image instead of the runtime's base, a path or a reference in a registry.
    layers: at most so many layers above the base.
    max_layer_size: bytes of files; larger groups are split.
    compression_level: None for the compressor's default.
    allow_build_paths: globs of image paths in which build paths are harmless.
    """

    runtime: str = "distroless"
    base: str | None = None
    prefix: str = ""
    name: str = ""
    tags: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    workdir: str = ""
    user: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    expose: tuple[str, ...] = ()
    layers: int = 24
    max_layer_size: int = 8 * 10**9
    compression: Compression = "zstd"
    compression_level: int | None = None
    allow_build_paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class CopyRule:
    """``[[app.copy]]``: a file or folder that goes into the image.

    source: on disk; target: absolute in the image; ignore: patterns as in .gitignore.
    """

    source: Path
    target: str
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True)
class AppConfig:
    """``[app]``: the application.

    prepare: a command that the environment's own programs run in a copy of the
        application's files before they are packed, () for none.
    """

    prepare: tuple[str, ...] = ()
    copy: tuple[CopyRule, ...] = ()


@dataclass(frozen=True)
class PackConfig:
    """``[pack]``: a portable archive.

    dest_prefix: where it will be unpacked, "" for anywhere (with conda-unpack).
    arcroot: folder inside the archive, "" for none.
    exclude, include: globs of paths below the prefix; what `include` names stays.
    bytecode: whether every source file gets bytecode.
    allow_build_paths: globs of paths (``/share/x``) in which build paths are harmless.
    """

    dest_prefix: str = ""
    arcroot: str = ""
    exclude: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    bytecode: bool = True
    allow_build_paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class PackageSlimming:
    """``[slim.packages.NAME]``: globs of paths below the prefix, for files of one package."""

    name: str
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


@dataclass(frozen=True)
class SlimConfig:
    """``[slim]``: what is left out (docs/slimming.md).

    profile: "" for the command's own: safe for images, none for archives.
    keep, drop: globs of paths below the prefix; keep wins over every rule and drop.
    disable: names of rules that shall not count. rules: files with more rules.
    drop_packages: conda or pip packages that shall go as a whole; names, with globs.
    trace: files with what a workload opened (`slimpack trace`), for the profile traced, and
        for what comes first in layers that are `LAZY`.
    gpu_arch: the only architectures whose GPU code stays (``sm_90``), () for all.
    gpu_ptx: with those, all code stays that drivers compile for newer devices.
    """

    profile: str = ""
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()
    rules: tuple[Path, ...] = ()
    drop_packages: tuple[str, ...] = ()
    packages: tuple[PackageSlimming, ...] = ()
    trace: tuple[Path, ...] = ()
    gpu_arch: tuple[str, ...] = ()
    gpu_ptx: bool = False


@dataclass(frozen=True)
class SmokeTest:
    """``[[verify.smoke]]``: a command that must succeed in the image.

    timeout: seconds. gpu: it needs a GPU; without one here, that is told.
    """

    command: tuple[str, ...]
    timeout: int = 300
    gpu: bool = False


@dataclass(frozen=True)
class VerifyConfig:
    """``[verify]``: proof that the result works (docs/verify.md).

    enabled: whether a build ends with it. sandbox: how commands are run in an image.
    ignore: names of checks whose findings do not count.
    skip_imports: globs of modules that are not imported by the check.
    """

    enabled: bool = True
    sandbox: str = "auto"
    ignore: tuple[str, ...] = ()
    skip_imports: tuple[str, ...] = ()
    smoke: tuple[SmokeTest, ...] = ()


@dataclass(frozen=True)
class DebianConfig:
    """``[debian]``: mirrors for runtimes that are assembled from Debian packages."""

    mirror: str = ""
    security_mirror: str = ""


@dataclass(frozen=True)
class BudgetConfig:
    """``[budget]``: how large an image may be; None for no limit (docs/ci.md).

    of: the image that is checked where none is named, a path or a reference. against: an
    image, or the JSON of a report on one, that it is compared with.
    image, layer: compressed bytes. unpacked: bytes of all files. files, layers: how many.
    max_growth: of the compressed size, beyond that of `against`.
    packages: (name or glob, unpacked bytes) in the order of the file.
    """

    of: str | None = None
    image: int | None = None
    unpacked: int | None = None
    layer: int | None = None
    files: int | None = None
    layers: int | None = None
    against: str | None = None
    max_growth: Growth | None = None
    packages: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Config:
    """All of it. `folder` is what relative paths were relative to."""

    folder: Path
    env: EnvConfig = field(default_factory=EnvConfig)
    image: ImageConfig = field(default_factory=ImageConfig)
    app: AppConfig = field(default_factory=AppConfig)
    pack: PackConfig = field(default_factory=PackConfig)
    slim: SlimConfig = field(default_factory=SlimConfig)
    verify: VerifyConfig = field(default_factory=VerifyConfig)
    debian: DebianConfig = field(default_factory=DebianConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)

    def with_env(self, **changes: Any) -> Config:
        """Return the configuration with other values in ``[env]`` (None changes nothing)."""
        return replace(self, env=replace(self.env, **_given(changes)))

    def with_image(self, **changes: Any) -> Config:
        """Return the configuration with other values in ``[image]`` (None changes nothing)."""
        return replace(self, image=replace(self.image, **_given(changes)))

    def with_pack(self, **changes: Any) -> Config:
        """Return the configuration with other values in ``[pack]`` (None changes nothing)."""
        return replace(self, pack=replace(self.pack, **_given(changes)))

    def with_slim(self, **changes: Any) -> Config:
        """Return the configuration with other values in ``[slim]`` (None changes nothing)."""
        return replace(self, slim=replace(self.slim, **_given(changes)))

    def with_verify(self, **changes: Any) -> Config:
        """Return the configuration with other values in ``[verify]`` (None changes nothing)."""
        return replace(self, verify=replace(self.verify, **_given(changes)))

    def with_budget(self, **changes: Any) -> Config:
        """Return the configuration with other values in ``[budget]`` (None changes nothing)."""
        return replace(self, budget=replace(self.budget, **_given(changes)))


def _given(changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if value is not None}


def check_prefix(prefix: str) -> None:
    """Raise ValueError unless `prefix` can be the home of an environment in an image.

    Blanks would break shebang lines, and the kernel cuts those at 127 bytes
    (Linux < 5.1), of which the interpreter's name needs some.
    """
    if not _PREFIX.match(prefix) or "/../" in f"{prefix}/" or "/./" in f"{prefix}/":
        raise ValueError(
            "expected an absolute path of letters, digits and . _ + - such as /opt/env"
        )
    if len(prefix) > MAX_PREFIX_LENGTH:
        raise ValueError(f"longer than {MAX_PREFIX_LENGTH} characters")


def check_version(version: str, example: str) -> None:
    """Raise ValueError unless `version` is MAJOR.MINOR, as virtual packages have it."""
    if not _VERSION.match(version):
        raise ValueError(f"expected a version such as {example!r}, got {version!r}")


def check_arcroot(folder: str) -> None:
    """Raise ValueError unless `folder` is a relative one; slashes around it do not matter."""
    inner = folder.strip("/")
    bad = any(part in ("", ".", "..") for part in inner.split("/")) or not inner.isprintable()
    if inner and bad:
        raise ValueError(f"expected a relative folder such as 'env', got {folder!r}")
