r"""Values in a Dockerfile's syntax, which has no one way of quoting.

Sources: moby/buildkit, frontend/dockerfile/parser (lines, words, JSON) and shell/lex.go
(quotes, ``\`` and ``$`` in words). ``ENV``, ``LABEL``, ``WORKDIR``, ``COPY`` and ``ARG`` expand
variables, ``ENTRYPOINT``, ``CMD`` and ``RUN`` do not.
"""

from __future__ import annotations

import json
import re
import shlex
import unicodedata
from collections.abc import Sequence

from slimpack.errors import InputError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@+-]*\Z")
_WILD = {"*": "[*]", "?": "[?]", "[": "[[]", "\\": r"[\\]"}


def check_text(text: str, what: str) -> str:
    """Return `text`; InputError, which names `what`, for one that no line can hold.

    A line of a Dockerfile ends at a newline, whatever is quoted, and nothing escapes it.
    """
    bad = next((mark for mark in text if unicodedata.category(mark) in ("Cc", "Cs")), None)
    if bad is not None:
        raise InputError(
            f"{what}: a Dockerfile cannot express the character U+{ord(bad):04X}",
            hint="leave it out, or use `slimpack build`, which can",
        )
    return text


def quoted(text: str, what: str) -> str:
    """Return `text` in double quotes, for instructions that expand variables."""
    escaped = re.sub(r'(["\\$])', r"\\\1", check_text(text, what))
    return f'"{escaped}"'


def pair(name: str, value: str, instruction: str) -> str:
    """Return ``NAME="value"`` of ENV; InputError for a name that it does not take."""
    if not _NAME.match(name):
        raise InputError(
            f"{name!r}: {instruction} of a Dockerfile takes names of letters, digits and . _ -",
            hint="rename it, or use `slimpack build`",
        )
    return f"{name}={quoted(value, f'{instruction} {name}')}"


def label(name: str, value: str) -> str:
    """Return ``"name"="value"`` of LABEL."""
    if "=" in name or not name:
        raise InputError(f"the label {name!r} has a name that a Dockerfile cannot express")
    return f"{quoted(name, f'label {name}')}={quoted(value, f'label {name}')}"


def json_form(words: Sequence[str]) -> str:
    """Return a command in exec form: no shell, no expansion."""
    # ASCII with escapes: any character can be told.
    return json.dumps(list(words))


def image(reference: str, what: str) -> str:
    """Return an image's name; InputError unless it can stand in FROM and ARG as it is."""
    if not _IMAGE.match(reference):
        raise InputError(
            f"{what}: {reference!r} is not the name of an image",
            hint="a name such as gcr.io/distroless/base-nossl-debian12:nonroot",
        )
    return reference


def copy(sources: Sequence[str], target: str, *options: str) -> str:
    """Return a COPY in JSON form.

    sources: relative to the context (or absolute, in another stage), as they are: what would
    be a wildcard in them stands for itself. In a name without other wildcards BuildKit takes a
    backslash for a character of the name, so single characters are put in brackets.
    """
    words = [_lexed(_literal(source)) for source in sources] + [_lexed(target)]
    for word in (*sources, target):
        check_text(word, f"COPY {word!r}")
    return " ".join(["COPY", *options, json_form(words)])


def _literal(path: str) -> str:
    return "".join(_WILD.get(mark, mark) for mark in path)


def _lexed(word: str) -> str:
    """Protect a word of a JSON form from the expansion that comes after JSON is read."""
    return re.sub(r"""([\\$"'])""", r"\\\1", word)


def shell(words: Sequence[str], what: str) -> str:
    """Return words for ``sh -c``, each protected."""
    plain = {"(": r"\(", ")": r"\)", "!": "!"}
    return " ".join(plain.get(word) or shlex.quote(check_text(word, what)) for word in words)
