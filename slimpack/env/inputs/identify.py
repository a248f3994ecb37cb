"""Telling what the user has handed over, by its content and never by its name alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from slimpack.env.inputs.archives import ArchiveFormat, archive_format, is_image
from slimpack.env.inputs.manifest import is_manifest, lock_of_manifest, locks_beside
from slimpack.env.inputs.spec import is_package_file, looks_like_match_spec
from slimpack.env.inputs.text import MAX_LOCK_BYTES, parse_yaml, read_text
from slimpack.errors import InputError
from slimpack.toml import parse_toml

_SUFFIXES = (
    *(".yml", ".yaml", ".toml", ".txt", ".lock", ".json", ".conda"),
    *(".sh", ".zip", ".tar", ".gz", ".tgz", ".zst", ".bz2", ".squashfs"),
)
_KNOWN = (
    "an environment.yml, a pixi.lock, a conda-lock.yml, an @EXPLICIT list, "
    "a conda environment's folder or a conda-pack archive"
)


class InputKind(Enum):
    """What a user can hand over."""

    ENVIRONMENT = "environment.yml"
    LOCK = "pixi.lock"
    EXPLICIT = "@EXPLICIT list"
    CONDA_LOCK = "conda-lock.yml"
    SPECS = "match specs"
    PREFIX = "conda prefix"
    ARCHIVE = "conda-pack archive"


@dataclass(frozen=True)
class Input:
    """What the arguments are.

    path: the file or folder to read, None for match specs.
    specs: the match specs of `InputKind.SPECS`, also paths and URLs of packages.
    manifest: the project file that was given where `path` is the lock beside it.
    """

    kind: InputKind
    path: Path | None
    specs: tuple[str, ...] = ()
    manifest: Path | None = None

    @property
    def locked(self) -> bool:
        """Whether it is a file that says which packages, exactly."""
        return self.kind in (InputKind.LOCK, InputKind.EXPLICIT, InputKind.CONDA_LOCK)

    @property
    def describe(self) -> str:
        """Kind and place for people, such as ``conda-lock.yml (locks/my.yml)``."""
        if self.path is None:
            return f"{self.kind.value} ({' '.join(self.specs)})"
        beside = f", beside {self.manifest}" if self.manifest else ""
        return f"{self.kind.value} ({self.path}{beside})"


def identify(arguments: Sequence[str | Path]) -> Input:
    """Return what the arguments are: one file or folder, or any number of match specs.

    Raises InputError that lists what was tried and why each failed.
    """
    texts = [str(argument) for argument in arguments]
    if not texts or not all(text.strip() for text in texts):
        raise InputError("nothing to read", hint=f"pass {_KNOWN}, or match specs")
    if len(texts) == 1 and _exists(texts[0]):
        return _identify_path(Path(texts[0]))
    for text in texts:
        _check_spec(text, alone=len(texts) == 1)
    return Input(InputKind.SPECS, None, specs=tuple(texts))


def _exists(text: str) -> bool:
    with suppress(OSError, ValueError):
        return Path(text).exists()
    return False


def _check_spec(text: str, *, alone: bool) -> None:
    """Raise InputError unless `text` can be a match spec or names a package file."""
    if not text.isprintable():
        raise _neither(text)
    if is_package_file(text) and ("://" in text or _exists(text.partition("#")[0])):
        return
    path_like = "::" not in text and ("/" in text or text.lower().endswith(_SUFFIXES))
    if not alone and _exists(text) and (path_like or Path(text).is_file()):
        raise InputError(
            f"{text}: a file cannot be mixed with other arguments",
            hint="pass the file alone and write the packages into it, or pass match specs alone",
        )
    if path_like:
        raise InputError(f"{text}: No such file or folder", hint=f"pass {_KNOWN}, or match specs")
    if not looks_like_match_spec(text):
        raise _neither(text)


def _neither(text: str) -> InputError:
    return InputError(
        f"{text!r}: neither a file nor a match spec",
        hint="a match spec is written like 'numpy >=2' or conda-forge::numpy",
    )


def _identify_path(path: Path) -> Input:
    return _identify_folder(path) if path.is_dir() else _identify_file(path)


def _identify_folder(path: Path) -> Input:
    if any((path / "conda-meta").glob("*.json")):
        return Input(InputKind.PREFIX, path)
    envs = sorted(
        folder.parent for folder in path.glob(".pixi/envs/*/conda-meta") if folder.is_dir()
    )
    locks = locks_beside(path)
    reasons = ["a conda environment: no conda-meta/*.json in it"]
    hint = f"pass {_KNOWN}"
    if (path / "pyvenv.cfg").is_file():
        reasons.append("it is a Python venv (pyvenv.cfg), which borrows its Python from elsewhere")
        hint = "list its packages under 'pip:' in an environment.yml"
    if (path / "oci-layout").is_file():
        reasons.append("it is an OCI image layout (oci-layout), so already an image")
        hint = "look at it with `slimpack inspect`"
    if envs or locks:
        reasons.append("it is a project's folder, which may hold several environments")
        hint = "pass one of " + ", ".join(str(item) for item in (*locks, *envs))
    if (path / "conda-meta").is_dir() and len(reasons) == 1:
        reasons.append("its conda-meta folder is empty: no package was installed by conda")
    spec = f"; for the package of that name, write '{path}=*'" if _could_be_a_name(path) else ""
    raise InputError(
        f"{path}: not a folder that slimpack knows", details=_tried(reasons), hint=hint + spec
    )


def _could_be_a_name(path: Path) -> bool:
    """Tell whether the path, as it was written, could have been meant as a package's name."""
    return "/" not in str(path) and looks_like_match_spec(str(path))


def _identify_file(path: Path, manifest: Path | None = None) -> Input:
    """Identify a file; `manifest` is the project file that has led to it."""
    found = archive_format(path)
    if found is ArchiveFormat.CONDA_PACKAGE:
        return Input(InputKind.SPECS, None, specs=(str(path),))
    if found is ArchiveFormat.TAR and is_image(path):
        raise InputError(
            f"{path}: a container image, not an environment",
            hint="look at it with `slimpack inspect`",
        )
    if found is not None:
        return Input(InputKind.ARCHIVE, path)
    reasons = [
        "a conda-pack archive: neither gzip, zstd, bzip2, zip, tar, squashfs nor a script of "
        "`slimpack pack`"
    ]
    try:
        text = read_text(path, limit=MAX_LOCK_BYTES)
    except InputError as error:
        reasons.append(f"a text file: {error.message.removeprefix(f'{path}:').strip()}")
    else:
        kind = _text_kind(text, path, reasons)
        if kind is not None:
            return Input(kind, path, manifest=manifest)
        lock = _lock_beside(text, path, reasons) if manifest is None else None
        if lock is not None:
            return _identify_file(lock, manifest=path)
    raise InputError(
        f"{path}: not an input that slimpack knows",
        details=_tried(reasons),
        hint=f"pass {_KNOWN}, or match specs",
    )


def _text_kind(text: str, path: Path, reasons: list[str]) -> InputKind | None:
    """Return the kind of a text file, or note in `reasons` why it is none."""
    if re.search(r"(?m)^@EXPLICIT[ \t]*\r?$", text):
        return InputKind.EXPLICIT
    reasons.append("an @EXPLICIT list: no line @EXPLICIT")
    keys = set(re.findall(r"(?m)^([A-Za-z_-]+)[ \t]*:", text))
    if not keys and text.lstrip()[:1] in ("{", "-", "[", '"', "'"):  # JSON, or YAML in one line
        try:
            data = parse_yaml(text, path)
        except InputError as error:
            reasons.append(f"YAML or JSON: {error.message.removeprefix(f'{path}:').strip()}")
            return None
        keys = {str(key) for key in data} if isinstance(data, dict) else set()
    if {"version", "environments", "packages"} <= keys:
        return InputKind.LOCK
    if {"version", "metadata", "package"} <= keys:
        return InputKind.CONDA_LOCK
    if "dependencies" in keys or "channels" in keys:
        return InputKind.ENVIRONMENT
    reasons += [
        "a pixi.lock: no keys version, environments and packages",
        "a conda-lock.yml: no keys version, metadata and package",
        "an environment.yml: no key dependencies",
    ]
    return None


def _lock_beside(text: str, path: Path, reasons: list[str]) -> Path | None:
    """Return the lock beside a manifest, or note in `reasons` why this is none."""
    try:
        data = parse_toml(text, path)
    except InputError as error:
        reasons.append(f"a manifest: {error.message.removeprefix(f'{path}:').strip()}")
        return None
    if is_manifest(data):
        return lock_of_manifest(data, path)
    reasons.append("a manifest: no tables of pixi or conda-lock")
    tool = data.get("tool")
    if "env" in data or (isinstance(tool, dict) and "slimpack" in tool):
        reasons.append("it may be slimpack's own configuration: pass it with --config")
    return None


def _tried(reasons: Sequence[str]) -> str:
    return "\n".join(["tried:", *(f"  {reason}" for reason in reasons)])
