"""How cosign is called: what it is told, what it must not be told, and what it says."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from slimpack import signing
from slimpack.attestation import documents_of
from slimpack.errors import InputError, SigningError
from slimpack.signing import Signer
from tests.sbom.facts import facts
from tests.sbom.images import SECRET, sample

SUBJECT = f"registry.example.com/serve@sha256:{'0' * 64}"
Calls = Callable[[], list[list[str]]]


def fake_cosign(folder: Path, monkeypatch: pytest.MonkeyPatch, *, help_text: str, end: str) -> None:
    """Put a cosign on PATH that keeps what it was given."""
    program = folder / "bin" / "cosign"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *--help*) echo "{help_text}"; exit 0;; esac\n'
        f'for word in "$@"; do printf "%s\\n" "$word" >>"{folder}/calls"; done\n'
        f'echo -- >>"{folder}/calls"\n'
        f'printf "%s" "$COSIGN_PASSWORD" >"{folder}/password"\n'
        'while [ $# -gt 0 ]; do [ "$1" = --predicate ] && '
        f'cp "$2" "{folder}/predicate.json"; shift; done\n'
        f"{end}\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(sys, "stdin", io.StringIO())


@pytest.fixture
def key(tmp_path: Path) -> str:
    path = tmp_path / "cosign.key"
    path.write_text("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n")
    return str(path)


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calls:
    """A cosign of version 2 is on PATH; returns its calls so far."""
    monkeypatch.delenv("COSIGN_PASSWORD", raising=False)
    fake_cosign(tmp_path, monkeypatch, help_text="--tlog-upload=true:", end="exit 0")
    return lambda: words(tmp_path)


def words(folder: Path) -> list[list[str]]:
    found = (folder / "calls").read_text().split("--\n")[:-1]
    return [call.splitlines() for call in found]


def test_signing_by_digest_without_a_log(calls: Calls, key: str) -> None:
    Signer(key).sign(SUBJECT)
    assert calls() == [["sign", "--key", key, "--yes", "--tlog-upload=false", SUBJECT]]


def test_an_index_is_signed_with_its_images(calls: Calls, key: str) -> None:
    Signer(key, tlog=True, insecure=True).sign(SUBJECT, recursive=True)
    assert calls() == [
        [
            *("sign", "--key", key, "--yes"),
            *("--allow-insecure-registry", "--allow-http-registry", "--recursive", SUBJECT),
        ]
    ]


def test_cosign_3_is_told_not_to_use_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    fake_cosign(tmp_path, monkeypatch, help_text="--use-signing-config=true:", end="exit 0")
    Signer(key).sign(SUBJECT)
    (call,) = words(tmp_path)
    assert call[4:6] == ["--tlog-upload=false", "--use-signing-config=false"]


def test_what_is_attested(tmp_path: Path, calls: Calls, key: str) -> None:
    image = sample(tmp_path)
    made = documents_of(image, ["cyclonedx", "provenance"], "serve:1.0", facts=facts(tmp_path))
    for document in made:
        Signer(key).attest(SUBJECT, document)
        predicate = (tmp_path / "predicate.json").read_bytes()
        assert predicate == document.predicate
    types = [call[call.index("--type") + 1] for call in calls()]
    assert types == ["cyclonedx", "slsaprovenance1"]
    assert all("--replace" in call and call[-1] == SUBJECT for call in calls())
    assert made[0].predicate == made[0].data
    assert b'"buildDefinition"' in made[1].predicate
    assert b'"_type"' not in made[1].predicate
    # Nothing of it is left behind.
    places = [Path(call[call.index("--predicate") + 1]) for call in calls()]
    assert not [place for place in places if place.exists() or place.parent.exists()]


def test_the_password_is_in_the_environment_alone(
    tmp_path: Path, calls: Calls, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSIGN_PASSWORD", SECRET)
    Signer(key).sign(SUBJECT)
    assert (tmp_path / "password").read_text() == SECRET
    assert SECRET not in " ".join(calls()[0])


@pytest.mark.parametrize("version", [2, 3])
def test_a_signature_of_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, version: int
) -> None:
    """cosign 3 would write a bundle of its own, and ask services for what goes in."""
    signing._help.cache_clear()
    known = "--new-bundle-format" + (" --use-signing-config" if version == 3 else "")
    last = f'last=$(tail -n 2 "{tmp_path}/calls" | head -n 1)'
    end = f'{last}; cp "$last" "{tmp_path}/signed"; printf c2ln >"$last.sig"'
    fake_cosign(tmp_path, monkeypatch, help_text=known, end=end)
    assert Signer(key).sign_blob(b"a statement") == b"c2ln"
    assert (tmp_path / "signed").read_bytes() == b"a statement"
    (call,) = words(tmp_path)
    config = ["--use-signing-config=false"] if version == 3 else []
    assert call[:-3] == [
        *("sign-blob", "--key", key, "--yes", "--tlog-upload=false", *config),
        "--new-bundle-format=false",
    ]
    assert call[-3] == "--output-signature"
    assert not Path(call[-1]).exists()


def test_a_cosign_that_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    fake_cosign(tmp_path, monkeypatch, help_text="", end="exit 0")
    with pytest.raises(SigningError, match="wrote no signature"):
        Signer(key).sign_blob(b"x")


def test_what_cosign_says_is_told_without_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    end = f"echo 'GET https://me:{SECRET}@registry: decryption failed' >&2; exit 7"
    fake_cosign(tmp_path, monkeypatch, help_text="", end=end)
    with pytest.raises(SigningError, match="cosign ended with 7") as caught:
        Signer(key).sign(SUBJECT)
    assert caught.value.exit_code == 13
    assert "decryption failed" in str(caught.value)
    assert "COSIGN_PASSWORD" in caught.value.hint
    assert SECRET not in str(caught.value)


def test_a_long_complaint_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    fake_cosign(
        tmp_path, monkeypatch, help_text="", end="head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1"
    )
    with pytest.raises(SigningError) as caught:
        Signer(key).sign(SUBJECT)
    assert len(str(caught.value)) < 5000


def test_without_cosign(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: str) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SigningError, match="not installed"):
        Signer(key).check()


def test_without_the_key(calls: Calls, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no key"):
        Signer(str(tmp_path / "nothing.key")).check()
    for elsewhere in ("awskms://host/key", "env://COSIGN_KEY", "k8s://ns/secret", "pkcs11:id=1"):
        Signer(elsewhere).check()


def test_help_is_asked_for_once(calls: Calls, key: str, tmp_path: Path) -> None:
    signing._help.cache_clear()
    for _ in range(3):
        Signer(key).sign(SUBJECT)
    assert signing._help.cache_info().misses == 1
