"""What a file of an environment is for, told from its path: for reports and rules.

The answer is one of `KINDS`. It is a guess for people who look for what takes the
space, never a reason to remove anything.
"""

from __future__ import annotations

import re

KINDS = (
    "library",
    "program",
    "Python source",
    "bytecode",
    "tests",
    "headers",
    "static library",
    "documentation",
    "translations",
    "time zones",
    "type stubs",
    "metadata",
    "certificates",
    "data",
)

# The first that matches decides.
_RULES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("tests", r"(?:.*/)?(?:tests?|testing|idle_test)/.*"),
        ("static library", r".*\.(?:a|la|lib|o)"),
        ("library", r".*\.so(?:\.[\w.]+)?"),
        ("bytecode", r".*\.py[co]"),
        ("type stubs", r".*(?:\.pyi|/py\.typed)"),
        ("Python source", r".*\.py"),
        ("headers", r"(?:.*/)?include/.*|.*\.(?:h|hh|hpp|hxx|cuh|pxd|pyx|pxi|f90|cmake|pc|mod)"),
        ("metadata", r"conda-meta/.*|.*\.(?:dist|egg)-info(?:/.*)?"),
        ("documentation", r"(?:share/)?(?:man|doc|docs|info|gtk-doc)/.*|.*\.(?:rst|md|html|pdf)"),
        ("translations", r"(?:.*/)?(?:locale|locales|i18n)/.*|.*\.(?:mo|po|pot)"),
        ("time zones", r"(?:.*/)?zoneinfo/.*"),
        ("certificates", r"(?:.*/)?ssl/.*|.*/cacert\.pem|.*\.(?:crt|pem)"),
        ("program", r"(?:.*/)?(?:bin|sbin|libexec)/[^/]+"),
    )
)


def kind_of(path: str) -> str:
    """Return the kind of a file, by its path below the prefix."""
    return next((kind for kind, rule in _RULES if rule.fullmatch(path)), "data")
