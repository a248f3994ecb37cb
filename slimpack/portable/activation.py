"""``bin/activate``, ``bin/deactivate`` and ``bin/activate.fish``, as conda-pack names them.

What they do beyond conda-pack's: work with ``set -eu``, in dash without lsof
and in busybox; set the environment's variables and restore the old ones; leave
PATH as the user has it but for their own entry; and, in fish, take over what
the packages' ``.sh`` scripts export.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Final

from slimpack.errors import InputError
from slimpack.portable.records import PrefixedFile

PREFIX_TOKEN: Final = "/slimpack_prefix_token_" + "_" * 40
"""Stands in a variable's value for the place of the environment."""

ACTIVATION_PREFIXES: Final = (PrefixedFile("bin/activate", PREFIX_TOKEN, "text"),)
"""Files of `activation_files` that conda-unpack rewrites, when there is no dest_prefix."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
# Activation manages the first; a shell ends when one assigns the others.
_RESERVED = {
    *("PATH", "CONDA_PREFIX", "PS1", "IFS", "UID", "EUID", "GID", "EGID", "PPID", "USERNAME"),
    *("BASHOPTS", "SHELLOPTS", "BASH_VERSINFO", "RANDOM", "SECONDS", "LINENO", "OPTIND"),
    *("status", "argv", "history", "version"),
}


def activation_files(
    *, variables: Sequence[tuple[str, str]], dest_prefix: str | None, has_conda: bool
) -> Mapping[str, tuple[bytes, int]]:
    """Return path -> (content, mode) of the scripts for a portable environment.

    variables: what activation exports; `PREFIX_TOKEN` in a value becomes the
        environment's place. They are restored on deactivation.
    dest_prefix: where the environment will lie, if that is known; otherwise
        `ACTIVATION_PREFIXES` belong to conda-unpack's records.
    has_conda: the environment has conda itself. With a dest_prefix its own
        activation is left alone, as conda-pack does, and nothing is returned.

    Raises InputError for a variable that no shell can set.
    """
    if has_conda and dest_prefix is not None:
        return {}
    if dest_prefix is not None and "\n" in dest_prefix:
        raise InputError(f"the prefix {dest_prefix!r} has more than one line")
    for name, value in variables:
        _check(name, value)
    unique = dict(variables)
    return {
        "bin/activate": (
            _text("activate.sh", PREFIX=dest_prefix or PREFIX_TOKEN, VARIABLES=_posix(unique)),
            0o644,
        ),
        "bin/deactivate": (_text("deactivate.sh"), 0o644),
        "bin/activate.fish": (_text("activate.fish", VARIABLES=_fish(unique)), 0o644),
    }


def _check(name: str, value: str) -> None:
    if not _NAME.match(name) or "\0" in value:
        raise InputError(f"{name!r} cannot be an environment variable")
    if name in _RESERVED or name.startswith(("_SLIMPACK_", "_CONDA_PACK_", "_slimpack_")):
        raise InputError(
            f"the variable {name} cannot be set on activation: shells or activation use it",
            hint="choose another name, or set it in a script in etc/conda/activate.d",
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"the value of the variable {name} is not UTF-8") from error


def _text(resource: str, **fields: str) -> bytes:
    """Fill in the lines @NAME@ of a script; one with nothing to say goes."""
    text = files("slimpack.portable").joinpath(resource).read_text("utf-8")
    # In one pass: a value may look like another's line.
    filled = {name: f"{value}\n" if value else "" for name, value in fields.items()}
    return re.sub(r"@([A-Z]+)@\n", lambda match: filled[match[1]], text).encode()


def _posix(variables: Mapping[str, str]) -> str:
    lines = []
    for name, value in variables.items():
        lines += [
            f'  if [ -n "${{{name}+x}}" ]; then',
            f"    _SLIMPACK_OLD_{name}=${name}",
            f"    \\export _SLIMPACK_OLD_{name}",
            "  fi",
            f"  {name}={_posix_value(value)}",
            f"  \\export {name}",
        ]
    if variables:
        lines += [
            f"  _SLIMPACK_VARIABLES='{' '.join(variables)}'",
            "  \\export _SLIMPACK_VARIABLES",
        ]
    return "\n".join(lines)


def _posix_value(value: str) -> str:
    parts = [_posix_quoted(part) for part in value.split(PREFIX_TOKEN)]
    return '"$CONDA_PREFIX"'.join(parts)


def _posix_quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _fish(variables: Mapping[str, str]) -> str:
    lines = []
    for name, value in variables.items():
        lines += [
            f"    if set -q {name}",
            f"        set -gx _SLIMPACK_OLD_{name} ${name}",
            "    end",
            f"    set -gx {name} {_fish_value(value)}",
        ]
    if variables:
        lines.append(f"    set -gx _SLIMPACK_VARIABLES '{' '.join(variables)}'")
    return "\n".join(lines)


def _fish_value(value: str) -> str:
    parts = [_fish_quoted(part) for part in value.split(PREFIX_TOKEN)]
    return '"$CONDA_PREFIX"'.join(parts)


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
