"""Runtimes: the files `runtimes/*.toml`, one a base.

A runtime is found by its name (the file's name without ``.toml``) or by the
path of a file of the user's own. One that ``extends`` another is that one with
other keys: tables are joined key by key, anything else is replaced. Keys that nobody
knows are errors, with the key that was probably meant.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from slimpack.debian.checked import checked_package
from slimpack.debian.model import ARCHITECTURES, DebianSource, ResolvedPackage
from slimpack.errors import InputError
from slimpack.toml import read_toml

DEFAULT_PREFIX = "/opt/env"
DEFAULT_USER = "65532"
_HERE = Path(__file__).resolve().parent
# Installed from a wheel, or run from a source checkout.
_FOLDERS = (_HERE / "_runtimes", _HERE.parent / "runtimes")
_PIN_FIELDS = ("version", "architecture", "sha256", "filename", "size", "archive")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Runtime:
    """A base, and what an image on it looks like unless the user says otherwise.

    Either `debian` (assembled from packages) or `image` (a reference pinned by
    digest) is set. provides: ``glibc`` and the like; a value of
    ``debian:<package>`` stands for that package's upstream version.
    files: absolute path -> text, of files that no Debian package brings.
    """

    name: str
    description: str
    debian: DebianSource | None = None
    image: str = ""
    prefix: str = DEFAULT_PREFIX
    user: str = DEFAULT_USER
    workdir: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    provides: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def gpu(self) -> bool:
        """Whether it is for environments with CUDA, so that one without is a mistake."""
        return "cuda" in self.provides


def list_runtimes() -> list[Runtime]:
    """Return the runtimes that ship with slimpack, by name."""
    return [_load(_folder() / f"{name}.toml") for name in _names_of_all()]


def load_runtime(name_or_path: str | Path) -> Runtime:
    """Return a runtime by its name, or from a file (anything with a ``/`` or ``.toml``)."""
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or "/" in text or text.endswith(".toml"):
        return _load(Path(text))
    return _load(_shipped(text))


def _shipped(name: str) -> Path:
    path = _folder() / f"{name}.toml"
    if not path.is_file():
        names = _names_of_all()
        raise InputError(
            f"no runtime is named {name!r}",
            hint=_meant(name, names)
            or f"there are {', '.join(names)}; a file of your own is named by its path (./my.toml)",
        )
    return path


def pin_runtime(runtime: Runtime, resolved: Mapping[str, Iterable[ResolvedPackage]]) -> str:
    """Return a runtime file that names exactly these packages, by platform.

    Bases built from it are the same at any time, and ask for no package list.
    """
    if runtime.debian is None:
        raise InputError(f"runtime {runtime.name!r} is an image and pinned by its digest")
    source = runtime.debian
    keys = [key for key in ("description", "prefix", "user", "workdir") if getattr(runtime, key)]
    lines = [f"# {runtime.name}, pinned."]
    lines += [f"{key} = {_quoted(getattr(runtime, key))}" for key in keys]
    for table in ("env", "labels", "provides", "files"):
        lines += _table(table, getattr(runtime, table))
    lines += ["", "[debian]"]
    for key in ("suites", "components", "packages", "exclude"):
        values = [f"  {_quoted(value)}," for value in getattr(source, key)]
        lines += [f"{key} = [", *values, "]"] if values else []
    if source.only:
        lines += ["", "[debian.only]"]
        for name, patterns in source.only.items():
            lines.append(f"{_quoted(name)} = [{', '.join(map(_quoted, patterns))}]")
    for platform, packages in sorted(resolved.items()):
        for package in packages:
            fields = asdict(package)
            lines += ["", f"[debian.pins.{_quoted(platform)}.{_quoted(package.name)}]"]
            lines += [
                f"{key} = {fields[key] if key == 'size' else _quoted(fields[key])}"
                for key in _PIN_FIELDS
            ]
    return "\n".join(lines) + "\n"


def _table(name: str, values: Mapping[str, str]) -> list[str]:
    if not values:
        return []
    body = [f"{_quoted(key)} = {_quoted(value)}" for key, value in values.items()]
    return ["", f"[{name}]", *body]


def _quoted(text: str) -> str:
    """Write a TOML basic string; its escapes are those of JSON, and DEL's as well."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _names_of_all() -> list[str]:
    return sorted(path.stem for path in _folder().glob("*.toml"))


def _folder() -> Path:
    for folder in _FOLDERS:
        if folder.is_dir():
            return folder
    raise InputError("the runtime files of slimpack are missing", hint="install slimpack again")


def _load(path: Path) -> Runtime:
    return _Table(path, "", _whole(path, ())).runtime()


def _whole(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    """Return what a file says, joined with the one that it extends.

    above: the files that led here. What is wrong in one of them is told with its name.
    """
    data = _read(path)
    if "extends" not in data:
        return data
    name = _Table(path, "", data).need("extends", _text)
    if path.resolve() in above:
        raise InputError(f"{path}: extends {name!r}, which extends it in turn")
    own = "/" in name or name.endswith(".toml")
    below = _whole(path.parent / name if own else _shipped(name), (*above, path.resolve()))
    del data["extends"]
    return _joined(below, data)


def _joined(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    joined = dict(below)
    for key, value in above.items():
        old = joined.get(key)
        both = isinstance(value, dict) and isinstance(old, dict)
        joined[key] = _joined(old, value) if both else value  # type: ignore[arg-type]
    return joined


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_toml(path)
    except InputError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise InputError(f"the runtime file {path} does not exist") from None
        raise


@dataclass(frozen=True, slots=True)
class _Table:
    """One table of a runtime file, read key by key."""

    path: Path
    name: str
    data: Mapping[str, Any]

    def runtime(self) -> Runtime:
        self.only_keys(
            "description",
            "prefix",
            "user",
            "workdir",
            "env",
            "labels",
            "provides",
            "files",
            "debian",
            "image",
        )
        if ("debian" in self.data) == ("image" in self.data):
            raise InputError(
                f"{self.path}: a runtime has either a [debian] table or the key image",
                hint="see runtimes/distroless.toml for an example",
            )
        if "files" in self.data and "image" in self.data:
            raise InputError(f"{self.path}: files cannot be added to an image")
        return Runtime(
            name=self.path.stem,
            description=self.get("description", _text, ""),
            debian=self.table("debian").debian() if "debian" in self.data else None,
            image=self.get("image", _text, ""),
            prefix=self.get("prefix", _absolute, DEFAULT_PREFIX),
            user=self.get("user", _text, DEFAULT_USER),
            workdir=self.get("workdir", _absolute, ""),
            env=self.get("env", _strings, {}),
            labels=self.get("labels", _strings, {}),
            provides=self.get("provides", _strings, {}),
            files=self.get("files", _files, {}),
        )

    def debian(self) -> DebianSource:
        self.only_keys("suites", "components", "packages", "exclude", "only", "pins")
        packages = self.need("packages", _names)
        only = self.tables("only")
        pins = self.tables("pins")
        for name in only.data:
            if name not in packages:
                raise InputError(
                    f"{self.path}: debian.only.{name} is not among debian.packages",
                    hint=_meant(name, packages),
                )
        return DebianSource(
            suites=self.need("suites", _words),
            components=self.get("components", _words, ("main",)),
            packages=packages,
            exclude=self.get("exclude", _names, ()),
            only={name: only.need(name, _names) for name in only.data},
            pins={name: pins.table(name).pins(name, packages) for name in pins.data},
        )

    def pins(self, platform: str, packages: tuple[str, ...]) -> tuple[ResolvedPackage, ...]:
        if platform not in ARCHITECTURES:
            raise InputError(
                f"{self.path}: {self.name} is no platform that Debian packages are for",
                hint=f"use one of {', '.join(sorted(ARCHITECTURES))}",
            )
        if set(self.data) != set(packages):
            odd = ", ".join(sorted(set(self.data) ^ set(packages)))
            raise InputError(
                f"{self.path}: {self.name} must pin exactly debian.packages; see {odd}",
                hint="write the file again with: slimpack runtime show NAME --pinned",
            )
        # In the order of debian.packages, so that pinning changes nothing else.
        return tuple(self.table(name).pin(name) for name in packages)

    def pin(self, name: str) -> ResolvedPackage:
        self.only_keys(*_PIN_FIELDS)
        package = ResolvedPackage(
            name=name,
            version=self.need("version", _text),
            architecture=self.need("architecture", _text),
            sha256=self.need("sha256", _text),
            filename=self.need("filename", _text),
            size=self.need("size", _integer),
            archive=self.get("archive", _text, "main"),
        )
        try:
            return checked_package(package)
        except ValueError as error:
            raise InputError(f"{self.path}: {self.name}: {error}") from None

    def only_keys(self, *known: str) -> None:
        for key in self.data:
            if key not in known:
                raise InputError(
                    f"{self.path}: unknown key {self.full(key)}",
                    hint=_meant(key, known) or f"known keys are {', '.join(known)}",
                )

    def table(self, key: str) -> _Table:
        return _Table(self.path, self.full(key), self.need(key, _mapping))

    def tables(self, key: str) -> _Table:
        """Return a table that may be missing."""
        return self.table(key) if key in self.data else _Table(self.path, self.full(key), {})

    def need(self, key: str, read: Callable[[object], T]) -> T:
        if key not in self.data:
            raise InputError(f"{self.path}: the key {self.full(key)} is missing")
        try:
            return read(self.data[key])
        except TypeError as error:
            raise InputError(f"{self.path}: {self.full(key)} must be {error}") from None

    def get(self, key: str, read: Callable[[object], T], default: T) -> T:
        return self.need(key, read) if key in self.data else default

    def full(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key


def _meant(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else ""


# Readers of one value each: the value, or a TypeError that says what it must be.


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a string")
    return value


def _absolute(value: object) -> str:
    parts = value.split("/") if isinstance(value, str) else []
    if len(parts) < 2 or parts[0] or not all(parts[1:]) or {".", ".."} & set(parts):
        raise TypeError('an absolute path in normal form, like "/opt/env"')
    return "/".join(parts)


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("an integer")
    return value


def _names(value: object) -> tuple[str, ...]:
    names = tuple(value) if isinstance(value, list) else ()
    if not names or not all(isinstance(name, str) and name for name in names):
        raise TypeError("a list of strings, with at least one in it")
    if len(set(names)) != len(names):
        raise TypeError("a list without repetitions")
    return names


def _words(value: object) -> tuple[str, ...]:
    """Names that become parts of paths and addresses."""
    names = _names(value)
    if not all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+~-]*", name) for name in names):
        raise TypeError("a list of words of letters, digits and . + ~ -")
    return names


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("a table")
    return value


def _strings(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise TypeError("a table of strings")
    return value


def _files(value: object) -> dict[str, str]:
    files = _strings(value)
    for path in files:
        _absolute(path)
    return files
