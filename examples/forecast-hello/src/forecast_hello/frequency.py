"""`hello/sky-frequency`: how often each sky has been seen, the baseline of task `sky`."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from forecast_core import ClassPrediction, ModelConfig, Predictor
from forecast_hello.configs import FrequencyConfig
from forecast_hello.sky import CLASSES, SkyLog


class Frequency(Predictor[SkyLog]):
    """Shares of the days so far, each kind counted once more (Laplace). It needs no fitting."""

    config_class: ClassVar[type[ModelConfig]] = FrequencyConfig

    def _predict(self, data: SkyLog, *, horizon: int | None) -> ClassPrediction:
        return self._answer(data, np.array([len(data.codes)]), (str(data.dates[-1] + 1),))

    def _predict_windows(self, windows: Any) -> ClassPrediction:
        return self._answer(windows.data, windows.days, windows.item_ids)

    def _answer(self, data: SkyLog, days: np.ndarray, item_ids: tuple[str, ...]) -> ClassPrediction:
        seen = np.cumsum(np.eye(len(CLASSES))[data.codes], axis=0)[days - 1] + 1.0  # [n, class]
        return ClassPrediction(
            item_ids=item_ids, classes=CLASSES, probabilities=seen / seen.sum(axis=1, keepdims=True)
        )
