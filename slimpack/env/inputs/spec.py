"""Reading what the user asks for: environment.yml and match specs.

The format is conda's (its docs, "Creating an environment file manually"), with
what mamba (``sel(linux): spec``) and conda-lock (``- spec  # [linux64]``) add.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from slimpack.env.inputs.selectors import chosen, without_other_platforms
from slimpack.env.inputs.text import parse_yaml, read_text, type_name
from slimpack.errors import InputError

# `category` is conda-lock's: to which part of a lock the file belongs.
_KNOWN_KEYS = ("name", "channels", "dependencies", "variables", "platforms", "prefix", "category")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_PACKAGE_FILE = re.compile(r"[^\[\]]+\.(?:conda|tar\.bz2)(?:#[0-9A-Za-z:]+)?\Z")
_MATCH_SPEC = re.compile(
    r"""
    (?: [^\s\[\]=<>!~]+ :: )?              # channel or channel/subdir
    [A-Za-z0-9_] [A-Za-z0-9_.-]*           # name
    (?: \s* [=<>!~\[] .* | \s+ [^\s].* )?  # version, build, [key=value]
    \Z""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class EnvSpec:
    """What an environment shall contain.

    channels: names or URLs, highest priority first.
    specs: match specs as the user wrote them; packages by URL, local ones as ``file:``.
    variables: environment variables that activation sets.
    source: where this was read, for messages.
    pip: the lines of the ``pip:`` section as written (pip's requirements format).
    folder: where relative paths start, None for the current folder.
    platforms: conda subdirs that the file names; () when it does not.
    """

    name: str
    channels: tuple[str, ...]
    specs: tuple[str, ...]
    variables: tuple[tuple[str, str], ...] = ()
    source: str = ""
    pip: tuple[str, ...] = ()
    folder: Path | None = None
    platforms: tuple[str, ...] = ()

    def with_channels(self, channels: tuple[str, ...]) -> EnvSpec:
        """Return the spec with other channels, or as it is when there are none."""
        return replace(self, channels=channels) if channels else self


def read_environment_yml(path: Path, subdir: str = "") -> EnvSpec:
    """Read conda's environment.yml (keys name, channels, dependencies, variables).

    subdir: the conda platform that selectors are resolved for; "" when only such
    selectors are allowed that are the same for every Linux.

    Raises InputError, naming the file and the key or line, for anything that
    is not such a file and for what cannot be honoured.
    """
    text = without_other_platforms(read_text(path), subdir, str(path))
    data = parse_yaml(text, path)
    if not isinstance(data, dict):
        raise InputError(
            f"{path}: expected keys such as 'dependencies:', got {type_name(data)}",
            hint="is this an environment.yml?",
        )
    unknown = sorted(str(key) for key in data if key not in _KNOWN_KEYS)
    if unknown:
        raise InputError(
            f"{path}: unknown key {unknown[0]!r}",
            hint=f"an environment.yml has the keys {', '.join(_KNOWN_KEYS)}",
        )
    return _spec(data, path, subdir)


def _spec(data: Mapping[str, object], path: Path, subdir: str) -> EnvSpec:
    name = data.get("name") or path.stem
    if not isinstance(name, str):
        raise InputError(f"{path}: name: expected a string, got {type_name(name)}")
    specs, pip = _dependencies(data.get("dependencies"), path, subdir)
    return EnvSpec(
        name=name,
        # Not a channel, but conda's word for "not those of my configuration".
        channels=tuple(
            channel
            for channel in _strings(data.get("channels") or [], path, "channels")
            if channel != "nodefaults"
        ),
        specs=specs,
        variables=_variables(data.get("variables") or {}, path),
        source=str(path),
        pip=pip,
        folder=path.parent,
        platforms=tuple(_strings(data.get("platforms") or [], path, "platforms")),
    )


def spec_of(specs: Sequence[str], channels: Sequence[str] = ()) -> EnvSpec:
    """Return a specification of match specs, package URLs and package files.

    Relative paths start in the current folder. Raises InputError for what is neither.
    """
    source = "the command line"
    return EnvSpec(
        name="env",
        channels=tuple(channels),
        specs=tuple(_conda_spec(spec, Path(), f"{source}: {spec!r}") for spec in specs),
        source=source,
        folder=Path(),
    )


def is_package_file(text: str) -> bool:
    """Tell whether this is the path or URL of a conda package rather than a match spec."""
    return "::" not in text and bool(_PACKAGE_FILE.match(text))


def looks_like_match_spec(text: str) -> bool:
    """Tell whether this may be a match spec; the solver's own parser has the last word."""
    return bool(_MATCH_SPEC.match(text))


def _dependencies(
    value: object, path: Path, subdir: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if value is None:
        raise InputError(
            f"{path}: no 'dependencies'", hint="list the packages under 'dependencies:'"
        )
    if not isinstance(value, list):
        raise InputError(f"{path}: dependencies: expected a list, got {type_name(value)}")
    specs: list[str] = []
    pip: tuple[str, ...] | None = None
    for number, item in enumerate(value, 1):
        where = f"{path}: dependencies: item {number}"
        if isinstance(item, dict) and set(item) == {"pip"}:
            if pip is not None:
                raise InputError(
                    f"{where}: a second 'pip:' section",
                    hint="pip resolves all of its packages at once: join the two lists",
                )
            pip = _pip(item["pip"], where)
            continue
        selected = chosen(item, subdir, where) if isinstance(item, dict) else [item]
        for spec in selected:
            if not isinstance(spec, str) or not spec.strip():
                raise InputError(
                    f"{where}: expected a match spec such as 'numpy >=2', got {type_name(spec)}"
                )
            specs.append(_conda_spec(spec.strip(), path.parent, where))
    if not specs:
        raise InputError(f"{path}: dependencies: the list is empty")
    return tuple(specs), pip or ()


def _pip(value: object, where: str) -> tuple[str, ...]:
    if value is None:
        return ()  # every line was for another platform
    if not isinstance(value, list):
        raise InputError(f"{where}: pip: expected a list, got {type_name(value)}")
    lines: list[str] = []
    for number, item in enumerate(value, 1):
        if not isinstance(item, str) or not item.strip():
            raise InputError(
                f"{where}: pip: item {number}: expected a requirement such as 'requests >=2', "
                f"got {type_name(item)}"
            )
        if not item.isprintable():
            raise InputError(f"{where}: pip: item {number}: more than one line of text")
        lines.append(item.strip())
    return tuple(lines)


def _conda_spec(spec: str, folder: Path, where: str) -> str:
    """Return a spec as the solver takes it: local package files become ``file:`` URLs."""
    if not spec.isprintable():
        raise InputError(f"{where}: {spec!r} has characters that no match spec has")
    if not is_package_file(spec):
        if "://" in spec and "::" not in spec and "[" not in spec:
            raise InputError(
                f"{where}: {spec!r} is not the URL of a package (.conda or .tar.bz2)",
                hint="a channel's package is written CHANNEL::NAME",
            )
        return spec
    if "://" in spec:
        return spec
    name, _, digest = spec.partition("#")
    file = (folder / Path(name).expanduser()).resolve()
    if not file.is_file():
        raise InputError(
            f"{where}: {name}: no such file", hint=f"relative paths start in {folder.resolve()}"
        )
    return f"{file.as_uri()}#{digest}" if digest else file.as_uri()


def _variables(value: object, path: Path) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        raise InputError(f"{path}: variables: expected NAME: value pairs, got {type_name(value)}")
    pairs: list[tuple[str, str]] = []
    for key, item in value.items():
        if not isinstance(key, str) or not _VARIABLE_NAME.match(key):
            raise InputError(f"{path}: variables: {str(key)[:40]!r} is not a variable name")
        if isinstance(item, bool) or not isinstance(item, str | int | float):
            raise InputError(
                f"{path}: variables: {key}: expected a string, got {type_name(item)}",
                hint="quote the value",
            )
        if not str(item).isprintable() and not str(item).replace("\n", "").isprintable():
            raise InputError(f"{path}: variables: {key}: has characters that cannot be printed")
        pairs.append((key, str(item)))
    return tuple(sorted(pairs))


def _strings(value: object, path: Path, key: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InputError(f"{path}: {key}: expected a list of strings, got {type_name(value)}")
    return [str(item) for item in value]
