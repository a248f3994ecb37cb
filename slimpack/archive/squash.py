"""squashfs through mksquashfs, with everything pinned that would change its bytes.

A tar goes in through a pipe, so that nothing is staged on disk; before 4.5 mksquashfs
cannot do that and gets a folder. Same bytes for any number of processors: since 4.4
mksquashfs orders its blocks (``-reproducible``, the default).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from slimpack.archive.folder import place_members
from slimpack.archive.formats import Packing
from slimpack.errors import ArchiveError, InputError
from slimpack.files import temporary_name
from slimpack.oci.tar import Advance, tar_chunks, with_parents
from slimpack.tree import Entry

_BLOCK = 256 << 10  # as conda-pack's; a tenth smaller than with the default of 128 KiB
_TAR_SINCE = (4, 5)
_OLDEST = (4, 4)
_HINT = "install squashfs-tools (from conda-forge or the system), or choose another format"
_VERSION = re.compile(r"mksquashfs version (\d+)\.(\d+)")


def write_squashfs(
    members: list[Entry],
    path: Path,
    packing: Packing,
    *,
    mtime: int,
    advance: Advance | None = None,
) -> None:
    """Let mksquashfs write `members` (parents first) over the file `path`.

    Raises InputError where there is no mksquashfs or too old a one, ArchiveError, with
    its own words, if it fails.
    """
    version = _version()
    if version >= _TAR_SINCE:
        chunks = tar_chunks(with_parents(members), mtime=mtime)
        _run([*_from_tar(path), *_times(mtime)], packing, _told(chunks, advance))
        return
    staging = temporary_name(path)
    staging.mkdir(mode=0o700)
    try:
        place_members(members, staging, mtime=mtime, advance=advance)
        _run([str(staging), str(path), *_times(mtime)], packing)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def write_squashfs_of_tar(
    chunks: Iterable[bytes], path: Path, packing: Packing, *, newest: int, offset: int = 0
) -> None:
    """Let mksquashfs write the members of a tar, with their times, over the file `path`.

    newest: no time is later; the root has it. offset: where the image begins in the file;
    what comes before is the caller's to write, afterwards. Raises as `write_squashfs` does.
    """
    check_squashfs(_TAR_SINCE)
    where = ["-o", str(offset)] if offset else []
    _run([*_from_tar(path), *where], packing, chunks, SOURCE_DATE_EPOCH=str(newest))


def check_squashfs(least: tuple[int, int] = _TAR_SINCE) -> None:
    """Raise InputError unless there is a mksquashfs of at least that version."""
    if _version() < least:
        raise InputError(
            f"mksquashfs is older than {least[0]}.{least[1]} and cannot read a tar", hint=_HINT
        )


def _version() -> tuple[int, int]:
    try:
        done = subprocess.run(
            ["mksquashfs", "-version"], capture_output=True, text=True, check=False, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError("squashfs needs mksquashfs on PATH", hint=_HINT) from error
    found = _VERSION.search(done.stdout + done.stderr)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    if version < _OLDEST:
        raise InputError(
            "mksquashfs is older than 4.4 and cannot write the same bytes twice", hint=_HINT
        )
    return version


def _run(
    arguments: list[str], packing: Packing, chunks: Iterable[bytes] | None = None, **variables: str
) -> None:
    """Run mksquashfs; `chunks` is what it reads. variables: of its environment."""
    command = ["mksquashfs", *arguments, *_options(packing)]
    with tempfile.TemporaryFile() as words:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if chunks is None else subprocess.PIPE,
            stdout=words,
            stderr=words,
            env={**_environment(), **variables},
        )
        try:
            if chunks is not None:
                _feed(process, chunks)
            code = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if code:
            raise ArchiveError(f"mksquashfs failed with {code}", details=_last(words))


def _feed(process: subprocess.Popen[bytes], chunks: Iterable[bytes]) -> None:
    assert process.stdin is not None
    # It ended early: its exit code and its words say why.
    with suppress(BrokenPipeError), process.stdin:
        for data in chunks:
            process.stdin.write(data)


def _told(chunks: Iterable[bytes], advance: Advance | None) -> Iterator[bytes]:
    for data in chunks:
        yield data
        if advance is not None:
            advance(len(data))


def _from_tar(path: Path) -> list[str]:
    return ["-", str(path), "-tar", "-root-mode", "755"]


def _times(mtime: int) -> list[str]:
    return ["-mkfs-time", str(mtime), "-all-time", str(mtime)]


def _options(packing: Packing) -> list[str]:
    return [
        "-noappend",
        "-no-progress",
        "-quiet",
        "-exit-on-error",
        "-no-xattrs",
        "-no-exports",
        "-no-hardlinks",
        "-all-root",
        *("-b", str(_BLOCK)),
        *("-comp", packing.squashfs),
        *("-Xcompression-level", str(packing.effective_level)),
        *("-processors", str(packing.workers)),
        *("-mem", "512M"),  # else a quarter of the machine
    ]


def _environment() -> dict[str, str]:
    # mksquashfs refuses times of its options beside that variable.
    kept = {key: value for key, value in os.environ.items() if key != "SOURCE_DATE_EPOCH"}
    return {**kept, "LC_ALL": "C"}


def _last(words: IO[bytes]) -> str:
    words.seek(0)
    return words.read()[-2000:].decode("utf-8", "replace").strip()
