"""Write packages in conda's ``.conda`` format.

A ``.conda`` file is an uncompressed zip that holds ``metadata.json``, ``pkg-<id>.tar.zst`` (the
files) and ``info-<id>.tar.zst`` (what conda has to know about them). Sources of the format:
the conda enhancement proposals (CEP 35 for the container, CEP 34 for the contents of ``info/``)
and conda-build's ``write_package_metadata``.

py-rattler-build's ``assemble_package`` is not used: with 0.73 it neither records placeholders in
``info/paths.json`` nor writes ``run_exports.json`` and ``link.json``, and it lists hand-made
``info/`` files as if they belonged to the package. The index is still made by py-rattler.

Everything here is deterministic: the same files and metadata give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from benchmarks.channel.container import add_file, add_tar
from benchmarks.channel.container import read_files as read_files
from benchmarks.channel.container import read_info as read_info
from benchmarks.channel.errors import ChannelError
from benchmarks.channel.index import index_channel as index_channel

# conda-build pads its host prefix to exactly 255 characters with this very word, so that a prefix
# of any permitted length fits into the place of the placeholder inside a binary.
_PLACEHOLDER_ROOT = "/opt/conda/conda-bld/slimpack/_h_env_"
PLACEHOLDER = (_PLACEHOLDER_ROOT + "placehold_" * 25)[:255]

# 2026-01-01T00:00:00Z: one time for every file and package, so that builds repeat to the byte.
FIXED_TIME = 1_767_225_600

COMPRESSION_LEVEL = 6

FileMode = Literal["text", "binary"]
Noarch = Literal["python", "generic"]


@dataclass(frozen=True)
class Symlink:
    """A symbolic link inside a package."""

    target: str


@dataclass(frozen=True)
class Executable:
    """A file with mode 0755 inside a package."""

    data: bytes | str


FileContent = bytes | str | Symlink | Executable


@dataclass(frozen=True)
class Metadata:
    """What a package says about itself; one field for each thing that conda reads."""

    name: str
    version: str
    build: str = "0"
    build_number: int = 0
    subdir: str = "linux-64"
    noarch: Noarch | None = None
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    entry_points: tuple[str, ...] = ()
    run_exports: Mapping[str, Sequence[str]] = field(default_factory=dict)
    license: str | None = None
    license_files: Mapping[str, bytes] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)
    timestamp: int = FIXED_TIME

    @property
    def dist(self) -> str:
        """``name-version-build``, the identity of a package."""
        return f"{self.name}-{self.version}-{self.build}"

    @property
    def file_name(self) -> str:
        """The name of the package file."""
        return f"{self.dist}.conda"


@dataclass(frozen=True)
class PathRecord:
    """One line of ``info/paths.json``."""

    path: str
    path_type: Literal["hardlink", "softlink"]
    sha256: str
    size: int
    file_mode: FileMode | None = None

    def to_json(self) -> dict[str, object]:
        """Give the record its names in ``paths.json``."""
        record: dict[str, object] = {"_path": self.path, "path_type": self.path_type}
        if self.file_mode is not None:
            record |= {"file_mode": self.file_mode, "prefix_placeholder": PLACEHOLDER}
        return record | {"sha256": self.sha256, "size_in_bytes": self.size}


def prefix_mode(data: bytes) -> FileMode | None:
    """How the placeholder sits in a file, or None; with a NUL byte it is binary, as in conda."""
    if PLACEHOLDER.encode() not in data:
        return None
    return "binary" if b"\0" in data else "text"


def read_paths(
    root: Path, prefix_files: Mapping[str, FileMode] | None = None
) -> tuple[PathRecord, ...]:
    """Describe every file below ``root``, sorted by path.

    ``prefix_files`` names the files to register as holding the placeholder; None means: look.
    Compiled Python files are never registered: conda-build leaves them out too, which is why the
    build prefix survives in ``co_filename`` of every conda package.
    """
    records = []
    for path in _walk(root):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            target = str(path.readlink())
            digest = hashlib.sha256(target.encode()).hexdigest()
            records.append(PathRecord(name, "softlink", digest, len(target)))
            continue
        data = path.read_bytes()
        mode: FileMode | None
        if prefix_files is not None:
            mode = prefix_files.get(name)
        else:
            mode = None if name.endswith(".pyc") else prefix_mode(data)
        digest = hashlib.sha256(data).hexdigest()
        records.append(PathRecord(name, "hardlink", digest, len(data), mode))
    return tuple(records)


def pack(
    meta: Metadata,
    files_dir: Path,
    out_dir: Path,
    *,
    prefix_files: Mapping[str, FileMode] | None = None,
    level: int = COMPRESSION_LEVEL,
) -> Path:
    """Pack a staged folder into ``out_dir/<name>-<version>-<build>.conda``."""
    records = read_paths(files_dir, prefix_files)
    unknown = set(prefix_files or ()) - {record.path for record in records}
    if unknown:
        raise ChannelError(f"{meta.name}: prefix_files names no such file: {min(unknown)}")
    out_dir.mkdir(parents=True, exist_ok=True)
    target = out_dir / meta.file_name
    with tempfile.TemporaryDirectory(dir=out_dir, prefix=".tmp-") as scratch:
        draft = Path(scratch) / meta.file_name
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:
            add_file(archive, "metadata.json", b'{"conda_pkg_format_version": 2}')
            paths = ((record.path, files_dir / record.path) for record in records)
            add_tar(archive, f"pkg-{meta.dist}.tar.zst", paths, meta.timestamp, level)
            info = info_files(meta, records)
            add_tar(archive, f"info-{meta.dist}.tar.zst", info.items(), meta.timestamp, level)
        draft.replace(target)
    return target


def info_files(meta: Metadata, records: Sequence[PathRecord]) -> dict[str, bytes]:
    """Everything below ``info/``, as conda-build writes it."""
    platform, _, machine = meta.subdir.partition("-")
    index: dict[str, object] = {
        "arch": {"64": "x86_64"}.get(machine, machine) if meta.noarch is None else None,
        "build": meta.build,
        "build_number": meta.build_number,
        "depends": list(meta.depends),
        "license": meta.license or "",
        "name": meta.name,
        "platform": platform if meta.noarch is None else None,
        "subdir": "noarch" if meta.noarch else meta.subdir,
        "timestamp": meta.timestamp * 1000,
        "version": meta.version,
    }
    if meta.constrains:
        index["constrains"] = list(meta.constrains)
    if meta.noarch:
        index["noarch"] = meta.noarch
    files = {
        "about.json": _json({**meta.about, "license": meta.license or ""}),
        "files": "".join(f"{record.path}\n" for record in records).encode(),
        "hash_input.json": b"{}\n",
        "index.json": _json(index),
        "paths.json": _json({"paths": [r.to_json() for r in records], "paths_version": 1}),
    }
    marked = [record for record in records if record.file_mode]
    if marked:
        lines = [f'"{PLACEHOLDER}" "{r.file_mode}" "{r.path}"\n' for r in marked]
        files["has_prefix"] = "".join(lines).encode()
    if meta.run_exports:
        files["run_exports.json"] = _json({k: list(v) for k, v in meta.run_exports.items()})
    if meta.noarch == "python":
        noarch: dict[str, object] = {"type": "python"}
        if meta.entry_points:
            noarch["entry_points"] = list(meta.entry_points)
        files["link.json"] = _json({"noarch": noarch, "package_metadata_version": 1})
    for name, text in meta.license_files.items():
        files[f"licenses/{name}"] = text
    return {f"info/{name}": data for name, data in sorted(files.items())}


def write_conda(
    out_dir: Path,
    *,
    name: str,
    version: str = "1.0",
    build: str = "0",
    build_number: int = 0,
    subdir: str = "linux-64",
    files: Mapping[str, FileContent] | None = None,
    files_dir: Path | None = None,
    depends: Iterable[str] = (),
    constrains: Iterable[str] = (),
    noarch: Noarch | None = None,
    entry_points: Iterable[str] = (),
    prefix_files: Mapping[str, FileMode] | None = None,
    run_exports: Mapping[str, Sequence[str]] | None = None,
    license: str | None = None,  # noqa: A002 - the word that conda uses
    license_files: Mapping[str, bytes] | None = None,
    timestamp: int = FIXED_TIME,
    level: int = 1,
) -> Path:
    """Make one small package, for test fixtures: returns ``out_dir/<subdir>/<dist>.conda``.

    ``files`` maps paths inside the package to their content (write ``PLACEHOLDER`` where the
    prefix belongs), ``files_dir`` is a staged folder; both may be given. With ``prefix_files=None``
    files that hold the placeholder are found by looking; ``{}`` makes a package whose metadata
    hides them. Then call ``index_channel(out_dir)``.
    """
    meta = Metadata(
        name=name,
        version=version,
        build=build,
        build_number=build_number,
        subdir=subdir,
        noarch=noarch,
        depends=tuple(depends),
        constrains=tuple(constrains),
        entry_points=tuple(entry_points),
        run_exports=run_exports or {},
        license=license,
        license_files=license_files or {},
        timestamp=timestamp,
    )
    target = out_dir / ("noarch" if noarch else subdir)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=".tmp-") as scratch:
        stage = Path(scratch)
        if files_dir is not None:
            copy_tree(files_dir, stage)
        write_files(stage, files or {})
        return pack(meta, stage, target, prefix_files=prefix_files, level=level)


def write_files(root: Path, files: Mapping[str, FileContent]) -> None:
    """Write a mapping of paths to contents below ``root``."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Symlink):
            path.symlink_to(content.target)
            continue
        data = content.data if isinstance(content, Executable) else content
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        path.chmod(0o755 if isinstance(content, Executable) else 0o644)


def copy_tree(source: Path, target: Path) -> None:
    """Copy files, links and modes below ``source`` into ``target``."""
    for path in _walk(source):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            copy.symlink_to(path.readlink())
        else:
            copy.write_bytes(path.read_bytes())
            copy.chmod(path.stat().st_mode & 0o777)


def _walk(root: Path) -> list[Path]:
    """Every file and link below ``root``, sorted by path; links to folders are not followed."""
    found: list[Path] = []
    for parent, subfolders, names in os.walk(root):
        folder = Path(parent)
        found += [folder / name for name in names]
        found += [folder / name for name in subfolders if (folder / name).is_symlink()]
    return sorted(found, key=str)


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()
