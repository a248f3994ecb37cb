"""Telling by its content what a specification file is."""

from __future__ import annotations

import re
from contextlib import suppress
from enum import Enum
from pathlib import Path

import yaml

from slimpack.env.spec import read_text
from slimpack.errors import InputError


class InputKind(Enum):
    """What a user can hand to ``slimpack build``."""

    ENVIRONMENT = "environment.yml"
    LOCK = "pixi.lock"
    EXPLICIT = "@EXPLICIT list"


def detect(path: Path) -> InputKind:
    """Return the kind of a specification file; InputError with what was tried otherwise."""
    text = read_text(path)
    if re.search(r"(?m)^@EXPLICIT\s*$", text):
        return InputKind.EXPLICIT
    keys = set(re.findall(r"(?m)^([A-Za-z_-]+)\s*:", text))
    if not keys:  # JSON, or YAML in one line
        with suppress(yaml.YAMLError, ValueError, RecursionError):
            data = yaml.safe_load(text)
            keys = set(data) if isinstance(data, dict) else keys
    if {"version", "environments", "packages"} <= keys:
        return InputKind.LOCK
    if "dependencies" in keys or "channels" in keys:
        return InputKind.ENVIRONMENT
    raise InputError(
        f"{path}: not a specification that slimpack knows",
        details=(
            "tried: an @EXPLICIT list (no line @EXPLICIT), a rattler lock (no keys version, "
            "environments and packages), an environment.yml (no key dependencies)"
        ),
        hint="pass an environment.yml, a pixi.lock or an @EXPLICIT list",
    )
