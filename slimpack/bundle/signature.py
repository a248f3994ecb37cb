"""Whether the signature of a bundle was made with a given key.

What is signed is the statement, which names all else by digest. The text of a signature is
what ``cosign sign-blob --key`` writes: base64 of an ECDSA signature (P-256, ASN.1) of the
SHA-256 of the bytes; of RSA (PKCS #1 v1.5, SHA-256) or Ed25519 where cosign was given such a
key. Source: sigstore's signature library, ``pkg/signature``.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import TYPE_CHECKING

from slimpack.bundle.model import MAX_SIGNATURE
from slimpack.errors import BundleError, InputError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

_MAX_KEY = 64 << 10
_MIN_RSA = 2048
_KINDS = "a key that cosign makes or imports: ECDSA P-256, RSA or Ed25519"


def check_signature(raw: bytes, signature: bytes, key: Path) -> None:
    """Raise BundleError unless `signature` is one of the statement `raw` by the key's owner.

    signature: its text; b"" where the bundle has none. key: a public key as PEM. Raises
    InputError for a file that is no such key.
    """
    # Only those who have a key wait for the library.
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
    from cryptography.hazmat.primitives.hashes import SHA256

    public = _load(key)
    if not signature:
        raise BundleError(
            "the bundle is not signed, so the key proves nothing of it",
            hint="its sender signs with `slimpack bundle create --key cosign.key`",
        )
    given = decoded(signature)
    try:
        if isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(given, raw, ec.ECDSA(SHA256()))
        elif isinstance(public, ed25519.Ed25519PublicKey):
            public.verify(given, raw)
        else:
            public.verify(given, raw, padding.PKCS1v15(), SHA256())
    except InvalidSignature as error:
        raise BundleError(
            f"the signature of the bundle was not made with the key {key}, or was made of "
            "another statement",
            hint="do not use the bundle before its sender has told you why",
        ) from error


def check_key(key: Path) -> None:
    """Raise InputError unless the file `key` is a public key that signatures are checked with."""
    _load(key)


def _load(key: Path) -> EllipticCurvePublicKey | RSAPublicKey | Ed25519PublicKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        with key.open("rb") as stream:
            text = stream.read(_MAX_KEY)
    except OSError as error:
        raise InputError(f"cannot read the key {key}: {error.strerror or error}") from error
    if b"PRIVATE KEY" in text:
        raise InputError(
            f"{key} is a private key; signatures are checked with the public one",
            hint="cosign writes it as cosign.pub (`cosign public-key --key cosign.key`)",
        )
    try:
        found = load_pem_public_key(text)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(
            f"{key} is not a public key in PEM (-----BEGIN PUBLIC KEY-----)", hint=f"give {_KINDS}"
        ) from error
    if isinstance(found, ec.EllipticCurvePublicKey) and isinstance(found.curve, ec.SECP256R1):
        return found
    if isinstance(found, rsa.RSAPublicKey) and found.key_size >= _MIN_RSA:
        return found
    if isinstance(found, ed25519.Ed25519PublicKey):
        return found
    raise InputError(
        f"{key} is a public key of a kind that is not used here",
        hint=f"give {_KINDS} (RSA of at least {_MIN_RSA} bits)",
    )


def decoded(signature: bytes) -> bytes:
    """Return the bytes of a signature; raise BundleError for what is none of cosign."""
    try:
        if len(signature) > MAX_SIGNATURE:
            raise ValueError
        return base64.b64decode(signature.strip(), validate=True)
    except (ValueError, binascii.Error) as error:
        raise BundleError(
            "the signature of the bundle is not one of cosign sign-blob (base64)"
        ) from error
