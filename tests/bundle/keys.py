"""Pairs of keys that sign as cosign does, without it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

Private = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class KeyPair:
    """A private key, and the file of its public half."""

    private: Private
    public: Path

    def sign(self, data: bytes) -> bytes:
        """Return a signature as `cosign sign-blob` writes it."""
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            made = self.private.sign(data, ec.ECDSA(SHA256()))
        elif isinstance(self.private, rsa.RSAPrivateKey):
            made = self.private.sign(data, padding.PKCS1v15(), SHA256())
        else:
            made = self.private.sign(data)
        return base64.b64encode(made)


def key_pair(folder: Path, name: str, kind: str = "ecdsa") -> KeyPair:
    """Make one; writes NAME.pem (private) and NAME.pub."""
    private: Private
    if kind == "rsa":
        private = rsa.generate_private_key(65537, 2048)
    elif kind == "ed25519":
        private = ed25519.Ed25519PrivateKey.generate()
    else:
        private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / f"{name}.pem").write_bytes(pem)
    public = folder / f"{name}.pub"
    public.write_bytes(
        private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return KeyPair(private, public)
