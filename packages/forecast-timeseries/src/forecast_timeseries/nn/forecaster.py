"""`NetworkForecaster`: all that models with a network over windows share, from fitting to storage."""

from __future__ import annotations

import json
from abc import abstractmethod
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from forecast_core.artifacts import State
from forecast_core.data import Panel, PanelWindows
from forecast_core.errors import DataError, NotFittedError
from forecast_core.exporting import Graph
from forecast_core.losses import gaussian_nll, masked_reduce, pinball_loss
from forecast_core.prediction import (
    ForecastPrediction,
    MixturePrediction,
    PointPrediction,
    Prediction,
    QuantilePrediction,
)
from forecast_core.predictor import Predictor
from forecast_core.run import Run
from forecast_core.specs import ModelSpec
from forecast_core.training import TrainingOptions, fit_network, training_device
from forecast_timeseries.configs import NetworkConfig
from forecast_timeseries.known import (
    Known,
    check_history,
    spanned,
    steps_within,
    training_windows,
    validation_windows,
)
from forecast_timeseries.nn.graphs import network_graph
from forecast_timeseries.nn.heads import gaussian, parameters
from forecast_timeseries.nn.scaling import PanelScaling
from forecast_timeseries.nn.tensors import Layout, Scaled, SeriesTensors, WindowBatch, WindowSource

__all__ = ["NetworkForecaster"]

_KINDS = {"quantile": "quantile", "gaussian": "mixture", "point": "point"}  # of predictions, by head
_CHUNK = 4096  # windows predicted in one forward pass
_VALIDATION_WINDOWS = 20_000  # more are thinned out evenly, by origin


class NetworkForecaster(Predictor[Panel]):
    """One network for all items and all steps of the horizon at once; subclasses build it.

    Windows are drawn from every item and origin of the training rows that hold an observed target; if
    validation rows follow them, its windows reach back into the training rows for context. Items of a
    new panel are matched by id; an unknown item is an error.
    """

    accepts_windows = True

    config: NetworkConfig

    _network: nn.Module | None = None
    _layout: Layout
    _known: Known
    _scaling: PanelScaling

    def __init__(self, config: NetworkConfig | None = None, *, spec: ModelSpec | None = None) -> None:
        super().__init__(config, spec=spec)
        capabilities = self.spec.capabilities.model_copy(update={"prediction": _KINDS[self.config.head]})
        self._spec = self.spec.model_copy(update={"capabilities": capabilities})

    @abstractmethod
    def _build(self, layout: Layout, *, items: int, outputs: int) -> nn.Module:
        """A network from a `WindowBatch` to `Scaled`, with `outputs` numbers a step and target."""

    def _given(self) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """Lags of the target and calendar features that the network is given for every row."""
        return (), ()

    # fitting

    def _fit(self, data: Any, *, validation: Any, seed: int, run: Run) -> None:
        config = self.config
        training_device(config.device)
        windows = training_windows("data", data, context=config.context_length, horizon=config.horizon)
        spans = spanned(windows, context=config.context_length)
        windows = self._useful("data", windows)
        self._known = Known.of(windows.panel)
        self._scaling = PanelScaling.fit(windows.panel, spans=spans, how=config.scaling)
        source = self._source(windows)
        self._layout = source.layout
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = self._new_network()
        network.to(config.device)
        fit_network(
            network,
            source,
            self._loss(),
            options=TrainingOptions.of(config),
            seed=seed,
            validation=None if validation is None else self._validation_source(data, validation),
            run=run,
        )
        self._network = network.eval()

    def _useful(self, argument: str, windows: PanelWindows) -> PanelWindows:
        """Those whose horizon holds an observed target."""
        observed = ~np.isnan(windows.panel.values).all(axis=2)  # [time, item]
        count = np.concatenate(
            [np.zeros((1, observed.shape[1]), dtype=np.int64), np.cumsum(observed, axis=0)]
        )
        ends = windows.rows + self.config.horizon + 1
        useful = count[ends, windows.items] > count[windows.rows + 1, windows.items]
        if not useful.any():
            raise DataError(argument, "holds an observed target within some window's horizon")
        return windows.take(useful)

    def _validation_source(self, data: Any, validation: Any) -> WindowSource:
        config = self.config
        windows = validation_windows(data, validation, context=config.context_length, horizon=config.horizon)
        windows = self._useful("validation", windows)
        self._known.check(windows.panel, argument="validation")
        rows = windows.rows
        stride = max(len(np.unique(rows)) * len(windows.panel.item_ids) // _VALIDATION_WINDOWS, 1)
        return self._source(windows.take((rows - rows.min()) % stride == 0))

    def _source(self, windows: PanelWindows, *, extra: int = 0) -> WindowSource:
        config, panel, (lags, calendar) = self.config, windows.panel, self._given()
        tensors = SeriesTensors(
            panel,
            scaling=self._scaling.of_items(self._known.positions(panel)),
            lags=lags,
            calendar=calendar,
            extra=extra,
            device=config.device,
        )
        return tensors.source(
            windows.rows, windows.items, context=config.context_length, horizon=config.horizon
        )

    def _new_network(self) -> nn.Module:
        config = self.config
        outputs = {"quantile": len(config.quantile_levels), "gaussian": 2, "point": 1}[config.head]
        return self._build(self._layout, items=len(self._known.items), outputs=outputs)

    def _loss(self) -> Any:
        """Pinball, Gaussian NLL, absolute or squared error in normalised units; by scale: in the target's
        unit.
        """
        config = self.config
        levels = torch.tensor(config.quantile_levels, device=config.device)
        spread = self._scaling.scale["targets"]
        size = torch.tensor(spread / spread.mean(), dtype=torch.float32, device=config.device)

        def loss(module: nn.Module, batch: WindowBatch) -> Tensor:
            out: Scaled = module(batch)
            truth = (out.truth - out.shift) / out.scale
            if config.head == "quantile":
                each = pinball_loss(truth, out.output, levels=levels, reduction="none")
            elif config.head == "gaussian":
                mean, sigma = gaussian(out.output)
                each = gaussian_nll(truth, mean, sigmas=sigma, reduction="none")
            else:
                error = out.output[..., 0] - truth
                each = error.abs() if config.point_loss == "absolute" else error**2
            if config.weighting == "scale":
                each = each * out.scale * size[batch.items][:, None]
            return masked_reduce(each, out.observed)

        return loss

    # predicting

    def _reach(self, horizon: int | None) -> int:
        return self.config.context_length + max(self._given()[0], default=0)

    def _predict(self, data: Panel, *, horizon: int | None) -> Prediction:
        config = self.config
        steps = steps_within(horizon, config.horizon)
        self._known.check(data)
        known, items = data.known_rows, len(data.item_ids)
        check_history("data", np.full(items, known - 1), context=config.context_length)
        data.future_values(steps)
        panel = data.rows(max(known - self._reach(steps), 0), min(known + steps, len(data)))
        windows = PanelWindows(
            panel, config.context_length, steps, np.full(items, panel.known_rows - 1), np.arange(items)
        )
        return self._answer(windows, data.future_timestamps(steps), item_ids=data.item_ids)

    def _predict_windows(self, windows: Any) -> Prediction:
        assert isinstance(windows, PanelWindows)
        steps_within(windows.horizon, self.config.horizon)
        self._known.check(windows.panel)
        check_history("windows", windows.rows, context=self.config.context_length)
        return self._answer(windows, windows.timestamps(), item_ids=windows.item_ids)

    def _answer(self, windows: PanelWindows, timestamps: np.ndarray, **identity: Any) -> ForecastPrediction:
        """Predictions of all windows, for the steps of their horizon."""
        network, source = self._fitted(), self._source(windows, extra=self.config.horizon)
        items = self._known.positions(windows.panel)[windows.items]
        index = torch.from_numpy(items).to(source.items.device)
        parts = []
        with torch.inference_mode():
            for at in range(0, len(source), _CHUNK):
                chunk = torch.arange(at, min(at + _CHUNK, len(source)), device=index.device)
                batch = source.batch(chunk)._replace(items=index[chunk])
                found = parameters(self.config.head, network(batch), steps=windows.horizon)
                parts.append([each.double().cpu().numpy() for each in found])
        shift, scale = (
            part["targets"][items][:, None, :, None] for part in (self._scaling.shift, self._scaling.scale)
        )
        location, *spread = (np.concatenate(each) for each in zip(*parts, strict=True))
        location = location * scale + shift  # in float64, [n, horizon, target, out]
        identity |= {
            "steps": tuple(range(1, windows.horizon + 1)),
            "timestamps": timestamps,
            "target_names": self._known.targets,
        }
        if self.config.head == "quantile":
            levels = np.array(self.config.quantile_levels)
            return QuantilePrediction(levels=levels, values=location, **identity)
        if self.config.head == "gaussian":
            weights = np.ones((len(location), 1, 1, 1))
            return MixturePrediction(weights=weights, means=location, sigmas=spread[0] * scale, **identity)
        return PointPrediction(values=location[..., 0], **identity)

    def _fitted(self) -> nn.Module:
        if self._network is None:
            raise NotFittedError(f"{self.spec.id} has to be fitted first; call fit(train)")
        return self._network

    # export

    def _graph(self) -> Graph:
        lags, calendar = self._given()
        return network_graph(
            self._fitted(),
            config=self.config,
            layout=self._layout,
            known=self._known,
            scaling=self._scaling,
            lags=lags,
            calendar=calendar,
            tz=self.info.data.get("tz"),
        )

    # storage

    def _state(self) -> State:
        network = self._fitted()
        arrays = {f"network.{k}": v.cpu().numpy() for k, v in network.state_dict().items()}
        known = {**json.loads(self._known.to_json()), "layout": asdict(self._layout)}
        return State(arrays={**arrays, **self._scaling.state()}, texts={"inputs.json": json.dumps(known)})

    def _load_state(self, state: State) -> None:
        text = state.texts["inputs.json"]
        self._known, self._layout = Known.from_json(text), Layout(**json.loads(text)["layout"])
        self._scaling = PanelScaling.from_state(state.arrays)
        network = self._new_network()
        tensors = {
            name.removeprefix("network."): torch.from_numpy(np.array(value))
            for name, value in state.arrays.items()
            if name.startswith("network.")
        }
        network.load_state_dict(tensors)
        self._network = network.to(training_device(self.config.device)).eval()
