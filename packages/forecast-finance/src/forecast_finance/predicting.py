"""What all models of bars share: which rows are predicted, and predictions of returns."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from forecast_core.errors import InvalidInputError
from forecast_core.prediction import ForecastPrediction, MixturePrediction, Prediction
from forecast_core.predictor import Predictor
from forecast_finance.bar_windows import BarWindows
from forecast_finance.bars import Bars

__all__ = ["BarPredictor", "direction_probability", "gaussian_returns"]

_LEAST_SIGMA = 1e-6  # of a log return: prices that never moved still may


class BarPredictor(Predictor[Bars]):
    """A model of log returns over the first of the data's horizons; authors write `_predict_rows`."""

    @abstractmethod
    def _predict_rows(self, windows: BarWindows) -> ForecastPrediction:
        """Predictions [n, horizon, 1] of some windows, from bars up to their origins."""

    def _predict(self, data: Bars, *, horizon: int | None) -> Prediction:
        steps = len(data.horizons) if horizon is None else horizon
        if steps > len(data.horizons):
            raise InvalidInputError(
                "horizon", f"counts the returns over {data.horizons} bars, the first ones", got=steps
            )
        return self._predict_rows(BarWindows(data, data.offsets[1:] - 1, steps))

    def _predict_windows(self, windows: Any) -> Prediction:
        return self._predict_rows(windows)


def gaussian_returns(
    windows: BarWindows, means: np.ndarray, sigmas: np.ndarray, **fields: Any
) -> MixturePrediction:
    """Gaussian log returns over the windows' horizons; means, sigmas [n, horizon]."""
    shape = (*means.shape, 1, 1)
    return MixturePrediction(
        item_ids=windows.item_ids,
        target_names=windows.data.target_names,
        steps=windows.data.horizons[: windows.horizon],
        weights=np.ones((len(means), 1, 1, 1)),
        means=means.reshape(shape),
        sigmas=np.maximum(sigmas, _LEAST_SIGMA).reshape(shape),
        **fields,
    )


def direction_probability(prediction: ForecastPrediction) -> np.ndarray:
    """P(return > 0), [n, horizon]: the model's own where it gives one, else by its distribution.

    Point predictions, which have no distribution, say 0, 1/2 or 1.
    """
    own = prediction.aux.get("direction_probability")
    if own is not None:
        return own
    if prediction.kind == "point":
        certain: np.ndarray = 0.5 + 0.5 * np.sign(prediction.mean()[..., 0])
        return certain
    above: np.ndarray = 1.0 - prediction.cdf(0.0)[..., 0]
    return above
