"""Versions, patterns, stanzas, certificates and keys: the parts by themselves."""

from __future__ import annotations

import itertools
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pysequoia
import pytest

from slimpack.debian import keyring
from slimpack.debian.certs import BUNDLE, with_bundle
from slimpack.debian.keyring import debian_keyring
from slimpack.debian.stanzas import find_stanzas, parse_stanza, split_stanzas
from slimpack.debian.versions import Version
from slimpack.globs import matcher
from slimpack.tree import bytes_entry, directory_entry

# Each line in rising order; the first is the example of Policy 5.6.12.
ORDERED = [
    ["~~", "~~a", "~", "", "a"],
    ["1.0~beta1~svn1245", "1.0~beta1", "1.0", "1.0-0ubuntu1", "1.0-1", "1.0.1"],
    ["1.2", "1.10", "1.10a", "1.10.1", "2", "1:0", "2:0~", "2:0"],
    ["2.36-9", "2.36-9+deb12u1", "2.36-9+deb12u4", "2.36-9+deb12u14", "2.36-10"],
    ["20250419~deb12u2", "20250419", "20250419+deb13u1"],
    ["1.0~rc1-1", "1.0-1~bpo1", "1.0-1", "1.0-1+b1", "1.0-1.1"],
    ["1a", "1b", "1+", "1."],
]


@pytest.mark.parametrize("line", ORDERED)
def test_versions_rise(line: list[str]) -> None:
    # Bare parts become upstream versions, which start with a digit.
    versions = [Version(text if text[:1].isdigit() else f"1{text}") for text in line]
    for one, two in itertools.combinations(versions, 2):
        assert one < two
        assert two > one
        assert one != two


@pytest.mark.parametrize(
    ("one", "two"), [("1.0", "0:1.0"), ("1.0", "1.0-0"), ("1.01", "1.1"), ("1.0-1", "1.0-01")]
)
def test_versions_that_are_the_same(one: str, two: str) -> None:
    assert Version(one) == Version(two)
    assert hash(Version(one)) == hash(Version(two))
    assert not Version(one) < Version(two)


def test_the_parts_of_a_version() -> None:
    version = Version("1:2.36-9-10+deb12u1")
    assert (version.epoch, version.upstream, version.revision) == (1, "2.36-9", "10+deb12u1")


@pytest.mark.parametrize("text", ["", ":1", "a:1", "1 2", "1_2", "~1", "1-", "1:", "ü1", "1\n"])
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(ValueError, match="not a Debian version"):
        Version(text)


@pytest.mark.skipif(not shutil.which("dpkg"), reason="compares with dpkg, which is not here")
def test_versions_compare_as_dpkg_compares_them() -> None:
    chance = random.Random(12)
    texts = ["1" + "".join(chance.choices("01.a+~z", k=chance.randrange(6))) for _ in range(60)]
    for one, two in zip(texts[::2], texts[1::2], strict=True):
        call = ["dpkg", "--compare-versions", one, "lt", two]
        lower = subprocess.run(call, check=False).returncode == 0
        assert (Version(one) < Version(two)) == lower, (one, two)


@pytest.mark.parametrize(
    ("patterns", "chosen", "not_chosen"),
    [
        (["usr/share/man"], ["usr/share/man", "usr/share/man/man1/x"], ["usr/share/mane", "man"]),
        (["usr/bin/*"], ["usr/bin/ldd", "usr/bin/d/x"], ["usr/bin", "usr/binx/y"]),
        (["*.so"], ["a.so", "a.so/x"], ["lib/a.so", "axso"]),
        (["**/*.so"], ["a.so", "lib/deep/a.so"], ["a.so.1"]),
        (["usr/**/x?"], ["usr/x1", "usr/a/b/xy"], ["usr/x", "usr/x/"]),
        (["/etc/skel/"], ["etc/skel", "etc/skel/.bashrc"], ["etc"]),
        (["usr/doc", "!usr/doc/*/copyright"], ["usr/doc/a/x"], ["usr/doc/a/copyright"]),
        (["!a", "a"], ["a"], ["b"]),
        ([], [], ["a"]),
        (["a[0]+"], ["a[0]+"], ["a0", "a00"]),
    ],
)
def test_patterns(patterns: list[str], chosen: list[str], not_chosen: list[str]) -> None:
    match = matcher(patterns)
    assert [path for path in chosen if not match(path)] == []
    assert [path for path in not_chosen if match(path)] == []


def test_stanzas_are_parsed() -> None:
    text = "Package: a\n# a comment\nDescription: short\n long\n .\n longer\nEMPTY:\n"
    assert parse_stanza(text) == {
        "package": "a",
        "description": "short\nlong\n.\nlonger",
        "empty": "",
    }


@pytest.mark.parametrize("text", [" folded first", "no colon", ": no name", "A: 1\na: 2"])
def test_bad_stanzas(text: str) -> None:
    with pytest.raises(ValueError):
        parse_stanza(text)


def test_stanzas_are_split() -> None:
    assert split_stanzas("\n\nA: 1\nB: 2\n\n \nA: 3\n") == ["A: 1\nB: 2", "A: 3"]


INDEX = (
    b"Package: aa\nVersion: 1\nDepends: libc6\n\n"
    b"Package: libc6\nVersion: 2\n\n"
    b"Package: libc6-dev\nVersion: 3\n Package: libc6\n\n"
    b"Package: libc6\nVersion: 4\nDescription: says\n Package: aa\n\n"
    b"Package: zz\nVersion: 5\n"
)


@pytest.mark.parametrize("size", [1, 2, 7, 40, 1000])
def test_wanted_stanzas_are_found_across_chunks(size: int) -> None:
    chunks: Iterator[bytes] = (INDEX[start : start + size] for start in range(0, len(INDEX), size))
    found = list(find_stanzas(chunks, ["libc6", "aa", "zz", "none"]))
    pairs = sorted((stanza["package"], stanza["version"]) for stanza in found)
    assert pairs == [("aa", "1"), ("libc6", "2"), ("libc6", "4"), ("zz", "5")]


def test_an_endless_stanza_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        list(find_stanzas(itertools.repeat(b"x" * (1 << 20)), ["a"]))


def test_certificates_become_one_bundle() -> None:
    folder = "usr/share/ca-certificates"
    entries = [
        directory_entry("usr/share", owner="ca"),
        directory_entry(folder, owner="ca"),
        directory_entry(f"{folder}/mozilla", owner="ca"),
        bytes_entry(f"{folder}/mozilla/b.crt", b"-b-\n", owner="ca"),
        bytes_entry(f"{folder}/mozilla/é.crt", b"-e-\n", owner="ca"),
        bytes_entry(f"{folder}/mozilla/B.crt", b"-B-", owner="ca"),
        bytes_entry(f"{folder}/mozilla/README", b"no certificate", owner="ca"),
        bytes_entry("usr/share/ca-certificates-not", b"", owner="ca"),
    ]
    made = {entry.path: entry for entry in with_bundle(entries)}
    assert made[BUNDLE].read() == b"-B-\n-b-\n-e-\n"
    assert made[BUNDLE].owner == "ca"
    assert sorted(made) == [
        "etc",
        "etc/ssl",
        "etc/ssl/certs",
        BUNDLE,
        "usr/share",
        "usr/share/ca-certificates-not",
    ]


def test_without_certificates_there_is_no_bundle() -> None:
    assert [entry.path for entry in with_bundle([directory_entry("usr")])] == ["usr"]


def test_the_keys_are_those_of_the_readme() -> None:
    fingerprints = {
        pysequoia.Cert.from_bytes(key).fingerprint.upper() for key in debian_keyring().keys
    }
    assert len(fingerprints) == 6
    readme = (Path(keyring.__file__).parent / "keys/README.md").read_text().replace(" ", "")
    assert [print_ for print_ in fingerprints if print_ not in readme] == []
    assert not any(b"PRIVATE" in key for key in debian_keyring().keys)
