"""Windows of a panel: index arrays into one tensor; numbers are gathered only when asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from forecast_core.arrays import positions
from forecast_core.data.instants import instant, instants
from forecast_core.errors import InvalidInputError, ShapeError
from forecast_core.validation import whole

if TYPE_CHECKING:
    from forecast_core.data.panel import Panel

__all__ = ["PanelWindows"]


@dataclass(frozen=True, eq=False)
class PanelWindows:
    """n windows: `rows` [n] are positions of origins (last known rows), `items` [n] of items.

    context_length None means all history up to the origin.
    """

    panel: Panel
    context_length: int | None
    horizon: int
    rows: np.ndarray
    items: np.ndarray

    @classmethod
    def rolling(
        cls,
        panel: Panel,
        *,
        context_length: int | None,
        horizon: int | None,
        origins: np.ndarray | None,
        stride: int,
    ) -> PanelWindows:
        """See `Panel.windows`."""
        if horizon is None:
            raise InvalidInputError("horizon", "is needed", hint="give the number of rows to predict")
        horizon = whole("horizon", horizon)
        stride = whole("stride", stride)
        context = 1 if context_length is None else whole("context_length", context_length)
        first, last = context - 1, panel.known_rows - horizon - 1
        if last < first:
            raise ShapeError(
                "data",
                f"has at least context_length + horizon = {context} + {horizon} rows",
                got=f"{panel.known_rows} rows",
            )
        if origins is None:
            rows = np.arange(first, last + 1, stride)
        else:
            stamps = np.atleast_1d(instants("origins", origins))
            rows = panel.freq.offset(stamps, panel.timestamps[0])
            outside = np.flatnonzero((rows < first) | (rows > last))
            if len(outside):
                raise ShapeError(
                    "origins",
                    f"lie in {panel.timestamps[first]}..{panel.timestamps[last]}, between the first context "
                    "and the last horizon",
                    place=f"origin {outside[0]}",
                    got=stamps[outside[0]],
                )
        count = len(panel.item_ids)
        return cls(
            panel,
            context_length,
            horizon,
            np.repeat(rows, count),
            np.tile(np.arange(count), len(rows)),
        )

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: np.ndarray) -> PanelWindows:
        """The windows at some positions (whole numbers or a boolean mask), in the order given."""
        index = positions("index", index, length=len(self))
        return replace(self, rows=self.rows[index], items=self.items[index])

    def targets(self) -> tuple[np.ndarray, np.ndarray]:
        """Values [n, horizon, target] with NaN where missing, and the mask of what was observed."""
        values = self.panel.values[self._steps(), self.items[:, None]]
        return values, ~np.isnan(values)

    def contexts(self, length: int | None = None) -> np.ndarray:
        """Target history [n, length, target] up to the origin, NaN before the panel begins."""
        length = whole("length", length if length is not None else (self.context_length or len(self.panel)))
        at = self.rows[:, None] - np.arange(length - 1, -1, -1)  # [n, length]
        values = self.panel.values[np.maximum(at, 0), self.items[:, None]]
        return np.where(at[..., None] >= 0, values, np.nan)

    def timestamps(self) -> np.ndarray:
        """Times of the targets [n, horizon]."""
        stamps: np.ndarray = self.panel.timestamps[self._steps()]
        return stamps

    def _steps(self) -> np.ndarray:
        return self.rows[:, None] + np.arange(1, self.horizon + 1)  # [n, horizon]

    @property
    def item_ids(self) -> tuple[int | str, ...]:
        """Id of each window's item."""
        ids = self.panel.item_ids
        return tuple(ids[k] for k in self.items.tolist())

    @property
    def origins(self) -> np.ndarray:
        """Timestamp of each window's last known row."""
        stamps: np.ndarray = self.panel.timestamps[self.rows]
        return stamps

    @property
    def label_ends(self) -> np.ndarray:
        """Timestamp of each window's last target row."""
        stamps: np.ndarray = self.panel.timestamps[self.rows + self.horizon]
        return stamps

    @property
    def groups(self) -> np.ndarray:
        """Position of each window's item."""
        return self.items

    @property
    def strata(self) -> None:
        """Forecast windows have no classes."""
        return None

    # what the optional protocols ask

    def traits(self) -> frozenset[str]:
        """Those of the panel."""
        return self.panel.traits()

    def without(self, traits: frozenset[str]) -> PanelWindows:
        """The same windows over a panel without some covariates."""
        return replace(self, panel=self.panel.without(traits))

    def histories(self) -> Iterator[tuple[np.ndarray, Panel, np.ndarray]]:
        """For each origin: positions of its windows, the panel as it was known then (with the future
        covariates of the horizon), and the items of those windows.
        """
        panel = self.panel
        order = np.argsort(self.rows, kind="stable")
        rows, first = np.unique(self.rows[order], return_index=True)
        for row, at in zip(rows.tolist(), np.split(order, first[1:]), strict=True):
            if panel.future_covariates is None:
                yield at, panel.rows(0, row + 1), self.items[at]
                continue
            known = panel.rows(0, row + 1 + self.horizon)
            values, past = known.values.copy(), known.past_covariates
            values[row + 1 :] = np.nan
            if past is not None:
                past = past.copy()
                past[row + 1 :] = np.nan
            yield at, replace(known, values=values, past_covariates=past, known=row + 1), self.items[at]

    def naive_scale(
        self, seasonality: int | None, *, before: Any = None, squared: bool = False
    ) -> np.ndarray:
        """Mean absolute (or squared) difference at lag `seasonality` (default: the frequency's) of each
        window's item, over rows before `before` (default: up to the first origin), [n, target].

        NaN where fewer than a season of differences was observed: too few to scale by.
        """
        panel = self.panel
        lag = whole("seasonality", seasonality if seasonality is not None else panel.freq.seasonality)
        if before is None:
            stop = int(self.rows.min()) + 1 if len(self) else 0
        else:
            stop = int(np.searchsorted(panel.timestamps, instant("before", before)))
        known = panel.values[:stop].astype(np.float64)
        steps = np.abs(known[lag:] - known[:-lag]) if stop > lag else known[:0]
        steps = steps**2 if squared else steps
        observed = ~np.isnan(steps)
        count = observed.sum(0)
        total = np.where(observed, steps, 0.0).sum(0)
        scale = np.where(count >= lag, total / np.maximum(count, 1), np.nan)  # [item, target]
        of_windows: np.ndarray = scale[self.items]
        return of_windows
