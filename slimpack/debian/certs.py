"""CA roots: the one file that programs read, made as Debian makes it.

update-ca-certificates(8) writes every certificate that is enabled, in the
order of their names as bytes, each ending in a newline, into one bundle. The
single files and their hashed links are left out: OpenSSL, GnuTLS, NSS-less
curl, Go and Rust all read the bundle, and it halves the space.
"""

from __future__ import annotations

from collections.abc import Iterable

from slimpack.tree import Entry, Kind, bytes_entry, directory_entry

SOURCE = "usr/share/ca-certificates/"
BUNDLE = "etc/ssl/certs/ca-certificates.crt"


def with_bundle(entries: Iterable[Entry]) -> list[Entry]:
    """Replace the single certificates among `entries` by the bundle."""
    rest: list[Entry] = []
    certificates: list[Entry] = []
    for entry in entries:
        below = f"{entry.path}/".startswith(SOURCE)
        if below and entry.kind is Kind.FILE and entry.path.endswith(".crt"):
            certificates.append(entry)
        elif not below:
            rest.append(entry)
    if not certificates:
        return rest
    certificates.sort(key=lambda entry: entry.path.encode())
    bundle = b"".join(_with_newline(entry.read()) for entry in certificates)
    owner = certificates[0].owner
    have = {entry.path for entry in rest}
    folders = [
        directory_entry(path, owner=owner)
        for path in ("etc", "etc/ssl", "etc/ssl/certs")
        if path not in have
    ]
    return [*rest, *folders, bytes_entry(BUNDLE, bundle, owner=owner)]


def _with_newline(data: bytes) -> bytes:
    return data if data.endswith(b"\n") else data + b"\n"
