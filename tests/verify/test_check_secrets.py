"""Every pattern finds its key, shows nothing of it, and leaves what only looks like one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from slimpack.verify.checks.secrets import NAMES, PATTERNS
from slimpack.verify.subject import Start
from tests.verify.subjects import SITE, conda_record, findings, subject

# In two pieces each, so that no scanner takes this file for a leak.
KEYS = {
    "AWS access key": [("AKIA", "IOSFODNN7EXAMPLE")],
    "AWS temporary access key": [("ASIA", "IOSFODNN7EXAMPLE")],
    "AWS secret key": [("aws_secret_access_key = ", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")],
    "GitHub token": [
        *((f"gh{kind}_", "a1B2" * 9) for kind in "pousr"),
        ("github_pat_", "11ABCDEFG0" + "x" * 72),
    ],
    "GitLab token": [("glpat-", "a1B2c3D4e5F6g7H8i9J0")],
    "Slack token": [(f"xox{kind}-", "123456789012-abcdefABCDEF") for kind in "abprs"],
    "Slack webhook": [("hooks.slack.com/", "services/T0001/B0001/" + "x" * 24)],
    "Google API key": [("AIza", "SyA1234567890abcdefghijklmnopqrstuv")],
    "private key": [
        (f"-----BEGIN {kind}PRIVATE ", "KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n" * 2)
        for kind in ("", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED ")
    ],
    "npm token": [("npm_", "a1B2" * 9)],
    "PyPI token": [("pypi-AgE", "IcHlwaS5vcmc" + "x" * 50)],
    "Stripe key": [("sk_live_", "a" * 24), ("rk_live_", "b" * 24)],
    "Hugging Face token": [("hf_", "aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH")],
    "Anaconda token": [
        ("https://conda.example.com/t/", "ab-01234567-89ab-cdef-0123-456789abcdef/x")
    ],
    "password in a URL": [("postgresql://app:", "s3cret-s3cret@db.example.com/app")],
}
PLANTED = [(name, "".join(parts)) for name, keys in KEYS.items() for parts in keys]


def test_every_pattern_has_a_planted_key() -> None:
    assert {pattern.name for pattern in PATTERNS} == set(KEYS)
    for pattern in PATTERNS:
        hits = [text for name, text in PLANTED if pattern.pattern.search(text.encode())]
        assert hits, pattern
        assert all(pattern.needle in text.encode() for text in hits)


@pytest.mark.parametrize(("name", "text"), PLANTED)
def test_a_key_in_a_file_is_found_and_not_shown(tmp_path: Path, name: str, text: str) -> None:
    on = subject(
        tmp_path, {"app/settings.py": f'x = 1\nKEY = "{text}"\n', "app/other.py": "x = 1\n"}
    )
    ((severity, path, message),) = findings("secrets", on)
    assert (severity, path) == ("error", "app/settings.py")
    assert f"holds a {name} (" in message
    secret = text.rpartition("=")[2] if "aws_secret" in text else text
    assert not any(secret[at : at + 6] in message for at in range(4, len(secret) - 6))


def test_hostile_text_takes_no_time(tmp_path: Path) -> None:
    """A megabyte that each pattern begins to match over and over."""
    parts = [
        *("".join(parts)[:20] for keys in KEYS.values() for parts in keys),
        *(
            '"auths": {"auth": ',
            "-----BEGIN RSA RSA ",
            "postgres://aaaa:bbbb",
            "aws_secret_access_key",
        ),
    ]
    files = {f"app/{n}/config.json": (part * (1 << 20))[: 1 << 20] for n, part in enumerate(parts)}
    begin = time.process_time()
    findings("secrets", subject(tmp_path, files))
    assert time.process_time() - begin < 2 * len(parts)


def test_a_key_across_two_reads_and_told_once(tmp_path: Path) -> None:
    key = "".join(KEYS["AWS access key"][0]).encode()
    data = bytes((1 << 20) - 10) + key + b"\0" + bytes(1 << 20) + b" " + key
    assert len(findings("secrets", subject(tmp_path, {"app/model.bin": data}))) == 1


def test_a_key_in_a_variable(tmp_path: Path) -> None:
    key = "".join(KEYS["GitHub token"][0])
    start = Start(entrypoint=("x",), env=(("TOKEN", key),))
    ((severity, path, message),) = findings("secrets", subject(tmp_path, {}, start=start))
    assert (severity, path) == ("error", "")
    assert "TOKEN" in message
    assert key[8:] not in message


@pytest.mark.parametrize("pattern", sorted(NAMES))
def test_a_file_that_is_a_secret_by_its_name(tmp_path: Path, pattern: str) -> None:
    path = f"app/{pattern.replace('*', 'production')}"
    assert [one[:2] for one in findings("secrets", subject(tmp_path, {path: "x=1\n"}))] == [
        ("error", path)
    ]


def test_a_registry_s_password(tmp_path: Path) -> None:
    logged_in = '{"auths": {"registry.example.com": {"auth": "dXNlcjpwYXNzd29yZA=="}}}'
    on = subject(
        tmp_path, {"home/.docker/config.json": logged_in, "app/config.json": '{"auths": {}}'}
    )
    assert [one[:2] for one in findings("secrets", on)] == [("error", "home/.docker/config.json")]


@pytest.mark.parametrize(
    "text",
    [
        "AKIAIOSFODNN7EXAMPL",
        "xAKIAIOSFODNN7EXAMPLEx",
        "ghp_short",
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN PUBLIC KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n",
        "https://user:{password}@example.com",
        "https://example.com:8080/x@y",
        "postgresql://app:x@db.example.com",
    ],
)
def test_what_only_looks_like_a_key(tmp_path: Path, text: str) -> None:
    assert findings("secrets", subject(tmp_path, {"app/x.py": text})) == []


def test_examples_packages_and_the_base_are_left_alone(tmp_path: Path) -> None:
    key = "".join(KEYS["AWS access key"][0])
    files = {
        "app/.env.example": "X=\n",
        f"{SITE}/botocore/test.py": key,
        "opt/env/conda-meta/botocore-1.0-0.json": conda_record(
            "botocore", ["lib/python3.11/site-packages/botocore/test.py"]
        ),
        "etc/base": key,
    }
    assert findings("secrets", subject(tmp_path, files, below=frozenset({"etc/base"}))) == []
