"""Reading conda-meta: which package put which file into a prefix.

Format: the JSON records that conda, mamba and rattler write, one a package
(conda's ``PrefixRecord``). They are read from the prefix, not from the package
cache, so that a damaged cache cannot vouch for itself.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from slimpack.env.dists import Dist, read_dists
from slimpack.env.redact import redacted
from slimpack.env.specs import spec_name
from slimpack.errors import InputError

CLOBBERS = "__clobbers__"
# Keys that say where and when somebody installed, not what was installed.
_HOST_KEYS = (
    "extracted_package_dir",
    "package_tarball_full_path",
    "requested_spec",
    "requested_specs",
    "indexed_timestamp",
    "auth",
)


@dataclass(frozen=True)
class InstalledFile:
    """A file as its package declares it.

    sha256: hex digest of the file inside the package, before any prefix was
        written into it; "" when the package does not say.
    placeholder: the build prefix that the file contains, "" when none.
    replaced: where the file would be if another package had not put its own
        there, "" when it is in its place. rattler keeps such losers in `CLOBBERS`.
    mode: how the placeholder sits in the file: "text", "binary", "" when the
        record does not say.
    in_prefix: hex digest of the file as it was installed, "" when unknown.
    path_type: "hardlink", "softlink", "directory", "unix_python_entry_point",
        "pyc_file" or whatever else the installer wrote; "" in old records.
    """

    path: str
    sha256: str
    placeholder: str
    replaced: str = ""
    mode: str = ""
    in_prefix: str = ""
    path_type: str = ""


@dataclass(frozen=True)
class InstalledPackage:
    """One record of conda-meta.

    files: paths below the prefix.
    noarch: "python", "generic" or "".
    extracted: folder in the package cache that it was installed from.
    depends: names of the packages that it needs at run time.
    """

    name: str
    version: str
    build: str
    subdir: str
    url: str
    license: str
    noarch: str
    extracted: str
    files: tuple[InstalledFile, ...]
    depends: tuple[str, ...] = ()

    @property
    def dist(self) -> str:
        """``name-version-build``."""
        return f"{self.name}-{self.version}-{self.build}"


@dataclass(frozen=True)
class Installed:
    """All records of a prefix, in order of name.

    dists: Python distributions that no conda package brought (pip, uv).
    """

    packages: tuple[InstalledPackage, ...]
    dists: tuple[Dist, ...] = ()

    @cached_property
    def owners(self) -> dict[str, str]:
        """Path below the prefix -> package; the first by name where two claim one path.

        A file that a distribution of pip lists is pip's: it writes over what is there.
        """
        owners: dict[str, str] = {}
        for dist in self.dists:
            for path in dist.files:
                owners.setdefault(path, dist.owner)
        for package in self.packages:
            owners.setdefault(f"conda-meta/{package.dist}.json", package.name)
            for file in package.files:
                owners.setdefault(file.path, package.name)
        return owners

    @cached_property
    def shared(self) -> dict[str, tuple[str, ...]]:
        """Paths that more than one package claims -> those packages."""
        claims: dict[str, list[str]] = {}
        for package in self.packages:
            for path in {file.path for file in package.files}:
                claims.setdefault(path, []).append(package.name)
        return {path: tuple(names) for path, names in claims.items() if len(names) > 1}

    @cached_property
    def digests(self) -> dict[str, str]:
        """Path below the prefix -> SHA-256 of the packaged file; only where one package owns it."""
        return {
            file.path: file.sha256
            for package in self.packages
            for file in package.files
            if file.sha256
            and file.path not in self.shared
            and self.owners.get(file.path) == package.name
        }

    @cached_property
    def placeholders(self) -> frozenset[str]:
        """Every build prefix that any package declares."""
        return frozenset(
            file.placeholder
            for package in self.packages
            for file in package.files
            if file.placeholder
        )

    @property
    def replacements(self) -> list[tuple[str, str, str]]:
        """Files that differ between two packages: (path, whose is there, whose is not)."""
        return sorted(
            (file.replaced, self.owners.get(file.replaced, ""), package.name)
            for package in self.packages
            for file in package.files
            if file.replaced and file.sha256 != self.digests.get(file.replaced)
        )

    @property
    def versions(self) -> tuple[tuple[str, str], ...]:
        """(name, version) of every package, of conda and then of pip."""
        conda = tuple((package.name, package.version) for package in self.packages)
        return (*conda, *((dist.name, dist.version) for dist in self.dists))

    @property
    def titles(self) -> dict[str, str]:
        """Owner -> the package's name with its version, and build if it has one."""
        conda = {package.name: package.dist for package in self.packages}
        return {**conda, **{dist.owner: f"{dist.name}-{dist.version}" for dist in self.dists}}

    def get(self, name: str) -> InstalledPackage | None:
        """Return the package of that name, or None."""
        return next((package for package in self.packages if package.name == name), None)


def read_installed(prefix: Path) -> Installed:
    """Read every record of ``PREFIX/conda-meta`` and what pip added.

    Raises InputError when it is no conda prefix, or for a record that is malformed.
    """
    folder = prefix / "conda-meta"
    if not folder.is_dir():
        raise InputError(f"{prefix} is not a conda environment: it has no conda-meta folder")
    packages = sorted(
        (_package(path) for path in folder.glob("*.json")), key=lambda package: package.name
    )
    conda = Installed(packages=tuple(packages))
    return Installed(packages=conda.packages, dists=read_dists(prefix, conda.owners))


def _package(path: Path) -> InstalledPackage:
    try:
        record = json.loads(path.read_bytes())
        declared = {
            item["_path"]: item for item in (record.get("paths_data") or {}).get("paths", [])
        }
        return InstalledPackage(
            name=record["name"],
            version=record["version"],
            build=record.get("build", ""),
            subdir=record.get("subdir", ""),
            url=record.get("url", ""),
            license=record.get("license") or "",
            noarch=str(record.get("noarch") or ""),
            extracted=(record.get("link") or {}).get("source") or "",
            files=tuple(_file(name, declared.get(name, {})) for name in record.get("files", [])),
            depends=tuple(filter(None, map(spec_name, record.get("depends") or ()))),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: not a conda-meta record ({error})", hint="install the environment again"
        ) from error


def _file(path: str, declared: dict[str, Any]) -> InstalledFile:
    return InstalledFile(
        path=path,
        sha256=declared.get("sha256") or "",
        placeholder=declared.get("prefix_placeholder") or "",
        replaced=declared.get("original_path") or "",
        mode=declared.get("file_mode") or "",
        in_prefix=declared.get("sha256_in_prefix") or "",
        path_type=declared.get("path_type") or "",
    )


def listed_as(path: str, there: Container[str]) -> str:
    """Return the path under which a file is `there`, "" for none; ``a.pyc`` may stand for ``a.py``.

    Whoever looks for the package of such bytecode then finds it, as of any other file.
    """
    if path in there:
        return path
    return f"{path}c" if path.endswith(".py") and f"{path}c" in there else ""


def is_clobbered(path: str) -> bool:
    """Tell whether this is the file of a package that lost its place to another's."""
    return path.startswith(f"{CLOBBERS}/")


def portable_record(
    data: bytes,
    rewritten: Mapping[str, tuple[str, int]],
    there: Container[str] | None = None,
    *,
    keep_placeholders: bool = False,
) -> bytes:
    """Return a conda-meta record without anything of the machine that installed it.

    rewritten: path below the prefix -> (SHA-256, size) of the files that are
    not as the package has them; the record then tells of these.
    there: paths below the prefix that exist; others leave the record, but for sources in
        whose place bytecode stands (`listed_as`). None for all.
    keep_placeholders: the files still hold them; what is said of the prefix that
    they were installed to goes instead.

    Scanners and SBOM tools read these records in the image; they need names,
    versions, digests and URLs, but a ``file:`` URL would name a folder of the
    build host and is cut to its ``subdir/file``.
    """
    record: dict[str, Any] = json.loads(data)
    for key in _HOST_KEYS:
        record.pop(key, None)
    if record.get("link"):
        # The type (hard link, copy) depends on the build host's file systems.
        record["link"] = {"source": "", "type": 1}

    def kept(path: str) -> bool:
        return not is_clobbered(path) and (there is None or path in there)

    named = (path for path in record.get("files", []) if not is_clobbered(path))
    present = (path if there is None else listed_as(path, there) for path in named)
    # rattler lists the files of packages that claim the same paths in any order.
    record["files"] = sorted(set(filter(None, present)))
    declared = record.get("paths_data") or {}
    declared["paths"] = sorted(
        (item for item in declared.get("paths", []) if kept(item["_path"])),
        key=lambda item: str(item["_path"]),
    )
    for item in declared["paths"]:
        # A placeholder names the machine that built the package; mostly nothing is left of it.
        item.pop("sha256_in_prefix" if keep_placeholders else "prefix_placeholder", None)
        if item["_path"] in rewritten:
            # rattler notes the size in the prefix, which depends on where that was.
            digest, item["size_in_bytes"] = rewritten[item["_path"]]
            if not (keep_placeholders and digest == item.get("sha256")):
                item["sha256_in_prefix"] = digest
            if "path_type" in item and item["path_type"].endswith("entry_point"):
                item["sha256"] = digest  # made by the installer
    for key in ("url", "channel", "base_url"):
        if isinstance(record.get(key), str):
            record[key] = redacted(record[key])
    if str(record.get("url") or "").startswith("file:"):
        tail = "/".join(record["url"].rsplit("/", 2)[1:])
        record["url"] = f"file:///{tail}"
        record["channel"] = "file:///"
    return json.dumps(record, sort_keys=True).encode() + b"\n"
