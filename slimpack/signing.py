"""Signatures and signed attestations, made by cosign.

Source: cosign(1) 2.x and 3.x (``cosign sign``, ``cosign attest``). Keys, their encryption
and the format of signatures are cosign's own business: slimpack calls it. A password goes
to it by ``COSIGN_PASSWORD`` or is asked for by cosign, and never stands in an argument.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from slimpack.env.redact import redacted
from slimpack.errors import InputError, SigningError

if TYPE_CHECKING:
    from slimpack.attestation import Attestation

PROGRAM = "cosign"
_MAX_SAID = 2000
# Keys that do not lie in a file: cosign finds them in a key management service, a
# Kubernetes secret, an environment variable or a hardware token.
_ELSEWHERE = re.compile(r"(?:[a-z]+kms|hashivault|k8s|env|gitlab|github|pkcs11)[:+]")


@dataclass(frozen=True)
class Signer:
    """How things are signed.

    key: a file, or a URI of a key that cosign reaches (``awskms://...``, ``env://NAME``).
    tlog: tell the public transparency log; it then names the image for everybody to see.
    insecure: plain HTTP and certificates that nobody vouches for are accepted.
    """

    key: str
    tlog: bool = False
    insecure: bool = False

    def check(self) -> None:
        """Raise SigningError without cosign, InputError without the key; nothing is done yet."""
        _program()
        if not _ELSEWHERE.match(self.key) and not Path(self.key).is_file():
            raise InputError(
                f"there is no key {self.key}",
                hint="`cosign generate-key-pair` makes one; its private half is cosign.key",
            )

    def sign(self, subject: str, *, recursive: bool = False) -> None:
        """Sign the manifest `subject`, ``host/repository@sha256:...``, in its registry.

        recursive: also every image that the index lists. Raises SigningError.
        """
        more = ["--recursive"] if recursive else []
        self._call("sign", [*more, subject], f"cannot sign {subject}")

    def attest(self, subject: str, document: Attestation) -> None:
        """Sign what `document` says of the manifest `subject`, and put that in its registry.

        An older attestation of the same kind is replaced. Raises SigningError.
        """
        with tempfile.TemporaryDirectory(prefix="slimpack-") as folder:
            predicate = Path(folder) / "predicate.json"
            predicate.write_bytes(document.predicate)
            self._call(
                "attest",
                [
                    *("--type", document.form.predicate),
                    *("--predicate", str(predicate), "--replace", subject),
                ],
                f"cannot sign the {document.form.name} document of {subject}",
            )

    def sign_blob(self, data: bytes) -> bytes:
        """Return cosign's signature of `data`, in base64 as `cosign verify-blob` takes it.

        Raises SigningError.
        """
        with tempfile.TemporaryDirectory(prefix="slimpack-") as folder:
            blob, signature = Path(folder) / "blob", Path(folder) / "blob.sig"
            blob.write_bytes(data)
            self._call(
                "sign-blob", ["--output-signature", str(signature), str(blob)], "cannot sign"
            )
            made = signature.read_bytes() if signature.is_file() else b""
        if not made:
            raise SigningError("cosign wrote no signature")
        return made

    def _call(self, verb: str, arguments: Sequence[str], what: str) -> None:
        command = [_program(), verb, "--key", self.key, "--yes", *self._options(verb), *arguments]
        # cosign asks for the password where there is somebody to ask.
        stdin = None if _is_terminal() else subprocess.DEVNULL
        done = subprocess.run(
            command,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if stdin is not None else None,
            check=False,
            env=_environment(os.environ),
        )
        if done.returncode:
            said = redacted((done.stderr or b"").decode("utf-8", "replace").strip())
            raise SigningError(
                f"{what}: cosign ended with {done.returncode}",
                details=said[-_MAX_SAID:],
                hint=_hint(said),
            )

    def _options(self, verb: str) -> list[str]:
        options = []
        if not self.tlog:
            options.append("--tlog-upload=false")
            # cosign 3 takes its services from a signing configuration, with a log in it.
            if "--use-signing-config" in _help(_program(), verb):
                options.append("--use-signing-config=false")
        # cosign 3 writes a bundle of its own unless told otherwise.
        if verb == "sign-blob" and "--new-bundle-format" in _help(_program(), verb):
            options.append("--new-bundle-format=false")
        if self.insecure:
            options += ["--allow-insecure-registry", "--allow-http-registry"]
        return options


def _program() -> str:
    found = shutil.which(PROGRAM)
    if found is None:
        raise SigningError(
            "cosign is not installed, or not on PATH",
            hint="install it (Debian 13 has a package of that name); slimpack signs with it",
        )
    return found


@lru_cache(maxsize=8)
def _help(program: str, verb: str) -> str:
    done = subprocess.run(
        [program, verb, "--help"], check=False, capture_output=True, text=True, errors="replace"
    )
    return done.stdout + done.stderr


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return cosign's environment; without a password and nobody to ask it is an empty one."""
    if "COSIGN_PASSWORD" in environ or _is_terminal():
        return dict(environ)
    return {**environ, "COSIGN_PASSWORD": ""}


def _hint(said: str) -> str:
    text = said.lower()
    if "decrypt" in text or "password" in text:
        return "set COSIGN_PASSWORD to the password of the key, or sign in a terminal"
    if "unauthorized" in text or "denied" in text:
        return "log in to the registry: cosign reads the same credentials as slimpack"
    return ""
