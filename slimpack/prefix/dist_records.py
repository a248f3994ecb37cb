"""Records of pip packages as they must be in the image.

A RECORD (PEP 376) lists the files that were installed; in the image some are
gone, some are rewritten, and bytecode is new. A direct_url.json (PEP 610) names
a folder of the build host or holds credentials.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.util
import io
import json
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from slimpack.env.dists import Dist
from slimpack.env.meta import listed_as
from slimpack.env.redact import redacted
from slimpack.errors import InputError
from slimpack.tree import Entry, Kind, Tree, bytes_entry, under


def with_dist_records(
    tree: Tree,
    dists: Sequence[Dist],
    prefix_path: str,
    rewritten: Mapping[str, tuple[str, int]],
) -> Tree:
    """Let the records of `dists` tell of the files as they are in `tree`.

    prefix_path: of the environment in the image, such as ``/opt/env``.
    rewritten: path below the prefix -> (SHA-256 in hex, size) of the files that
        are not as they were installed.

    Lines of files that are not there go, the bytecode that is there is listed as
    pip does (without a digest), digests of rewritten files are those of now, and
    lines are sorted. URLs lose credentials and the folders of the build host.
    Raises InputError for a record that is malformed.
    """
    there = _there(tree, prefix_path)
    bytecode = _bytecode(there)
    changed = []
    for dist in dists:
        digests = dict(rewritten)
        origin = tree.get(under(prefix_path, f"{dist.folder}/direct_url.json"))
        if origin is not None and origin.opener:
            data = portable_origin(origin.read(), f"/{origin.path}")
            changed.append(_replaced(origin, data))
            digests[f"{dist.folder}/direct_url.json"] = _digest(data)
        record = tree.get(under(prefix_path, f"{dist.folder}/RECORD"))
        if record is not None and record.opener:
            lines = portable_lines(
                record.read(), dist.folder, there, bytecode, digests, f"/{record.path}"
            )
            changed.append(_replaced(record, lines))
    return tree.merge(changed)


def outdated_records(
    tree: Tree,
    dists: Sequence[Dist],
    prefix_path: str,
    rewritten: Mapping[str, tuple[str, int]],
) -> dict[str, Entry]:
    """Return path below the prefix -> RECORD as it must be, where one is not true any more.

    For those that conda packages bring: one that lists nothing but files that are there,
    as it says, stays as it is, and so does one that cannot be read. The parameters are
    those of `with_dist_records`, which has seen to the records of `dists`.
    """
    done = {dist.folder for dist in dists}
    inside = under(prefix_path, "")
    there = _there(tree, prefix_path)
    found: dict[str, Entry] = {}
    for path in there:
        folder, _, name = path.rpartition("/")
        if name != "RECORD" or not folder.endswith(".dist-info") or folder in done:
            continue
        entry = tree[f"{inside}{path}"]
        if entry.kind is not Kind.FILE:
            continue
        data, site = entry.read(), posixpath.dirname(folder)
        try:
            rows = _rows(data, f"/{entry.path}")
        except InputError:
            continue
        paths = [posixpath.normpath(posixpath.join(site, row[0])) for row in rows if row and row[0]]
        if any(item not in there or item in rewritten for item in paths):
            lines = portable_lines(data, folder, there, {}, rewritten, f"/{entry.path}")
            found[path] = _replaced(entry, lines)
    return found


def portable_lines(
    data: bytes,
    folder: str,
    there: set[str],
    bytecode: Mapping[str, Sequence[str]],
    digests: Mapping[str, tuple[str, int]],
    label: str,
) -> bytes:
    """Return the content of a RECORD for the files that are `there`.

    folder: its ``.dist-info`` below the prefix. bytecode: source -> its ``.pyc``.
    digests: path -> (SHA-256 in hex, size) where the line's own do not hold any more.
    """
    site = posixpath.dirname(folder)
    rows: dict[str, tuple[str, str]] = {}
    for row in _rows(data, label):
        path = posixpath.normpath(posixpath.join(site, row[0])) if row and row[0] else ""
        path = listed_as(path, there)
        if not path:
            continue
        if path in digests:
            sha256, size = digests[path]
            rows[path] = f"sha256={_base64(sha256)}", str(size)
        else:
            rows[path] = (row[1], row[2]) if len(row) == 3 else ("", "")
        rows.update((compiled, ("", "")) for compiled in bytecode.get(path, ()))
    for path in rows:
        if path.endswith(".pyc"):
            rows[path] = "", ""
    rows[f"{folder}/RECORD"] = "", ""
    text = io.StringIO()
    # As pip writes it: sorted by the path as written, lines end in "\n".
    csv.writer(text, lineterminator="\n").writerows(
        sorted((posixpath.relpath(path, site), *row) for path, row in rows.items())
    )
    return text.getvalue().encode()


def portable_origin(data: bytes, label: str) -> bytes:
    """Return a direct_url.json without folders of the build host and without credentials."""
    try:
        origin: dict[str, Any] = json.loads(data)
        url = str(origin["url"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{label}: not a direct_url.json: {error}") from error
    if url.startswith("file:"):
        url = "file:///" + urlsplit(url).path.rstrip("/").rpartition("/")[2]
    else:
        url = redacted(url)
    origin["url"] = url
    if isinstance(origin.get("dir_info"), dict):
        origin["dir_info"].pop("editable", None)  # the image points to no source folder
    return json.dumps(origin, sort_keys=True).encode()


def _there(tree: Tree, prefix_path: str) -> set[str]:
    inside = under(prefix_path, "")
    return {
        entry.path.removeprefix(inside)
        for entry in tree
        if entry.path.startswith(inside) and entry.kind is not Kind.DIRECTORY
    }


def _rows(data: bytes, label: str) -> list[list[str]]:
    try:
        return list(csv.reader(data.decode("utf-8").splitlines()))
    except (ValueError, csv.Error) as error:
        raise InputError(f"{label}: not a RECORD: {error}") from error


def _bytecode(paths: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in paths:
        if path.endswith(".pyc") and posixpath.basename(posixpath.dirname(path)) == "__pycache__":
            try:
                source = importlib.util.source_from_cache(path)
            except ValueError:  # not named as Python names them
                continue
            found.setdefault(source, []).append(path)
    return found


def _digest(data: bytes) -> tuple[str, int]:
    return hashlib.sha256(data).hexdigest(), len(data)


def _base64(sha256: str) -> str:
    return base64.urlsafe_b64encode(bytes.fromhex(sha256)).rstrip(b"=").decode()


def _replaced(entry: Entry, data: bytes) -> Entry:
    return bytes_entry(entry.path, data, mode=entry.mode, owner=entry.owner)
