"""Credential helpers: programs that keep secrets in a keyring or ask a cloud for them.

Protocol: docker/docker-credential-helpers. ``docker-credential-NAME get|store|erase``
takes its input on stdin; no secret is in an argument list. What a helper prints when it
fails is not shown, because nobody knows what is in it.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass, field

from slimpack.errors import InputError, RegistryError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NOT_FOUND = "credentials not found"
_SECONDS = 120  # some ask the user to unlock a keyring
_MAX = 1 << 20


@dataclass(frozen=True)
class Answer:
    """What a helper has."""

    username: str
    secret: str = field(repr=False)


def get(helper: str, server: str) -> Answer | None:
    """Return what the helper has for a server, None if it has nothing.

    Raises InputError when there is no such program, RegistryError when it fails.
    """
    code, output = _run(helper, "get", server)
    if code:
        if _NOT_FOUND in output:
            return None
        raise _failed(helper, f"failed with exit code {code}")
    try:
        answer = json.loads(output)
        username, secret = answer["Username"], answer["Secret"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _failed(helper, "printed something that is no answer") from None
    if not isinstance(username, str) or not isinstance(secret, str):
        raise _failed(helper, "printed something that is no answer")
    return Answer(username, secret) if secret else None


def store(helper: str, server: str, answer: Answer) -> None:
    """Give the helper credentials to keep. Raises as `get` does."""
    text = {"ServerURL": server, "Username": answer.username, "Secret": answer.secret}
    code, _ = _run(helper, "store", json.dumps(text))
    if code:
        raise _failed(helper, f"failed with exit code {code}")


def erase(helper: str, server: str) -> bool:
    """Make the helper forget a server; tell whether it had something. Raises as `get` does."""
    if get(helper, server) is None:
        return False
    code, _ = _run(helper, "erase", server)
    if code:
        raise _failed(helper, f"failed with exit code {code}")
    return True


def _run(helper: str, action: str, text: str) -> tuple[int, str]:
    if not _NAME.fullmatch(helper):
        raise InputError(f"{helper[:100]!r} is not the name of a credential helper")
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, action],
            check=False,
            input=text.encode(),
            capture_output=True,
            timeout=_SECONDS,
        )
    except FileNotFoundError:
        raise InputError(
            f"the credential helper {program} is not on PATH",
            hint="install it, or take it out of credHelpers and credsStore",
        ) from None
    except OSError as error:
        raise InputError(f"{program}: {error.strerror or error}") from error
    except subprocess.TimeoutExpired:
        raise _failed(helper, f"gave no answer in {_SECONDS} s") from None
    return done.returncode, done.stdout[:_MAX].decode("utf-8", "replace")


def _failed(helper: str, problem: str) -> RegistryError:
    return RegistryError(
        f"the credential helper docker-credential-{helper} {problem}",
        hint=f"see what it says: echo HOST | docker-credential-{helper} get",
    )
