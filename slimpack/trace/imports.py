"""Names of modules that a source or an extension module may import, told from its bytes.

More than `slimpack.slim.modules.imports_of` finds, because here a name too many keeps a
file, and one too few breaks a program: names in strings, lists of names.
"""

from __future__ import annotations

import re
from collections.abc import Container

from slimpack.slim.modules import Module, imports_of

_DOTTED = re.compile(rb"""["']([A-Za-z_]\w*(?:\.\w+)+)(?::\w[\w.]*)?["']""")
# Packages that load their modules when somebody asks for them hold lists of their names.
_BY_NAME = (b"import_module", b"__import__", b"lazy", b"Lazy")
# A package that has them as attributes (PEP 562: scipy, sklearn): whoever uses one writes it.
_ATTRIBUTES = re.compile(rb"^def __getattr__\(", re.MULTILINE)
_WRITTEN = re.compile(rb"(?<![\w.])[A-Za-z_]\w*(?:\.\w+)+")
_QUOTED = re.compile(rb"""["'](?!\d)(\w+(?:\.\w+)*)["']""")
_DOTTED_IN_C = re.compile(rb"(?<=\0)[A-Za-z_]\w*(?:\.\w+)+(?=\0)")


def names_in_source(
    source: bytes, module: Module, known: Container[str], *, written: bool = False
) -> set[str]:
    """Return the names that `source`, the text of `module`, may import.

    Statements count wherever they stand, and strings that are a dotted name, with or without
    ``:attribute``. In a source that imports by name, quoted names of modules of its
    package count as well, as far as they are `known`. Not where the package has its modules
    as attributes: scipy's list alone would keep all of it.
    In setuptools they also are names of what it brings: distutils, and all below _vendor.
    written: names like ``scipy.io.loadmat`` outside of imports and strings count too.
    """
    names = {item.name for item in imports_of(source, module)}
    names.update(map(_text, _DOTTED.findall(source)))
    if module.name.partition(".")[0] == "setuptools":
        brought = {f"setuptools._{name}" for name in names if name.startswith("distutils.")}
        names |= brought | {f"setuptools._vendor.{name}" for name in names}
    if written:
        names.update(map(_text, _WRITTEN.findall(source)))
    if any(word in source for word in _BY_NAME) and not _ATTRIBUTES.search(source):
        package = module.name if module.package else module.name.rpartition(".")[0]
        quoted = {f"{package}.{_text(text)}" for text in _QUOTED.findall(source)}
        names.update(name for name in quoted if name in known)
    return names


def names_in_binary(data: bytes) -> set[str]:
    """Return the dotted names among the C strings of an extension module."""
    return set(map(_text, _DOTTED_IN_C.findall(data)))


def _text(name: bytes) -> str:
    return name.decode("ascii", "replace")
