"""The page in a real browser: Chromium, headless, with no profile and no network."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from slimpack.report.data import Report
from slimpack.report.page import render
from slimpack.report.page.colours import DARK, LIGHT
from tests.support.channel import missing

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,900",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        missing("PEERS", "chromium and chromedriver are not installed")
    options = ChromeOptions()
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.binary_location = chromium or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = Chrome(options=options, service=Service(driver))
    yield chrome
    chrome.quit()


class Page:
    """A report that is open in the browser."""

    def __init__(self, browser: Chrome, folder: Path) -> None:
        self.browser = browser
        self.folder = folder

    def open(self, report: Report, *, scheme: str = "light", width: int = 1280) -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
        )
        path = self.folder / "report.html"
        path.write_text(render(report), encoding="utf-8")
        self.browser.get_log("browser")  # type: ignore[no-untyped-call]
        self.browser.get(path.as_uri())

    def js(self, code: str, *arguments: object) -> Any:
        return self.browser.execute_script(f"return {code}", *arguments)

    def log(self) -> list[Any]:
        found: list[Any] = self.browser.get_log("browser")  # type: ignore[no-untyped-call]
        return found

    def press(self, *keys: str) -> None:
        ActionChains(self.browser).send_keys(*keys).perform()

    def focused(self) -> str:
        return str(self.js("document.activeElement.getAttribute('aria-label') || ''"))

    def shown_views(self) -> list[str]:
        views = self.browser.find_elements(By.CSS_SELECTOR, ".view")
        return [view.get_attribute("class") or "" for view in views if view.is_displayed()]


@pytest.fixture
def page(browser: Chrome, tmp_path: Path) -> Page:
    return Page(browser, tmp_path)


def rgb(colour: str) -> str:
    return f"rgb({', '.join(str(int(colour[n : n + 2], 16)) for n in (1, 3, 5))})"


@pytest.mark.parametrize(("scheme", "colours"), [("light", LIGHT), ("dark", DARK)])
def test_both_schemes_have_their_colours_and_no_error(
    page: Page, report: Report, scheme: str, colours: dict[str, str]
) -> None:
    page.open(report, scheme=scheme)
    assert page.log() == []
    style = "getComputedStyle(document.body)"
    assert page.js(f"{style}.backgroundColor") == rgb(colours["page"])
    assert page.js(f"{style}.color") == rgb(colours["text"])
    png = page.browser.get_screenshot_as_png()
    assert png.startswith(b"\x89PNG")
    assert len(png) > 20_000


@pytest.mark.parametrize("width", [320, 390, 768, 1280, 1920])
def test_no_width_makes_the_page_scroll_sideways(page: Page, report: Report, width: int) -> None:
    page.open(report, width=width)
    assert page.js("document.documentElement.scrollWidth") <= width
    assert page.js("document.querySelector('.map').getBoundingClientRect().height") > 300


def test_the_boxes_fill_the_map_in_proportion(page: Page, report: Report) -> None:
    page.open(report)
    map_, boxes = page.js(
        "(() => { const area = (e) => { const r = e.getBoundingClientRect();"
        " return r.width * r.height; };"
        " const map = document.querySelector('.view.package.after .map');"
        " return [area(map), [...map.children].map("
        "   (box) => [box.getAttribute('aria-label'), area(box)])]; })()"
    )
    assert sum(area for _, area in boxes) == pytest.approx(map_, rel=0.01)
    label, area = boxes[0]
    assert label.startswith("numpy: 53.")
    numpy = sum(part.bytes for part in report.after if part.owner == "numpy")
    assert area / map_ == pytest.approx(numpy / report.unpacked, rel=0.01)


def test_the_choices_change_the_map_from_the_keyboard(page: Page, report: Report) -> None:
    page.open(report)
    assert page.shown_views() == ["view package after"]
    page.browser.find_element(By.ID, "by-package").send_keys(Keys.ARROW_RIGHT)
    assert page.shown_views() == ["view kind after"]
    page.press(Keys.TAB)
    assert page.js("document.activeElement.id") == "when-after"
    page.press(Keys.ARROW_RIGHT)
    assert page.shown_views() == ["view kind before"]


def test_a_map_is_one_stop_of_tab_and_arrows_move_in_it(page: Page, report: Report) -> None:
    page.open(report)
    page.browser.find_element(By.ID, "when-after").send_keys(Keys.TAB)
    assert page.focused().startswith("numpy: ")
    about = page.browser.find_element(By.CSS_SELECTOR, ".view.package.after .about")
    assert about.text == page.focused()
    page.press(Keys.ARROW_RIGHT)
    second = page.focused()
    assert not second.startswith("numpy: ")
    page.press(Keys.ARROW_LEFT)
    assert page.focused().startswith("numpy: ")
    page.press(Keys.END)
    assert page.focused() not in ("", second)
    page.press(Keys.HOME)
    assert page.focused().startswith("numpy: ")
    page.press(Keys.TAB)
    assert page.js("document.activeElement.tagName") == "SUMMARY"


def test_every_box_can_be_reached_with_arrow_keys(page: Page, hostile: Report) -> None:
    page.open(hostile)
    page.browser.find_element(By.ID, "when-after").send_keys(Keys.TAB)
    boxes = page.js("document.querySelectorAll('.view.package.after .box').length")
    script = """(() => {
      const map = document.querySelector('.view.package.after .map');
      const seen = new Set(), waiting = [map.querySelector('.box')];
      while (waiting.length) {
        const box = waiting.pop();
        if (seen.has(box)) continue;
        seen.add(box);
        for (const key of ['ArrowUp', 'ArrowDown', 'ArrowLeft', 'ArrowRight']) {
          box.focus();
          box.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
          waiting.push(document.activeElement);
        }
      }
      return seen.size;
    })()"""
    assert page.js(script) == boxes


def test_tables_are_sorted_from_the_keyboard(page: Page, report: Report) -> None:
    page.open(report)
    table = page.browser.find_element(By.CSS_SELECTOR, "section[aria-labelledby=packages] table")
    button = table.find_element(By.XPATH, ".//button[text()='Unpacked']")
    head = button.find_element(By.XPATH, "..")
    sizes = "[...arguments[0].tBodies[0].rows].map((row) => Number(row.cells[5].dataset.v))"
    button.send_keys(Keys.ENTER)
    assert head.get_attribute("aria-sort") == "descending"
    found = page.js(sizes, table)
    assert found == sorted(found, reverse=True)
    button.send_keys(Keys.SPACE)
    assert head.get_attribute("aria-sort") == "ascending"
    assert page.js(sizes, table) == sorted(found)


def test_screen_readers_find_names_for_all_that_can_be_reached(page: Page, report: Report) -> None:
    page.open(report)
    tree = page.browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]

    def value(node: Any, key: str) -> Any:
        return node.get(key, {}).get("value", "")

    nodes = [
        (value(node, "role"), value(node, "name"), node) for node in tree if not node["ignored"]
    ]
    roles = {role for role, _, _ in nodes}
    assert {"banner", "navigation", "main", "contentinfo", "heading", "table", "radio"} <= roles
    for role, name, node in nodes:
        focusable = any(item["name"] == "focusable" for item in node.get("properties", ()))
        if focusable and role not in ("RootWebArea", "main"):
            assert name, node
        if role in ("table", "image", "radiogroup", "region"):
            assert name, node
    images = [name for role, name, _ in nodes if role == "image"]
    assert any(name.startswith("numpy: 53.") for name in images)


def test_hostile_names_run_nothing_and_change_nothing(page: Page, hostile: Report) -> None:
    page.open(hostile)
    assert page.log() == []
    assert "broken" not in page.browser.title.replace("document.title='broken'", "")
    assert page.js("document.scripts.length") == 1
    assert page.js("document.images.length") == 0
    assert page.js("document.documentElement.scrollWidth") <= 1280


def test_the_page_s_policy_stops_a_script_that_is_not_its_own(
    page: Page, plain: Report, tmp_path: Path
) -> None:
    path = tmp_path / "planted.html"
    planted = "<script>document.title = 'planted'</script></body>"
    path.write_text(render(plain).replace("</body>", planted), encoding="utf-8")
    page.log()
    page.browser.get(path.as_uri())
    assert page.browser.title == "plain:1.0: image report"
    assert "Content Security Policy" in str(page.log())


def test_without_scripts_everything_is_there(page: Page, report: Report) -> None:
    page.browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page.open(report)
        boxes = page.browser.find_elements(By.CSS_SELECTOR, ".view.package.after .box")
        assert {box.get_attribute("tabindex") for box in boxes} == {"0"}
        page.browser.find_element(By.CSS_SELECTOR, "label:has(#by-kind)").click()
        assert page.shown_views() == ["view kind after"]
    finally:
        page.browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
