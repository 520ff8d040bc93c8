"""Windows of bars: positions of origins; prices are gathered only when asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from forecast_core.arrays import positions
from forecast_core.errors import ShapeError
from forecast_core.validation import whole

if TYPE_CHECKING:
    from forecast_finance.bars import Bars

__all__ = ["BarWindows", "forward_log_returns"]


@dataclass(frozen=True, eq=False)
class BarWindows:
    """n windows: `rows` [n] are positions of origins (last known bars) among all rows of `data`.

    horizon: how many of the data's `horizons` are to be predicted, the first ones.
    """

    data: Bars
    rows: np.ndarray
    horizon: int

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: np.ndarray) -> BarWindows:
        """The windows at some positions (whole numbers or a boolean mask), in the order given."""
        return replace(self, rows=self.rows[positions("index", index, length=len(self))])

    def targets(self) -> tuple[np.ndarray, np.ndarray]:
        """Log returns from the close of the origin [n, horizon, 1], NaN where not known yet, and the mask."""
        steps = self.data.horizons[: self.horizon]
        values = forward_log_returns(self.data, self.rows, steps)[..., None]
        return values, ~np.isnan(values)

    def contexts(self, length: int) -> np.ndarray:
        """Bars [n, length, 5] up to and with the origin; ShapeError where a symbol has fewer."""
        length = whole("length", length)
        short = np.flatnonzero(self.lengths < length)
        if len(short):
            at = int(self.rows[short[0]])
            raise ShapeError(
                "windows",
                f"have at least {length} bars up to their origin",
                place=f"{self.item_ids[short[0]]} at {self.data.timestamps[at]}",
                got=f"{self.data.position[at] + 1} bars",
            )
        bars: np.ndarray = self.data.values[self.rows[:, None] + np.arange(1 - length, 1)]
        return bars

    @property
    def item_ids(self) -> tuple[str, ...]:
        """Symbol of each window."""
        symbols = self.data.symbols
        return tuple(symbols[k] for k in self.data.symbol_of_row[self.rows].tolist())

    @property
    def lengths(self) -> np.ndarray:
        """Bars of its symbol up to and with each origin [n]."""
        lengths: np.ndarray = self.data.position[self.rows] + 1
        return lengths

    @property
    def origins(self) -> np.ndarray:
        """Time of each window's last known bar [n]."""
        stamps: np.ndarray = self.data.timestamps[self.rows]
        return stamps

    @property
    def label_ends(self) -> np.ndarray:
        """Time at which the last return is earned by a position filled one bar after the origin [n].

        Where the data ends earlier: time of the symbol's last bar.
        """
        ends = self.rows + np.minimum(self.data.reach, self.data.remaining[self.rows])
        stamps: np.ndarray = self.data.timestamps[ends]
        return stamps

    @property
    def groups(self) -> np.ndarray:
        """Position of each window's symbol [n]."""
        groups: np.ndarray = self.data.symbol_of_row[self.rows]
        return groups

    @property
    def strata(self) -> None:
        """Returns have no classes."""
        return None

    def traits(self) -> frozenset[str]:
        """Those of the bars."""
        return self.data.traits()


def forward_log_returns(bars: Bars, rows: np.ndarray, steps: tuple[int, ...]) -> np.ndarray:
    """ln(close[t + h] / close[t]) of rows t [n] over h = steps bars, [n, h]; NaN past a symbol's end."""
    ahead = np.array(steps)
    known = bars.remaining[rows, None] >= ahead  # [n, h]
    later = np.where(known, rows[:, None] + ahead, rows[:, None])
    returns = np.log(bars.close[later]) - np.log(bars.close[rows])[:, None]
    return np.where(known, returns, np.nan)
