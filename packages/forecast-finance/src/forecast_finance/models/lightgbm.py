"""`finance/lightgbm`: gradient-boosted trees, one set a horizon."""

from __future__ import annotations

from typing import Any, ClassVar

import lightgbm
import numpy as np

from forecast_core.artifacts import State
from forecast_core.config import ModelConfig
from forecast_finance.configs import LightGBMConfig
from forecast_finance.feature_models import Samples
from forecast_finance.tabular import TabularPredictor

__all__ = ["LightGBM"]


class LightGBM(TabularPredictor):
    """Trees of standardised returns on features (unknown ones as such) and embedding."""

    config_class: ClassVar[type[ModelConfig]] = LightGBMConfig

    config: LightGBMConfig

    _boosters: list[Any]

    def _learn(self, train: Samples, valid: Samples, *, seed: int) -> None:
        config = self.config
        options = {
            "objective": "regression",
            "num_leaves": config.num_leaves,
            "learning_rate": config.learning_rate,
            "min_data_in_leaf": config.min_leaf,
            "feature_fraction": 0.8,
            "bagging_fraction": 0.8,
            "bagging_freq": 5,
            "seed": seed % 2**31,
            "num_threads": config.threads,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }
        self._boosters = []
        for k in range(train.targets.shape[1]):
            told = lightgbm.Dataset(_inputs(train), label=train.targets[:, k])
            held = lightgbm.Dataset(_inputs(valid), label=valid.targets[:, k], reference=told)
            self._boosters.append(
                lightgbm.train(
                    options,
                    told,
                    num_boost_round=config.max_rounds,
                    valid_sets=[held],
                    callbacks=[lightgbm.early_stopping(config.patience, verbose=False)],
                )
            )

    def _answer(self, samples: Samples) -> np.ndarray:
        inputs, threads = _inputs(samples), self.config.threads
        return np.stack([b.predict(inputs, num_threads=threads) for b in self._boosters], axis=1)

    def _state(self) -> State:
        state = super()._state()
        trees = {f"booster-{k}.txt": booster.model_to_string() for k, booster in enumerate(self._boosters)}
        return State(arrays=state.arrays, texts={**state.texts, **trees})

    def _load_state(self, state: State) -> None:
        super()._load_state(state)
        count = len(self._about["horizons"])
        self._boosters = [lightgbm.Booster(model_str=state.texts[f"booster-{k}.txt"]) for k in range(count)]


def _inputs(samples: Samples) -> np.ndarray:
    return np.concatenate([samples.features, samples.vectors.astype(np.float64)], axis=1)
