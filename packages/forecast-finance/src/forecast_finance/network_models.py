"""What networks over windows of bars share: training, and predicting in batches."""

from __future__ import annotations

from abc import abstractmethod
from math import ceil
from typing import Any

import numpy as np
import torch
from torch import nn

from forecast_core.artifacts import State
from forecast_core.errors import NotFittedError
from forecast_core.prediction import ForecastPrediction
from forecast_core.run import Run
from forecast_core.training import TrainingOptions, fit_network, training_device
from forecast_finance.bar_windows import BarWindows
from forecast_finance.configs import NetworkConfig
from forecast_finance.feature_models import FeaturePredictor, known_targets, validation_targets
from forecast_finance.nn.tensors import WindowSource
from forecast_finance.scaling import ContextScaling, default_components

__all__ = ["NetworkPredictor"]

_CHUNK = 256  # windows in one forward pass
_VALIDATION_WINDOWS = 4_096  # more are thinned out evenly, by date


class NetworkPredictor(FeaturePredictor):
    """A network of a window's bars and its last bar's context; authors build it and say what it answers."""

    config: NetworkConfig

    _network: nn.Module | None = None
    _scaling: ContextScaling

    @abstractmethod
    def _build(self, *, components: int, features: int, horizons: int) -> nn.Module:
        """An untrained network."""

    @abstractmethod
    def _losses(self) -> tuple[Any, Any]:
        """Losses of training and of validation."""

    @abstractmethod
    def _answer(self, windows: BarWindows, outputs: list[Any], unit: np.ndarray) -> ForecastPrediction:
        """A prediction from the outputs, a part a chunk; unit [n, horizon] is volatility * sqrt(h)."""

    def _fit(self, data: Any, *, validation: Any, seed: int, run: Run) -> None:
        config = self.config
        training_device(config.device)
        windows = known_targets(data, context_length=config.context_length)
        held = None if validation is None else self._held(validation, windows)
        self._begin(windows.data)
        samples = self._samples(windows, targets=True)
        components = default_components(config.components, samples.vectors)
        self._scaling = ContextScaling.fit(samples.features, samples.vectors, components=components)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = self._new(horizons=samples.targets.shape[1])
        train_loss, valid_loss = self._losses()
        fit_network(
            network,
            self._source(windows, targets=True),
            train_loss,
            options=TrainingOptions.of(config, schedule="one-cycle"),
            seed=seed,
            validation=None if held is None else self._source(held, targets=True),
            validation_loss=valid_loss,
            run=run,
        )
        self._network = network.eval()

    def _new(self, *, horizons: int) -> nn.Module:
        components = self._scaling.projection.shape[1]
        network = self._build(
            components=components, features=self._scaling.size - components, horizons=horizons
        )
        return network.to(training_device(self.config.device))

    def _held(self, validation: Any, train: BarWindows) -> BarWindows:
        """Windows of validation, thinned out."""
        windows = validation_targets(validation, like=train, context_length=self.config.context_length)
        _, of = np.unique(windows.origins, return_inverse=True)
        step = ceil(len(windows) / _VALIDATION_WINDOWS)
        return windows.take(np.flatnonzero(of % step == 0))

    def _source(self, windows: BarWindows, *, targets: bool = False) -> WindowSource:
        samples = self._samples(windows, targets=targets)
        up = windows.targets()[0][..., 0] > 0 if targets else samples.targets
        return WindowSource(
            windows.data.values,
            windows.rows,
            length=self.config.context_length,
            context=self._scaling.transform(samples.features, samples.vectors),
            returns=samples.targets,
            up=up,
            device=self.config.device,
        )

    def _predict_rows(self, windows: BarWindows) -> ForecastPrediction:
        if self._network is None:
            raise NotFittedError(f"{self.spec.id} has to be fitted first; call fit(train)")
        self._check_bars(windows)
        unit, source = self._unit(windows), self._source(windows)
        chunks = torch.split(torch.arange(len(source), device=self.config.device), _CHUNK)
        with torch.inference_mode():
            outputs = [self._network(source.batch(chunk)) for chunk in chunks]
        return self._answer(windows, outputs, unit)

    def _state(self) -> State:
        assert self._network is not None
        weights = {f"network.{k}": v.cpu().numpy() for k, v in self._network.state_dict().items()}
        return State(arrays={**weights, **self._scaling.state()}, texts=super()._state().texts)

    def _load_state(self, state: State) -> None:
        super()._load_state(state)
        self._scaling = ContextScaling.from_state(state.arrays)
        with torch.random.fork_rng(devices=[]):
            network = self._new(horizons=len(self._about["horizons"]))
        weights = {
            name.removeprefix("network."): torch.from_numpy(array)
            for name, array in state.arrays.items()
            if name.startswith("network.")
        }
        network.load_state_dict(weights)
        self._network = network.eval()


def joined(parts: list[Any], *, steps: int | None = None) -> np.ndarray:
    """Chunks of one output as float64, with the first `steps` of axis 1 where it is horizons."""
    array: np.ndarray = torch.cat(parts).double().cpu().numpy()
    return array if steps is None else array[:, :steps]
