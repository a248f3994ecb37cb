"""From a project's manifest (pixi.toml, pyproject.toml) to the lock that stands beside it.

Tables: pixi's ``[workspace]`` (``[project]`` before 0.40), in a pyproject.toml
below ``[tool.pixi]``; conda-lock's ``[tool.conda-lock]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slimpack.errors import InputError

_PIXI_LOCK = "pixi.lock"
_CONDA_LOCKS = ("conda-lock.yml", "conda-lock.yaml", "*.conda-lock.yml", "*.conda-lock.yaml")


@dataclass(frozen=True)
class _Tool:
    """A tool that reads the manifest: its name and the command that makes its lock."""

    name: str
    command: str


_PIXI = _Tool("pixi", "pixi lock")
_CONDA_LOCK = _Tool("conda-lock", "conda-lock lock --file pyproject.toml")


def locks_beside(folder: Path) -> tuple[Path, ...]:
    """Return pixi's and conda-lock's locks in a folder, in order of name."""
    found = {folder / _PIXI_LOCK, *(path for name in _CONDA_LOCKS for path in folder.glob(name))}
    return tuple(sorted(path for path in found if path.is_file()))


def is_manifest(data: Mapping[str, Any]) -> bool:
    """Tell whether TOML data is a manifest of pixi or conda-lock."""
    return bool(_tools(data))


def lock_of_manifest(data: Mapping[str, Any], path: Path) -> Path:
    """Return the one lock beside the manifest `path` whose TOML data is `data`.

    Raises InputError when there is none, with the command that makes one, and
    when there are several, with their names.
    """
    tools = _tools(data)
    locks = locks_beside(path.parent)
    if not tools:
        raise InputError(f"{path}: no tables of pixi or conda-lock")
    if not locks:
        commands = " or ".join(f"`{tool.command}`" for tool in tools)
        raise InputError(
            f"{path}: a manifest of {' and '.join(tool.name for tool in tools)}, "
            f"but no lock beside it",
            hint=f"run {commands} in {path.parent.resolve()} first",
        )
    if len(locks) > 1:
        raise InputError(
            f"{path}: ambiguous, there are {len(locks)} locks beside it: "
            + ", ".join(lock.name for lock in locks),
            hint="pass the lock that you mean",
        )
    return locks[0]


def _tools(data: Mapping[str, Any]) -> tuple[_Tool, ...]:
    tool = data.get("tool")
    tool = tool if isinstance(tool, dict) else {}
    tools = []
    if "pixi" in tool or _is_workspace(data):
        tools.append(_PIXI)
    if "conda-lock" in tool:
        tools.append(_CONDA_LOCK)
    return tuple(tools)


def _is_workspace(data: Mapping[str, Any]) -> bool:
    # [project] alone is the Python project of a pyproject.toml (PEP 621); it has no channels.
    return any(
        isinstance(table, dict) and "channels" in table
        for table in (data.get("workspace"), data.get("project"))
    )
