"""Small wheels, sdists and projects made in a test, and a build backend that needs no index."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

# A build backend inside the project (PEP 517, `backend-path`): makes a wheel of one
# module, writes into the source folder as setuptools does, and needs no index.
BACKEND = """\
import base64, hashlib, os, zipfile

def _metadata():
    values = dict(line.split("=", 1) for line in open("project.txt").read().splitlines())
    open("left-behind.txt", "w").write("built here")
    return values

def _files(values):
    name, version = values["name"], values["version"]
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    requires = [f"Requires-Dist: {r}" for r in values.get("requires", "").split(";") if r]
    scripts = values.get("scripts", "")
    files = {
        f"{info}/METADATA": "\\n".join(
            ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *requires, ""]
        ),
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\n"
        "Tag: py3-none-any\\n",
    }
    if scripts:
        files[f"{info}/entry_points.txt"] = "[console_scripts]\\n" + scripts + "\\n"
    module = name.replace("-", "_")
    files[f"{module}.py"] = open(f"{module}.py").read()
    return info, files

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    values = _metadata()
    info, files = _files(values)
    record = []
    target = f"{info[:-len('.dist-info')]}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, target), "w") as archive:
        for path, text in files.items():
            data = text.encode()
            archive.writestr(path, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.append(f"{path},sha256={digest},{len(data)}")
        record.append(f"{info}/RECORD,,")
        archive.writestr(f"{info}/RECORD", "\\n".join(record) + "\\n")
    return target
"""
_PYPROJECT = """\
[build-system]
requires = [{requires}]
build-backend = "backend"
backend-path = ["."]
"""


def wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    files: Mapping[str, str | bytes] | None = None,
    requires: Sequence[str] = (),
    entry_points: str = "",
    tag: str = "py3-none-any",
    executables: Sequence[str] = (),
) -> Path:
    """Write a wheel into `folder`; ``.data`` in a path stands for its data folder."""
    stem = f"{name.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    content: dict[str, str | bytes] = {
        f"{name.replace('-', '_')}.py": f"version = {version!r}\n",
        **(files or {}),
        f"{info}/METADATA": "\n".join(
            [
                "Metadata-Version: 2.1",
                f"Name: {name}",
                f"Version: {version}",
                "License: MIT",
                *(f"Requires-Dist: {line}" for line in requires),
                "",
            ]
        ),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    if entry_points:
        content[f"{info}/entry_points.txt"] = entry_points
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}-{tag}.whl"
    record = []
    with zipfile.ZipFile(path, "w") as archive:
        for key, value in content.items():
            place = key.replace(".data/", f"{stem}.data/", 1) if key.startswith(".data/") else key
            data = value.encode() if isinstance(value, str) else value
            item = zipfile.ZipInfo(place, (1980, 1, 1, 0, 0, 0))
            item.external_attr = (0o755 if key in executables else 0o644) << 16
            archive.writestr(item, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.append(f"{place},sha256={digest},{len(data)}")
        record.append(f"{info}/RECORD,,")
        archive.writestr(f"{info}/RECORD", "\n".join(record) + "\n")
    return path


def project(
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    requires: Sequence[str] = (),
    scripts: str = "",
    build_requires: str = "",
    backend: str = BACKEND,
) -> Path:
    """Write a source folder with a build backend of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(_PYPROJECT.format(requires=build_requires))
    (folder / "backend.py").write_text(backend)
    (folder / "project.txt").write_text(
        f"name={name}\nversion={version}\nrequires={';'.join(requires)}\nscripts={scripts}\n"
    )
    module = name.replace("-", "_")
    (folder / f"{module}.py").write_text(f"version = {version!r}\n\n\ndef main():\n    return 0\n")
    return folder


def sdist(folder: Path, source: Path, name: str, version: str = "1.0") -> Path:
    """Pack a source folder as ``NAME-VERSION.tar.gz``."""
    stem = f"{name.replace('-', '_')}-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}.tar.gz"
    with (
        path.open("wb") as stream,
        gzip.GzipFile("", "wb", fileobj=stream, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for file in sorted(source.iterdir()):
            _member(archive, f"{stem}/{file.name}", file.read_bytes())
        info = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        _member(archive, f"{stem}/PKG-INFO", info.encode())
    return path


def _member(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def installed_wheel(site: Path, name: str, version: str = "1.0", **extra: str) -> Path:
    """Write a ``.dist-info`` as pip leaves it; `extra`: further files of it by name."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    for file, text in extra.items():
        (info / file.replace("direct_url", "direct_url.json")).write_text(text)
    return info
