from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimpack.report.treemap import Box, squarify

SIZES = st.lists(st.integers(0, 10**15), max_size=80)


@given(SIZES, st.floats(0.1, 100), st.floats(0.1, 100))
def test_areas_are_the_sizes_and_nothing_lies_outside(
    sizes: list[int], width: float, height: float
) -> None:
    boxes = squarify(sizes, width, height)
    assert len(boxes) == len(sizes)
    total = sum(sizes)
    slack = 1e-6 * max(width, height)
    for size, box in zip(sizes, boxes, strict=True):
        assert box.left >= -slack
        assert box.top >= -slack
        assert box.left + box.width <= width + slack
        assert box.top + box.height <= height + slack
        area = size / total * width * height if total else 0.0
        assert box.width * box.height == pytest.approx(area, abs=1e-6 * width * height)


@given(st.lists(st.integers(1, 1000), max_size=25))
def test_boxes_do_not_overlap(sizes: list[int]) -> None:
    boxes = squarify(sorted(sizes, reverse=True), 2.2, 1)
    for n, a in enumerate(boxes):
        for b in boxes[n + 1 :]:
            across = min(a.left + a.width, b.left + b.width) - max(a.left, b.left)
            down = min(a.top + a.height, b.top + b.height) - max(a.top, b.top)
            assert min(across, down) < 1e-9


def test_the_example_of_the_paper() -> None:
    """Bruls, Huizing, van Wijk, figure 4: 6, 6, 4, 3, 2, 2, 1 in 6 x 4."""
    boxes = squarify([6, 6, 4, 3, 2, 2, 1], 6, 4)
    assert boxes[0] == Box(0, 0, 3, 2)
    assert boxes[1] == Box(0, 2, 3, 2)
    assert boxes[2].width == pytest.approx(12 / 7)
    assert boxes[3].height == pytest.approx(7 / 3)
