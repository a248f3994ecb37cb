"""Read ``packages.toml``: what the channel holds. Adding a package is adding a line there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from packaging.utils import canonicalize_name

from benchmarks.channel.conda_format import COMPRESSION_LEVEL
from benchmarks.channel.errors import ChannelError
from slimpack.errors import InputError
from slimpack.toml import read_toml

RECIPES_FILE = Path(__file__).with_name("packages.toml")

Noarch = Literal["python", "generic"]
Kind = Literal["wheel", "cuda", "debian", "python", "python-source", "generated"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Platform:
    """Where the packages run, in the words of conda, Debian and Python."""

    subdir: str
    debian_arch: str
    multiarch: str
    machine: str

    @property
    def wheel_tags(self) -> tuple[str, ...]:
        """Platform tags of wheels that run on glibc 2.36, the newest first."""
        newer = [f"manylinux_2_{minor}_{self.machine}" for minor in range(36, 4, -1)]
        legacy = [f"{name}_{self.machine}" for name in ("manylinux2014", "manylinux2010")]
        return (*newer, *legacy, f"manylinux1_{self.machine}", f"linux_{self.machine}")


LINUX_64 = Platform("linux-64", "amd64", "x86_64-linux-gnu", "x86_64")
LINUX_AARCH64 = Platform("linux-aarch64", "arm64", "aarch64-linux-gnu", "aarch64")
# The first is the one that the channel is made on and whose noarch packages serve all.
PLATFORMS = (LINUX_64, LINUX_AARCH64)


@dataclass(frozen=True)
class Recipe:
    """One package of the channel; the fields after ``level`` belong to single kinds."""

    name: str
    kind: Kind
    # The package's name where a second recipe makes it too: "pytorch" for the key "pytorch-cuda".
    package: str = ""
    # Made only when this group is asked for; "" is always made.
    group: str = ""
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    # "{version}" stands for the version of the package itself.
    run_exports: tuple[str, ...] = ()
    build_number: int = 0
    license: str = ""
    summary: str = ""
    # Libraries that the files need and that no dependency is made for: optional parts.
    unresolved: tuple[str, ...] = ()
    # zstd's level; low for packages of hundreds of megabytes
    level: int = COMPRESSION_LEVEL
    # wheel, cuda: the name and the version wanted on the package index, extras to follow
    pypi: str = ""
    require: str = ""
    extras: tuple[str, ...] = ()
    # wheel: what its build string begins with, where the version of the wheel does not tell
    variant: str = ""
    # wheel: requirements that do not count, because others stand for them; "*" as in file names
    without: tuple[str, ...] = ()
    # debian: binary packages
    packages: tuple[str, ...] = ()
    # debian, cuda: where files go, what is left out, libraries for others
    files: Mapping[str, str] = field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    sonames: tuple[str, ...] = ()
    # debian: files put together; debian, generated: links; debian, wheel: texts
    concat: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    text: Mapping[str, str] = field(default_factory=dict)
    # python: Debian's source package, whose changes to the library are taken back
    source: str = ""
    unpatch: tuple[str, ...] = ()
    # debian, cuda, generated: fixed where it does not come from the sources
    version: str = ""
    build: str = ""
    noarch: Literal["", "python", "generic"] = ""
    # generated: the package whose version it takes, a folder below recipes/, C programs there
    version_of: str = ""
    folder: str = ""
    programs: tuple[str, ...] = ()

    @property
    def package_name(self) -> str:
        """The name of the package that it makes."""
        return self.package or self.name

    @property
    def wheel_key(self) -> str:
        """Its wheel's name in ``channel.lock``; a second version of a project has a name apart."""
        return canonicalize_name(self.name if self.package else self.pypi or self.name)


@dataclass(frozen=True)
class Channel:
    """The whole of ``packages.toml``."""

    suite: str
    python: str
    tools: Mapping[str, str]
    recipes: tuple[Recipe, ...]
    # What is made only when asked for: names and what each is for.
    groups: Mapping[str, str] = field(default_factory=dict)
    # Groups whose packages depend on those of other groups.
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def with_needs(self, options: Collection[str]) -> set[str]:
        """Return some options of a build, and the groups that these need."""
        return {*options, *(need for option in options for need in self.needs.get(option, ()))}

    def on(self, platform: Platform) -> Channel:
        """Return what is made for a platform: on others than the first, no group and no program.

        Groups are big, and programs of ours would need a compiler for that platform.
        """
        if platform == PLATFORMS[0]:
            return self
        recipes = tuple(
            recipe
            for recipe in self.recipes
            if not recipe.group and not recipe.programs and recipe.kind != "python-source"
        )
        return replace(self, tools={}, recipes=recipes, groups={}, needs={})

    def by_name(self) -> dict[str, Recipe]:
        """Recipes by their keys; the quick variant of Python stands for both."""
        return {r.name: r for r in self.recipes if r.kind != "python-source"}

    def of_kind(self, *kinds: Kind) -> tuple[Recipe, ...]:
        """Return the recipes of some kinds."""
        return tuple(recipe for recipe in self.recipes if recipe.kind in kinds)


def load_channel(path: Path = RECIPES_FILE) -> Channel:
    """Read and check the recipes file."""
    try:
        table = read_toml(path)
    except InputError as problem:
        raise ChannelError(f"cannot read {problem.message}") from problem
    return parse_channel(table)


def parse_channel(table: Mapping[str, Any]) -> Channel:
    """Turn the parsed TOML into recipes; unknown keys are errors."""
    unknown = set(table) - {"channel", "groups", "needs", "tools", *KINDS}
    if unknown:
        raise ChannelError(f"packages.toml: unknown kind [{min(unknown)}], known: {KINDS}")
    recipes = [
        parse_recipe(kind, name, entry)
        for kind in KINDS
        for name, entry in table.get(kind, {}).items()
    ]
    settings, groups = table["channel"], table.get("groups", {})
    for recipe in recipes:
        if recipe.group and recipe.group not in groups:
            raise ChannelError(
                f"packages.toml: {recipe.name} is in group {recipe.group!r}, "
                f"known: {', '.join(groups) or 'none'}"
            )
    needs = {group: tuple(others) for group, others in table.get("needs", {}).items()}
    for group in {*needs, *(other for others in needs.values() for other in others)}:
        if group not in groups:
            raise ChannelError(f"packages.toml: [needs] names {group!r}, which is no group")
    return Channel(
        settings["suite"], settings["python"], table.get("tools", {}), tuple(recipes), groups, needs
    )


def parse_recipe(kind: Kind, name: str, table: Mapping[str, Any]) -> Recipe:
    """One table of ``packages.toml``."""
    known = {f.name: f for f in fields(Recipe) if f.name not in {"name", "kind"}}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            raise ChannelError(f"packages.toml: [{kind}.{name}] has an unknown key {key!r}")
        values[key] = tuple(value) if isinstance(value, list) else value
    return Recipe(name=name, kind=kind, **values)
