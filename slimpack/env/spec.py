"""Reading what the user asks for: environment.yml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from slimpack.errors import InputError

MAX_SPEC_BYTES = 4 * 1024 * 1024
_KNOWN_KEYS = ("name", "channels", "dependencies", "variables", "platforms", "prefix")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True)
class EnvSpec:
    """What an environment shall contain.

    channels: names or URLs, highest priority first.
    specs: match specs as the user wrote them.
    variables: environment variables that activation sets.
    source: where this was read, for messages.
    """

    name: str
    channels: tuple[str, ...]
    specs: tuple[str, ...]
    variables: tuple[tuple[str, str], ...] = ()
    source: str = ""

    def with_channels(self, channels: tuple[str, ...]) -> EnvSpec:
        """Return the spec with other channels, or as it is when there are none."""
        return replace(self, channels=channels) if channels else self


def read_environment_yml(path: Path) -> EnvSpec:
    """Read conda's environment.yml (keys name, channels, dependencies, variables).

    Raises InputError, naming the file and the key or line, for anything that
    is not such a file and for what cannot be honoured.
    """
    data = _load_yaml(path)
    unknown = sorted(set(data) - set(_KNOWN_KEYS))
    if unknown:
        raise InputError(
            f"{path}: unknown key {unknown[0]!r}",
            hint=f"an environment.yml has the keys {', '.join(_KNOWN_KEYS)}",
        )
    name = data.get("name") or path.stem
    if not isinstance(name, str):
        raise InputError(f"{path}: name: expected a string, got {_type(name)}")
    return EnvSpec(
        name=name,
        # Not a channel, but conda's word for "not those of my configuration".
        channels=tuple(
            channel
            for channel in _strings(data.get("channels") or [], path, "channels")
            if channel != "nodefaults"
        ),
        specs=_dependencies(data.get("dependencies"), path),
        variables=_variables(data.get("variables") or {}, path),
        source=str(path),
    )


def read_text(path: Path) -> str:
    """Return the text of a small input file; InputError when it cannot be had."""
    try:
        if path.stat().st_size > MAX_SPEC_BYTES:
            raise InputError(f"{path}: larger than {MAX_SPEC_BYTES >> 20} MiB, not a specification")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror or error}", hint="check the path of the specification"
        ) from error


def _load_yaml(path: Path) -> Mapping[str, object]:
    text = read_text(path)
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise InputError(f"{path}:{where} not valid YAML: {problem}") from error
    except ValueError as error:
        raise InputError(f"{path}: not valid YAML: {error}") from error
    except RecursionError as error:
        raise InputError(f"{path}: nested too deeply") from error
    if not isinstance(data, dict):
        raise InputError(
            f"{path}: expected keys such as 'dependencies:', got {_type(data)}",
            hint="is this an environment.yml?",
        )
    return {str(key): value for key, value in data.items()}


def _dependencies(value: object, path: Path) -> tuple[str, ...]:
    if value is None:
        raise InputError(
            f"{path}: no 'dependencies'", hint="list the packages under 'dependencies:'"
        )
    if not isinstance(value, list):
        raise InputError(f"{path}: dependencies: expected a list, got {_type(value)}")
    specs: list[str] = []
    for number, item in enumerate(value, 1):
        if isinstance(item, dict) and set(item) == {"pip"}:
            raise InputError(
                f"{path}: dependencies: item {number}: a 'pip:' section is not supported yet",
                hint="take these packages from a conda channel, or add their code as [[app.copy]]",
            )
        if not isinstance(item, str) or not item.strip():
            raise InputError(
                f"{path}: dependencies: item {number}: expected a match spec such as "
                f"'numpy >=2', got {_type(item)}"
            )
        specs.append(item.strip())
    if not specs:
        raise InputError(f"{path}: dependencies: the list is empty")
    return tuple(specs)


def _variables(value: object, path: Path) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        raise InputError(f"{path}: variables: expected NAME: value pairs, got {_type(value)}")
    pairs: list[tuple[str, str]] = []
    for key, item in value.items():
        if not isinstance(key, str) or not _VARIABLE_NAME.match(key):
            raise InputError(f"{path}: variables: {key!r} is not a variable name")
        if isinstance(item, bool) or not isinstance(item, str | int | float):
            raise InputError(
                f"{path}: variables: {key}: expected a string, got {_type(item)}",
                hint="quote the value",
            )
        if not str(item).isprintable() and not str(item).replace("\n", "").isprintable():
            raise InputError(f"{path}: variables: {key}: has characters that cannot be printed")
        pairs.append((key, str(item)))
    return tuple(sorted(pairs))


def _strings(value: object, path: Path, key: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InputError(f"{path}: {key}: expected a list of strings, got {_type(value)}")
    return [str(item) for item in value]


def _type(value: object) -> str:
    names = {dict: "a mapping", list: "a list", str: "a string", type(None): "nothing"}
    return names.get(type(value), f"{type(value).__name__} {value!r}")
