"""Install a lock into a prefix: ``installer.py LOCK PREFIX CACHE``.

What micromamba does in people's Dockerfiles, done with py-rattler, which is at least as fast:
packages go from their URLs into a cache, files from there into the prefix, and packages
without bytecode get theirs. A prefix that is there already is brought up to date. It is a
program of its own, because it runs in a builder image, too.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import rattler


async def install(lock: Path, prefix: Path, cache: Path) -> None:
    """Make the prefix hold what the lock says for linux-64, with bytecode."""
    environment = rattler.LockFile.from_path(lock).default_environment()
    if environment is None:
        raise SystemExit(f"{lock} has no default environment")
    (platform,) = environment.platforms()
    await rattler.install(
        environment.conda_repodata_records_for_platform(platform) or [],
        prefix,
        cache_dir=cache,
        platform=platform.subdir,
        show_progress=False,
    )
    compile_sources(prefix)


def compile_sources(prefix: Path) -> None:
    """Give the sources of noarch packages bytecode; without them, Python need not be there."""
    if files := sources(prefix):
        subprocess.run(
            [prefix / "bin" / "python", "-m", "compileall", "-q", "-i", "-"],
            input="\n".join(files),
            text=True,
            check=True,
        )


def sources(prefix: Path) -> list[str]:
    """Return the sources of noarch packages, which are shipped without bytecode."""
    found = []
    for record in sorted((prefix / "conda-meta").glob("*.json")):
        package = json.loads(record.read_bytes())
        if package.get("noarch") == "python":
            found += [str(prefix / name) for name in package["files"] if name.endswith(".py")]
    return found


if __name__ == "__main__":
    asyncio.run(install(*(Path(argument) for argument in sys.argv[1:])))
    sys.stdout.flush()
    os._exit(0)  # py-rattler sometimes crashes the interpreter at exit
