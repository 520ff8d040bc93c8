"""Between which numbers the columns of a data set lie, as a manifest tells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

__all__ = ["ranges_of"]


def ranges_of(
    sorts: Mapping[str, tuple[Sequence[str], np.ndarray | None]],
) -> dict[str, dict[str, list[float]]]:
    """Sort of column -> name -> smallest and largest number, of columns that hold any.

    sorts: names of columns, and their numbers [..., column], NaN where missing; None where none are named.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for sort, (names, array) in sorts.items():
        for k, name in enumerate(names):
            assert array is not None
            seen = array[..., k][~np.isnan(array[..., k])]
            if len(seen):
                found.setdefault(sort, {})[name] = [float(seen.min()), float(seen.max())]
    return found
