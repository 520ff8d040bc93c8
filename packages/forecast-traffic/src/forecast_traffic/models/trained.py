"""What all trained models of a network share: windows in, a mixture for every node and step out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from forecast_core.arrays import covered
from forecast_core.artifacts import State
from forecast_core.errors import DataError, InvalidInputError, NotFittedError, ShapeError
from forecast_core.losses import MixtureParameters
from forecast_core.prediction import MixturePrediction, Prediction
from forecast_core.predictor import Predictor
from forecast_core.run import Run
from forecast_core.training import TrainingOptions, fit_network, training_device
from forecast_traffic.configs import NetworkConfig
from forecast_traffic.graph.edges import same_edges
from forecast_traffic.graph.panel import GraphPanel
from forecast_traffic.graph.training_panel import TrainingPanel
from forecast_traffic.graph.windows import GraphWindows
from forecast_traffic.nn.objective import MixtureObjective
from forecast_traffic.nn.scaling import NetworkScaling
from forecast_traffic.nn.tensors import NetworkBatch, NetworkTensors, OriginSource

__all__ = ["TrainedNetwork"]

_CHUNK = 16_384  # node windows predicted in one forward pass
_VALIDATION_ORIGINS = 4_000  # more are thinned out evenly


class TrainedNetwork(Predictor[GraphPanel]):
    """A network over all nodes at once, trained on windows of origins; authors write `_build`.

    Windows come from every origin of the training rows whose horizon holds an observed value. Validation
    windows have no target among the rows that training windows span, which may be their context, also where
    a validation panel does not hold it. Nodes are matched by id, in any order; all nodes of training are
    needed, since each may read the others.
    """

    accepts_windows = True
    uses_graph: ClassVar[bool] = False  # whether a panel's edges are to be those of training

    config: NetworkConfig

    _network: nn.Module | None = None
    _scaling: NetworkScaling
    _known: TrainingPanel
    _edges: tuple[np.ndarray, np.ndarray]

    @abstractmethod
    def _build(self, anchors: Tensor) -> nn.Module:
        """A network of `NetworkBatch` that gives `MixtureParameters` [B, N, H, C, K] in scaled units, from
        the configuration, `_known`, `_edges` and where components begin [C, K].
        """

    # fitting

    def _fit(self, data: Any, *, validation: Any, seed: int, run: Run) -> None:
        config = self.config
        training_device(config.device)
        panel, origins = self._training_origins(data)
        self._known, self._edges = TrainingPanel.of(panel), (panel.edge_index, panel.edge_weight)
        begins, ends = origins + 1 - config.context_length, origins + config.horizon
        spanned = covered(begins, ends, length=len(panel))
        rows, read = int(ends.max()) + 1, _of_rows(panel, spanned)
        levels = (np.arange(config.components) + 0.5) / config.components
        self._scaling = NetworkScaling.fit(read, rows=rows, levels=levels, over=config.scaling)
        source = self._source(panel, origins)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = self._build(self._anchors(read, rows, levels))
        network.to(config.device)
        objective = self._objective()
        fit_network(
            network,
            source,
            objective,
            options=TrainingOptions.of(config),
            seed=seed,
            validation=None
            if validation is None
            else self._validation_source(panel, validation, fitted=panel.timestamps[spanned]),
            run=run,
        )
        self._network = network.eval()

    def _objective(self) -> MixtureObjective:
        scale = torch.tensor(self._scaling.scale, dtype=torch.float32, device=self.config.device)
        return MixtureObjective(self.config.loss, scale, unit=float(self._scaling.scale.mean()))

    def _anchors(self, panel: GraphPanel, rows: int, levels: np.ndarray) -> Tensor:
        """Where components begin [C, K], in scaled units: quantiles of training values, or, for a residual
        head, of changes over half the horizon.
        """
        anchors = self._scaling.quantiles
        if self.config.residual:
            lag = max(self.config.horizon // 2, 1)
            values = self._scaling.values(panel.values[:rows].astype(np.float64))
            change = values[lag:] - values[:-lag]
            seen = np.isfinite(change)
            if seen.any(axis=(0, 1)).all():
                anchors = np.nanquantile(np.where(seen, change, np.nan), levels, axis=(0, 1)).T
            else:
                anchors = np.zeros_like(anchors)
        return torch.tensor(anchors, dtype=torch.float32)

    def _training_origins(self, data: Any) -> tuple[GraphPanel, np.ndarray]:
        """The panel, and rows of origins whose horizon holds an observed value."""
        config = self.config
        if isinstance(data, GraphWindows):
            panel, rows = data.panel, np.unique(data.rows)
            if data.horizon != config.horizon:
                raise InvalidInputError(
                    "data", f"has windows of the horizon {config.horizon}", got=data.horizon
                )
            if len(data) != len(rows) * len(panel.node_ids):
                raise ShapeError(
                    "data",
                    f"holds a window of each of the {len(panel.node_ids)} nodes at every origin",
                    got=f"{len(data)} windows of {len(rows)} origins",
                )
            if rows[0] + 1 < config.context_length:
                raise ShapeError(
                    "data",
                    f"leaves context_length = {config.context_length} rows before each target",
                    got=f"{rows[0] + 1} rows",
                )
        else:
            panel = data
            windows = data.windows(context_length=config.context_length, horizon=config.horizon)
            rows = np.unique(windows.rows)
        seen = np.concatenate([[0], np.cumsum(panel.mask.any(axis=(1, 2)))])
        useful = seen[rows + config.horizon + 1] > seen[rows + 1]
        if not useful.any():
            raise DataError("data", "holds an observed value within some window's horizon")
        return panel, rows[useful]

    def _validation_source(self, train: GraphPanel, validation: Any, *, fitted: np.ndarray) -> OriginSource:
        """Validation windows; of a panel, those without a target at the times `fitted` on, from `train`."""
        held = validation.panel if isinstance(validation, GraphWindows) else validation
        self._check(held)
        if isinstance(validation, GraphWindows):
            panel, rows = self._training_origins(validation)
            panel = self._known.ordered(panel)[0]
        else:
            panel, rows = self._held_back(train, self._known.ordered(held)[0], fitted)
        return self._source(panel, rows[:: max(len(rows) // _VALIDATION_ORIGINS, 1)])

    def _held_back(
        self, train: GraphPanel, validation: GraphPanel, fitted: np.ndarray
    ) -> tuple[GraphPanel, np.ndarray]:
        """A validation panel, after what context `train` holds for it, and rows of its origins."""
        config, times = self.config, validation.timestamps[: validation.known_rows]
        row = int(np.searchsorted(train.timestamps[: train.known_rows], times[0]))
        if row and train.freq.shift(train.timestamps[0], row) == times[0]:
            context = train.rows(max(row - config.context_length, 0), row)
            edges: dict[str, Any] = {"edge_index": train.edge_index, "edge_weight": train.edge_weight}
            validation = context.extended(replace(validation, **edges))
        panel, rows = self._training_origins(validation)
        before, after = (  # how many rows are fitted on up to each origin, and up to its last target
            np.searchsorted(fitted, panel.timestamps[at], side="right")
            for at in (rows, rows + config.horizon)
        )
        kept = rows[before == after]
        if not len(kept):
            rule = f"has at least horizon = {config.horizon} rows that are not fitted on, and observed values"
            raise ShapeError("validation", rule, got=f"{int((~np.isin(times, fitted)).sum())} rows")
        return panel, kept

    def _source(
        self, panel: GraphPanel, origins: np.ndarray, *, extra: int = 0, ahead: int | None = None
    ) -> OriginSource:
        config = self.config
        tensors = NetworkTensors(panel, scaling=self._scaling, extra=extra, device=config.device)
        return tensors.source(origins, context=config.context_length, horizon=config.horizon, ahead=ahead)

    # predicting

    def _predict(self, data: GraphPanel, *, horizon: int | None) -> Prediction:
        steps, config = self._supported(horizon), self.config
        self._check(data)
        known = data.known_rows
        if known < config.context_length:
            raise ShapeError("data", f"has at least context_length = {config.context_length} rows", got=known)
        if data.looks_ahead:
            data.need_future(steps)
        recent = data.rows(known - config.context_length, min(known + steps, len(data)))
        panel, order = self._known.ordered(recent)
        source = self._source(panel, np.array([panel.known_rows - 1]), extra=config.horizon, ahead=steps)
        return self._answer(
            source,
            np.zeros(len(order), dtype=np.intp),
            order,
            steps,
            item_ids=data.node_ids,
            timestamps=data.future_timestamps(steps),
        )

    def _predict_windows(self, windows: Any) -> Prediction:
        _, source, of, nodes = self._sourced(windows)
        return self._answer(
            source,
            of,
            nodes,
            windows.horizon,
            item_ids=windows.item_ids,
            timestamps=windows.timestamps(),
        )

    def _sourced(self, windows: GraphWindows) -> tuple[nn.Module, OriginSource, np.ndarray, np.ndarray]:
        """The network, a source of the windows' distinct origins, and each window's origin and node in it."""
        network, steps = self._fitted(), self._supported(windows.horizon)
        self._check(windows.panel)
        short = np.flatnonzero(windows.rows + 1 < self.config.context_length)
        if len(short):
            raise ShapeError(
                "windows",
                f"have at least context_length = {self.config.context_length} rows up to their origin",
                place=f"window {short[0]}",
                got=f"{windows.rows[short[0]] + 1} rows",
            )
        rows, of = np.unique(windows.rows, return_inverse=True)
        panel, order = self._known.ordered(windows.panel)
        source = self._source(panel, rows, extra=self.config.horizon, ahead=steps)
        return network, source, of, order[windows.items]

    def _batches(self, source: OriginSource) -> Iterator[NetworkBatch]:
        """All windows of a source, as many at a time as memory is kept for."""
        size = max(_CHUNK // source.nodes, 1)
        for chunk in torch.split(torch.arange(len(source), device=source.starts.device), size):
            yield source.batch(chunk)

    def _answer(
        self, source: OriginSource, of: np.ndarray, nodes: np.ndarray, steps: int, **identity: Any
    ) -> MixturePrediction:
        """Mixtures of node `nodes` [n] at origin `of` [n] of the source, in the target's unit."""
        network = self._fitted()
        with torch.inference_mode():
            parts = [_arrays(network(batch), steps) for batch in self._batches(source)]
        weights, means, sigmas = (np.concatenate(each)[of, nodes] for each in zip(*parts, strict=True))
        shift, scale = (
            each[nodes][:, None, :, None] for each in (self._scaling.shift, self._scaling.scale)
        )  # [n, 1, C, 1]
        return MixturePrediction(
            weights=weights,
            means=means * scale + shift,
            sigmas=sigmas * scale,
            steps=tuple(range(1, steps + 1)),
            target_names=self._known.channels,
            **identity,
        )

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

    def _fitted(self) -> nn.Module:
        if self._network is None:
            raise NotFittedError(f"{self.spec.id} has to be fitted first; call fit(train)")
        return self._network

    # what later data has to hold

    def _check(self, panel: GraphPanel) -> None:
        self._known.check(panel)
        if self.uses_graph and panel.edge_index.shape[1]:
            self._check_edges(panel)

    def _check_edges(self, panel: GraphPanel) -> None:
        ordered = self._known.ordered(panel)[0]
        if not same_edges(self._edges, (ordered.edge_index, ordered.edge_weight)):
            count = self._edges[0].shape[1]
            raise DataError(
                "data.edge_index",
                f"is the graph of training ({count} edges), or has no edge, which means the same",
                got=f"{ordered.edge_index.shape[1]} edges",
            )

    # storage

    def _state(self) -> State:
        arrays = {f"network.{k}": v.cpu().numpy() for k, v in self._fitted().state_dict().items()}
        arrays |= self._scaling.state()
        arrays |= {"edge_index": self._edges[0], "edge_weight": self._edges[1]}
        return State(arrays=arrays, texts={"inputs.json": self._known.to_json()})

    def _load_state(self, state: State) -> None:
        self._known = TrainingPanel.from_json(state.texts["inputs.json"])
        self._edges = (state.arrays["edge_index"], state.arrays["edge_weight"])
        self._scaling = NetworkScaling.from_state(state.arrays)
        tensors = {
            name.removeprefix("network."): torch.from_numpy(np.array(value))
            for name, value in state.arrays.items()
            if name.startswith("network.")
        }
        network = self._build(torch.zeros(len(self._known.channels), self.config.components))
        network.load_state_dict(tensors)
        self._network = network.to(training_device(self.config.device)).eval()


def _of_rows(panel: GraphPanel, spanned: np.ndarray) -> GraphPanel:
    """The panel without what it holds in rows that no training window spans [time]."""
    if spanned[: panel.known_rows].all():
        return panel
    held: dict[str, Any] = {
        name: np.where(spanned.reshape(-1, *[1] * (array.ndim - 1)), array, np.nan)
        for name in ("values", "weather")
        if (array := getattr(panel, name)) is not None
    }
    held |= {"mask": None, "known": panel.known_rows if panel.looks_ahead else None}
    return replace(panel, **held)


def _arrays(mixture: MixtureParameters, steps: int) -> tuple[np.ndarray, ...]:
    """Weights, means and sigmas [B, N, steps, C, K] of a batch, in float64."""
    logits, means, sigmas = (each.double() for each in mixture)
    weights = torch.softmax(logits, -1)
    weights = weights if weights.shape[2] == 1 else weights[:, :, :steps]
    return tuple(each.cpu().numpy() for each in (weights, means[:, :, :steps], sigmas[:, :, :steps]))
