"""Decide what each package is made from, what it will be called, and whether it is there already.

Everything here follows from ``packages.toml``, ``channel.lock`` and the builder's own code: no
source has to be downloaded to know that nothing is to be done.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path

from packaging.utils import parse_wheel_filename

from benchmarks.channel.errors import ChannelError
from benchmarks.channel.generated import source_files
from benchmarks.channel.lock import Lock, LockedFile
from benchmarks.channel.names import debian_to_conda_version
from benchmarks.channel.recipes import Channel, Noarch, Platform, Recipe

# Libraries that the interpreter itself is linked to: needed to run it before it is installed.
INTERPRETER_DEBS = ("zlib1g", "libexpat1")

# Modules whose code shapes every package; those of single kinds are added per kind.
_COMMON_CODE = ("conda_format", "container", "make", "plan", "names")
_KIND_CODE = {
    "wheel": ("wheel", "bytecode", "elf"),
    "cuda": ("cuda", "wheel", "native", "elf"),
    "debian": ("native", "deb", "elf"),
    "python": ("cpython", "frozen", "native", "deb", "elf", "unpatch", "bytecode"),
    "python-source": ("source", "native", "deb", "elf", "bytecode"),
    "generated": ("generated",),
}


@dataclass(frozen=True)
class Plan:
    """One package to make: its identity, its sources and the key under which it is cached."""

    recipe: Recipe
    version: str
    build: str
    noarch: Noarch | None
    subdir: str
    key: str
    wheels: Mapping[str, LockedFile]
    debs: tuple[LockedFile, ...]
    source: tuple[LockedFile, ...]

    @property
    def file_name(self) -> str:
        """The name of the package file."""
        return f"{self.recipe.package_name}-{self.version}-{self.build}.conda"

    @property
    def place(self) -> str:
        """Where the package lies in the channel."""
        return f"{'noarch' if self.noarch else self.subdir}/{self.file_name}"

    @property
    def needs_interpreter(self) -> bool:
        """Whether ``.pyc`` files are compiled for it."""
        return self.recipe.kind in {"python", "python-source"} or self.is_arch_wheel

    @property
    def is_slow(self) -> bool:
        """Whether making it takes minutes."""
        return self.recipe.kind == "python-source"

    @property
    def option(self) -> str:
        """What has to be asked for to get it: "full", a group, or "" for nothing."""
        return "full" if self.is_slow else self.recipe.group

    @property
    def is_arch_wheel(self) -> bool:
        """Whether it is made from a wheel with compiled modules."""
        return self.recipe.kind == "wheel" and self.noarch is None


def make_plans(channel: Channel, lock: Lock, platform: Platform, *, full: bool) -> list[Plan]:
    """Plans for the whole channel, sorted by name; ``full`` adds what takes long to build."""
    python = make_plan(channel.by_name()["python"], channel, lock, platform)
    plans = []
    for recipe in channel.recipes:
        if recipe.kind == "python-source" and not full:
            continue
        plan = make_plan(recipe, channel, lock, platform)
        if plan.is_arch_wheel or plan.is_slow:
            # Their .pyc files come from the packaged interpreter.
            plan = replace(plan, key=digest([plan.key, python.key]))
        plans.append(plan)
    names = [plan.place for plan in plans]
    for name in names:
        if names.count(name) > 1:
            raise ChannelError(f"packages.toml: two recipes make {name}")
    return sorted(plans, key=lambda plan: plan.file_name)


def make_plan(recipe: Recipe, channel: Channel, lock: Lock, platform: Platform) -> Plan:
    """Collect the sources of one recipe and derive version, build string and key from them."""
    wheels: dict[str, LockedFile] = {}
    debs = tuple(lock.deb(name) for name in recipe.packages)
    source: tuple[LockedFile, ...] = ()
    noarch: Noarch | None = recipe.noarch or None
    version, label = recipe.version, ""
    if recipe.kind in {"wheel", "cuda"}:
        pin = lock.wheel(recipe.wheel_key)
        wheels = {recipe.wheel_key: pin}
        version, _, local = pin.version.partition("+")
        label = recipe.variant or local
    if recipe.kind == "wheel":
        noarch = "python" if is_pure(pin) else None
    elif recipe.version_of:
        version = make_plan(channel.by_name()[recipe.version_of], channel, lock, platform).version
    elif debs and not recipe.source:
        version = version or debian_to_conda_version(debs[0].version)
    if recipe.source:
        # The binary variant only needs Debian's changes; upstream's archive is large.
        whole = recipe.kind == "python-source"
        mark = ".orig." if whole else ".debian."
        source = tuple(pin for pin in lock.source(recipe.source) if mark in pin.name)
        version = version or debian_to_conda_version(source[0].version)
    pins = [asdict(pin) for pin in (*wheels.values(), *debs, *source)]
    texts = {p.name: digest_bytes(p.read_bytes()) for p in source_files(recipe)}
    content = [stated(recipe), version, pins, texts, channel.python, platform.subdir]
    return Plan(
        recipe=recipe,
        version=version,
        build=recipe.build or build_string(recipe, noarch, channel.python, digest(content), label),
        noarch=noarch,
        subdir=platform.subdir,
        key=digest([content, code_digest(recipe.kind)]),
        wheels=wheels,
        debs=debs,
        source=source,
    )


def stated(recipe: Recipe) -> dict[str, object]:
    """Return what a recipe says of its package: a key that others begin to use moves it not."""
    return {
        item.name: getattr(recipe, item.name)
        for item in fields(recipe)
        if item.name != "group" and getattr(recipe, item.name) not in (item.default, {})
    }


def is_pure(pin: LockedFile) -> bool:
    """Whether a wheel runs on any platform, by its file name."""
    return all(tag.platform == "any" for tag in parse_wheel_filename(pin.name)[3])


def build_string(
    recipe: Recipe, noarch: Noarch | None, python: str, content: str, label: str = ""
) -> str:
    """conda-forge's forms: ``py311h<hash>_0``, ``pyh<hash>_0``, ``h<hash>_0_cpython``.

    ``label`` is the local part of a wheel's version (PEP 440): ``2.13.0+cpu`` gives version 2.13.0
    and ``cpu_py311h<hash>_0``, as conda-forge names the variants of PyTorch.
    """
    start = {"python": "py", None: ""}.get(noarch, "")
    if recipe.kind == "wheel" and noarch is None:
        start = f"py{python.replace('.', '')}"
    start = f"{label}_{start}" if label else start
    end = "_cpython" if recipe.kind in {"python", "python-source"} else ""
    return f"{start}h{content[:7]}_{recipe.build_number}{end}"


def digest(value: object) -> str:
    """Return a hash of plain data."""
    return digest_bytes(json.dumps(value, sort_keys=True).encode())


def digest_bytes(data: bytes) -> str:
    """SHA-256, in hex."""
    return hashlib.sha256(data).hexdigest()


@cache
def code_digest(kind: str) -> str:
    """Return a hash of the builder's code that shapes packages of a kind."""
    modules: Iterable[str] = sorted({*_COMMON_CODE, *_KIND_CODE[kind]})
    folder = Path(__file__).parent
    return digest([digest_bytes((folder / f"{name}.py").read_bytes()) for name in modules])
