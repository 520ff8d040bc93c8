"""`timeseries/lstm`: many series at once, several steps ahead, as quantiles, Gaussians or points."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from forecast_core.artifacts import State
from forecast_core.config import ModelConfig
from forecast_core.data import Panel, PanelWindows
from forecast_core.errors import (
    DataError,
    InvalidInputError,
    MissingFutureError,
    NotFittedError,
    ShapeError,
)
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
from forecast_core.training import TrainingOptions, fit_network, training_device
from forecast_timeseries.configs import LSTMConfig
from forecast_timeseries.known import check_freq, item_positions
from forecast_timeseries.nn.recurrent import LSTMNetwork, Scaled
from forecast_timeseries.nn.scaling import PanelScaling
from forecast_timeseries.nn.tensors import Layout, SeriesTensors, WindowBatch, WindowSource

__all__ = ["LSTM"]

_CHUNK = 4096  # windows predicted in one forward pass
_SIGMA_FLOOR = 1e-3  # in normalised units
_VALIDATION_WINDOWS = 20_000  # more are thinned out evenly, by origin


class LSTM(Predictor[Panel]):
    """Direct multi-step LSTM, one network for all items.

    Windows are drawn from every item and origin of the training rows that hold an observed target; if
    validation rows follow them, its windows reach back into the training rows for context. Items of a
    new panel are matched by id; an unknown item is an error while `item_embedding` is used.

    Sources: Hochreiter & Schmidhuber 1997 (LSTM); Wen et al. 2017 (direct quantiles from a recurrent
    encoder); Kim et al. 2022 (normalisation of each instance).
    """

    config_class: ClassVar[type[ModelConfig]] = LSTMConfig
    accepts_windows = True

    config: LSTMConfig

    _network: LSTMNetwork | None = None
    _items: tuple[int | str, ...] = ()
    _columns: dict[str, tuple[str, ...]]
    _freq: str
    _scaling: PanelScaling

    # fitting

    def _fit(self, data: Any, *, validation: Any, seed: int, run: Run) -> None:
        config = self.config
        training_device(config.device)
        panel, rows, items = self._training_windows(data)
        self._items, self._columns, self._freq = panel.item_ids, _columns(panel), str(panel.freq)
        self._scaling = PanelScaling.fit(panel, rows=int(rows.max()) + config.horizon + 1)
        tensors = self._tensors(panel, extra=0)
        source = tensors.source(rows, items, context=config.context_length, horizon=config.horizon)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = self._build(tensors.layout)
        network.to(config.device)
        fit_network(
            network,
            source,
            self._loss(),
            options=TrainingOptions(
                max_epochs=config.max_epochs,
                batch_size=config.batch_size,
                learning_rate=config.learning_rate,
                weight_decay=config.weight_decay,
                schedule=config.schedule,
                windows_per_epoch=config.windows_per_epoch,
                patience=config.patience,
                gradient_clip=config.gradient_clip,
                device=config.device,
                precision=config.precision,
            ),
            seed=seed,
            validation=None if validation is None else self._validation_source(panel, validation),
            run=run,
        )
        self._network = network.eval()

    def _training_windows(self, data: Any) -> tuple[Panel, np.ndarray, np.ndarray]:
        """The panel, and rows and items of origins whose horizon holds an observed target."""
        if isinstance(data, PanelWindows):
            if data.horizon != self.config.horizon:
                raise InvalidInputError(
                    "data", f"has windows of the horizon {self.config.horizon}", got=data.horizon
                )
            windows = data
            short = np.flatnonzero(windows.rows + 1 < self.config.context_length)
            if len(short):
                raise ShapeError(
                    "data",
                    f"leaves context_length = {self.config.context_length} rows before each target",
                    place=f"window {short[0]}",
                    got=f"{windows.rows[short[0]] + 1} rows",
                )
        else:
            windows = data.windows(context_length=self.config.context_length, horizon=self.config.horizon)
        panel = windows.panel
        observed = ~np.isnan(panel.values).all(axis=2)  # [time, item]
        count = np.concatenate(
            [np.zeros((1, observed.shape[1]), dtype=np.int64), np.cumsum(observed, axis=0)]
        )
        ends = windows.rows + self.config.horizon + 1
        useful = count[ends, windows.items] > count[windows.rows + 1, windows.items]
        if not useful.any():
            raise DataError("data", "holds an observed target within some window's horizon")
        return panel, windows.rows[useful], windows.items[useful]

    def _validation_source(self, train: Panel, validation: Any) -> WindowSource:
        if isinstance(validation, PanelWindows):
            panel, rows, items = self._training_windows(validation)
        else:
            follows = train.freq.shift(train.timestamps[train.known_rows - 1], 1) == validation.timestamps[0]
            joined = train.extended(validation) if follows else validation
            panel, rows, items = self._training_windows(joined)
            if follows:
                later = rows >= train.known_rows - 1
                rows, items = rows[later], items[later]
        self._check_columns(panel)
        if not len(rows):
            raise ShapeError(
                "validation", f"has at least horizon = {self.config.horizon} rows", got=len(validation)
            )
        stride = max(len(np.unique(rows)) * len(panel.item_ids) // _VALIDATION_WINDOWS, 1)
        chosen = (rows - rows.min()) % stride == 0
        return self._tensors(panel, extra=0).source(
            rows[chosen], items[chosen], context=self.config.context_length, horizon=self.config.horizon
        )

    def _tensors(self, panel: Panel, *, extra: int) -> SeriesTensors:
        return SeriesTensors(
            panel,
            scaling=self._scaling.of_items(item_positions(panel, self._items)),
            lags=self.config.lags,
            calendar=self.config.calendar,
            extra=extra,
            device=self.config.device,
        )

    def _build(self, layout: Layout) -> LSTMNetwork:
        config = self.config
        outputs = {"quantile": len(config.quantile_levels), "gaussian": 2, "point": 1}[config.head]
        return LSTMNetwork(
            layout,
            context_length=config.context_length,
            horizon=config.horizon,
            outputs=outputs,
            hidden_size=config.hidden_size,
            num_layers=config.num_layers,
            dropout=config.dropout,
            items=len(self._items),
            item_embedding=config.item_embedding,
            per_window=config.normalisation == "window",
            head_size=config.head_size,
            residual=config.residual,
        )

    def _loss(self) -> Any:
        """Pinball, Gaussian NLL or absolute error in normalised units; by scale: in the target's unit."""
        levels = torch.tensor(self.config.quantile_levels, device=self.config.device)
        spread = self._scaling.scale["targets"]
        size = torch.tensor(spread / spread.mean(), dtype=torch.float32, device=self.config.device)
        head, by_scale = self.config.head, self.config.weighting == "scale"

        def loss(module: torch.nn.Module, batch: WindowBatch) -> Tensor:
            out: Scaled = module(batch)
            truth = (out.truth - out.shift) / out.scale
            if head == "quantile":
                each = pinball_loss(truth, out.output, levels=levels, reduction="none")
            elif head == "gaussian":
                mean, sigma = _gaussian(out.output)
                each = gaussian_nll(truth, mean, sigmas=sigma, reduction="none")
            else:
                each = (out.output[..., 0] - truth).abs()
            weighted = each * out.scale * size[batch.items][:, None] if by_scale else each
            return masked_reduce(weighted, out.observed)

        return loss

    # predicting

    def _predict(self, data: Panel, *, horizon: int | None) -> Prediction:
        steps = self._supported(horizon)
        self._check_columns(data)
        known = data.known_rows
        if known < self.config.context_length:
            raise ShapeError(
                "data", f"has at least context_length = {self.config.context_length} rows", got=known
            )
        data.future_values(steps)
        # Only the rows the context and its lags reach are needed.
        reach = self.config.context_length + max(self.config.lags, default=0)
        panel = data.rows(max(known - reach, 0), min(known + steps, len(data)))
        items = np.arange(len(panel.item_ids))
        source = self._tensors(panel, extra=self.config.horizon).source(
            np.full(len(items), panel.known_rows - 1),
            items,
            context=self.config.context_length,
            horizon=self.config.horizon,
        )
        return self._answer(
            source,
            item_positions(panel, self._items),
            steps,
            item_ids=panel.item_ids,
            timestamps=data.future_timestamps(steps),
            target_names=panel.target_names,
        )

    def _predict_windows(self, windows: Any) -> Prediction:
        assert isinstance(windows, PanelWindows)
        panel, steps = windows.panel, self._supported(windows.horizon)
        self._check_columns(panel)
        short = np.flatnonzero(windows.rows + 1 < self.config.context_length)
        if len(short):
            raise ShapeError(
                "windows",
                f"have at least context_length = {self.config.context_length} rows up to their origin",
                place=f"window {short[0]}",
                got=f"{windows.rows[short[0]] + 1} rows",
            )
        source = self._tensors(panel, extra=self.config.horizon).source(
            windows.rows, windows.items, context=self.config.context_length, horizon=self.config.horizon
        )
        return self._answer(
            source,
            item_positions(panel, self._items)[windows.items],
            steps,
            item_ids=windows.item_ids,
            timestamps=windows.timestamps(),
            target_names=panel.target_names,
        )

    def _answer(
        self, source: WindowSource, items: np.ndarray, steps: int, **identity: Any
    ) -> ForecastPrediction:
        """Predictions of all windows of a source; `items` [n] are positions in training."""
        network = self._fitted()
        index = torch.from_numpy(items).to(source.items.device)
        parts = []
        with torch.inference_mode():
            for chunk in torch.split(torch.arange(len(source), device=index.device), _CHUNK):
                batch = source.batch(chunk)._replace(items=index[chunk])
                parts.append(self._parameters(network(batch), steps))
        shift, scale = (
            part["targets"][items][:, None, :, None] for part in (self._scaling.shift, self._scaling.scale)
        )
        location, *spread = (np.concatenate(each) for each in zip(*parts, strict=True))
        location = location * scale + shift  # in float64, [n, horizon, target, out]
        identity["steps"] = tuple(range(1, steps + 1))
        if self.config.head == "quantile":
            levels = np.array(self.config.quantile_levels)
            return QuantilePrediction(levels=levels, values=location, **identity)
        if self.config.head == "gaussian":
            weights = np.ones((len(location), 1, 1, 1))
            return MixturePrediction(weights=weights, means=location, sigmas=spread[0] * scale, **identity)
        return PointPrediction(values=location[..., 0], **identity)

    def _parameters(self, out: Scaled, steps: int) -> list[np.ndarray]:
        """Parameters of the head on the scale of training, [n, steps, target, out] each, in float64."""
        shift, scale = out.shift[..., None], out.scale[..., None]
        output = out.output[:, :steps]
        if self.config.head == "quantile":
            quantiles = (output * scale + shift).sort(dim=-1).values  # rearranged, so that none cross
            return [quantiles.double().cpu().numpy()]
        if self.config.head == "gaussian":
            mean, sigma = _gaussian(output)
            means = mean[..., None] * scale + shift
            sigmas = sigma[..., None] * scale
            return [means.double().cpu().numpy(), sigmas.double().cpu().numpy()]
        return [(output * scale + shift).double().cpu().numpy()]

    def _supported(self, horizon: int | None) -> int:
        steps = self.config.horizon if horizon is None else horizon
        if steps > self.config.horizon:
            raise InvalidInputError(
                "horizon",
                f"is at most {self.config.horizon}, what the model was trained for",
                got=steps,
                hint="set horizon= when creating the model",
            )
        return steps

    def _fitted(self) -> LSTMNetwork:
        if self._network is None:
            raise NotFittedError("timeseries/lstm has to be fitted first; call fit(train)")
        return self._network

    def _check_columns(self, panel: Panel) -> None:
        """The panel has the frequency, targets and covariates of training."""
        check_freq(panel, self._freq)
        for name, expected in self._columns.items():
            found = _columns(panel)[name]
            if found != expected:
                error = MissingFutureError if name == "future_covariate_names" else DataError
                raise error(f"data.{name}", f"is {list(expected)}, as in training", got=list(found))

    # storage

    def _state(self) -> State:
        network = self._fitted()
        arrays = {f"network.{k}": v.cpu().numpy() for k, v in network.state_dict().items()}
        layout = network.layout
        known = {
            "items": list(self._items),
            "freq": self._freq,
            "columns": {name: list(values) for name, values in self._columns.items()},
            "layout": {name: getattr(layout, name) for name in layout.__dataclass_fields__},
        }
        return State(arrays={**arrays, **self._scaling.state()}, texts={"inputs.json": json.dumps(known)})

    def _load_state(self, state: State) -> None:
        known = json.loads(state.texts["inputs.json"])
        self._items = tuple(known["items"])
        self._columns = {name: tuple(values) for name, values in known["columns"].items()}
        self._freq = known["freq"]
        self._scaling = PanelScaling.from_state(state.arrays)
        network = self._build(Layout(**known["layout"]))
        tensors = {
            name.removeprefix("network."): torch.from_numpy(np.array(value))
            for name, value in state.arrays.items()
            if name.startswith("network.")
        }
        network.load_state_dict(tensors)
        self._network = network.to(self.config.device).eval()


def _columns(panel: Panel) -> dict[str, tuple[str, ...]]:
    names = ("target_names", "past_covariate_names", "future_covariate_names", "static_covariate_names")
    return {name: getattr(panel, name) for name in names}


def _gaussian(output: Tensor) -> tuple[Tensor, Tensor]:
    mean, raw = output.unbind(-1)
    return mean, torch.nn.functional.softplus(raw) + _SIGMA_FLOOR
