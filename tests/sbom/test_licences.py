"""Licences: what SPDX knows by its id, everything else as it was named."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from license_expression import get_spdx_licensing

from slimpack.sbom.licences import debian_licence, licence_of, together
from slimpack.sbom.model import Licence

SPDX = get_spdx_licensing()
REF = re.compile(r"LicenseRef-[A-Za-z0-9.-]+")


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("MIT", "MIT"),
        ("mit", "MIT"),
        ("MIT License", "MIT"),
        ("Apache 2.0", "Apache-2.0"),
        ("Apache-2.0 OR BSD-2-Clause", "Apache-2.0 OR BSD-2-Clause"),
        ("(MIT OR Apache-2.0) AND 0BSD", "(MIT OR Apache-2.0) AND 0BSD"),
        ("GPL-3.0-only WITH GCC-exception-3.1", "GPL-3.0-only WITH GCC-exception-3.1"),
        ("GPL-2.0", "GPL-2.0-only"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("LicenseRef-Proprietary", "LicenseRef-Proprietary"),
        ("MIT AND LicenseRef-Other", "MIT AND LicenseRef-Other"),
        ("BSD", "LicenseRef-BSD"),
        ("MIT AND BSD", "MIT AND LicenseRef-BSD"),
        ("", ""),
        ("  UNKNOWN ", ""),
    ],
)
def test_expressions(text: str, expression: str) -> None:
    assert licence_of(text).expression == expression


def test_what_spdx_does_not_know_keeps_its_text() -> None:
    text = "Free to use; ask Bob (bob@example.org) first"
    found = licence_of(text)
    assert found.named == text
    assert found.texts == ((found.expression, text),)
    assert licence_of(text + "!").expression != found.expression


@given(st.text(max_size=200))
def test_every_reference_is_explained(text: str) -> None:
    found = licence_of(text)
    assert set(REF.findall(found.expression)) == {ref for ref, _ in found.texts}
    if found.expression:
        known = REF.sub("MIT", found.expression)
        SPDX.parse(known, validate=True, strict=True)
    else:
        assert not found.named


@given(st.lists(st.sampled_from(["MIT", "BSD", "GPL-2.0+", "AND", "OR", "WITH", "(", ")", "x/y"])))
def test_any_words_in_any_order(words: list[str]) -> None:
    found = licence_of(" ".join(words))
    known = REF.sub("MIT", found.expression)
    if known:
        SPDX.parse(known)


def test_debian_short_names() -> None:
    text = (
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"
        "Files: *\nLicense: GPL-2+\n\nFiles: a\nLicense: Expat or Apache-2.0\n\n"
        "Files: b\nLicense: public-domain\n"
    )
    found = debian_licence(text)
    assert found.expression == (
        "(MIT OR Apache-2.0) AND GPL-2.0-or-later AND LicenseRef-public-domain"
    )
    assert debian_licence("This package was debianised by somebody.") == Licence()


def test_together() -> None:
    assert together([]) == Licence()
    assert together([licence_of("MIT"), licence_of("mit"), Licence()]) == licence_of("MIT")
    both = together([licence_of("MIT OR ISC"), licence_of("Ours")])
    assert both.expression == "(MIT OR ISC) AND LicenseRef-Ours"
    assert both.texts == (("LicenseRef-Ours", "Ours"),)
