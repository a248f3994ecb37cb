"""Keys and passwords that went into the image with the application.

The patterns are those that their issuers publish so that scanners find them. Only files
that no package owns are read: packages hold test keys, which are no secrets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from slimpack.tree import Entry
from slimpack.verify.context import Context
from slimpack.verify.model import Check, Finding
from slimpack.verify.subject import Subject

_CHUNK = 1 << 20
_OVERLAP = 4096


@dataclass(frozen=True)
class SecretPattern:
    """What a kind of key looks like.

    needle: bytes that every one of them holds; what lacks them is not searched further.
    pattern: matches the key; its group ``key``, if it has one, is the secret itself.
    """

    name: str
    needle: bytes
    pattern: re.Pattern[bytes]


def _pattern(name: str, needle: str, pattern: str) -> SecretPattern:
    return SecretPattern(name, needle.encode(), re.compile(pattern.encode()))


_START = r"(?<![A-Za-z0-9_-])"
_END = r"(?![A-Za-z0-9_-])"
PATTERNS = (
    _pattern("AWS access key", "AKIA", rf"{_START}AKIA[A-Z2-7]{{16}}{_END}"),
    _pattern("AWS temporary access key", "ASIA", rf"{_START}ASIA[A-Z2-7]{{16}}{_END}"),
    _pattern(
        "AWS secret key",
        "aws_secret_access_key",
        r"aws_secret_access_key['\"]?\s*[=:]\s*['\"]?(?P<key>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])",
    ),
    *(
        _pattern("GitHub token", f"gh{kind}_", rf"{_START}gh{kind}_[A-Za-z0-9]{{36,251}}{_END}")
        for kind in "pousr"
    ),
    _pattern("GitHub token", "github_pat_", rf"{_START}github_pat_[A-Za-z0-9_]{{82}}{_END}"),
    _pattern("GitLab token", "glpat-", rf"{_START}glpat-[A-Za-z0-9_.-]{{20,}}"),
    *(
        _pattern("Slack token", f"xox{kind}-", rf"{_START}xox{kind}-[A-Za-z0-9-]{{20,}}")
        for kind in "abprs"
    ),
    _pattern(
        "Slack webhook",
        "hooks.slack.com/",
        r"hooks\.slack\.com/services/T\w+/B\w+/(?P<key>\w{20,})",
    ),
    _pattern("Google API key", "AIza", rf"{_START}AIza[A-Za-z0-9_-]{{35}}{_END}"),
    _pattern(
        "private key",
        "PRIVATE KEY",
        r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----(?:\\n|\s)+"
        r"(?P<key>[A-Za-z0-9+/=:\s\\-]{32})",
    ),
    _pattern("npm token", "npm_", rf"{_START}npm_[A-Za-z0-9]{{36}}{_END}"),
    _pattern("PyPI token", "pypi-AgE", rf"{_START}pypi-AgE[A-Za-z0-9_-]{{50,}}"),
    _pattern("Stripe key", "k_live_", rf"{_START}[sr]k_live_[A-Za-z0-9]{{20,}}"),
    _pattern("Hugging Face token", "hf_", rf"{_START}hf_[A-Za-z]{{34}}{_END}"),
    _pattern("Anaconda token", "/t/", r"https?://[\w.-]+/t/(?P<key>[a-z]{2}-[0-9a-f-]{30,})/"),
    _pattern(
        "password in a URL",
        "://",
        r"(?:https?|postgres(?:ql)?|mysql|mongodb(?:\+srv)?|redis|amqps?)://"
        r"[\w.%+-]+:(?P<key>[^\s:/@$<>{}'\"\[\]\\|*]{8,})@[\w-]+\.[\w.-]+",
    ),
)
# Files that hold secrets by their nature: name (a glob) -> what it is.
NAMES = {
    ".env": "a file of environment variables",
    ".env.*": "a file of environment variables",
    "id_rsa": "a private SSH key",
    "id_dsa": "a private SSH key",
    "id_ecdsa": "a private SSH key",
    "id_ed25519": "a private SSH key",
    ".netrc": "a file of passwords",
    ".pgpass": "a file of passwords",
    ".git-credentials": "a file of passwords",
    ".pypirc": "a file of tokens",
    ".npmrc": "a file of tokens",
    ".htpasswd": "a file of passwords",
    "*.kdbx": "a password database",
}
_HARMLESS = (".env.example", ".env.sample", ".env.template", ".env.dist")


def _run(subject: Subject, context: Context) -> Iterator[Finding]:
    for name, value in (*subject.start.env, *sorted(subject.start.labels.items())):
        text = f"{name}={value}".encode("utf-8", "surrogateescape")
        for what, key in _found(text, set()):
            yield Finding("", f"the variable or label {name} holds a {what} ({_masked(key)})")
    for entry in subject.application:
        yield from secrets_in(entry)


def secrets_in(entry: Entry) -> Iterator[Finding]:
    """Yield what one file tells by its name and its content, and by nothing else."""
    name = entry.path.rpartition("/")[2]
    for pattern, what in NAMES.items():
        if fnmatchcase(name, pattern) and name not in _HARMLESS and entry.size:
            yield Finding(entry.path, f"is {what}, as its name says")
            return
    seen: set[bytes] = set()
    tail = b""
    with entry.open() as stream:
        while data := stream.read(_CHUNK):
            window = tail + data
            for what, key in _found(window, seen):
                yield Finding(entry.path, f"holds a {what} ({_masked(key)})")
            tail = window[-_OVERLAP:]
    if name == "config.json" and entry.size <= _CHUNK and (key := _registry_password(entry)):
        yield Finding(entry.path, f"holds a registry's password ({_masked(key)})")


def _registry_password(entry: Entry) -> bytes:
    """Return what Docker's config.json keeps to log in with, b"" for nothing."""
    try:
        accounts = json.loads(entry.read())["auths"].values()
        keys = [one.get(key) for one in accounts for key in ("auth", "identitytoken")]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return b""
    return next((str(key).encode("utf-8", "replace") for key in keys if key), b"")


def _found(data: bytes, seen: set[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield (what, key) of every key in `data` that is not `seen`, and note it there."""
    for pattern in PATTERNS:
        if pattern.needle not in data:
            continue
        for match in pattern.pattern.finditer(data):
            key = match["key"] if "key" in match.re.groupindex else match[0]
            if key not in seen:
                seen.add(key)
                yield pattern.name, key


def _masked(key: bytes) -> str:
    """Return what may be shown of a key: nobody shall read it in a build's log."""
    return f"{key[:4].decode('ascii', 'replace')!a}…, {len(key)} characters"


CHECK = Check(
    name="secrets",
    severity="error",
    explanation="Whoever gets the image can read the keys and passwords in it, also in a layer "
    "that a later one hides.",
    fix="revoke the key; keep the file out with 'ignore' of its [[app.copy]], and hand secrets "
    "over when the container starts",
    run=_run,
)
