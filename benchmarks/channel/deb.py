"""Read Debian's formats: control stanzas, apt's source lists, ``.deb`` archives.

Formats: deb822(5), sources.list(5), deb(5) and ar(5).
"""

from __future__ import annotations

import io
import lzma
import os
import re
import shutil
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

import zstandard

from benchmarks.channel.errors import ChannelError

MIRROR_VARIABLE = "SLIMPACK_DEBIAN_MIRROR"
DEFAULT_MIRROR = "http://ftp.debian.org/debian"


def parse_stanzas(text: str) -> Iterator[dict[str, str]]:
    """Yield the paragraphs of a deb822 file; continued fields keep their line breaks."""
    fields: dict[str, str] = {}
    key = ""
    for line in [*text.splitlines(), ""]:
        if not line.strip():
            if fields:
                yield fields
            fields, key = {}, ""
        elif line[0] in " \t":
            fields[key] = f"{fields.get(key, '')}\n{line.strip()}"
        elif not line.startswith("#"):
            key, _, value = line.partition(":")
            fields[key] = value.strip()


def checksums(stanza: Mapping[str, str], field: str) -> dict[str, str]:
    """File name to hash, from a multi-line field such as ``SHA256`` or ``Checksums-Sha256``."""
    rows = (line.split() for line in stanza.get(field, "").splitlines())
    return {row[2]: row[0] for row in rows if len(row) == 3}


def find_mirror(suite: str, apt: Path = Path("/etc/apt")) -> str:
    """Return the mirror to use: the environment's, this machine's own, or a public one."""
    chosen = os.environ.get(MIRROR_VARIABLE)
    if chosen:
        return chosen.rstrip("/")
    lists = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*.list"))]
    for path in lists:
        found = mirrors_of_list(path.read_text(), suite) if path.is_file() else []
        if found:
            return found[0]
    for path in sorted((apt / "sources.list.d").glob("*.sources")):
        found = mirrors_of_sources(path.read_text(), suite)
        if found:
            return found[0]
    return DEFAULT_MIRROR


def mirrors_of_list(text: str, suite: str) -> list[str]:
    """Mirrors of a suite's main component in the one-line format."""
    pattern = re.compile(r"^\s*deb\s+(?:\[[^]]*\]\s*)?(https?://\S+)\s+(\S+)\s+(.*)$", re.MULTILINE)
    return [
        address.rstrip("/")
        for address, found, components in pattern.findall(text)
        if found == suite and "main" in components.split()
    ]


def mirrors_of_sources(text: str, suite: str) -> list[str]:
    """Mirrors of a suite's main component in the deb822 format."""
    found = []
    for stanza in parse_stanzas(text):
        if stanza.get("Enabled", "yes") == "no" or "deb" not in stanza.get("Types", "").split():
            continue
        if suite in stanza.get("Suites", "").split() and "main" in stanza.get("Components", ""):
            uris = stanza.get("URIs", "").split()
            found += [uri.rstrip("/") for uri in uris if uri.startswith(("http://", "https://"))]
    return found


def ar_members(data: bytes) -> dict[str, bytes]:
    """Return the members of an ar archive, by name."""
    if not data.startswith(b"!<arch>\n"):
        raise ChannelError("not an ar archive")
    members, position = {}, 8
    while position + 60 <= len(data):
        header = data[position : position + 60]
        name, size = header[:16].decode().strip().rstrip("/"), int(header[48:58])
        members[name] = data[position + 60 : position + 60 + size]
        # Members start at even offsets.
        position += 60 + size + size % 2
    return members


def open_data(deb: Path) -> tarfile.TarFile:
    """Return the tar archive with the files of a ``.deb``."""
    members = ar_members(deb.read_bytes())
    for name, data in members.items():
        if name.startswith("data.tar"):
            return tarfile.open(fileobj=_decompress(name, data), mode="r|")
    raise ChannelError(f"{deb.name} holds no data.tar")


def _decompress(name: str, data: bytes) -> IO[bytes]:
    packed = io.BytesIO(data)
    if name.endswith(".xz"):
        return lzma.open(packed)
    if name.endswith(".zst"):
        return zstandard.ZstdDecompressor().stream_reader(packed)
    if name.endswith(".tar"):
        return packed
    raise ChannelError(f"{name}: a compression that this builder does not know")


def unpack(debs: Iterable[Path], root: Path) -> None:
    """Unpack files and links of several ``.deb`` below ``root``, each at its merged-/usr place."""
    for deb in debs:
        with open_data(deb) as tar:
            for member in tar:
                path = root / usr_merged(member.name)
                if member.isdir():
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                if member.issym():
                    path.symlink_to(member.linkname)
                elif member.islnk():
                    shutil.copy2(root / usr_merged(member.linkname), path)
                else:
                    data = tar.extractfile(member)
                    if data is not None:
                        path.write_bytes(data.read())
                        path.chmod(0o755 if member.mode & 0o100 else 0o644)


def usr_merged(name: str) -> str:
    """``./lib/x`` is ``usr/lib/x``: Debian links the old folders to /usr."""
    clean = os.path.normpath(name.lstrip("./")) if name.strip("./") else ""
    if clean.startswith(".."):
        raise ChannelError(f"a Debian package holds the unsafe path {name!r}")
    return f"usr/{clean}" if clean.split("/")[0] in {"bin", "sbin", "lib", "lib64"} else clean
