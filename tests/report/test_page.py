"""The page without a browser: what is in it, and that nothing hostile gets out."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import product

import pytest

from slimpack.report.data import Report
from slimpack.report.imports import Import, StartUp
from slimpack.report.page import render
from slimpack.report.page.colours import DARK, KIND_COLOURS, LIGHT, ON_KIND, OTHER
from slimpack.report.page.maps import MAX_BOXES, folded
from slimpack.report.parts import Part, by_owner
from slimpack.slim.kinds import KINDS

VOID = {"meta", "input", "br"}


class Outline(HTMLParser):
    """Checks that elements nest, and collects what the tests ask for."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, str] = {}
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(attrs) == len(dict(attrs)), f"an attribute twice in {tag}"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.text[self.open[-1]] = self.text.get(self.open[-1], "") + data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_page_is_whole_and_needs_nothing_else(report: Report) -> None:
    page = render(report)
    outline = Outline(page)
    assert outline.all("html") == [{"lang": "en"}]
    assert [tag for tag, _ in outline.tags if re.fullmatch(r"h\d", tag)] == ["h1"] + ["h2"] * 6
    for tag, attributes in outline.tags:
        assert not {"src", "srcset", "action", "background"} & attributes.keys(), tag
        assert (attributes.get("href") or "#").startswith("#")
        assert not [name for name in attributes if name.startswith("on")]
    assert "url(" not in page
    assert "@import" not in page
    assert {"header", "nav", "main", "footer"} <= {tag for tag, _ in outline.tags}
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {(attributes.get("href") or "")[1:] for attributes in outline.all("a")}
    assert targets <= set(ids)


def test_the_policy_allows_the_page_s_own_script_alone(report: Report) -> None:
    page = render(report)
    outline = Outline(page)
    (policy,) = [
        meta["content"]
        for meta in outline.all("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    ]
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert f"script-src 'sha256-{digest}'" in policy


def test_what_is_shown_is_what_is_known(report: Report) -> None:
    page = render(report)
    for text in (
        "only needed to test the packages themselves",
        "Packages that are gone as a whole: tk.",
        "from which packages",
        "debug symbols stripped",
        "No module named &#x27;y&#x27;",
        "no CUDA in it",
        "1 check failed; 2 made, 1 not made.",
        "The Docker Engine&#x27;s own store pulls",
        "numpy: 53.3 kB",
        "Before slimming, by kind",
    ):
        assert text in page, text


def test_what_is_not_known_is_said_or_left_out(plain: Report) -> None:
    page = render(plain)
    assert "not slimmed by slimpack" in page
    assert "Verification" not in page
    assert "Start-up" not in page
    assert 'id="when-before"' not in page
    Outline(page)


def test_the_same_report_gives_the_same_page(report: Report) -> None:
    assert render(report) == render(replace(report))


def test_hostile_names_stay_text_and_the_page_stays_small(hostile: Report) -> None:
    page = render(hostile)
    assert len(page.encode()) < 2_000_000
    outline = Outline(page)
    assert len(outline.all("script")) == 1
    assert not outline.all("img")
    assert not [name for _, attributes in outline.tags for name in attributes if name[:2] == "on"]
    assert not [
        character for character in page if not (character.isprintable() or character == "\n")
    ]
    assert "9,507 packages more" in page
    assert "9,967 others" in page


def test_the_tail_is_folded_and_nothing_is_lost() -> None:
    parts = [Part(f"p{n}", "conda", "data", 1, 1000 - n) for n in range(500)]
    sums = folded(by_owner(parts))
    assert len(sums) == MAX_BOXES + 1
    assert sums[-1].name == "460 others"
    assert sum(item.bytes for item in sums) == sum(part.bytes for part in parts)
    assert folded(by_owner(parts[:3])) == by_owner(parts[:3])


def test_a_deep_tree_of_imports_is_cut(report: Report) -> None:
    imports = tuple(Import(f"m{n}", 1000 + n, 10**6, min(n, 150)) for n in range(2000))
    Outline(render(replace(report, start_up=StartUp(imports))))


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """WCAG 2.1, definition of contrast ratio."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_can_be_read(scheme: dict[str, str]) -> None:
    texts = ("text", "soft", "link", "good", "bad", "warn")
    for text, ground in product(texts, ("page", "panel")):
        assert contrast(scheme[text], scheme[ground]) >= 4.5, (text, ground)
    for mark, ground in product(("edge", "focus", "link"), ("page", "panel")):
        assert contrast(scheme[mark], scheme[ground]) >= 3, (mark, ground)
    for kind, colour in {**KIND_COLOURS, "others": OTHER}.items():
        assert contrast(ON_KIND, colour) >= 4.5, kind
        assert contrast(colour, scheme["panel"]) >= 3, kind


def test_every_kind_has_a_colour_of_its_own() -> None:
    assert list(KIND_COLOURS) == list(KINDS)
    assert len(set(KIND_COLOURS.values())) == len(KINDS)
