"""Signatures of bundles, checked without cosign and made with it; and bundles that are too old."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from slimpack.bundle.age import age_limit, check_age
from slimpack.bundle.contents import plan
from slimpack.bundle.model import Statement, parse_statement
from slimpack.bundle.reader import open_bundle
from slimpack.bundle.signature import check_key, check_signature
from slimpack.bundle.trust import check_trust
from slimpack.bundle.volumes import list_path
from slimpack.bundle.write import write_bundle
from slimpack.errors import BundleError, InputError
from tests.bundle.keys import KeyPair, key_pair
from tests.bundle.test_bundle_core import contents
from tests.support.channel import missing

RAW = b'{"the": "statement"}'


@pytest.mark.parametrize("kind", ["ecdsa", "rsa", "ed25519"])
def test_a_signature_is_of_one_key_and_one_statement(tmp_path: Path, kind: str) -> None:
    mine, other = key_pair(tmp_path, "mine", kind), key_pair(tmp_path, "other", kind)
    signature = mine.sign(RAW)
    check_signature(RAW, signature, mine.public)
    check_signature(RAW, signature + b"\n", mine.public)
    for raw, text, key in [
        (RAW + b" ", signature, mine.public),
        (RAW, signature, other.public),
        (RAW, base64.b64encode(b"nonsense"), mine.public),
        (RAW, b"\n", mine.public),
        (RAW, key_pair(tmp_path, "third", "ecdsa").sign(RAW), mine.public),
    ]:
        with pytest.raises(BundleError, match="was not made with the key"):
            check_signature(raw, text, key)
    for text in (b"***", b"\xff\xfe", b"A" * 100_000, b'{"base64Signature": ""}'):
        with pytest.raises(BundleError, match="not one of cosign"):
            check_signature(RAW, text, mine.public)
    with pytest.raises(BundleError, match="not signed"):
        check_signature(RAW, b"", mine.public)


def test_keys_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "cosign.pub"
    with pytest.raises(InputError, match="cannot read"):
        check_key(path)
    with pytest.raises(InputError, match="cannot read"):
        check_key(tmp_path)
    small = rsa.generate_private_key(65537, 1024)
    curve = ec.generate_private_key(ec.SECP384R1())
    pem = PublicFormat.SubjectPublicKeyInfo
    private = curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for text, message in [
        (b"", "not a public key"),
        (b"\x00" * 200_000, "not a public key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "not a public key"),
        (private, "is a private key"),
        (b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n", "is a private key"),
        (small.public_key().public_bytes(Encoding.PEM, pem), "of a kind"),
        (curve.public_key().public_bytes(Encoding.PEM, pem), "of a kind"),
    ]:
        path.write_bytes(text)
        with pytest.raises(InputError, match=message):
            check_key(path)


def test_cosign_and_we_agree(tmp_path: Path) -> None:
    """What cosign signs is verified here; what is signed with its key's like, it verifies."""
    if shutil.which("cosign") is None:
        missing("ENGINE", "cosign is not installed")

    def cosign(*arguments: str) -> None:
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "COSIGN_PASSWORD": "secret"}
        done = subprocess.run(
            ["cosign", *arguments], cwd=tmp_path, env=env, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr

    (tmp_path / "raw").write_bytes(RAW)
    mine = {kind: key_pair(tmp_path, kind, kind) for kind in ("ecdsa", "ed25519", "rsa")}
    cosign("generate-key-pair")
    # Debian 13's cosign imports neither RSA nor ECDSA keys of others ("unsupported ... type").
    cosign("import-key-pair", "--key", "ed25519.pem", "--output-key-prefix", "imported")
    for name in ("cosign", "imported"):
        out = ("--tlog-upload=false", "--output-signature", "raw.sig")
        cosign("sign-blob", "--yes", "--key", f"{name}.key", *out, "raw")
        check_signature(RAW, (tmp_path / "raw.sig").read_bytes(), tmp_path / f"{name}.pub")
    for pair in mine.values():
        (tmp_path / "own.sig").write_bytes(pair.sign(RAW))
        offline = ("--insecure-ignore-tlog=true", "--signature", "own.sig")
        cosign("verify-blob", "--key", pair.public.name, *offline, "raw")


@pytest.mark.parametrize(
    ("text", "created"),
    [
        ("@1753920000", 1753920000),
        ("2025-07-31", 1753920000),
        ("2025-07-31T00:00:00Z", 1753920000),
        ("2025-07-31 02:00+02:00", 1753920000),
        ("2025-07-31T00:00:01", 1753920001),
    ],
)
def test_dates(text: str, created: int) -> None:
    limit = age_limit(text)
    assert limit.created == created
    check_age(Statement(created=created), limit)
    with pytest.raises(BundleError, match=r"of 2025-07-\S+Z, older than"):
        check_age(Statement(created=created - 1), limit)
    with pytest.raises(BundleError, match="does not say when it was made"):
        check_age(Statement(), limit)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2025-13-01", "2025-02-30T00:00:00Z", "0000-00-00", "@x", "@-1"]
)
def test_dates_that_are_none(text: str) -> None:
    with pytest.raises(InputError) as caught:
        age_limit(text)
    assert "give a date" in caught.value.hint


def test_another_bundle_or_inventory_sets_the_limit(tmp_path: Path) -> None:
    dated = plan(replace(contents(tmp_path), created=2_000))
    write_bundle(dated, tmp_path / "a.tar")
    write_bundle(dated, tmp_path / "cut.tar", volume_size=64 << 10)
    (tmp_path / "inventory.json").write_text('{"created": 2000}')
    cut = tmp_path / "cut.tar"
    for path in (tmp_path / "a.tar", cut, list_path(cut), tmp_path / "inventory.json"):
        assert age_limit(str(path)).created == 2_000
    bundle = open_bundle(tmp_path / "a.tar")
    check_trust(bundle, None, str(tmp_path / "a.tar"))  # the same one again is no replay
    with pytest.raises(BundleError, match="older than 2001"):
        check_trust(bundle, None, "2001-01-01")
    write_bundle(plan(contents(tmp_path)), tmp_path / "undated.tar")
    for name, text in [
        ("none.json", "{}"),
        ("text.json", '{"created": "2025"}'),
        ("late.json", '{"created": 999999999999999}'),
        ("deep.json", '{"created":' + "[" * 100_000),
        ("other", "not a bundle"),
    ]:
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError):
            age_limit(str(tmp_path / name))
    with pytest.raises(InputError, match="does not say when"):
        age_limit(str(tmp_path / "undated.tar"))


def test_trust_of_a_bundle(tmp_path: Path) -> None:
    pair: KeyPair = key_pair(tmp_path, "site")
    path = tmp_path / "signed.tar"
    write_bundle(plan(contents(tmp_path)), path, sign=pair.sign)
    bundle = open_bundle(path)
    check_trust(bundle, pair.public, None)
    with pytest.raises(BundleError, match="was not made with the key"):
        check_trust(bundle, key_pair(tmp_path, "other").public, None)
    write_bundle(plan(contents(tmp_path)), path)
    with pytest.raises(BundleError, match="is not signed"):
        check_trust(open_bundle(path), pair.public, None)


@pytest.mark.parametrize("change", [{"created": 10**30}, {"created": -1}, {"created": 1.5}])
def test_times_and_sizes_are_bounded(change: dict[str, object]) -> None:
    value = json.loads(Statement().to_json())
    with pytest.raises(BundleError):
        parse_statement(json.dumps({**value, **change}).encode(), "a bundle")
    blob = {"digest": "sha256:" + "0" * 64, "size": 1 << 60}
    with pytest.raises(BundleError, match="cannot have 1152921504606846976 bytes"):
        parse_statement(json.dumps({**value, "blobs": [blob]}).encode(), "a bundle")
