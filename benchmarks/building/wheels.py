"""The packages of a lock as the wheels that the local channel made them from."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import rattler

from benchmarks.building.changes import chosen
from benchmarks.channel.build import default_cache
from benchmarks.channel.fetch import cached, fetch_wheels
from benchmarks.channel.lock import LockedFile, load_lock
from benchmarks.channel.recipes import PLATFORMS, Recipe, load_channel
from benchmarks.running import RunError
from slimpack.files import atomic_file


def wheels_of(names: Iterable[str]) -> dict[str, Path]:
    """Return conda name -> wheel, of those made from wheels; what is missing is fetched."""
    platform = PLATFORMS[0]
    channel, lock = load_channel(), load_lock(platform.subdir)
    wanted = set(names)
    recipes: dict[str, Recipe] = {
        recipe.package_name: recipe
        for recipe in channel.of_kind("wheel")
        if recipe.package_name in wanted and not recipe.package
    }
    pins: Mapping[str, LockedFile] = {
        name: lock.wheels[recipe.wheel_key] for name, recipe in recipes.items()
    }
    fetch_wheels(default_cache(), pins, channel.python, platform)
    return {name: cached(default_cache(), pin) for name, pin in pins.items()}


def names_of(lock: Path) -> tuple[str, ...]:
    """Return the names of the packages of a lock file, for this platform."""
    environment = rattler.LockFile.from_path(lock).default_environment()
    if environment is None:
        raise RunError(f"{lock} has no default environment")
    (platform,) = environment.platforms()
    records = environment.conda_repodata_records_for_platform(platform) or []
    return tuple(sorted(record.name.normalized for record in records))


def not_wheels(asked: Iterable[str], wheels: Iterable[str]) -> tuple[str, ...]:
    """Return which packages that a user asks for pip has not: no wheel, Python or meta-package."""
    meta = {recipe.package_name for recipe in load_channel().of_kind("generated")}
    return tuple(sorted(set(asked).difference(wheels, meta, ("python",))))


def renewed(wheel: Path, folder: Path) -> Path:
    """Write the wheel with a line more in one source, and a list of files that says so.

    It is the file that the same change makes of the conda package (`changes`).
    """
    with zipfile.ZipFile(wheel) as old:
        infos = old.infolist()
        files = {info.filename: old.read(info) for info in infos if not info.is_dir()}
    name = chosen({name: data for name, data in files.items() if ".dist-info/" not in name})
    files[name] += b"\n# one line more\n"
    record = next(path for path in files if path.endswith(".dist-info/RECORD"))
    files[record] = _recorded(files[record].decode(), name, files[name]).encode()
    target = folder / wheel.name
    with (
        atomic_file(target, durable=False) as stream,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for info in infos:
            if not info.is_dir():
                new.writestr(info, files[info.filename])
    return target


def _recorded(text: str, name: str, data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    lines = text.splitlines()
    return "".join(
        f"{name},sha256={digest},{len(data)}\n" if line.startswith(f"{name},") else f"{line}\n"
        for line in lines
    )
