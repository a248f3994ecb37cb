"""What an argument of ``slimpack bundle create`` is: told by content, never by name alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from slimpack.bundle.reader import is_bundle
from slimpack.env.inputs.archives import is_image
from slimpack.env.inputs.text import read_text
from slimpack.errors import InputError
from slimpack.oci.several import holds_images
from slimpack.registry.reference import is_reference
from slimpack.toml import parse_toml

Kind = Literal["bundle", "images", "reference", "configuration", "spec"]

_CONFIGURATIONS = ("slimpack.toml", "pyproject.toml")


@dataclass(frozen=True)
class Argument:
    """An argument. path: of the file or folder; of the configuration, its file."""

    text: str
    kind: Kind
    path: Path = Path()


def understood(text: str) -> Argument:
    """Tell what an argument is; a file or folder of that name comes first.

    Raises InputError for what is neither there nor a reference with a host.
    """
    path = Path(text)
    if is_bundle(path):
        return Argument(text, "bundle", path)
    if path.exists():
        # Of a tar that is malformed, those who read images say what is wrong.
        if holds_images(path) or (path.is_file() and is_image(path)):
            return Argument(text, "images", path)
        configuration = _configuration(path)
        if configuration is not None:
            return Argument(text, "configuration", configuration)
        return Argument(text, "spec", path)
    if is_reference(text):
        return Argument(text, "reference")
    raise InputError(
        f"{text} is no file or folder, and no reference in a registry",
        hint="give HOST/REPOSITORY:TAG, an OCI layout, a tar of images, another bundle, or what "
        "`slimpack build` builds from: an environment.yml, a lock, a folder with slimpack.toml",
    )


def _configuration(path: Path) -> Path | None:
    """Return the file of slimpack's configuration that `path` is, or has in it."""
    if path.is_dir():
        if any((path / "conda-meta").glob("*.json")):
            return None
        for name in _CONFIGURATIONS:
            found = _configuration(path / name) if (path / name).is_file() else None
            if found is not None:
                return found
        return None
    if path.name == "slimpack.toml":
        return path
    if path.suffix != ".toml":
        return None
    try:
        data = parse_toml(read_text(path), path)
    except InputError:
        return None  # whoever reads it tells what is wrong
    tool = data.get("tool")
    own = isinstance(tool, dict) and "slimpack" in tool
    return path if own or ("env" in data and isinstance(data["env"], dict)) else None
