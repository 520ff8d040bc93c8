"""Cutting big arrays into blocks of rows, so that temporary arrays stay small."""

from __future__ import annotations

import math
from collections.abc import Iterator

__all__ = ["row_blocks"]

_ELEMENTS = 2**20  # of one temporary array


def row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices that cover the first axis of an array of this shape, each of about a million elements."""
    step = max(1, _ELEMENTS // max(1, math.prod(shape[1:])))
    for start in range(0, shape[0], step):
        yield slice(start, start + step)
