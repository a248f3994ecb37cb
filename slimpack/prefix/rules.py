"""Which deleted and changed files do no harm: the rules, as data.

A rule names what people and programs do to an environment on purpose and what
nothing needs at run time. Everything else is left to the user, file by file or
by globs of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class Rule:
    """One kind of harmless difference.

    globs: `fnmatch` patterns of paths below the prefix; ``*`` crosses folders.
    changes: changed files are harmless too, not only deleted ones.
    """

    name: str
    reason: str
    globs: tuple[str, ...]
    changes: bool = False

    def covers(self, path: str, *, deleted: bool) -> bool:
        """Tell whether the rule explains that `path` was deleted, or else changed."""
        return (deleted or self.changes) and matches(path, self.globs)


RULES: tuple[Rule, ...] = (
    Rule(
        "bytecode",
        "Python writes it anew",
        ("*.pyc", "*.pyo", "*/__pycache__/*"),
        changes=True,
    ),
    Rule(
        "caches",
        "programs write them anew",
        (
            ".cache/*",
            "var/cache/*",
            "*/pip/.cache/*",
            "*/icon-theme.cache",
            "*/giomodule.cache",
            "*/loaders.cache",
            "*/immodules.cache",
            "*/mimeinfo.cache",
            "*/gschemas.compiled",
            "share/mime/mime.cache",
            "share/mime/[!p]*",  # all but share/mime/packages is made from that
            "share/info/dir",
        ),
        changes=True,
    ),
    Rule(
        "headers",
        "only compilers read them",
        ("include/*", "*/include/*.h", "*/include/*.hpp", "*/include/*.hxx", "*.pxd", "*.pyx"),
    ),
    Rule("static libraries", "only linkers read them", ("*.a", "*.la")),
    Rule(
        "build files",
        "only build tools read them",
        (
            "*/pkgconfig/*.pc",
            "lib/cmake/*",
            "share/cmake/*",
            "share/cmake-*",
            "*.cmake",
            "share/aclocal/*",
        ),
    ),
    Rule(
        "documentation",
        "only people read it",
        (
            "share/doc/*",
            "share/docs/*",
            "share/gtk-doc/*",
            "share/info/*",
            "share/examples/*",
            "share/man/*",
            "man/*",
            "doc/*",
            "docs/*",
        ),
    ),
    Rule("translations", "programs go on in English", ("share/locale/*",)),
    Rule(
        "tests",
        "only developers run them",
        (
            "lib/python*/test/*",
            "lib/python*/*/tests/*",
            "lib/python*/site-packages/*/test/*",
            "lib/python*/idlelib/idle_test/*",
        ),
    ),
    Rule("type stubs", "only type checkers read them", ("*.pyi",)),
)


def matches(path: str, globs: Iterable[str]) -> bool:
    """Tell whether any of the globs is the path's; ``*`` crosses folders."""
    return any(fnmatchcase(path, glob) for glob in globs)


def harmless(path: str, *, deleted: bool) -> Rule | None:
    """Return the first rule that explains the difference, or None."""
    return next((rule for rule in RULES if rule.covers(path, deleted=deleted)), None)
