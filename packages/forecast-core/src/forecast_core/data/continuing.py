"""Where data goes on: the one rule by which later rows follow earlier ones."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from forecast_core.data.freq import Freq
from forecast_core.errors import DataError

__all__ = ["row_of_continuation"]


class _OnAGrid(Protocol):
    @property
    def timestamps(self) -> np.ndarray: ...

    @property
    def freq(self) -> Freq: ...

    @property
    def known_rows(self) -> int: ...


def row_of_continuation(earlier: _OnAGrid, later: _OnAGrid) -> int:
    """Row of `earlier` at which `later` begins: one step after its last known row, or after a row of pure
    future, which is then replaced. DataError for a beginning anywhere else.
    """
    begins, rows = later.timestamps[0], len(earlier.timestamps)
    following = earlier.freq.range(earlier.timestamps[0], rows + 1)
    row = int(np.searchsorted(following, begins))
    if not earlier.known_rows <= row <= rows or following[row] != begins:
        expected = following[earlier.known_rows]
        raise DataError(
            "later.timestamps", f"begins at {expected}, one step after the last known row", got=begins
        )
    return row
