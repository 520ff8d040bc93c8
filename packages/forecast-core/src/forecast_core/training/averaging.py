"""An exponential moving average of weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

__all__ = ["WeightAverage"]


class WeightAverage:
    """Follows parameters: average <- d average + (1 - d) parameter, once a step.

    d = min(decay, (1 + t) / (10 + t)) at step t = 1, 2, ..., so that the weights of the start are soon
    forgotten (Polyak & Juditsky 1992 for averaging; the rise of d as in TensorFlow's
    ExponentialMovingAverage with num_updates). Buffers are not averaged.
    """

    def __init__(self, parameters: Sequence[Tensor], decay: float) -> None:
        self.decay, self.steps = decay, 0
        self._parameters = list(parameters)
        self.average = [parameter.detach().clone() for parameter in parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Take one step towards the parameters as they are now."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self.average, self._parameters, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within, the parameters are the average."""
        own = [parameter.detach().clone() for parameter in self._parameters]
        self.apply()
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self._parameters, own)

    @torch.no_grad()
    def apply(self) -> None:
        """Set the parameters to the average."""
        torch._foreach_copy_(self._parameters, self.average)

    def state(self) -> dict[str, Any]:
        """What `restore` needs."""
        return {"steps": self.steps, "average": list(self.average)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from an earlier state."""
        self.steps = state["steps"]
        for mine, saved in zip(self.average, state["average"], strict=True):
            mine.copy_(saved)
