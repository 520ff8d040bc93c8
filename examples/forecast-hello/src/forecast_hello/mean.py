"""`hello/mean`: the mean of each phase of the season."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import numpy as np

from forecast_core import MixturePrediction, ModelConfig, Panel, Predictor, Run, State
from forecast_core.errors import DataError
from forecast_hello.configs import MeanConfig


class Mean(Predictor[Panel]):
    """Every step is answered with the mean and spread of its phase in training, as a Gaussian.

    There is no `_predict_windows`: core then asks `_predict` once an origin, of the rows known there.
    """

    config_class: ClassVar[type[ModelConfig]] = MeanConfig

    def _fit(self, data: Panel, *, validation: Any, seed: int, run: Run) -> None:
        self._known: dict[str, Any] = {
            "items": list(data.item_ids),
            "targets": list(data.target_names),
            "freq": str(data.freq),
        }
        self._start = data.timestamps[:1]
        observed = ~np.isnan(data.values)  # [time, item, target]
        if not observed.any(axis=0).all():
            item = data.item_ids[int(np.argmin(observed.any(axis=0).all(axis=1)))]
            raise DataError("data", "holds an observation of every item", place=f"item {item!r}")
        overall = np.nanmean(data.values, axis=0)  # [item, target]
        phase = self._phase(data.timestamps, data)
        count = np.zeros((self.config.seasonality or 1, *overall.shape))  # [phase, item, target]
        total = np.zeros_like(count)
        np.add.at(count, phase, observed)
        np.add.at(total, phase, np.where(observed, data.values, 0.0))
        self._means = np.where(count > 0, total / np.maximum(count, 1), overall)
        spread = np.sqrt(np.nanmean((data.values - self._means[phase]) ** 2, axis=0))
        self._sigmas = np.maximum(spread, 1e-6 * np.maximum(np.abs(overall), 1.0))  # [item, target]

    def _predict(self, data: Panel, *, horizon: int | None) -> MixturePrediction:
        index = self._index(data)
        ahead = data.future_timestamps(horizon or self.config.horizon)
        means = self._means[self._phase(ahead, data)][:, index].swapaxes(0, 1)  # [item, horizon, target]
        return MixturePrediction(
            item_ids=data.item_ids,
            timestamps=ahead,
            target_names=data.target_names,
            weights=np.ones((len(index), 1, 1, 1)),
            means=means[..., None],
            sigmas=np.broadcast_to(self._sigmas[index][:, None], means.shape)[..., None],
        )

    def _phase(self, timestamps: np.ndarray, data: Panel) -> np.ndarray:
        return data.freq.offset(timestamps, self._start[0]) % (self.config.seasonality or 1)

    def _index(self, data: Panel) -> list[int]:
        """Position in training of each item."""
        if (list(data.target_names), str(data.freq)) != (self._known["targets"], self._known["freq"]):
            raise DataError("data", "has the targets and the frequency of training", got=repr(data))
        where = {item: k for k, item in enumerate(self._known["items"])}
        unknown = next((item for item in data.item_ids if item not in where), None)
        if unknown is not None:
            raise DataError("data.item_ids", "were all seen in training", got=repr(unknown))
        return [where[item] for item in data.item_ids]

    def _state(self) -> State:
        return State(
            arrays={"means": self._means, "sigmas": self._sigmas, "start": self._start.astype(np.int64)},
            texts={"known.json": json.dumps(self._known)},
        )

    def _load_state(self, state: State) -> None:
        self._means, self._sigmas = state.arrays["means"], state.arrays["sigmas"]
        self._start = state.arrays["start"].astype("datetime64[us]")
        self._known = json.loads(state.texts["known.json"])
