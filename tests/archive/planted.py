"""Archives with something planted in them, and what must come of it."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from slimpack.archive.extract import extract
from slimpack.errors import ArchiveError
from slimpack.progress import SILENT
from tests.archive.samples import listing

Member = tuple[str, dict[str, Any], bytes]


def file(name: str, data: bytes = b"x", **facts: Any) -> Member:
    return name, {"type": tarfile.REGTYPE, **facts}, data


def link(name: str, target: str, *, hard: bool = False) -> Member:
    return name, {"type": tarfile.LNKTYPE if hard else tarfile.SYMTYPE, "linkname": target}, b""


def folder(name: str) -> Member:
    return name, {"type": tarfile.DIRTYPE}, b""


def tarred(members: Iterable[Member]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, facts, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in facts.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zipped(members: Iterable[Member], **change: Any) -> bytes:
    """The same members as a zip, by Python's zipfile; `change` sets fields of ZipInfo."""
    out = io.BytesIO()
    kinds = {tarfile.REGTYPE: stat.S_IFREG, tarfile.DIRTYPE: stat.S_IFDIR}
    kinds |= {tarfile.SYMTYPE: stat.S_IFLNK, tarfile.FIFOTYPE: stat.S_IFIFO}
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, facts, data in members:
            info = zipfile.ZipInfo("x")
            info.filename = name  # zipfile itself would cut it at NUL
            mode = kinds.get(facts["type"], stat.S_IFCHR) | facts.get("mode", 0o644)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            for key, value in change.items():
                setattr(info, key, value)
            archive.writestr(info, facts.get("linkname", "").encode() or data)
    return out.getvalue()


def refused(tmp_path: Path, data: bytes, why: str, **limits: int) -> None:
    path = tmp_path / "bad.archive"
    path.write_bytes(data)
    with pytest.raises(ArchiveError, match=why) as caught:
        extract(path, tmp_path / "dest", progress=SILENT, **limits)
    assert str(path) in caught.value.message
    assert listing(tmp_path) == ["bad.archive"]
