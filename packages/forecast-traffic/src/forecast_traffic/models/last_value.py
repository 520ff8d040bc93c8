"""`traffic/last-value`: the last observed value, as wide as changes over that many steps have been."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from forecast_core.config import ModelConfig
from forecast_core.data import Panel
from forecast_core.prediction import MixturePrediction, Prediction
from forecast_core.predictor import Predictor
from forecast_core.series.seasonal import predict_at, predict_end
from forecast_traffic.configs import LastValueConfig
from forecast_traffic.graph.panel import GraphPanel
from forecast_traffic.graph.windows import GraphWindows

__all__ = ["LastValue"]

_ENOUGH = 30  # changes observed before their spread is trusted
_RESOLUTION = 1e-12


class LastValue(Predictor[GraphPanel]):
    """Each node's last observed value; the spread of step h is that of its changes over h steps so far.

    Until 30 changes over h steps were observed, it is a random walk's, sqrt(h) times that of one step. Speeds
    return to their usual level, so beyond a few steps a random walk would be too wide.
    """

    config_class: ClassVar[type[ModelConfig]] = LastValueConfig

    def _context_rows(self, data: GraphPanel) -> int:
        return 2

    def _predict(self, data: GraphPanel, *, horizon: int | None) -> Prediction:
        nodes = np.arange(len(data.node_ids))
        rows = np.full(len(nodes), data.known_rows - 1)
        return _with_changes(predict_end(data.series, season=1, horizon=horizon), data.series, rows, nodes)

    def _predict_windows(self, windows: Any) -> Prediction:
        assert isinstance(windows, GraphWindows)
        walk = predict_at(windows.series, season=1)
        return _with_changes(walk, windows.panel.series, windows.rows, windows.items)


def _with_changes(
    walk: MixturePrediction, series: Panel, rows: np.ndarray, items: np.ndarray
) -> MixturePrediction:
    """The random walk with the spread of changes over h steps wherever that is known."""
    changes = _change_spread(series, rows, items, horizon=walk.horizon)[..., None]  # [n, h, channel, 1]
    floor = _RESOLUTION * np.maximum(np.abs(walk.means), 1.0)
    return walk.replace(sigmas=np.where(np.isnan(changes), walk.sigmas, np.maximum(changes, floor)))


def _change_spread(series: Panel, rows: np.ndarray, items: np.ndarray, *, horizon: int) -> np.ndarray:
    """Root mean square [n, h, channel] of changes over h steps of each (row, node), up to the row; NaN where
    fewer than 30 were observed.
    """
    values = series.values[: int(rows.max()) + 1].astype(np.float64)
    spread = np.full((len(rows), horizon, values.shape[2]), np.nan)
    for h in range(1, min(horizon, len(values) - 1) + 1):
        change = values[h:] - values[:-h]  # [time - h, node, channel]
        seen = ~np.isnan(change)
        count = np.cumsum(seen, axis=0)
        total = np.cumsum(np.where(seen, change, 0.0) ** 2, axis=0)
        at = np.maximum(rows - h, 0)
        enough = (count[at, items] >= _ENOUGH) & (rows >= h)[:, None]
        spread[:, h - 1] = np.sqrt(total[at, items] / np.maximum(count[at, items], 1))
        spread[:, h - 1][~enough] = np.nan
    return spread
