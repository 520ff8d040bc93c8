"""A request that fits a model of task `series`, from what its artifact says of the training data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from forecast_core.data import Freq

if TYPE_CHECKING:
    from forecast_core.predictor import ModelInfo

__all__ = ["example_body"]

_ITEMS = 2
_UNKNOWN = "2025-01-01T00:00:00"


def example_body(info: ModelInfo, *, rows: int) -> dict[str, Any]:
    """A body of `rows` rows up to the end of training, its numbers waves within the range of training.

    Future covariates reach over the model's horizon. A model that was never fitted gets a target of its own.
    """
    data: dict[str, Any] = dict(info.data)
    freq = Freq.parse(data.get("freq", "h"))
    steps: Any = info.config.get("horizon")
    horizon = int(steps or 1)
    end = np.array(data.get("end", _UNKNOWN), dtype="datetime64[us]")
    stamps = freq.range(freq.shift(end, 1 - rows), rows)
    whole = (stamps.astype("datetime64[s]") == stamps).all()
    texts = np.datetime_as_string(stamps, unit="s" if whole else "us").tolist()
    items = list(data.get("item_ids", ()))[:_ITEMS]
    season = freq.seasonality

    def waves(kind: str, length: int) -> dict[str, list[Any]]:
        ranges = data.get("ranges", {}).get(kind, {})
        names = data.get(kind, ["target"] if kind == "target_names" else [])
        out = {}
        for k, name in enumerate(names):
            low, high = ranges.get(name, (0.0, 100.0))
            turns = (
                np.arange(length) / season + np.arange(max(len(items), 1))[:, None] / 4 + k / 3
            )  # [item, time]
            wave = (low + high) / 2 + (high - low) / 4 * np.sin(2.0 * np.pi * turns)
            out[name] = [[float(f"{value:.6g}") for value in row] for row in wave]
        return out

    body: dict[str, Any] = {
        "context": waves("target_names", rows),
        "timestamps": [f"{text}Z" for text in texts],
        "freq": str(freq),
        "horizon": horizon,
        "past_covariates": waves("past_covariates", rows),
        "future_covariates": waves("future_covariates", rows + horizon),
        "static_covariates": {
            name: [row[0] for row in values] for name, values in waves("static_covariates", 1).items()
        },
    }
    if items:
        body["item_ids"] = items
    return {name: value for name, value in body.items() if value != {}}
