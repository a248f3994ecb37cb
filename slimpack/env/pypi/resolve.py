"""pip packages on top of a conda environment: which ones, exactly.

pip resolves; what conda brought counts as installed and stays as it is.
`slimpack.env.pypi.install` puts the packages in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name

from slimpack.env.dists import owned_dists
from slimpack.env.locks.lock import PypiPackage
from slimpack.env.meta import Installed
from slimpack.env.pypi.interpreter import Interpreter, check_wheel, interpreter
from slimpack.env.pypi.names import file_name, is_version, source_kind
from slimpack.env.pypi.pip import Pip, PipError, private_file
from slimpack.env.pypi.pip_errors import nothing_found, resolve_failure, skipped_links
from slimpack.env.pypi.requirements import Requirement, Requirements, read_requirements
from slimpack.env.pypi.sources import copy_project, fresh_folder
from slimpack.env.redact import redacted
from slimpack.errors import InputError, InstallError, SolveError
from slimpack.progress import SILENT, Progress


@dataclass(frozen=True)
class Resolution:
    """What pip would install on top of the conda packages.

    options: lines for `install`, such as ``--index-url URL``; they may hold credentials.
    """

    packages: tuple[PypiPackage, ...] = ()
    notes: tuple[str, ...] = ()
    options: tuple[str, ...] = field(default=(), repr=False)


def resolve(
    lines: Sequence[str],
    *,
    folder: Path,
    prefix: Path,
    installed: Installed,
    subdir: str,
    glibc: str,
    scratch: Path,
    source: str,
    progress: Progress = SILENT,
) -> Resolution:
    """Find the packages for the lines of a ``pip:`` section.

    folder: where the specification lies. prefix: with the conda packages in it;
    nothing is written there. glibc: version of the base's; wheels for a newer
    one are not taken. source: names the specification in messages.

    Raises InputError for malformed lines, SolveError when nothing satisfies them
    or when they would replace a conda package, InstallError when an index cannot
    be read or a source cannot be built.
    """
    wanted = read_requirements(lines, folder=folder, source=source)
    if not wanted.requirements:
        return Resolution(options=wanted.options)
    target = interpreter(prefix, installed, subdir=subdir, glibc=glibc)
    if not target.runs:
        _check_only_wheels(wanted.requirements, target)
    conda = owned_dists(prefix, installed.owners)
    _check_named(wanted.requirements, conda, target)
    work = fresh_folder(scratch, "pip-resolve")
    asked, origins = _copied(wanted.requirements, work)
    pip = Pip(target, work, native=target.runs)
    with progress.task("solve pip packages", unit="step"):
        try:
            items = _report(pip, asked, wanted, conda)
        except PipError as error:
            raise resolve_failure(_named(error, origins), source, conda, target) from error
    packages = []
    for item in items:
        package = _locked(item, origins)
        if package.name in conda:
            raise _replaced(package.name, package.url, conda[package.name], source)
        if source_kind(package) == "wheel":
            check_wheel(file_name(package.url), target)
        packages.append(package)
    return Resolution(
        packages=tuple(sorted(packages, key=lambda package: package.name)),
        notes=(*_editable_notes(wanted.requirements), *_yanked_notes(items)),
        options=wanted.options,
    )


def _check_only_wheels(requirements: Sequence[Requirement], target: Interpreter) -> None:
    for one in requirements:
        if one.built:
            raise InputError(
                f"{one.where}: has to be built, and the Python {target.version} of "
                f"{target.subdir} cannot do that on this machine",
                hint="build its wheel on that platform and name the .whl here, or build the "
                "image there",
            )


def _check_named(
    requirements: Sequence[Requirement], conda: Mapping[str, tuple[str, str]], target: Interpreter
) -> None:
    """Refuse a URL for what conda brought: pip would pass over it when the versions are one."""
    for one in requirements:
        name = one.url_of
        if name in conda and one.holds(target.markers):
            raise _replaced(name, redacted(one.text), conda[name], one.where)


def _copied(
    requirements: Sequence[Requirement], work: Path
) -> tuple[list[Requirement], dict[str, str]]:
    """Return requirements that name copies of the user's folders, and copy URL -> folder URL."""
    copies: dict[Path, Path] = {}
    for one in requirements:
        if one.path is not None and one.path.is_dir() and one.path not in copies:
            home = fresh_folder(work, "source")
            copies[one.path] = copy_project(one.path, home / one.path.name)
    asked = [
        one.at(copies[one.path]) if one.path is not None and one.path in copies else one
        for one in requirements
    ]
    return asked, {copy.as_uri(): folder.as_uri() for folder, copy in copies.items()}


def _report(
    pip: Pip,
    asked: Sequence[Requirement],
    wanted: Requirements,
    conda: Mapping[str, tuple[str, str]],
) -> list[dict[str, Any]]:
    """Let pip resolve; return what its report (format 1) says it would install."""
    work, report = pip.scratch, pip.scratch / "report.json"
    lines = [*wanted.options, *(one.line for one in asked)]
    requirements = private_file(work / "requirements.txt", "\n".join([*lines, ""]))
    kept = [
        f"{name}=={version}" for name, (version, _) in sorted(conda.items()) if is_version(version)
    ]
    limits = [*(one.line for one in wanted.constraints), *kept]
    constraints = private_file(work / "constraints.txt", "\n".join([*limits, ""]))
    arguments = [
        "--dry-run",
        f"--report={report}",
        f"--requirement={requirements}",
        f"--constraint={constraints}",
        *pip.foreign_arguments,
    ]
    try:
        pip("install", *arguments, choices=True)
    except PipError as error:
        again = _log(pip, arguments) if nothing_found(error) else ""
        output = _worded(error.output, requirements, [*wanted.options, *_texts(wanted)])
        raise PipError(f"{output}\n{again}") from error
    items = _items(report)
    if any(_unhashed(item) for item in items):
        # A wheel in the user's cache from a pip that did not note where it came from.
        pip("install", "--no-cache-dir", *arguments, choices=True)
        items = _items(report)
    return items


def _texts(wanted: Requirements) -> list[str]:
    return [redacted(one.text) for one in wanted.requirements]


def _log(pip: Pip, arguments: Sequence[str]) -> str:
    """Return what pip notes of the files and indexes that it passes over.

    Only its log has that, and with a log it does not show what builds say.
    """
    log = pip.scratch / "log"
    with suppress(PipError):
        pip("install", *arguments, f"--log={log}", "--retries=0", choices=True)
    return skipped_links(log.read_text("utf-8", "replace") if log.is_file() else "")


def _named(error: PipError, origins: Mapping[str, str]) -> PipError:
    """Put the user's folders where pip names our copies of them."""
    output = error.output
    for copy, folder in origins.items():
        output = output.replace(copy, folder)
        output = output.replace(unquote(urlsplit(copy).path), unquote(urlsplit(folder).path))
    return PipError(output)


def _worded(output: str, requirements: Path, lines: Sequence[str]) -> str:
    """Put the user's words where pip names a line of our requirements file."""
    where = re.compile(rf"-r {re.escape(str(requirements))} \(line (\d+)\)")
    return where.sub(lambda match: lines[int(match[1]) - 1], output)


def _items(report: Path) -> list[dict[str, Any]]:
    data = json.loads(report.read_bytes())
    if data.get("version") != "1":
        raise SolveError(
            f"pip's report has format {data.get('version')!r}, expected '1'",
            hint="install the version of pip that slimpack asks for",
        )
    items: list[dict[str, Any]] = data["install"]
    return items


def _unhashed(item: dict[str, Any]) -> bool:
    archive = item["download_info"].get("archive_info")
    return archive is not None and "sha256" not in archive.get("hashes", {})


def _locked(item: dict[str, Any], origins: Mapping[str, str]) -> PypiPackage:
    origin, metadata = item["download_info"], item["metadata"]
    name, version, url = metadata["name"], metadata["version"], origin["url"]
    sha256 = ""
    if vcs := origin.get("vcs_info"):
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    elif "archive_info" in origin:
        sha256 = origin["archive_info"].get("hashes", {}).get("sha256", "")
        if not sha256:
            raise InstallError(
                f"{name} {version}: its index gives no SHA-256, so it cannot be locked",
                hint="add --hash=sha256:... to the requirement",
            )
    else:
        url = origins.get(url, url)
    if origin.get("subdirectory"):
        url += f"#subdirectory={origin['subdirectory']}"
    return PypiPackage(
        name=str(canonicalize_name(name)),
        version=version,
        url=url,
        sha256=sha256,
        requires=tuple(metadata.get("requires_dist", [])),
    )


def _replaced(name: str, other: str, conda: tuple[str, str], where: str) -> SolveError:
    version, owner = conda
    return SolveError(
        f"{where}: pip would replace {name} {version} of conda package {owner} by {other}",
        hint=f"ask for {owner} under 'dependencies:' or for {name} under 'pip:', not both",
    )


def _editable_notes(requirements: Sequence[Requirement]) -> list[str]:
    return [
        f"{one.where}: -e (editable) is packed as a wheel, as {one.path or 'it'} is now"
        for one in requirements
        if one.editable
    ]


def _yanked_notes(items: Sequence[dict[str, Any]]) -> list[str]:
    return [
        f"{item['metadata']['name']} {item['metadata']['version']} was withdrawn (yanked) "
        "by its authors"
        for item in items
        if item.get("is_yanked")
    ]
