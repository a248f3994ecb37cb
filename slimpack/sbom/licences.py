"""Licences as SPDX writes them, from what packages say of themselves.

Sources: the SPDX licence list (through license-expression), the classifiers of Python
packages that name one licence without doubt, and Debian's short names (copyright format
1.0, 'License specification'). What is not clear stays as it was named, as a LicenseRef.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from slimpack.sbom.model import Licence

_MAX_TEXT = 2000
_REF = re.compile(r"LicenseRef-[A-Za-z0-9.-]+\Z")
_NOT_IN_REFS = re.compile(r"[^A-Za-z0-9.-]+")
# Lower-case names that mean exactly one licence of SPDX. "BSD License", "LGPL" and their
# like name several and are not here.
_NAMES = {
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache license version 2.0": "Apache-2.0",
    "bsd 2-clause": "BSD-2-Clause",
    "bsd-2-clause license": "BSD-2-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "bsd-3-clause license": "BSD-3-Clause",
    "3-clause bsd": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "new bsd": "BSD-3-Clause",
    "new bsd license": "BSD-3-Clause",
    "mit license": "MIT",
    "the mit license": "MIT",
    "expat": "MIT",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mpl 2.0": "MPL-2.0",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "the unlicense (unlicense)": "Unlicense",
    "gnu general public license v2 (gplv2)": "GPL-2.0-only",
    "gnu general public license v2 or later (gplv2+)": "GPL-2.0-or-later",
    "gnu general public license v3 (gplv3)": "GPL-3.0-only",
    "gnu general public license v3 or later (gplv3+)": "GPL-3.0-or-later",
    "gnu lesser general public license v2 or later (lgplv2+)": "LGPL-2.0-or-later",
    "gnu lesser general public license v3 (lgplv3)": "LGPL-3.0-only",
    "gnu lesser general public license v3 or later (lgplv3+)": "LGPL-3.0-or-later",
    "gnu affero general public license v3": "AGPL-3.0-only",
    "universal permissive license (upl)": "UPL-1.0",
    "boost software license 1.0 (bsl-1.0)": "BSL-1.0",
}
_DEBIAN = re.compile(
    r"(?P<name>L?GPL|AGPL|GFDL|MPL|Artistic|CC0)-(?P<version>[0-9.]+)(?P<plus>\+?)"
)
_OR_LATER = ("GPL", "LGPL", "AGPL", "GFDL")


def licence_of(text: str) -> Licence:
    """Return what a package's licence text means; `Licence()` for an empty one."""
    text = " ".join(text.split())
    if not text or text.lower() in ("unknown", "none"):
        return Licence()
    return _parsed(text[:_MAX_TEXT])


def debian_licence(copyright_text: str) -> Licence:
    """Return the licences that a machine-readable Debian copyright file names, all together.

    `Licence()` for a file in another form. Source: Debian's copyright-format 1.0.
    """
    if not copyright_text.startswith("Format:"):
        return Licence()
    names = re.findall(r"^License:[ \t]*(\S[^\n]*)", copyright_text, re.MULTILINE)
    return together(licence_of(_from_debian(name)) for name in sorted(set(names)))


def together(licences: Iterable[Licence]) -> Licence:
    """Return one licence that asks for all of them."""
    found: dict[str, Licence] = {}
    for item in licences:
        if item.expression:
            found.setdefault(item.expression, item)
    if len(found) < 2:
        return next(iter(found.values()), Licence())
    texts = {ref: text for item in found.values() for ref, text in item.texts}
    return Licence(
        named=" AND ".join(item.named for item in found.values()),
        expression=" AND ".join(f"({text})" if " OR " in text else text for text in found),
        texts=tuple(sorted(texts.items())),
    )


def _from_debian(name: str) -> str:
    """Return SPDX's way to write one of Debian's short names, or the name itself."""

    def spdx(match: re.Match[str]) -> str:
        version = match["version"] if "." in match["version"] else f"{match['version']}.0"
        ending = ""
        if match["name"] in _OR_LATER:
            version = {"GFDL1.0": "1.1"}.get(match["name"] + version, version)
            ending = "-or-later" if match["plus"] else "-only"
        return f"{match['name']}-{version}{ending}"

    words = _DEBIAN.sub(spdx, name)
    words = re.sub(r"\bExpat\b", "MIT", words)
    return re.sub(r"\b(and|or|with)\b", lambda match: match[0].upper(), words)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Licence:
    known = _NAMES.get(text.lower())
    if known:
        return Licence(text, known)
    licensing, errors = _licensing()
    try:
        parsed = licensing.parse(text)
        symbols = licensing.license_symbols(parsed, decompose=True)
    except errors:
        return _named(text)
    texts: dict[str, str] = {}
    replacements: dict[Any, Any] = {}
    for symbol in symbols:
        spdx, meaning = _symbol(str(symbol.key), known=symbol.key in licensing.known_symbols)
        if meaning:
            texts[spdx] = meaning
        if spdx != symbol.key:
            replacements[symbol] = type(symbol)(spdx)
    try:
        expression = parsed.subs(replacements) if replacements else parsed
        return Licence(text, expression.render(), tuple(sorted(texts.items())))
    except errors:
        return _named(text)


def _symbol(key: str, *, known: bool) -> tuple[str, str]:
    """Return (SPDX id or LicenseRef, what a LicenseRef stands for or "")."""
    if known and not key.startswith("LicenseRef-"):
        return key, ""
    if _REF.match(key):
        return key, key.removeprefix("LicenseRef-")
    alias = _NAMES.get(key.lower())
    return (alias, "") if alias else (_ref(key), key)


def _named(text: str) -> Licence:
    ref = _ref(text)
    return Licence(text, ref, ((ref, text),))


def _ref(text: str) -> str:
    """Return a LicenseRef for a text; different texts get different ones."""
    plain = _NOT_IN_REFS.sub("-", text).strip("-.")[:40].strip("-.")
    if plain == text:
        return f"LicenseRef-{plain}"
    mark = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"LicenseRef-{plain}-{mark}" if plain else f"LicenseRef-{mark}"


@lru_cache(maxsize=1)
def _licensing() -> tuple[Any, tuple[type[Exception], ...]]:
    """Return the licence list, which takes a tenth of a second to load, and what parsing raises."""
    from license_expression import ExpressionError, ExpressionParseError, get_spdx_licensing

    return get_spdx_licensing(), (
        ExpressionError,
        ExpressionParseError,
        # What its parser raises for texts such as "()" and "MIT WITH MIT".
        *(AttributeError, IndexError, TypeError, ValueError, RecursionError),
    )
