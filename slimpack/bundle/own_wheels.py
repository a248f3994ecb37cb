"""slimpack itself in a bundle: wheels for ``pip install --no-index --find-links slimpack-wheels``.

Its own wheel is put together from what runs now: of a source checkout by its build backend, of
an installation from the files that its RECORD lists, each with the digest that stands there.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import sys
import zipfile
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path, PurePosixPath

from packaging.utils import canonicalize_name

from slimpack.bundle.channel import file_part
from slimpack.bundle.contents import Extra
from slimpack.env.pypi.interpreter import Interpreter
from slimpack.env.pypi.pip import Pip, PipError
from slimpack.env.pypi.sources import build_wheel, fresh_folder
from slimpack.errors import BundleError, InstallError
from slimpack.files import file_sha256

FOLDER = "slimpack-wheels"
_NAME = "slimpack"
# What the build backend reads of a checkout.
_SOURCES = ("pyproject.toml", "README.md", "LICENSE", "slimpack", "runtimes")
# What installers write; it is not part of the wheel.
_NOT_OF_WHEEL = frozenset({"INSTALLER", "REQUESTED", "RECORD", "direct_url.json"})
_DATE = (1980, 1, 1, 0, 0, 0)  # zip knows none before
_PYTHON = re.compile(r"3\.([0-9]{1,2})\Z")
_OLDEST_PYTHON = 10


def own_wheels(
    scratch: Path, *, python: str, subdirs: Sequence[str], glibc: str
) -> tuple[tuple[Extra, ...], tuple[str, ...]]:
    """Return slimpack's wheel and those of its dependencies, and notes.

    python: of the far side, ``3.11``; "" for this one's. subdirs, glibc: of the far side.
    scratch: an empty folder that must stay until the bundle is written. Dependencies come in
    the versions that are installed here, or in others where those have no wheel for the far
    side, which a note says. Raises BundleError for an installation that was changed,
    InstallError when wheels cannot be had.
    """
    python = python or f"{sys.version_info.major}.{sys.version_info.minor}"
    match = _PYTHON.match(python)
    if match is None or int(match[1]) < _OLDEST_PYTHON:
        raise BundleError(
            f"slimpack runs on Python 3.{_OLDEST_PYTHON} and newer, not on {python!r}",
            hint="write it like --slimpack-python 3.11",
        )
    wheel = own_wheel(scratch / "own")
    folder = scratch / "wheels"
    folder.mkdir(parents=True)
    notes = []
    for subdir in subdirs:
        target = Interpreter(
            prefix=Path("/nowhere"),
            version=f"{python}.0",
            threads="",
            subdir=subdir,
            glibc=(2, int(glibc.partition(".")[2])),
        )
        if not _download(wheel, folder, target, scratch, pinned=True):
            _download(wheel, folder, target, scratch, pinned=False)
            notes.append(
                f"wheels of slimpack's dependencies for Python {python} on {subdir} come in other "
                "versions than are installed here"
            )
    extras = [
        Extra(
            file_part(f"{FOLDER}/{path.name}", path, path.stat().st_size, file_sha256(path)),
            "slimpack",
        )
        for path in sorted({path.name: path for path in (*folder.glob("*.whl"), wheel)}.values())
    ]
    return tuple(extras), tuple(notes)


def _download(
    wheel: Path, folder: Path, target: Interpreter, scratch: Path, *, pinned: bool
) -> bool:
    """Have the wheels of all dependencies; tell whether there are such. pinned: as installed."""
    work = fresh_folder(scratch, "download")
    pip = Pip(target, work, native=False)
    constraints = work / "constraints.txt"
    constraints.write_text("".join(f"{line}\n" for line in _installed()) if pinned else "")
    try:
        pip(
            "download",
            f"--dest={folder}",
            f"--constraint={constraints}",
            *pip.foreign_arguments,
            str(wheel),
        )
    except PipError as error:
        if pinned:
            return False
        raise InstallError(
            f"no wheels of slimpack's dependencies for Python {target.version} on {target.subdir}",
            details=error.details,
            hint="choose another --slimpack-python or --platform, or check the network",
        ) from error
    return True


def _installed() -> Iterator[str]:
    """Yield what is installed beside slimpack, as requirements."""
    found = {
        str(canonicalize_name(one.metadata["Name"])): one.version
        for one in distributions()
        if one.metadata["Name"]
    }
    for name, version in sorted(found.items()):
        if name != _NAME:
            yield f"{name}=={version}"


def own_wheel(scratch: Path) -> Path:
    """Return the wheel of the slimpack that runs now, below `scratch`; the same each time."""
    root = Path(__file__).resolve().parent.parent.parent
    if (root / "pyproject.toml").is_file() and (root / "runtimes").is_dir():
        return _built(root, scratch)
    try:
        found = distribution(_NAME)
    except PackageNotFoundError as error:
        raise BundleError(
            "slimpack's own files cannot be found", hint="install slimpack with pip"
        ) from error
    return rebuilt(found, scratch)


def _built(root: Path, scratch: Path) -> Path:
    """Build the wheel of a checkout, in a copy of what belongs to it."""
    copy = scratch / _NAME
    copy.mkdir(parents=True)
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
    for name in _SOURCES:
        source = root / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=ignored)
        elif source.is_file():
            shutil.copy2(source, copy / name)
    here = Interpreter(
        prefix=Path(sys.prefix),
        version="{}.{}.{}".format(*sys.version_info[:3]),
        threads="",
        subdir="linux-64",
        glibc=(2, 99),  # nothing is compiled
        runs=True,
    )
    try:
        return build_wheel(
            f"{_NAME} @ {copy.as_uri()}", Pip(here, scratch / "pip", native=True), name="build-own"
        )
    except PipError as error:
        raise InstallError(
            f"slimpack's wheel cannot be built from {root}",
            details=error.details,
            hint="the build needs hatchling from an index; an installed slimpack needs nothing",
        ) from error


def rebuilt(found: Distribution, scratch: Path) -> Path:
    """Put a wheel together from an installation; each file has the digest of its RECORD.

    Raises BundleError for one that was changed, or whose RECORD does not tell.
    """
    members = dict(_members(found))
    tags = re.findall(r"^Tag: (\S+)$", found.read_text("WHEEL") or "", re.MULTILINE)
    info = next((path.split("/")[0] for path in members if path.endswith("/METADATA")), "")
    if len(tags) != 1 or not info:
        raise BundleError(
            "slimpack's installation does not tell of what wheel it came",
            hint="install it again with pip",
        )
    record = [
        f"{path},sha256={_base64(hashlib.sha256(data).digest())},{len(data)}\n"
        for path, data in sorted(members.items())
    ]
    record_path = f"{info}/RECORD"
    members[record_path] = "".join([*record, f"{record_path},,\n"]).encode()
    scratch.mkdir(parents=True, exist_ok=True)
    wheel = scratch / f"{info.removesuffix('.dist-info')}-{tags[0]}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, data in sorted(members.items()):
            item = zipfile.ZipInfo(path, _DATE)
            item.compress_type = zipfile.ZIP_STORED  # zlibs differ in what they write
            item.external_attr = 0o100644 << 16
            archive.writestr(item, data)
    return wheel


def _members(found: Distribution) -> Iterator[tuple[str, bytes]]:
    for file in found.files or ():
        path = PurePosixPath(file)
        made_here = ".." in path.parts or path.suffix == ".pyc" or path.is_absolute()
        in_info = path.parent.name.endswith(".dist-info")
        if made_here or (in_info and path.name in _NOT_OF_WHEEL):
            continue
        place = Path(str(file.locate()))
        data = place.read_bytes() if place.is_file() else b""
        digest = file.hash.value if file.hash and file.hash.mode == "sha256" else None
        if digest != _base64(hashlib.sha256(data).digest()):
            raise BundleError(
                f"{path} of slimpack is not as it was installed",
                hint="install slimpack again; what was changed is not carried elsewhere",
            )
        yield path.as_posix(), data


def _base64(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
