"""By what proofs are known, and which are kept."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slimpack.cache.memo import Memo
from slimpack.config import SmokeTest, VerifyConfig
from slimpack.layering import Layering
from slimpack.oci.blobs import BlobStore
from slimpack.oci.compress import Compression
from slimpack.oci.config import ImageConfig
from slimpack.oci.image import make_image
from slimpack.oci.layer import build_layer
from slimpack.sandbox.choose import PROGRAMS as SANDBOXES
from slimpack.tree import Entry, bytes_entry, symlink_entry
from slimpack.verify import machine
from slimpack.verify.checks import CHECKS
from slimpack.verify.model import Finding, Result, Verification
from slimpack.warm import proof as proofs
from slimpack.warm.plain import plain_files
from slimpack.warm.proof import (
    Proof,
    keep_proof,
    proof_of,
    recall_imports,
    recall_proof,
    recall_rest,
)

MAIN = bytes_entry("app/main.py", b"x = 1\n")
GOOD = tuple(Result(one.name, one.severity, "", "") for one in CHECKS)
PROVEN = Verification("x", "image", "linux/amd64", "unshare", GOOD)


def proof(*application: Entry, config: VerifyConfig | None = None, **run: Any) -> Proof:
    """The proof of an image without layers."""
    image = make_image([], ImageConfig(**run))
    layering = Layering((), (), (), ())
    settings = config or VerifyConfig()
    return proof_of(image, layering, application or [MAIN], "/opt/env", settings, "e")


def pyc(source: bytes, flags: int = 1) -> bytes:
    digest = importlib.util.source_hash(source)
    return importlib.util.MAGIC_NUMBER + flags.to_bytes(4, "little") + digest + b"code"


def test_names_that_are_written_twice() -> None:
    assert set(machine.PROGRAMS) == set(SANDBOXES.values())
    assert {one.name for one in CHECKS if one.runs} == set(proofs.RUNNING)
    assert {*proofs.RUNNING, *proofs.COMPARING, *proofs.BY_CONTENT} <= {one.name for one in CHECKS}


@pytest.mark.parametrize(
    ("path", "data", "plain"),
    [
        ("app/main.py", b"import x\n", True),
        ("srv/data.bin", b"\0" * 9, True),
        ("home/me/.env", b"", True),
        ("app/main", b"#!/bin/sh\n", True),
        ("app/lib.so", b"\x7fELF\2", False),
        ("app/sitecustomize.py", b"", False),
        ("app/usercustomize.py", b"", False),
        ("app/more.pth", b"import x\n", False),
        ("app/pyvenv.cfg", b"", False),
        ("app/tls.conf", b"", False),
        ("opt/env/lib/python3.11/site-packages/mine.py", b"", False),
        ("opt/env/etc/x.conf", b"", False),
        ("etc/ld.so.conf.d/mine.conf", b"/lib\n", False),
        ("usr/lib/x.txt", b"", False),
        ("var/lib/dpkg/status.d/x", b"", False),
        ("app/alone.pyc", pyc(b""), False),
        ("app/__pycache__/gone.cpython-311.pyc", pyc(b""), False),
    ],
)
def test_files_whose_content_no_other_check_asks_for(path: str, data: bytes, plain: bool) -> None:
    """The keys of all proofs but that of the whole image then stay."""
    one, other = bytes_entry(path, data), bytes_entry(path, data + b"\nmore")
    env = (("OPENSSL_CONF", "/app/tls.conf"),)
    assert (path in plain_files([one], "/opt/env", env)) is plain
    keys = [(found.rest, found.imports) for found in (proof(one, env=env), proof(other, env=env))]
    assert (keys[0] == keys[1]) is plain


def test_bytecode_is_plain_beside_its_source() -> None:
    path = "app/__pycache__/main.cpython-311.pyc"
    files = [MAIN, bytes_entry(path, pyc(MAIN.read()))]
    assert set(plain_files(files, "/opt/env")) == {MAIN.path, path}
    for flags in (0, 3):  # with a time, or a hash that Python compares
        old = bytes_entry(path, pyc(MAIN.read(), flags))
        assert set(plain_files([MAIN, old], "/opt/env")) == {MAIN.path}
    magic = bytes_entry(path, b"\0\0" + pyc(MAIN.read())[2:])
    assert proof(*files).rest != proof(MAIN, magic).rest


def test_programs_and_links_count() -> None:
    program = replace(MAIN, mode=0o755)
    assert not plain_files([program, symlink_entry("app/link", "main.py")], "/opt/env")
    keys = {
        proof(*files).rest
        for files in (
            [MAIN],
            [program],
            [replace(program, identity="other")],
            [replace(MAIN, uid=7)],
            [MAIN, symlink_entry("app/link", "main.py")],
            [MAIN, symlink_entry("app/link", "other.py")],
            [MAIN, bytes_entry("app/new.py", b"")],
        )
    }
    assert len(keys) == 7


@pytest.mark.parametrize("path", ["app/x-1.dist-info/RECORD", "app/conda-meta/x.json"])
def test_an_application_with_records_is_looked_at_as_a_whole(path: str) -> None:
    assert proof(MAIN, bytes_entry(path, b"")).rest == ""


@pytest.mark.parametrize(
    "other",
    [
        lambda: proof(user="7"),
        lambda: proof(env=(("A", "1"),)),
        lambda: proof(workdir="/app"),
        lambda: proof(entrypoint=("python",)),
        lambda: proof(labels={"a": "b"}),
        lambda: proof(config=VerifyConfig(sandbox="docker")),
        lambda: proof(config=VerifyConfig(ignore=("modes",))),
        lambda: proof(config=VerifyConfig(skip_imports=("x",))),
        lambda: proof(config=VerifyConfig(smoke=(SmokeTest(("x",)),))),
    ],
)
def test_what_is_run_and_asked_counts(other: Callable[[], Proof]) -> None:
    assert (proof().image, proof().rest) == (proof().image, proof().rest)
    assert proof().image != other().image
    assert proof().rest != other().rest


@pytest.mark.parametrize("name", ["own_code", "machine_identity"])
def test_code_and_machine_count(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    before = proof()
    monkeypatch.setattr(proofs, name, lambda *_: "another")
    after = proof()
    assert before.image != after.image
    assert before.rest != after.rest
    assert before.imports != after.imports


@pytest.mark.parametrize("name", ["PROGRAMS", "_CPU"])
def test_a_machine_is_what_it_can_run(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    before = machine.machine_identity("linux/amd64")
    assert before == machine.machine_identity("linux/amd64")
    assert before != machine.machine_identity("linux/arm64")
    monkeypatch.setattr(machine, name, ())
    assert before != machine.machine_identity("linux/amd64")


def test_layers_below_the_application_count(tmp_path: Path) -> None:
    keys = []
    for data in (b"1", b"2"):
        layer = build_layer(
            "base",
            [bytes_entry("etc/x", data)],
            blobs=BlobStore(tmp_path),
            mtime=0,
            compression=Compression("none", 0),
        )
        image = make_image([layer], ImageConfig())
        layering = Layering((), (), (), ())
        made = proof_of(image, layering, [MAIN], "/opt/env", VerifyConfig(), "e")
        keys += [made.image, made.rest, made.imports]
    assert len(set(keys)) == 6


def result(name: str, severity: Any = "warning") -> Verification:
    """A verification with one finding."""
    finding = Finding("app/main.py", "looks odd", severity=severity)
    results = tuple(replace(one, findings=(finding,)) if one.name == name else one for one in GOOD)
    return replace(PROVEN, results=results)


def kept(memos: Memo, by: Proof, verification: Verification, *read: str) -> tuple[bool, ...]:
    """Keep a proof; tell which of the three there are then."""
    keep_proof(by, verification, read, memos)
    return (
        recall_proof(by, "n", memos) is not None,
        recall_rest(by, "n", memos) is not None,
        bool(recall_imports(by, memos)),
    )


@pytest.mark.parametrize(
    ("verification", "expected"),
    [
        pytest.param(PROVEN, (True, True, True), id="good"),
        pytest.param(result("modes"), (True, True, True), id="a-warning"),
        pytest.param(result("imports", "info"), (True, True, True), id="an-import"),
        pytest.param(result("secrets"), (True, False, True), id="of-a-plain-file"),
        pytest.param(result("modes", "error"), (False, False, True), id="failed"),
        pytest.param(result("imports", "error"), (False, False, False), id="import-failed"),
        pytest.param(replace(PROVEN, sandbox=""), (False, False, True), id="no-sandbox"),
    ],
)
def test_only_what_passed_is_kept(
    tmp_path: Path, verification: Verification, expected: tuple[bool, ...]
) -> None:
    assert kept(Memo(tmp_path), proof(), verification) == expected


def test_what_an_import_has_read_counts(tmp_path: Path) -> None:
    assert proof().watched == {"/app/main.py"}
    assert kept(Memo(tmp_path), proof(), PROVEN, "/app/main.py") == (True, False, False)


@pytest.mark.parametrize("name", proofs.COMPARING)
def test_findings_that_were_compared_count_in_one_environment(tmp_path: Path, name: str) -> None:
    unknown = replace(proof(), environment="")
    assert kept(Memo(tmp_path / "1"), unknown, result(name))[:2] == (False, False)
    assert kept(Memo(tmp_path / "2"), unknown, PROVEN) == (True, True, True)


def test_ignored_errors_of_programs_are_not_kept(tmp_path: Path) -> None:
    for name, expected in (("smoke", False), ("modes", True)):
        found = result(name, "error")
        ignored = tuple(replace(one, ignored=True) for one in found.results)
        verification = replace(found, results=ignored)
        assert kept(Memo(tmp_path / name), proof(), verification)[0] is expected


def test_other_contents_are_looked_at(tmp_path: Path) -> None:
    path, memos = "app/__pycache__/main.cpython-311.pyc", Memo(tmp_path)

    def files(source: bytes, compiled: bytes) -> Proof:
        return proof(bytes_entry(MAIN.path, source), bytes_entry(path, pyc(compiled)))

    keep_proof(files(b"1", b"1"), PROVEN, (), memos)
    assert recall_rest(files(b"2", b"2"), "n", memos) is not None
    assert recall_rest(files(b"2", b"1"), "n", memos) is None
    assert recall_rest(files(b"1", b"2"), "n", memos) is None
    secret = f"AKIA{'Q' * 16}".encode()
    assert recall_rest(files(secret, secret), "n", memos) is None


def test_what_is_told_is_what_was_found(tmp_path: Path) -> None:
    memos, found = Memo(tmp_path), result("modes")
    keep_proof(proof(), found, (), memos)
    known = recall_proof(proof(), "now", memos)
    assert known == replace(found, subject="now", kept="everything")
