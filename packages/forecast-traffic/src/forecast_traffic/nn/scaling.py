"""What puts a network's numbers on the scale of the layers; fitted on observed training values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from forecast_core.errors import DataError
from forecast_core.preprocessing import StandardScaler
from forecast_traffic.graph.panel import GraphPanel

__all__ = ["NetworkScaling"]

_WEATHER = ("weather_shift", "weather_scale")


@dataclass(frozen=True)
class NetworkScaling:
    """Mean and standard deviation [node, channel] of values, the same for all nodes or each node's own, and
    of each number of weather [w], or None; quantiles [channel, level] of the scaled training values. A number
    of weather that never changed has an infinite scale: whatever it is later, it is 0 to the network.
    """

    shift: np.ndarray
    scale: np.ndarray
    quantiles: np.ndarray
    weather_shift: np.ndarray | None = None
    weather_scale: np.ndarray | None = None

    @classmethod
    def fit(
        cls, panel: GraphPanel, *, rows: int, levels: np.ndarray, over: Literal["network", "node"] = "network"
    ) -> Self:
        """From the first `rows` rows; DataError where a channel was never observed in them.

        over: whose mean and spread; a node without observations, or that never changes, has the network's.
        """
        values = panel.values[:rows].astype(np.float64)
        if not panel.mask[:rows].any(axis=(0, 1)).all():
            raise DataError("data.values", "hold an observation of every channel")
        of_channel = _fitted(values)
        shift, scale = (np.tile(each, (values.shape[1], 1)) for each in of_channel)  # [node, channel]
        if over == "node":
            state = StandardScaler().fit(values, axis=0).state()
            own = state["shift"][0], state["scale"][0]
            count = panel.mask[:rows].sum(axis=0)
            changes = (count > 1) & (np.nanmax(np.where(count > 0, np.abs(values - own[0]), 0.0), axis=0) > 0)
            shift, scale = np.where(changes, own[0], shift), np.where(changes, own[1], scale)
        quantiles = np.nanquantile((values - shift) / scale, levels, axis=(0, 1)).T  # [channel, level]
        if panel.weather is None:
            return cls(shift, scale, quantiles)
        return cls(shift, scale, quantiles, *_fitted(panel.weather[:rows], constant=np.inf))

    def values(self, values: np.ndarray) -> np.ndarray:
        """Values [..., node, channel] on the network's scale, float64; NaN stays NaN."""
        result: np.ndarray = (values - self.shift) / self.scale
        return result

    def weather(self, weather: np.ndarray) -> np.ndarray:
        """Weather [..., w] on the network's scale, float64; NaN stays NaN."""
        assert self.weather_shift is not None
        result: np.ndarray = (weather - self.weather_shift) / self.weather_scale
        return result

    def state(self) -> dict[str, np.ndarray]:
        """Arrays for storage, from which `from_state` makes an equal scaling."""
        arrays = {"shift": self.shift, "scale": self.scale, "quantiles": self.quantiles}
        arrays |= {name: value for name in _WEATHER if (value := getattr(self, name)) is not None}
        return {f"scaling.{name}": value for name, value in arrays.items()}

    @classmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The scaling whose `state` is among these arrays."""
        weather = [arrays.get(f"scaling.{name}") for name in _WEATHER]
        needed = (arrays[f"scaling.{name}"] for name in ("shift", "scale", "quantiles"))
        return cls(*needed, *weather)


def _fitted(values: np.ndarray, *, constant: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Shift and scale of the last axis; `constant`: the scale of what never changes."""
    state = StandardScaler().fit(values, axis=tuple(range(values.ndim - 1)), constant=constant).state()
    return state["shift"].reshape(-1), state["scale"].reshape(-1)
