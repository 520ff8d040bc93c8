"""Requests that fit a model, from what its artifact says of the training data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from forecast_core.data import Freq

if TYPE_CHECKING:
    from forecast_core.predictor import ModelInfo

__all__ = ["ExampleData", "example_body"]

_ITEMS = 2
_UNKNOWN = "2025-01-01T00:00:00"


@dataclass(frozen=True)
class ExampleData:
    """Made-up history up to the end of training: times, and waves within the range of its columns."""

    data: Mapping[str, Any]
    freq: Freq
    rows: int
    horizon: int

    @classmethod
    def of(cls, info: ModelInfo, *, rows: int) -> Self:
        """`rows` rows of history; hourly and one step ahead where a model does not tell."""
        data: dict[str, Any] = dict(info.data)
        steps: Any = info.config.get("horizon")
        return cls(data, Freq.parse(data.get("freq", "h")), rows, int(steps or 1))

    def timestamps(self) -> list[str]:
        """Times of the history, in UTC."""
        end = np.array(self.data.get("end", _UNKNOWN), dtype="datetime64[us]")
        stamps = self.freq.range(self.freq.shift(end, 1 - self.rows), self.rows)
        whole = (stamps.astype("datetime64[s]") == stamps).all()
        return [f"{text}Z" for text in np.datetime_as_string(stamps, unit="s" if whole else "us").tolist()]

    def waves(self, sort: str, length: int, *, items: int) -> dict[str, list[list[float]]]:
        """Column -> [item][time] for each column of a sort, each item a quarter of a season after the last.

        A model that does not tell its targets gets one of that name.
        """
        ranges = self.data.get("ranges", {}).get(sort, {})
        names = self.data.get(sort, ["target"] if sort == "target_names" else [])
        out = {}
        for k, name in enumerate(names):
            low, high = ranges.get(name, (0.0, 100.0))
            turns = np.arange(length) / self.freq.seasonality + np.arange(items)[:, None] / 4 + k / 3
            wave = (low + high) / 2 + (high - low) / 4 * np.sin(2.0 * np.pi * turns)
            out[name] = [[float(f"{value:.6g}") for value in row] for row in wave]
        return out


def example_body(info: ModelInfo, *, rows: int) -> dict[str, Any]:
    """A body for a model of task `series`, of `rows` rows, and of its first two items.

    Future covariates reach over the model's horizon. A model that was never fitted gets a target of its own.
    """
    made = ExampleData.of(info, rows=rows)
    ids = list(made.data.get("item_ids", ()))[:_ITEMS]
    items = max(len(ids), 1)
    static = made.waves("static_covariates", 1, items=items)
    body: dict[str, Any] = {
        "context": made.waves("target_names", rows, items=items),
        "timestamps": made.timestamps(),
        "freq": str(made.freq),
        "horizon": made.horizon,
        "past_covariates": made.waves("past_covariates", rows, items=items),
        "future_covariates": made.waves("future_covariates", rows + made.horizon, items=items),
        "static_covariates": {name: [row[0] for row in values] for name, values in static.items()},
    }
    if ids:
        body["item_ids"] = ids
    return {name: value for name, value in body.items() if value != {}}
