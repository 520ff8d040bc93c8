"""What models of one row of features share: Gaussian returns whose sigmas come from windows held out."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from forecast_core.artifacts import State
from forecast_core.prediction import ForecastPrediction
from forecast_core.run import Run
from forecast_finance.bar_windows import BarWindows
from forecast_finance.feature_models import (
    FeaturePredictor,
    Samples,
    hold_out,
    known_targets,
    validation_targets,
)
from forecast_finance.predicting import gaussian_returns

__all__ = ["TabularPredictor"]


class TabularPredictor(FeaturePredictor):
    """Gaussian returns from features: mean and sigma in units of volatility times sqrt(h).

    Authors write `_learn` (which also tells the sigmas, from windows not learned from) and `_answer`.
    """

    fits_validation = True

    _sigmas: np.ndarray

    @abstractmethod
    def _learn(self, train: Samples, valid: Samples, *, seed: int) -> None:
        """Learn means of targets; `valid` stops early or tells the errors."""

    @abstractmethod
    def _answer(self, samples: Samples) -> np.ndarray:
        """Means of targets [n, horizon]."""

    def _fit(self, data: Any, *, validation: Any, seed: int, run: Run) -> None:
        length = self.config.context_length
        windows = known_targets(data, context_length=length)
        if validation is None:
            train, valid = hold_out(windows)
        else:
            train, valid = windows, validation_targets(validation, like=windows, context_length=length)
        self._begin(windows.data)
        samples = self._samples(train, targets=True)
        held = self._samples(valid, targets=True)
        self._learn(samples, held, seed=seed)
        errors = held.targets - self._answer(held)
        self._sigmas = np.sqrt((errors**2).mean(axis=0))  # [horizon]

    def _predict_rows(self, windows: BarWindows) -> ForecastPrediction:
        self._check_bars(windows)
        unit = self._unit(windows)
        means = self._answer(self._samples(windows))[:, : windows.horizon]
        return gaussian_returns(windows, means * unit, self._sigmas[: windows.horizon] * unit)

    def _state(self) -> State:
        return State(arrays={"sigmas": self._sigmas}, texts=super()._state().texts)

    def _load_state(self, state: State) -> None:
        super()._load_state(state)
        self._sigmas = state.arrays["sigmas"]
