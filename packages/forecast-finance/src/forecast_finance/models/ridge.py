"""`finance/ridge`: returns linear in the features."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from forecast_core.artifacts import State
from forecast_core.config import ModelConfig
from forecast_finance.configs import RidgeConfig
from forecast_finance.feature_models import Samples
from forecast_finance.scaling import ContextScaling, default_components
from forecast_finance.tabular import TabularPredictor

__all__ = ["Ridge"]


class Ridge(TabularPredictor):
    """Ridge regression of standardised returns on scaled features and principal components."""

    config_class: ClassVar[type[ModelConfig]] = RidgeConfig

    config: RidgeConfig

    _scaling: ContextScaling
    _weights: np.ndarray  # [1 + input, horizon], the first row the intercept

    def _learn(self, train: Samples, valid: Samples, *, seed: int) -> None:
        components = default_components(self.config.components, train.vectors)
        self._scaling = ContextScaling.fit(train.features, train.vectors, components=components)
        inputs = self._inputs(train)
        penalty = self.config.ridge * np.eye(inputs.shape[1])
        penalty[0, 0] = 0.0
        gram = inputs.T @ inputs / len(inputs)
        self._weights = np.linalg.solve(gram + penalty, inputs.T @ train.targets / len(inputs))

    def _answer(self, samples: Samples) -> np.ndarray:
        # einsum adds in the same order however many rows there are, so a row does not depend on its batch.
        means: np.ndarray = np.einsum("ni,ih->nh", self._inputs(samples), self._weights)
        return means

    def _inputs(self, samples: Samples) -> np.ndarray:
        context = self._scaling.transform(samples.features, samples.vectors).astype(np.float64)
        return np.concatenate([np.ones((len(context), 1)), context], axis=1)

    def _state(self) -> State:
        state = super()._state()
        arrays = {**state.arrays, **self._scaling.state(), "weights": self._weights}
        return State(arrays=arrays, texts=state.texts)

    def _load_state(self, state: State) -> None:
        super()._load_state(state)
        self._scaling = ContextScaling.from_state(state.arrays)
        self._weights = state.arrays["weights"]
