"""From what pip says when it fails to an error that says what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from packaging.utils import canonicalize_name

from slimpack.env.locks.lock import PypiPackage
from slimpack.env.pypi.interpreter import Interpreter, unfit
from slimpack.env.pypi.pip import PipError
from slimpack.env.redact import redacted
from slimpack.errors import InstallError, SlimpackError, SolveError

_CONSTRAINT = re.compile(r"\(constraint\) ([A-Za-z0-9._-]+)")
_CONFLICT = re.compile(r"Cannot install (.+?) because these package versions have conflicting")
_UNFOUND = re.compile(r"No matching distribution found for ([A-Za-z0-9._-]+)")
_SKIPPED = re.compile(
    r"Skipping link: none of the wheel's tags \((?P<tags>[^)]*)\) are compatible[^:]*: (?P<url>\S+)"
)
_SKIPPED_LINE = re.compile(r"^.*Skipping link: .*\n?", re.MULTILINE)
_NO_SOURCES = "Skipping link: No sources permitted for "
# That a page is not there is how an index says that it has no such project.
_UNREAD = re.compile(
    r"(?:Could not fetch URL |The repository located at )"
    r"(?P<problem>\S+(?:: (?!404 ).*?| is not a trusted or secure host))"
    r"(?: - skipping| and is being ignored|$)",
    re.MULTILINE,
)
_EXPECTED = re.compile(
    r"^\s*(?P<name>[A-Za-z0-9._-]+)[^\n]*\n\s*Expected sha256 (?P<expected>[0-9a-f]+)\s*\n"
    r"\s*Got\s+(?P<found>[0-9a-f]+)",
    re.MULTILINE,
)
_NETWORK = (
    "Could not fetch",
    "Connection",
    "SSLError",
    "ReadTimeout",
    "HTTPError",
    "ProxyError",
    "Failed to connect",
)


def nothing_found(error: PipError) -> bool:
    """Tell whether pip found no file that fits, which its log explains."""
    return _UNFOUND.search(error.output) is not None


def skipped_links(log: str) -> str:
    """Return the lines of pip's log about what it passed over, without credentials."""
    lines = [
        line
        for line in log.splitlines()
        if _SKIPPED.search(line) or _UNREAD.search(line) or _NO_SOURCES in line
    ]
    return redacted("\n".join(lines))


def resolve_failure(
    error: PipError, source: str, conda: Mapping[str, tuple[str, str]], target: Interpreter
) -> SlimpackError:
    """Return the error for a resolution that failed.

    conda: distributions that conda brought, name -> (version, conda package).
    """
    output = error.output
    details = _SKIPPED_LINE.sub("", error.details).strip()
    unread = dict.fromkeys(match["problem"] for match in _UNREAD.finditer(output))
    if unread:
        return _no_index(source, "\n".join(unread))
    unfound = _UNFOUND.search(output)
    kept = [
        str(canonicalize_name(name))
        for name in _CONSTRAINT.findall(output)
        if str(canonicalize_name(name)) in conda
    ]
    if not kept and unfound and str(canonicalize_name(unfound[1])) in conda:
        kept = [str(canonicalize_name(unfound[1]))]
    if kept:
        version, owner = conda[kept[0]]
        asked = _CONFLICT.search(output)
        return SolveError(
            f"{source}: the pip section ({asked[1] if asked else kept[0]}) cannot be had together "
            f"with {kept[0]} {version} of conda package {owner}",
            details=details,
            hint=f"ask for another version of {owner} under 'dependencies:', or loosen what pip "
            "is asked for; pip never replaces what conda installed",
        )
    if unfound:
        name = unfound[1]
        return SolveError(
            f"{source}: pip found no version of {name} for {target.subdir} with Python "
            f"{target.version} and glibc {target.glibc[0]}.{target.glibc[1]}",
            details="\n".join([details, *_reasons(output, name, target)]),
            hint="check its name and the index; a version with other wheels may fit",
        )
    if "conflicting dependencies" in output or "ResolutionImpossible" in output:
        return SolveError(
            f"{source}: no pip packages satisfy the pip section",
            details=details,
            hint="loosen a requirement that the explanation names",
        )
    if any(word in output for word in _NETWORK):
        return _no_index(source, details)
    return InstallError(
        f"{source}: pip cannot resolve the pip section",
        details=details,
        hint="the last lines of pip's output say what failed",
    )


def _no_index(source: str, details: str) -> InstallError:
    return InstallError(
        f"{source}: pip cannot read an index",
        details=details,
        hint="check the index's URL, its credentials and the network",
    )


def _reasons(output: str, name: str, target: Interpreter) -> list[str]:
    """Say why pip passed over files of that name."""
    normal = re.sub(r"[-_.]+", "[-_.]+", re.escape(name).replace(r"\-", "-").replace(r"\.", "."))
    reasons = []
    for match in _SKIPPED.finditer(output):
        file = match["url"].split("#")[0].rpartition("/")[2]
        if re.match(f"{normal}-", file, re.IGNORECASE):
            tags = [tag.strip() for tag in match["tags"].split(",")]
            reasons.append(f"{redacted(file)} {unfit(tags, target)}")
    if _NO_SOURCES in output:
        reasons.append(
            f"its sdists have to be built, and the Python {target.version} of {target.subdir} "
            "cannot do that on this machine"
        )
    return list(dict.fromkeys(reasons))[-10:]


def fetch_failure(error: PipError, packages: Sequence[PypiPackage]) -> InstallError:
    """Return the error for archives that could not be fetched or are not the locked ones."""
    match = _EXPECTED.search(error.output)
    if match is not None:
        return _wrong_hash(match, packages)
    return InstallError(
        "pip packages could not be fetched",
        details=error.details,
        hint="check the network; an index that needs credentials must be configured for pip",
    )


def _wrong_hash(match: re.Match[str], packages: Sequence[PypiPackage]) -> InstallError:
    package = next((one for one in packages if one.sha256 == match["expected"]), None)
    label = f"{package.name} {package.version}" if package else match["name"]
    return InstallError(
        f"{label}: expected SHA-256 {match['expected']}, found {match['found']}",
        details=redacted(package.url) if package else "",
        hint="the file was replaced or damaged; lock the environment again if that is right",
    )


def build_failure(error: PipError, package: PypiPackage) -> InstallError:
    """Return the error for a source that could not be fetched or built."""
    match = _EXPECTED.search(error.output)
    if match is not None:
        return _wrong_hash(match, [package])
    return InstallError(
        f"{package.name} {package.version}: its wheel cannot be built from {redacted(package.url)}",
        details=error.details,
        hint="add what its build needs (compilers, headers) under 'dependencies:', or take a "
        "version that has a wheel",
    )
