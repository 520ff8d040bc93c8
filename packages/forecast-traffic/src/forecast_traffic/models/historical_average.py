"""`traffic/historical-average`: what is usual at a node at this time of this weekday."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import numpy as np

from forecast_core.artifacts import State
from forecast_core.config import ModelConfig
from forecast_core.errors import DataError
from forecast_core.prediction import MixturePrediction, Prediction
from forecast_core.predictor import Predictor
from forecast_core.run import Run
from forecast_traffic.configs import HistoricalAverageConfig
from forecast_traffic.graph.clock import Calendar, clock, slots_of_day
from forecast_traffic.graph.known import check_same_kind, node_positions
from forecast_traffic.graph.panel import GraphPanel
from forecast_traffic.graph.windows import GraphWindows

__all__ = ["HistoricalAverage"]

_DAYS = {"day": np.zeros(7, dtype=np.int64), "weekpart": np.arange(7) // 5, "week": np.arange(7)}


class HistoricalAverage(Predictor[GraphPanel]):
    """Mean and spread of a node's training values at each time of each weekday; nothing recent is read.

    A weekday's mean is shrunk towards that of all days, and this towards the node's own, as
    (n mean + s parent) / (n + s) with s = `shrinkage`; variances likewise. A node never observed takes the
    average of the others.
    """

    config_class: ClassVar[type[ModelConfig]] = HistoricalAverageConfig

    config: HistoricalAverageConfig

    _nodes: tuple[int | str, ...] = ()
    _channels: tuple[str, ...] = ()
    _freq: str = ""
    _calendar: Calendar = Calendar()
    _mean: np.ndarray
    _sigma: np.ndarray

    def _fit(self, data: GraphPanel, *, validation: Any, seed: int, run: Run) -> None:
        values = data.series.values.astype(np.float64)  # [time, node, channel]
        if np.isnan(values).all(axis=(0, 1)).any():
            raise DataError("data.values", "hold an observation of every channel")
        slot, weekday, _ = np.moveaxis(clock(data.series.timestamps, data.freq, data.calendar), -1, 0)
        slots, days = slots_of_day(data.freq), _DAYS[self.config.period]
        mean, variance = _of_nodes(values)  # [1, node, channel]
        centred = values - mean  # sums of squares then keep their digits
        level = np.repeat(np.zeros_like(mean), slots, axis=0), np.repeat(variance, slots, axis=0)
        level = self._cells(centred, slot, *level)
        if days.max():
            parts = int(days.max()) + 1
            level = self._cells(
                centred, days[weekday] * slots + slot, *(np.tile(a, (parts, 1, 1)) for a in level)
            )
        self._mean, self._sigma = mean + level[0], np.sqrt(level[1])
        self._nodes, self._channels, self._freq = data.node_ids, data.channel_names, str(data.freq)
        self._calendar = data.calendar

    def _cells(
        self, values: np.ndarray, cell: np.ndarray, parent_mean: np.ndarray, parent_variance: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance [cell, node, channel] of values [time, node, channel], shrunk to the parent's."""
        count, total, squares = (np.zeros(parent_mean.shape) for _ in range(3))
        seen = ~np.isnan(values)
        filled = np.where(seen, values, 0.0)
        for out, each in ((count, seen), (total, filled), (squares, filled**2)):
            np.add.at(out, cell, each)
        weight = self.config.shrinkage
        whole = np.maximum(count + weight, 1e-300)
        mean = np.where(count + weight > 0, (total + weight * parent_mean) / whole, parent_mean)
        around = np.maximum(squares - 2.0 * mean * total + count * mean**2, 0.0)
        few = count < 2  # one observation has no spread of its own
        variance = np.where(few, parent_variance, (around + weight * parent_variance) / whole)
        return mean, variance

    def _predict(self, data: GraphPanel, *, horizon: int | None) -> Prediction:
        assert horizon is not None
        times = data.future_timestamps(horizon)
        nodes = node_positions(data, self._nodes)
        made = self._answer(data, np.tile(times, (len(nodes), 1)), nodes, item_ids=data.node_ids)
        return made.replace(timestamps=times)

    def _predict_windows(self, windows: Any) -> Prediction:
        assert isinstance(windows, GraphWindows)
        nodes = node_positions(windows.panel, self._nodes)[windows.items]
        return self._answer(windows.panel, windows.timestamps(), nodes, item_ids=windows.item_ids)

    def _answer(
        self, panel: GraphPanel, times: np.ndarray, nodes: np.ndarray, *, item_ids: tuple[int | str, ...]
    ) -> MixturePrediction:
        """times [n, horizon], nodes [n] by their position in training."""
        check_same_kind(panel, freq=self._freq, channels=self._channels)
        calendar = panel.calendar.or_else(self._calendar)
        slot, weekday, _ = np.moveaxis(clock(times, panel.freq, calendar), -1, 0)
        cell = _DAYS[self.config.period][weekday] * slots_of_day(panel.freq) + slot  # [n, h]
        return MixturePrediction(
            item_ids=item_ids,
            steps=tuple(range(1, times.shape[1] + 1)),
            timestamps=times,
            target_names=panel.channel_names,
            weights=np.ones((len(times), 1, 1, 1)),
            means=self._mean[cell, nodes[:, None]][..., None],
            sigmas=self._sigma[cell, nodes[:, None]][..., None],
        )

    def _state(self) -> State:
        known = {
            "nodes": list(self._nodes),
            "channels": list(self._channels),
            "freq": self._freq,
            "calendar": self._calendar.to_dict(),
        }
        return State(
            arrays={"mean": self._mean, "sigma": self._sigma}, texts={"inputs.json": json.dumps(known)}
        )

    def _load_state(self, state: State) -> None:
        known = json.loads(state.texts["inputs.json"])
        self._nodes, self._channels, self._freq = (
            tuple(known["nodes"]),
            tuple(known["channels"]),
            known["freq"],
        )
        self._calendar = Calendar.from_dict(known["calendar"])
        self._mean, self._sigma = state.arrays["mean"], state.arrays["sigma"]


def _of_nodes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance [1, node, channel] of each node; of all together where it was never observed."""
    seen = ~np.isnan(values)
    count, filled = seen.sum(axis=0), np.where(seen, values, 0.0)
    shared = filled.sum(axis=(0, 1)) / count.sum(axis=0)  # [channel]
    mean = np.where(count > 0, filled.sum(axis=0) / np.maximum(count, 1), shared)
    square = np.where(seen, values - mean, 0.0) ** 2
    spread = np.where(seen, values - shared, 0.0) ** 2
    variance = np.where(count > 1, square.sum(axis=0) / np.maximum(count, 1), 0.0)
    pooled = spread.sum(axis=(0, 1)) / count.sum(axis=0)
    least = (1e-12 * np.maximum(np.abs(shared), 1.0)) ** 2  # what float64 can tell apart at this level
    variance = np.maximum(np.where(variance > 0, variance, pooled), least)
    return mean[None], variance[None]
