"""What a model knows from training and asks of later data: its items, its frequency."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forecast_core.data import Panel
from forecast_core.errors import DataError, FrequencyError

__all__ = ["check_freq", "item_positions"]


def check_freq(panel: Panel, freq: str) -> None:
    """FrequencyError unless the panel has the frequency of training."""
    if str(panel.freq) != freq:
        raise FrequencyError("data.freq", f"is {freq}, as in training", got=str(panel.freq))


def item_positions(panel: Panel, known: Sequence[int | str]) -> np.ndarray:
    """Position in training of each item of a panel, [item]; DataError for one that was not there."""
    where = {item: k for k, item in enumerate(known)}
    unknown = next((item for item in panel.item_ids if item not in where), None)
    if unknown is not None:
        raise DataError(
            "data.item_ids",
            "were all seen in training",
            got=repr(unknown),
            hint="fit on a panel that holds it",
        )
    return np.array([where[item] for item in panel.item_ids])
