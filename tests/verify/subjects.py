"""Subjects made in a test: files in a folder, as if an image had been unpacked there."""

from __future__ import annotations

import importlib.util
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slimpack.config import VerifyConfig
from slimpack.sandbox.host import Host
from slimpack.tree import Kind
from slimpack.verify.checks import CHECKS
from slimpack.verify.context import Context, Runner
from slimpack.verify.model import Check, Finding, SkippedError
from slimpack.verify.opening import tree_of_folder
from slimpack.verify.packages import find_prefix
from slimpack.verify.subject import Start, Subject, SubjectKind

PREFIX = "opt/env"
SITE = f"{PREFIX}/lib/python3.11/site-packages"
MAGIC = struct.pack("<H", 3495) + b"\r\n"
PASSWD = "root:x:0:0::/root:\nnonroot:x:65532:65532::/home/nonroot:\n"


@dataclass(frozen=True)
class Link:
    """A symbolic link in the files of `subject`."""

    target: str


@dataclass(frozen=True)
class Mode:
    """A file with a mode of its own; content None for a folder."""

    mode: int
    content: bytes | str | None = ""


def write(root: Path, files: Mapping[str, Any]) -> None:
    """Make files: text, bytes, `Link`, `Mode`, or anything else as JSON."""
    for path, content in files.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        mode = 0o644
        if isinstance(content, Mode):
            mode, content = content.mode, content.content
        if isinstance(content, Link):
            place.symlink_to(content.target)
            continue
        if content is None:
            place.mkdir(exist_ok=True)
        elif isinstance(content, bytes):
            place.write_bytes(content)
        elif isinstance(content, str):
            place.write_text(content)
        else:
            place.write_text(json.dumps(content))
        place.chmod(mode)


def subject(
    folder: Path,
    files: Mapping[str, Any],
    *,
    kind: SubjectKind = "image",
    start: Start | None = None,
    below: frozenset[str] = frozenset(),
    python: bool = False,
) -> Subject:
    """Make a subject; all its files belong to root. python: with a program of that name."""
    root = folder / "root"
    root.mkdir(exist_ok=True)
    base = {"etc/passwd": PASSWD, "etc/group": "root:x:0:\nnonroot:x:65532:\n"}
    if python:
        base[f"{PREFIX}/lib/python3.11/os.py"] = "import sys\n"
        base[f"{PREFIX}/bin/python3.11"] = Mode(0o755, b"not really")  # type: ignore[assignment]
    write(root, {**(base if kind == "image" else {}), **files})
    tree = tree_of_folder(root).map(lambda entry: replace(entry, uid=0, gid=0))
    return Subject(
        name="test",
        kind=kind,
        tree=tree,
        root=root,
        prefix=find_prefix(tree) or (PREFIX if kind == "image" else ""),
        platform="linux/amd64",
        start=start
        or Start(
            entrypoint=("tool",),
            env=(("PATH", f"/{PREFIX}/bin:/usr/bin"),),
            user="65532",
        ),
        below=below,
    )


def check(name: str) -> Check:
    """Return a check by its name."""
    return next(check for check in CHECKS if check.name == name)


def findings(name: str, on: Subject, **context: Any) -> list[tuple[str, str, str]]:
    """Make one check; return (severity, path, message) of its findings, sorted."""
    made = check(name)
    return sorted(
        (finding.severity or made.severity, finding.path, finding.message)
        for finding in _made(made, on, Context(**context))
    )


def _made(made: Check, on: Subject, context: Context) -> list[Finding]:
    found: list[Finding] = []
    try:
        found.extend(made.run(on, context))
    except SkippedError as error:
        if not found:
            raise AssertionError(f"skipped: {error}") from error
    return found


def on_host(on: Subject, config: VerifyConfig = VerifyConfig()) -> Context:  # noqa: B008
    """Return a context whose programs run on this machine."""
    with Host().prepare(on.root) as prepared:
        return Context(config=config, runner=Runner(prepared, on))


def conda_record(name: str, files: list[str], **fields: Any) -> dict[str, Any]:
    """Return a conda-meta record."""
    return {
        "name": name,
        "version": "1.0",
        "build": "0",
        "license": "MIT",
        "files": files,
        **fields,
    }


def pyc(source: bytes, *, flags: int = 1, magic: bytes = MAGIC, mtime: int = 0) -> bytes:
    """Return the header of a .pyc for `source`, and something like code."""
    import _imp

    if flags & 1:
        tail = _imp.source_hash(int.from_bytes(magic, "little"), source)
    else:
        tail = struct.pack("<II", mtime, len(source))
    return magic + struct.pack("<I", flags) + tail + b"code"


def files_of(on: Subject) -> list[str]:
    """Return the paths of all files and links."""
    return [entry.path for entry in on.tree if entry.kind is not Kind.DIRECTORY]


HOST_MAGIC = importlib.util.MAGIC_NUMBER
