r"""pip packages in a bundle: ``wheelhouse/``, and what pip has to be told of it.

One requirements file for each lock, with hashes, so that pip takes these files and no others::

    pip install --no-deps --no-index --find-links wheelhouse --require-hashes \
        -r wheelhouse/requirements-serve.txt
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from slimpack.bundle.channel import file_part
from slimpack.bundle.contents import Extra, Part
from slimpack.env.locks.lock import PypiPackage, version_of_file
from slimpack.env.pypi.archives import PypiFile
from slimpack.env.redact import redacted
from slimpack.errors import BundleError

FOLDER = "wheelhouse"
_MACHINES: Mapping[str, str] = MappingProxyType({"linux-64": "x86_64", "linux-aarch64": "aarch64"})


@dataclass(frozen=True)
class PipPart:
    """What a lock has for pip on one platform. missing: what comes as no file."""

    subdir: str
    files: tuple[PypiFile, ...]
    missing: tuple[PypiPackage, ...] = ()


def wheelhouse_extras(locks: Mapping[str, Sequence[PipPart]]) -> tuple[Extra, ...]:
    """Return the members of the wheelhouse, sorted. locks: by name, platform by platform.

    Raises BundleError where two files of one name have other bytes.
    """
    files: dict[str, PypiFile] = {}
    for one in (file for parts in locks.values() for part in parts for file in part.files):
        there = files.setdefault(one.name, one)
        if there.package.sha256 != one.package.sha256:
            raise BundleError(
                f"{one.name} is there twice, with the SHA-256 {there.package.sha256} and "
                f"{one.package.sha256}",
                hint="lock the environments again, so that all have the same one",
            )
    extras = [
        Extra(file_part(f"{FOLDER}/{name}", one.path, one.size, one.package.sha256), "wheelhouse")
        for name, one in files.items()
    ]
    extras += [
        Extra(Part.of(requirements_path(name), requirements(parts).encode()), "wheelhouse")
        for name, parts in locks.items()
        if any(part.files or part.missing for part in parts)
    ]
    return tuple(sorted(extras, key=lambda extra: extra.part.path))


def requirements_path(name: str) -> str:
    """Return where the requirements of a lock are."""
    return f"{FOLDER}/requirements-{name}.txt"


def requirements(parts: Sequence[PipPart]) -> str:
    """Return a requirements file of all platforms of a lock.

    A requirement that is not the same on all of them gets a marker.
    """
    hashes: dict[tuple[str, str], dict[str, set[str]]] = {}
    for part in parts:
        for one in part.files:
            version = one.package.version or version_of_file(one.package.url)
            found = hashes.setdefault((one.package.name, version), {})
            found.setdefault(part.subdir, set()).add(one.package.sha256)
    lines = []
    for (name, version), by_subdir in sorted(hashes.items()):
        marker = "" if len(by_subdir) == len(parts) else _marker(by_subdir)
        digests = sorted(set().union(*by_subdir.values()))
        options = "".join(f" \\\n    --hash=sha256:{digest}" for digest in digests)
        lines.append(f"{name}=={version}{marker}{options}")
    missing = {
        f"# not here: {one.name} @ {redacted(one.url)}" for part in parts for one in part.missing
    }
    return "".join(f"{line}\n" for line in (*sorted(missing), *lines))


def _marker(subdirs: Iterable[str]) -> str:
    tests = (f'platform_machine == "{_MACHINES[subdir]}"' for subdir in sorted(subdirs))
    return f" ; {' or '.join(tests)}"
