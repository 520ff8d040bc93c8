"""What puts a panel's numbers on the network's scale, fitted on training rows and stored with the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from forecast_core.data import Panel
from forecast_core.preprocessing import MinMaxScaler, Scaler, StandardScaler
from forecast_timeseries.channels import check_size, completed

__all__ = ["PanelScaling"]

_PARTS = ("targets", "past", "future", "static")


@dataclass(frozen=True)
class PanelScaling:
    """Shift and scale in float64: of each item's targets [item, target], and of each covariate.

    Scaling comes before the cast to float32, so that a large level does not swallow small changes. Of items
    that never changed, or were never observed, see `completed`. A covariate that never changed has an
    infinite scale: whatever it is later, it is 0 to the network, which learnt nothing of it.
    """

    shift: Mapping[str, np.ndarray]
    scale: Mapping[str, np.ndarray]

    @classmethod
    def fit(cls, panel: Panel, *, spans: np.ndarray, how: Literal["standard", "minmax"] = "standard") -> Self:
        """From the rows and items of `spans` [rows, item]: mean and standard deviation, or smallest value and
        range.
        """
        check_size(panel.values[: len(spans)])
        kind: type[Scaler] = StandardScaler if how == "standard" else MinMaxScaler
        parts: dict[str, tuple[np.ndarray | None, np.ndarray, int | tuple[int, ...]]] = {
            "targets": (panel.values, spans, 0),
            "past": (panel.past_covariates, spans, (0, 1)),
            "future": (panel.future_covariates, spans, (0, 1)),
            "static": (panel.static_covariates, spans.max(axis=0), 0),
        }
        shift, scale = {}, {}
        for name, (values, within, axis) in parts.items():
            if values is not None:
                values = values[: len(within)]
                mask = np.broadcast_to(within[..., None], values.shape)
                state = kind().fit(values, mask, axis=axis, constant=np.inf).state()
                last = values.shape[1:] if name == "targets" else values.shape[-1:]
                shift[name], scale[name] = state["shift"].reshape(last), state["scale"].reshape(last)
        seen = (~np.isnan(panel.values[: len(spans)]) & spans[..., None]).any(axis=0)
        varies = np.isfinite(scale["targets"])
        shift["targets"], scale["targets"] = completed(
            shift["targets"], scale["targets"], seen=seen, varies=varies
        )
        return cls(shift, scale)

    def of_items(self, index: np.ndarray) -> PanelScaling:
        """The scaling of some of the items, by their positions in training."""
        return PanelScaling(
            {**self.shift, "targets": self.shift["targets"][index]},
            {**self.scale, "targets": self.scale["targets"][index]},
        )

    def apply(self, part: str, values: np.ndarray) -> np.ndarray:
        """Values of a part on the network's scale, float64; NaN stays NaN."""
        result: np.ndarray = (values - self.shift[part]) / self.scale[part]
        return result

    def state(self) -> dict[str, np.ndarray]:
        """Arrays for storage, from which `from_state` makes an equal scaling."""
        return {
            f"scaling.{part}.{kind}": values[part]
            for part in _PARTS
            for kind, values in (("shift", self.shift), ("scale", self.scale))
            if part in values
        }

    @classmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """The scaling whose `state` is among these arrays."""
        parts = [part for part in _PARTS if f"scaling.{part}.shift" in arrays]
        return cls(
            {part: arrays[f"scaling.{part}.shift"] for part in parts},
            {part: arrays[f"scaling.{part}.scale"] for part in parts},
        )
