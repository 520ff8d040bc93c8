"""`NetworkPredictor`: training, answer and storage of trajectory networks."""

from __future__ import annotations

import json
from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from forecast_core.artifacts import State
from forecast_core.errors import DataError, NotFittedError
from forecast_core.prediction import Prediction
from forecast_core.run import Run
from forecast_core.training import TrainingOptions, fit_network, training_device
from forecast_traffic.trajectory.configs import NetworkConfig
from forecast_traffic.trajectory.events import EVENTS
from forecast_traffic.trajectory.geometry import turned, turned_covariances
from forecast_traffic.trajectory.models.tracking import TrackPredictor, path_prediction
from forecast_traffic.trajectory.nn.losses import path_loss
from forecast_traffic.trajectory.nn.paths import Paths, varied
from forecast_traffic.trajectory.nn.tensors import PathBatch, PathSource
from forecast_traffic.trajectory.windows import TrackWindows

__all__ = ["NetworkPredictor"]

_CHUNK = 4096  # windows predicted in one forward pass


class NetworkPredictor(TrackPredictor):
    """A network that answers windows in the frame of their own last motion, so that a path is the same
    wherever and whichever way it goes.

    The prediction is a mixture of Gaussian paths. Its `aux` also holds the probability [n] of each event of
    `events.EVENTS` within the horizon of training, as far as training data held it happening and not.
    """

    config: NetworkConfig

    _network: nn.Module | None = None
    _dt: float = 0.0
    _events: tuple[str, ...] = ()

    @property
    def radius(self) -> float:
        """Metres within which others are seen."""
        return 1.0

    @property
    def limit(self) -> int:
        """Others that are seen."""
        return 0

    @abstractmethod
    def _build(self) -> nn.Module:
        """The network of the configuration: `PathBatch` to `Paths`."""

    @property
    def longest_horizon(self) -> int | None:
        """The horizon trained for."""
        return int(self.config.horizon)

    # fitting

    def _fit(self, data: Any, *, validation: Any, seed: int, run: Run) -> None:
        config = self.config
        training_device(config.device)
        windows = self._training_windows(data)
        source = self._source(windows, labelled=True)
        held = None
        if validation is not None:
            later = self._validation_windows(data, validation)
            self._check_same_step(later.data.dt, windows.data.dt)
            held = self._source(later, labelled=True)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = self._build()
        network.to(config.device)

        def loss(module: nn.Module, batch: PathBatch) -> Tensor:
            seen = varied(batch, config.stretch) if module.training else batch
            return path_loss(module(seen), seen, temperature=config.temperature)

        fit_network(
            network,
            source,
            loss,
            options=TrainingOptions.of(config, schedule="one-cycle", gradient_clip=1.0, ema=config.average),
            seed=seed,
            validation=held,
            run=run,
        )
        self._network, self._dt = network.eval(), windows.data.dt
        self._events = _learned_events(source.labels)

    def _source(self, windows: TrackWindows, *, labelled: bool) -> PathSource:
        return PathSource(
            windows,
            length=self.longest_history,
            radius=self.radius,
            limit=self.limit,
            labelled=labelled,
            device=self.config.device,
        )

    def _check_same_step(self, got: float, expected: float) -> None:
        if abs(got - expected) > 1e-6 * expected:
            raise DataError("data.dt", f"is {expected:g} s, as in training", got=got)

    # predicting

    def _answer(self, windows: TrackWindows) -> Prediction:
        if self._network is None:
            raise NotFittedError(f"{self.spec.id} has to be fitted first; call fit(train)")
        self._check_same_step(windows.data.dt, self._dt)
        source, steps = self._source(windows, labelled=False), windows.horizon
        parts = []
        with torch.inference_mode():
            for chunk in torch.split(torch.arange(len(source), device=self.config.device), _CHUNK):
                batch = source.batch(chunk)
                parts.append(_in_world(self._network(batch), batch, steps))
        weights, means, covariances, events = (np.concatenate(each) for each in zip(*parts, strict=True))
        aux = {name: events[:, EVENTS.index(name)] for name in self._events}
        return path_prediction(windows, means, covariances, weights=weights, aux=aux)

    # storage

    def _state(self) -> State:
        if self._network is None:
            raise NotFittedError(f"{self.spec.id} has to be fitted first; call fit(train)")
        known = {"dt": self._dt, "events": list(self._events)}
        arrays = {name: values.cpu().numpy() for name, values in self._network.state_dict().items()}
        return State(arrays=arrays, texts={"inputs.json": json.dumps(known)})

    def _load_state(self, state: State) -> None:
        known = json.loads(state.texts["inputs.json"])
        with torch.random.fork_rng(devices=[]):
            network = self._build()
        network.load_state_dict({name: torch.from_numpy(a.copy()) for name, a in state.arrays.items()})
        self._network = network.to(training_device(self.config.device)).eval()
        self._dt, self._events = float(known["dt"]), tuple(map(str, known["events"]))


def _learned_events(labels: np.ndarray) -> tuple[str, ...]:
    """Events of which training held both outcomes; labels [n, e], NaN where unknown."""
    both = (labels == 0).any(0) & (labels == 1).any(0)
    return tuple(name for name, held in zip(EVENTS, both.tolist(), strict=True) if held)


def _in_world(paths: Paths, batch: PathBatch, steps: int) -> tuple[np.ndarray, ...]:
    """Weights [n, k], means [n, h, 2, k] and covariances [n, h, 2, 2, k] in x and y, events [n, e]."""
    weights = torch.softmax(paths.logits.double(), -1).cpu().numpy()
    origin, heading = batch.origin.cpu().numpy(), batch.heading.cpu().numpy()
    local = paths.means[:, :, :steps].double().cpu().numpy()  # [n, k, h, 2]
    means = turned(local, heading) + origin[:, None, None]
    scales = paths.log_scales[:, :, :steps].double().exp().cpu().numpy()
    correlation = paths.correlation[:, :, :steps].double().cpu().numpy()
    n, k, h, _ = local.shape
    ellipses = np.empty((n, k, h, 2, 2))
    ellipses[..., 0, 0], ellipses[..., 1, 1] = scales[..., 0] ** 2, scales[..., 1] ** 2
    ellipses[..., 0, 1] = ellipses[..., 1, 0] = correlation * scales[..., 0] * scales[..., 1]
    turned_ellipses = turned_covariances(ellipses.reshape(n, k * h, 2, 2), heading)
    return (
        weights,
        np.moveaxis(means, 1, -1),
        np.moveaxis(turned_ellipses.reshape(n, k, h, 2, 2), 1, -1),
        torch.sigmoid(paths.events.double()).cpu().numpy(),
    )
