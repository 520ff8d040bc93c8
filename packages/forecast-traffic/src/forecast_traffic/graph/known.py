"""What a model knows from training and asks of later data: its nodes, channels and frequency."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forecast_core.errors import DataError, FrequencyError, ShapeError
from forecast_traffic.graph.panel import GraphPanel

__all__ = ["check_same_kind", "node_positions"]


def check_same_kind(panel: GraphPanel, *, freq: str, channels: Sequence[str]) -> None:
    """FrequencyError or ShapeError unless the panel has the frequency and channels of training."""
    if str(panel.freq) != freq:
        raise FrequencyError("data.freq", f"is {freq}, as in training", got=str(panel.freq))
    if panel.channel_names != tuple(channels):
        raise ShapeError(
            "data.channel_names", f"is {list(channels)}, as in training", got=list(panel.channel_names)
        )


def node_positions(panel: GraphPanel, known: Sequence[int | str]) -> np.ndarray:
    """Position in training of each node of a panel, [node]; DataError for one that was not there."""
    where = {node: k for k, node in enumerate(known)}
    unknown = next((k for k, node in enumerate(panel.node_ids) if node not in where), None)
    if unknown is not None:
        raise DataError(
            "data.node_ids",
            "were all seen in training",
            place=f"node {unknown}",
            got=repr(panel.node_ids[unknown]),
            hint="fit on a panel that holds it",
        )
    return np.array([where[node] for node in panel.node_ids])
