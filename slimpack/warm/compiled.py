"""Bytecode of the application, as it was compiled before.

All sources are compiled in one process, and what marshal writes depends on the strings
that the process has seen. So what is remembered is the bytecode of all of them together.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from slimpack.bytecode import Compiler, with_bytecode, without_bytecode
from slimpack.cache.kinds import BYTECODE
from slimpack.cache.memo import MALFORMED, digest_of
from slimpack.means import Means
from slimpack.slim.bytecode import BytecodeReport, source_of
from slimpack.tree import Entry, Kind, Tree, bytes_entry
from slimpack.warm.code import own_code
from slimpack.warm.restore import restored

_MAX = 64 << 20  # bytes of bytecode that are worth keeping


def compiled(
    tree: Tree,
    compiler: Callable[[], Compiler | None],
    identity: str,
    *,
    prefix: str,
    means: Means,
    scratch: Path,
) -> tuple[Tree, BytecodeReport]:
    """Return an application with its bytecode; see `slimpack.bytecode.with_bytecode`.

    compiler: asked only where it has to be. identity: of the Python, "" when unknown.
    """
    files = [entry for entry in tree if entry.kind is Kind.FILE]
    code = [entry for entry in files if entry.path.endswith((".py", ".pyc"))]
    if not code:
        return tree, BytecodeReport()
    key = digest_of(own_code(), identity, prefix, [[one.path, one.identity] for one in code])
    known = means.memos.get(BYTECODE, key) if identity else None
    if known is not None:
        with suppress(*MALFORMED):
            return _with(tree, json.loads(known))
    done, report = with_bytecode(
        tree,
        compiler(),
        dest_prefix=prefix,
        scratch=scratch,
        checked=False,
        progress=means.progress,
    )
    made = [entry for entry in done if entry.kind is Kind.FILE and source_of(entry.path)]
    if identity and not report.note and sum(entry.size for entry in made) <= _MAX:
        value = {
            "files": [[one.path, one.owner, _text(one)] for one in made],
            "report": asdict(report),
        }
        means.memos.put(BYTECODE, key, json.dumps(value).encode())
    return done, report


def _with(tree: Tree, value: dict[str, Any]) -> tuple[Tree, BytecodeReport]:
    bare = without_bytecode(tree)
    if not all(source_of(path) in tree for path, _, _ in value["files"]):
        raise ValueError("bytecode of other sources")
    made = [
        bytes_entry(path, base64.b64decode(text), owner=owner)
        for path, owner, text in value["files"]
    ]
    return bare.merge(made), restored(BytecodeReport, value["report"])


def _text(entry: Entry) -> str:
    return base64.b64encode(entry.read()).decode()
