"""Turn a wheel into a staged conda package.

Formats: PEP 427 (wheel), the core metadata specification, the entry points specification, CEP 20
and conda-build for ``noarch: python``.
"""

from __future__ import annotations

import base64
import configparser
import email.message
import email.parser
import hashlib
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from packaging.specifiers import SpecifierSet
from packaging.utils import parse_wheel_filename

from benchmarks.channel.conda_format import PLACEHOLDER
from benchmarks.channel.errors import ChannelError

_LICENSE_NAMES = ("licen", "copying", "notice", "authors")


@dataclass(frozen=True)
class Layout:
    """Where the parts of a wheel go: see conda-build's noarch layout for the first."""

    site_packages: str
    scripts: str

    @staticmethod
    def noarch() -> Layout:
        """Folders that the installer maps to those of the interpreter it finds."""
        return Layout("site-packages", "python-scripts")

    @staticmethod
    def arch(python: str) -> Layout:
        """Return final folders."""
        return Layout(f"lib/python{python}/site-packages", "bin")


@dataclass(frozen=True)
class WheelInfo:
    """What a wheel says about itself."""

    version: str
    pure: bool
    platform: str
    metadata: email.message.Message
    entry_points: tuple[str, ...]
    license_files: Mapping[str, bytes]

    @property
    def requires(self) -> tuple[str, ...]:
        """The ``Requires-Dist`` lines."""
        return tuple(self.metadata.get_all("Requires-Dist", []))

    @property
    def requires_python(self) -> SpecifierSet:
        """The versions of Python that it supports."""
        return SpecifierSet(str(self.metadata.get("Requires-Python") or ""))

    @property
    def license(self) -> str:
        """The license expression, or the short name that older metadata gives."""
        text = str(self.metadata.get("License-Expression") or self.metadata.get("License") or "")
        if text and "\n" not in text and len(text) < 60:
            return text
        classifiers = self.metadata.get_all("Classifier", [])
        found = [c.rpartition(" :: ")[2] for c in classifiers if c.startswith("License :: ")]
        return found[0] if found else ""

    @property
    def about(self) -> dict[str, str]:
        """``info/about.json`` without the license."""
        found = {"summary": str(self.metadata.get("Summary", ""))}
        urls = [line.partition(", ") for line in self.metadata.get_all("Project-URL", [])]
        keys = {"homepage": "home", "source": "dev_url", "documentation": "doc_url"}
        for label, _, address in urls:
            if label.lower() in keys:
                found[keys[label.lower()]] = address
        if "home" not in found and self.metadata.get("Home-page"):
            found["home"] = str(self.metadata["Home-page"])
        return found


def read_wheel(path: Path) -> WheelInfo:
    """Read the ``.dist-info`` of a wheel."""
    _, version, _, tags = parse_wheel_filename(path.name)
    with zipfile.ZipFile(path) as archive:
        root = dist_info(archive)
        parser = email.parser.Parser()
        metadata = parser.parsestr(archive.read(f"{root}/METADATA").decode())
        kind = parser.parsestr(archive.read(f"{root}/WHEEL").decode())
        inside = [n for n in archive.namelist() if n.startswith(f"{root}/") and not n.endswith("/")]
        text = ""
        if f"{root}/entry_points.txt" in inside:
            text = archive.read(f"{root}/entry_points.txt").decode()
        licenses = {
            n.removeprefix(f"{root}/").removeprefix("licenses/"): archive.read(n)
            for n in inside
            if f"{root}/licenses/" in n or PurePosixPath(n).name.lower().startswith(_LICENSE_NAMES)
        }
    return WheelInfo(
        version=str(version),
        pure=kind.get("Root-Is-Purelib", "").lower() == "true"
        and all(tag.platform == "any" for tag in tags),
        platform=path.stem.rpartition("-")[2],
        metadata=metadata,
        entry_points=console_scripts(text),
        license_files=licenses,
    )


def dist_info(archive: zipfile.ZipFile) -> str:
    """Return the name of the one ``.dist-info`` folder at the top of a wheel."""
    tops = {name.split("/")[0] for name in archive.namelist()}
    found = [top for top in tops if top.endswith(".dist-info")]
    if len(found) != 1:
        raise ChannelError(f"{archive.filename} holds {len(found)} .dist-info folders, not one")
    return found[0]


def console_scripts(text: str) -> tuple[str, ...]:
    """``name = module:function`` lines of an ``entry_points.txt``."""
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    parser.read_string(text)
    if not parser.has_section("console_scripts"):
        return ()
    # "function [extra]" is an old form; conda knows no extras.
    return tuple(f"{k} = {v.split('[')[0].strip()}" for k, v in parser.items("console_scripts"))


def stage_wheel(path: Path, root: Path, layout: Layout, python: str) -> None:
    """Unpack a wheel below ``root`` the way that pip inside conda-build would."""
    with zipfile.ZipFile(path) as archive:
        info = dist_info(archive)
        for member in archive.infolist():
            if member.is_dir():
                continue
            target = root / place(member.filename, info, layout, python)
            data = archive.read(member)
            if target.parent == root / layout.scripts and data.startswith(b"#!python"):
                shebang = f"#!{PLACEHOLDER}/bin/python{python}".encode()
                data = shebang + data.removeprefix(b"#!pythonw").removeprefix(b"#!python")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            executable = stat.S_IMODE(member.external_attr >> 16) & 0o100
            is_script = target.parent == root / layout.scripts
            target.chmod(0o755 if executable or is_script else 0o644)
        add_installer(root / layout.site_packages / info)


def place(name: str, info: str, layout: Layout, python: str) -> str:
    """Where a member of a wheel goes, including its ``.data`` folder."""
    top, _, rest = name.partition("/")
    if top != info.removesuffix(".dist-info") + ".data":
        return f"{layout.site_packages}/{name}"
    kind, _, rest = rest.partition("/")
    project = info.split("-")[0]
    folders = {
        "purelib": f"{layout.site_packages}/",
        "platlib": f"{layout.site_packages}/",
        "scripts": f"{layout.scripts}/",
        "headers": f"include/python{python}/{project}/",
        "data": "",
    }
    if kind not in folders:
        raise ChannelError(f"{name}: unknown kind of data in a wheel")
    return folders[kind] + rest


def add_installer(info: Path) -> None:
    """Write ``INSTALLER`` with conda's name, and list it in ``RECORD``."""
    data = b"conda\n"
    (info / "INSTALLER").write_bytes(data)
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    line = f"{info.name}/INSTALLER,sha256={digest},{len(data)}\n"
    record = info / "RECORD"
    record.write_text(line + record.read_text())


def entry_point_script(entry_point: str, python: str) -> str:
    """Return the script that conda-build writes for a console entry point."""
    target = entry_point.partition("=")[2].strip()
    module, _, function = target.partition(":")
    return (
        f"#!{PLACEHOLDER}/bin/python{python}\n"
        "# -*- coding: utf-8 -*-\n"
        "import re\n"
        "import sys\n\n"
        f"from {module} import {function.split('.')[0]}\n\n"
        "if __name__ == '__main__':\n"
        "    sys.argv[0] = re.sub(r'(-script\\.pyw?|\\.exe)?$', '', sys.argv[0])\n"
        f"    sys.exit({function}())\n"
    )
