"""Where the views of a photo lie: integers only, for any size of image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

from forecast_core.errors import InvalidInputError
from forecast_core.validation import whole

__all__ = ["Box", "view_boxes"]

_FUZZ = 1e-9  # of a pixel: 1 + 2 * 0.9 is not exactly 2.8, and must not cost a pixel


@dataclass(frozen=True, slots=True)
class Box:
    """A named rectangle of pixels: rows top..bottom-1 and columns left..right-1."""

    name: str
    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left


def view_boxes(
    height: int,
    width: int,
    *,
    grid: int = 3,
    overlap: float = 0.25,
    focus: Sequence[Box] | None = None,
) -> tuple[Box, ...]:
    """The views of an image of some size, by default 12: grid * grid + 3.

    In order: "global", the whole image; "tile-r-c", row by row, overlapping tiles that cover it; "centre",
    a square of the image's short side in its middle; "right", a square of side min(height, width // 2) at
    the right edge, vertically centred. Along an axis of length L with n tiles and overlap o a tile is
    ceil(L / (1 + (n - 1)(1 - o))) long and tile k starts at round(k (L - tile) / (n - 1)).

    focus: two boxes of this image, say a detector's, in place of the last two; they are named "focus-0" and
    "focus-1". Raises InvalidInputError for a size or grid below 1, an overlap outside [0, 1), or focus boxes
    that are not two or not inside the image.
    """
    height, width, grid = whole("height", height), whole("width", width), whole("grid", grid)
    if not 0.0 <= overlap < 1.0:
        raise InvalidInputError("overlap", "lies in [0, 1)", got=overlap)
    rows, columns = _tiles(height, grid, overlap), _tiles(width, grid, overlap)
    tiles = tuple(
        Box(f"tile-{r}-{c}", top, left, bottom, right)
        for r, (top, bottom) in enumerate(rows)
        for c, (left, right) in enumerate(columns)
    )
    last = _guided(focus, height, width) if focus is not None else _squares(height, width)
    return (Box("global", 0, 0, height, width), *tiles, *last)


def _tiles(length: int, count: int, overlap: float) -> tuple[tuple[int, int], ...]:
    """First and past-the-last pixel of each tile along one axis."""
    tile = max(ceil(length / (1 + (count - 1) * (1 - overlap)) - _FUZZ), 1)
    gaps = max(count - 1, 1)
    # Halves round up: rounding them to even could leave a pixel between two tiles uncovered.
    starts = [(2 * k * (length - tile) + gaps) // (2 * gaps) if count > 1 else 0 for k in range(count)]
    return tuple((start, start + tile) for start in starts)


def _squares(height: int, width: int) -> tuple[Box, Box]:
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    centre = Box("centre", top, left, top + side, left + side)
    side = max(min(height, width // 2), 1)
    top = (height - side) // 2
    return centre, Box("right", top, width - side, top + side, width)


def _guided(focus: Sequence[Box], height: int, width: int) -> tuple[Box, ...]:
    if len(focus) != 2:
        raise InvalidInputError("focus", "holds two boxes, in place of the last two views", got=len(focus))
    for k, box in enumerate(focus):
        if not (0 <= box.top < box.bottom <= height and 0 <= box.left < box.right <= width):
            rule = f"lies inside the image of {height} x {width} pixels and is not empty"
            raise InvalidInputError("focus", rule, place=f"box {k}", got=box)
    return tuple(replace(box, name=f"focus-{k}") for k, box in enumerate(focus))
