"""What an exported model of series reads: which arrays, in which units, and how a panel gives them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import JsonValue

from forecast_core.data import Panel
from forecast_core.data.calendar import local_time
from forecast_core.data.reading import in_zone
from forecast_core.exporting import WINDOW, GraphInput
from forecast_timeseries.known import Known, check_history

__all__ = ["Inputs"]

_EXAMPLES = 3
_START = np.datetime64("2025-02-27T20:00", "us")  # of the examples' clock
_CLOCK = (
    "whole microseconds since 1970-01-01 by the clock of the data's `tz` (of training where it has none, "
    "else UTC)"
)
_MEANINGS = {
    "target": "targets up to the origin, oldest first; NaN where missing",
    "item": "position among `items` of the item that each window is of",
    "past_covariates": "past covariates up to the origin; NaN where missing",
    "future_covariates": "future covariates up to the origin and over the horizon; NaN where unknown",
    "static_covariates": "static covariates of the item",
    "local_time": f"times of the context and the horizon, {_CLOCK}",
    "before": "last value observed before the first row of the target, for a gap that begins there; NaN if "
    "there is none",
}


@dataclass(frozen=True, eq=False)
class Inputs:
    """Inputs of a model that reads `context` rows, and `reach` rows before them, of the items and columns
    it knows.

    level, spread [item, target]: of the items in training, for examples. times: rows of the context, from
    the last one back, whose time is read, and `times_ahead` rows of the horizon; 0 for none. before:
    whether it asks for what lies before the first row. tz: zone of training, for data that names none.
    """

    known: Known
    context: int
    horizon: int
    level: np.ndarray
    spread: np.ndarray
    reach: int = 0
    times: int = 0
    times_ahead: int = 0
    before: bool = False
    tz: JsonValue = None

    @property
    def rows(self) -> int:
        """Rows of the target that are read."""
        return self.reach + self.context

    def facts(self) -> dict[str, JsonValue]:
        """What names positions on the axes: items, columns, frequency, rows and steps."""
        return {
            "items": list(self.known.items),
            **{name: list(columns) for name, columns in self.known.columns.items()},
            "freq": self.known.freq,
            "rows": self.rows,
            "context_length": self.context,
            "horizon": self.horizon,
        }

    def described(self) -> tuple[GraphInput, ...]:
        """All inputs, with examples: a whole window, one with gaps, and one that was hardly observed."""
        rng = np.random.default_rng(0)
        item = np.array([0, len(self.known.items) - 1, 0])
        target = self.level[item][:, None] + self.spread[item][:, None] * rng.normal(
            size=(_EXAMPLES, self.rows, len(self.known.targets))
        )
        target[1, rng.random(self.rows) < 0.3] = np.nan
        target[2, :-1] = np.nan
        examples: dict[str, tuple[tuple[str, ...], np.ndarray]] = {
            "target": ((WINDOW, "row", "target"), target),
            "item": ((WINDOW,), item),
        }
        span = {"past": ("row", self.context), "future": ("row and step", self.context + self.horizon)}
        for sort, (axis, rows) in span.items():
            if width := len(self.known.columns[f"{sort}_covariate_names"]):
                values = rng.normal(size=(_EXAMPLES, rows, width))
                examples[f"{sort}_covariates"] = ((WINDOW, axis, "column"), values)
        if width := len(self.known.columns["static_covariate_names"]):
            examples["static_covariates"] = ((WINDOW, "column"), rng.normal(size=(_EXAMPLES, width)))
        if self.times:
            hours = np.arange(self.times + self.times_ahead) * np.timedelta64(1, "h")
            days = np.arange(_EXAMPLES) * np.timedelta64(100, "D")
            stamps = (_START + days[:, None] + hours).astype("datetime64[us]").astype(np.int64)
            examples["local_time"] = ((WINDOW, "row and step"), stamps)
        if self.before:
            examples["before"] = ((WINDOW, "target"), np.where(item[:, None] > 0, np.nan, self.level[item]))
        return tuple(
            GraphInput(name, _MEANINGS[name], axes, np.ascontiguousarray(array))
            for name, (axes, array) in examples.items()
        )

    def feed(self, data: Panel) -> dict[str, np.ndarray]:
        """Inputs for what follows a panel, [item, ...] each; errors as `predict` raises them."""
        self.known.check(data)
        known, items = data.known_rows, len(data.item_ids)
        check_history("data", np.full(items, known - 1), context=self.context)
        start = known - self.context
        inputs = {
            "target": _last(data.values[:known], self.rows),
            "item": self.known.positions(data),
        }
        if data.past_covariates is not None:
            inputs["past_covariates"] = _last(data.past_covariates[:known], self.context)
        ahead = data.future_values(self.horizon)
        if ahead is not None and data.future_covariates is not None:
            both = np.concatenate([data.future_covariates[start:known], ahead])
            inputs["future_covariates"] = both.transpose(1, 0, 2)
        if data.static_covariates is not None:
            inputs["static_covariates"] = data.static_covariates
        if self.times:
            rows = data.freq.range(data.timestamps[known - self.times], self.times + self.times_ahead)
            stamps = local_time(rows, in_zone(data, self.tz).tz).astype(np.int64)
            inputs["local_time"] = np.broadcast_to(stamps, (items, len(stamps)))
        if self.before:
            inputs["before"] = _last_observed(data.values[: known - self.rows])
        return {
            name: np.ascontiguousarray(
                array, dtype=np.int64 if name in ("item", "local_time") else np.float64
            )
            for name, array in inputs.items()
        }


def _last(values: np.ndarray, rows: int) -> np.ndarray:
    """The last rows of [time, item, c] as [item, rows, c], NaN before the first."""
    out = np.full((values.shape[1], rows, values.shape[2]), np.nan)
    have = min(rows, len(values))
    out[:, rows - have :] = values[len(values) - have :].transpose(1, 0, 2)
    return out


def _last_observed(values: np.ndarray) -> np.ndarray:
    """Last observed value of each column [item, target] of [time, item, target]; NaN where there is none."""
    out = np.full(values.shape[1:], np.nan)
    observed = ~np.isnan(values)
    seen = observed.any(0)
    if seen.any():
        last = len(values) - 1 - observed[::-1].argmax(0)
        found = np.take_along_axis(values, last[None], 0)[0]
        out[seen] = found[seen]
    return out
