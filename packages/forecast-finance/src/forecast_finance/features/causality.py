"""The check that a feature reads nothing of the future; it finds a planted one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from forecast_core.errors import InvalidInputError, LeakError, ShapeError
from forecast_core.validation import whole
from forecast_finance.bars import Bars

__all__ = ["CausalityReport", "check_causality"]


@dataclass(frozen=True)
class CausalityReport:
    """Columns that read the future, and the first bar where each was seen to: name -> (symbol, time)."""

    leaks: dict[str, tuple[str, str]]
    checked_rows: int

    @property
    def clean(self) -> bool:
        """Whether no column was seen to read the future."""
        return not self.leaks

    def raise_if_any(self) -> None:
        """LeakError naming the columns that read the future, if any does."""
        if self.leaks:
            told = [f"{name} ({symbol}, {time})" for name, (symbol, time) in self.leaks.items()]
            raise LeakError("features read the future: " + ", ".join(told))


def check_causality(
    compute: Callable[[Bars], np.ndarray],
    bars: Bars,
    *,
    names: Sequence[str] | None = None,
    cuts: int = 8,
    seed: int = 0,
) -> CausalityReport:
    """Whether the rows of `compute(bars)` [n, column] depend on bars up to their own time alone.

    At `cuts` times drawn at random it compares, bit for bit (NaN equals NaN), all rows before the cut with
    those of the bars that end there, and with those of bars that go on in another way. names: of the
    columns; default their numbers. Raises ShapeError where the result is no row a bar.
    """
    rng = np.random.default_rng(whole("seed", seed, least=0))
    if len(bars.timeline) < 2:
        raise InvalidInputError("bars", "have at least two times")
    full = _rows(compute, bars)
    told = tuple(names) if names is not None else tuple(str(k) for k in range(full.shape[1]))
    if len(told) != full.shape[1]:
        raise ShapeError("names", f"has one name a column ({full.shape[1]})", got=len(told))
    leaks: dict[str, tuple[str, str]] = {}
    checked = 0
    for cut in rng.choice(bars.timeline[1:], size=min(whole("cuts", cuts), len(bars.timeline) - 1)):
        known = bars.timestamps < cut
        expected, rows = full[known], np.flatnonzero(known)
        for other in (
            _rows(compute, bars.between(None, cut)),
            _rows(compute, _rewritten(bars, cut, rng))[known],
        ):
            if len(other) != len(expected):  # a symbol begins after the cut
                raise ShapeError("bars", "have all symbols before each cut", place=str(cut))
            differs = ~((other == expected) | (np.isnan(other) & np.isnan(expected)))
            for column in np.flatnonzero(differs.any(axis=0)).tolist():
                row = int(rows[differs[:, column].argmax()])
                place = (bars.symbols[bars.symbol_of_row[row]], str(bars.timestamps[row]))
                leaks.setdefault(told[column], place)
        checked += len(rows)
    return CausalityReport(leaks, checked)


def _rows(compute: Callable[[Bars], np.ndarray], bars: Bars) -> np.ndarray:
    found = np.asarray(compute(bars), dtype=np.float64)
    if found.ndim != 2 or len(found) != len(bars):
        raise ShapeError("compute", f"gives a row a bar, [{len(bars)}, column]", got=found.shape)
    return found


def _rewritten(bars: Bars, cut: np.datetime64, rng: np.random.Generator) -> Bars:
    """The bars with other prices and volumes from the cut on."""
    later = np.flatnonzero(bars.timestamps >= cut)
    values = bars.values.copy()
    values[later, :4] *= np.exp(0.2 * rng.standard_normal((len(later), 1)))
    values[later, 4] *= rng.random(len(later)) * 3.0
    return replace(bars, values=values)
