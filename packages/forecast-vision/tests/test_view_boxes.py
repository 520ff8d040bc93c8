"""Where views lie: inside the image, covering it, as many as promised, for any size."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from forecast_core.errors import InvalidInputError
from forecast_vision import Box, view_boxes

sides = st.integers(32, 8192)
NAMES = ("global", *(f"tile-{r}-{c}" for r in range(3) for c in range(3)), "centre", "right")


def spans(boxes: tuple[Box, ...], axis: str) -> list[tuple[int, int]]:
    low, high = {"rows": ("top", "bottom"), "columns": ("left", "right")}[axis]
    return sorted({(getattr(b, low), getattr(b, high)) for b in boxes if b.name.startswith("tile")})


@settings(max_examples=400)
@given(height=sides, width=sides)
def test_twelve_views_lie_inside_and_tiles_cover_every_pixel(height: int, width: int) -> None:
    boxes = view_boxes(height, width)
    assert tuple(box.name for box in boxes) == NAMES
    assert boxes[0] == Box("global", 0, 0, height, width)
    for box in boxes:
        assert 0 <= box.top < box.bottom <= height
        assert 0 <= box.left < box.right <= width
    for axis, length in (("rows", height), ("columns", width)):
        covered = spans(boxes, axis)
        assert len(covered) == 3
        assert covered[0][0] == 0
        assert covered[-1][1] == length
        assert len({stop - start for start, stop in covered}) == 1
        assert all(b[0] <= a[1] for a, b in itertools.pairwise(covered))
    centre, right = boxes[-2:]
    assert centre.height == centre.width == min(height, width)
    assert abs((centre.top + centre.bottom) - height) <= 1
    assert abs((centre.left + centre.right) - width) <= 1
    assert right.height == right.width == min(height, width // 2)
    assert right.right == width
    assert abs((right.top + right.bottom) - height) <= 1


@settings(max_examples=300)
@given(
    height=st.integers(1, 700),
    width=st.integers(1, 700),
    grid=st.integers(1, 6),
    overlap=st.floats(0, 0.99),
)
def test_any_grid_and_overlap_covers_every_pixel(height: int, width: int, grid: int, overlap: float) -> None:
    boxes = view_boxes(height, width, grid=grid, overlap=overlap)
    assert len(boxes) == grid * grid + 3
    seen = np.zeros((height, width), dtype=bool)
    for box in boxes[1:-2]:
        seen[box.top : box.bottom, box.left : box.right] = True
    assert seen.all()


@pytest.mark.parametrize(("height", "width", "tile"), [(3024, 4032, (1210, 1613)), (1080, 1920, (432, 768))])
def test_published_tile_sizes(height: int, width: int, tile: tuple[int, int]) -> None:
    boxes = [box for box in view_boxes(height, width) if box.name.startswith("tile")]
    assert len(boxes) == 9
    assert {(box.height, box.width) for box in boxes} == {tile}


def test_an_overlap_that_is_no_binary_fraction_costs_no_pixel() -> None:
    boxes = view_boxes(2800, 2800, overlap=0.1)  # 2800 / 2.8
    assert {box.width for box in boxes if box.name.startswith("tile")} == {1000}


def test_focus_boxes_take_the_place_of_the_last_two_views() -> None:
    found = (Box("cone", 10, 20, 60, 80), Box("sign", 0, 0, 5, 5))
    boxes = view_boxes(100, 200, focus=found)
    assert len(boxes) == 12
    assert boxes[-2:] == (Box("focus-0", 10, 20, 60, 80), Box("focus-1", 0, 0, 5, 5))
    assert boxes[:-2] == view_boxes(100, 200)[:-2]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"height": 0}, "height"),
        ({"width": -3}, "width"),
        ({"width": 10.0}, "width"),
        ({"height": True}, "height"),
        ({"grid": 0}, "grid"),
        ({"overlap": 1.0}, "overlap"),
        ({"overlap": -0.1}, "overlap"),
        ({"overlap": float("nan")}, "overlap"),
        ({"focus": [Box("a", 0, 0, 5, 5)]}, "focus"),
        ({"focus": [Box("a", 0, 0, 5, 5), Box("b", 0, 0, 101, 5)]}, "box 1"),
        ({"focus": [Box("a", 5, 0, 5, 5), Box("b", 0, 0, 1, 5)]}, "box 0"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, object], names: str) -> None:
    with pytest.raises(InvalidInputError, match=names):
        view_boxes(**{"height": 100, "width": 100, **arguments})  # type: ignore[arg-type]
