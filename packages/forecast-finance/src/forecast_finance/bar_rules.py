"""Rules that every bar obeys, and the report of rows that broke one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

__all__ = ["FIELDS", "DropReport", "DroppedRow", "broken_rules", "order_faults"]

FIELDS = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class DroppedRow:
    """A row of the frame that was left out: its position, symbol, time, and the rule it breaks."""

    row: int
    symbol: str
    timestamp: str
    rule: str


@dataclass(frozen=True)
class DropReport:
    """The rows that `Bars.from_frame(..., invalid="drop")` left out, in the frame's order."""

    rows: tuple[DroppedRow, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def by_rule(self) -> dict[str, int]:
        """Rule -> how many rows broke it (each row counts under its first broken rule)."""
        return dict(Counter(row.rule for row in self.rows))

    def by_symbol(self) -> dict[str, int]:
        """Symbol -> how many of its rows were left out."""
        return dict(Counter(row.symbol for row in self.rows))


def broken_rules(values: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """(rule, mask [n] of rows that break it) of bars [n, 5]: open, high, low, close, volume."""
    opened, high, low, close, volume = values.T
    with np.errstate(invalid="ignore"):  # comparisons with NaN are false; the first rule finds it
        yield "is finite in all five columns", np.logical_not(np.isfinite(values).all(axis=1))
        yield "has positive prices", values[:, :4].min(axis=1) <= 0
        yield "has a high that is not below its low", high < low
        yield (
            "has open and close within low and high",
            (np.maximum(opened, close) > high) | (np.minimum(opened, close) < low),
        )
        yield "has a volume that is not negative", volume < 0


def order_faults(timestamps: np.ndarray, symbol: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose time is earlier than, and rows whose time equals, the one before of the same symbol.

    timestamps, symbol: [n], symbols contiguous. Two masks [n].
    """
    step = np.diff(timestamps).astype(np.int64)
    same = np.diff(symbol) == 0
    earlier, equal = np.zeros(len(symbol), dtype=np.bool_), np.zeros(len(symbol), dtype=np.bool_)
    earlier[1:], equal[1:] = same & (step < 0), same & (step == 0)
    return earlier, equal
