"""Pictures from invented records: honest axes, the same bytes, words for those who do not see."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from benchmarks.__main__ import main
from benchmarks.building.making import CASES
from benchmarks.catalogue import methods
from benchmarks.plots import Picture, draw_all
from benchmarks.plots.draw import draw
from benchmarks.plots.growth import growth, spread
from benchmarks.plots.lazy import lazy
from benchmarks.plots.rebuilds import rebuilds
from benchmarks.plots.sizes import sizes
from benchmarks.plots.starts import starts
from benchmarks.plots.style import OURS, OURS_THREE, OURS_TOO, THEIRS, colour, styled
from benchmarks.plots.words import number, ratio, workloads_in_order
from benchmarks.records import Record, Results, write_results
from slimpack.errors import InputError
from tests.benchmarks.samples import parts

NAMES = ["sizes", "rebuild-w1", "start-w1", "lazy-w1", "scale-files", "scale-images"]


@pytest.fixture
def style() -> Iterator[None]:
    with styled():
        yield


def only(drawn: list[tuple[Picture, Figure]]) -> tuple[Picture, Figure]:
    (one,) = drawn
    return one


def test_every_part_has_its_pictures_with_words(tmp_path: Path) -> None:
    for part in parts().values():
        write_results(part, tmp_path / f"{part.part}.json")
    pictures = draw_all(tmp_path, tmp_path / "pictures")
    assert [picture.name for picture in pictures] == NAMES
    for picture in pictures:
        png = (tmp_path / "pictures" / f"{picture.name}.png").read_bytes()
        assert png.startswith(b"\x89PNG")
        svg = (tmp_path / "pictures" / f"{picture.name}.svg").read_text()
        words = ["".join(element.itertext()) for element in ET.fromstring(svg).iter()]
        assert picture.alt in words
        assert "<text" not in svg  # letters are shapes, so that no machine chooses another font
        assert "dc:date" not in svg
        assert picture.markdown("pictures").endswith(f"(pictures/{picture.name}.svg)")


def test_bytes_are_the_same_whatever_the_settings_of_the_machine(tmp_path: Path) -> None:
    (lazily,) = (part for part in parts().values() if part.part == "lazy")
    for name in ("one", "two"):
        (picture,) = draw({"lazy": lazily}, tmp_path / name)
        mpl.rcParams["font.size"] = 20.0
    mpl.rcdefaults()
    for suffix in ("png", "svg"):
        files = [tmp_path / name / f"{picture.name}.{suffix}" for name in ("one", "two")]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_the_report_draws(tmp_path: Path) -> None:
    write_results(parts()["scale"], tmp_path / "scale.json")
    arguments = ["report", "--results", str(tmp_path), "--pictures", str(tmp_path / "drawn")]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert "drawn: scale-files, scale-images" in done.output
    assert len(list((tmp_path / "drawn").iterdir())) == 4
    assert "slope" in (tmp_path / "scale.md").read_text()


@pytest.mark.usefixtures("style")
def test_bars_begin_at_zero_and_logarithms_are_told() -> None:
    sample = parts()
    drawn = sizes(sample["images"])
    assert drawn is not None
    bars = [drawn, only(starts(sample["start"])), only(lazy(sample["lazy"]))]
    for _, figure in bars:
        assert all(axes.get_xlim()[0] == 0 for axes in figure.axes if axes.get_visible())
    _, figure = only(rebuilds(sample["builds"]))
    assert all("logarithmic" in axes.get_xlabel() for axes in figure.axes)
    assert {axes.get_xscale() for axes in figure.axes} == {"log"}
    for _, figure in growth(sample["scale"]):
        assert all("logarithmic" in axes.get_xlabel() for axes in figure.axes)
        assert {(axes.get_xscale(), axes.get_yscale()) for axes in figure.axes} == {("log", "log")}


@pytest.mark.usefixtures("style")
def test_cases_are_drawn_in_their_order_however_results_were_merged() -> None:
    builds = parts()["builds"]
    _, figure = only(rebuilds(replace(builds, records=builds.records[::-1])))
    shown = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert shown == [case for case in CASES if case in shown]
    assert len(shown) > 2


@pytest.mark.usefixtures("style")
def test_titles_say_what_was_found() -> None:
    sample = parts()
    drawn = sizes(sample["images"])
    assert drawn is not None
    assert drawn[0].title.startswith("slimpack safe has 0.52 times")
    assert "57.1 times as fast" in only(rebuilds(sample["builds"]))[0].title
    assert "1.6 times as fast at 100 Mbit/s" in only(starts(sample["start"]))[0].title
    assert only(lazy(sample["lazy"]))[0].title == (
        "W1: 2 of 4 lazy starts are faster than the plain pull"
    )
    files, _ = growth(sample["scale"])
    assert "exponent 0.82" in files[0].title
    assert "100,000" not in files[0].alt
    assert "190 at 100000" in files[0].alt


@pytest.mark.usefixtures("style")
def test_what_was_not_measured_is_not_drawn(tmp_path: Path) -> None:
    nothing = Results("images")
    assert sizes(nothing) is None
    assert not [*starts(nothing), *rebuilds(nothing), *lazy(nothing), *growth(nothing)]
    one = Results("scale", records=(Record("files", "safe", "build", (1.0,), "verified", 10.0),))
    assert not growth(one)
    with pytest.raises(InputError, match="no results"):
        draw_all(tmp_path, tmp_path)


@pytest.mark.usefixtures("style")
def test_the_best_practice_may_be_missing() -> None:
    record = Record("w1", "safe", "compressed", (8e7,))
    drawn = sizes(Results("images", records=(record,)))
    assert drawn is not None
    assert drawn[0].title == "Compressed size of the images"


@given(st.lists(st.floats(0, 1), max_size=6))
def test_labels_keep_their_distance_and_order(heights: list[float]) -> None:
    places = spread(heights, 0.05)
    order = sorted(range(len(heights)), key=lambda index: heights[index])
    for below, above in pairwise(order):
        assert places[above] - places[below] > 0.049
    assert sum(places) == pytest.approx(sum(heights), abs=1e-6)


def test_numbers_are_short() -> None:
    assert [number(value) for value in (0.0412, 1.5, 1.0, 12.34, 1234.5)] == [
        *("0.041", "1.50", "1", "12.3", "1,234")
    ]
    assert ratio([0.5]) == "0.50 times"
    assert ratio([0.6, 0.5]) == "0.50 to 0.60 times"


def test_workloads_stand_in_their_order_and_none_is_left_out() -> None:
    assert workloads_in_order(["x", "g1", "a", "w2", "w0"]) == ["w0", "w2", "g1", "a", "x"]


def test_a_method_of_ours_is_blue_whatever_it_is_called() -> None:
    ours = {name for name, method in methods().items() if method.kind == "slimpack"}
    assert {colour(name) for name in ours} == {OURS, OURS_TOO, OURS_THREE}
    assert {colour(name) for name in ("naive", "venv", "nobody's")} == {THEIRS}
