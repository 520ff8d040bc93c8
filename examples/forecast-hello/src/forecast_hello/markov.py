"""`hello/sky-markov`: how often each sky has followed today's."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from forecast_core import ClassPrediction, ModelConfig, Predictor, Run, State
from forecast_hello.configs import MarkovConfig
from forecast_hello.sky import CLASSES, SkyLog


class Markov(Predictor[SkyLog]):
    """A Markov chain of first order, its transitions counted in training."""

    config_class: ClassVar[type[ModelConfig]] = MarkovConfig

    def _fit(self, data: SkyLog, *, validation: Any, seed: int, run: Run) -> None:
        counts = np.full((len(CLASSES), len(CLASSES)), self.config.smoothing)  # [today, tomorrow]
        np.add.at(counts, (data.codes[:-1], data.codes[1:]), 1.0)
        self._transitions = counts / counts.sum(axis=1, keepdims=True)

    def _predict(self, data: SkyLog, *, horizon: int | None) -> ClassPrediction:
        return self._answer(data.codes[-1:], (str(data.dates[-1] + 1),))

    def _predict_windows(self, windows: Any) -> ClassPrediction:
        return self._answer(windows.data.codes[windows.days - 1], windows.item_ids)

    def _answer(self, today: np.ndarray, item_ids: tuple[str, ...]) -> ClassPrediction:
        return ClassPrediction(item_ids=item_ids, classes=CLASSES, probabilities=self._transitions[today])

    def _state(self) -> State:
        return State(arrays={"transitions": self._transitions})

    def _load_state(self, state: State) -> None:
        self._transitions = state.arrays["transitions"]
