"""Which keys are believed, and what they signed.

An InRelease file is cleartext-signed (RFC 9580, section 7) by several keys at
a time, old and new; one good signature by a believed key is enough, as for
apt. Only the text that the signature covers is ever returned.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

import pysequoia

from slimpack.errors import RuntimeBaseError

_START = b"-----BEGIN PGP SIGNED MESSAGE-----"


@dataclass(frozen=True, slots=True)
class Keyring:
    """Believed keys, each ASCII-armoured or binary."""

    keys: tuple[bytes, ...]

    def signed_text(self, message: bytes, what: str) -> bytes:
        """Return the text of a cleartext-signed message that a believed key signed."""
        if not message.startswith(_START):
            raise RuntimeBaseError(
                f"{what} is no signed Release file",
                hint="a proxy may have answered in the mirror's place; try another mirror",
            )
        asked: list[str] = []
        certificates = [pysequoia.Cert.from_bytes(key) for key in self.keys]

        def lookup(key_ids: list[str]) -> list[pysequoia.Cert]:
            asked.extend(key_ids)
            return certificates

        try:
            result = pysequoia.verify(bytes=message, store=lookup)
        except Exception as error:  # pysequoia raises RuntimeError, with a stack in its text
            first = (str(error).splitlines() or ["no reason given"])[0]
            signers = ", ".join(asked) or "nobody"
            raise RuntimeBaseError(
                f"{what} has no good signature by a Debian archive key: {first} "
                f"(signed by {signers})",
                hint="do not use this mirror; if the release is newer than this slimpack, "
                "upgrade slimpack",
            ) from None
        if not result.valid_sigs or result.bytes is None:
            raise RuntimeBaseError(f"{what} has no good signature by a Debian archive key")
        return bytes(result.bytes)


@cache
def debian_keyring() -> Keyring:
    """Return the archive keys that ship with slimpack (keys/README.md)."""
    folder = resources.files("slimpack.debian") / "keys"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".asc")),
        key=lambda file: file.name,
    )
    return Keyring(tuple(file.read_bytes() for file in files))
