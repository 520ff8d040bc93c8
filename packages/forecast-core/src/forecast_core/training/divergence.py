"""Noticing that training went wrong, without waiting for the device at every step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from forecast_core.errors import ForecastError

__all__ = ["DivergenceError", "check_losses", "check_weights"]

_ADVICE = (
    "try a lower learning_rate, gradient_clip, or precision '32', and look for extreme values in the data"
)


class DivergenceError(ForecastError):
    """A loss or the weights became infinite or NaN; `epoch` and `step` count from 1, step 0 is validation."""

    def __init__(self, what: str, *, epoch: int, step: int, got: float | None = None) -> None:
        self.epoch, self.step = epoch, step
        where = f"epoch {epoch}, step {step}" if step else f"epoch {epoch}"
        value = "not finite" if got is None else str(got)
        super().__init__(f"the {what} became {value} in {where}; {_ADVICE}")


def check_losses(losses: Tensor, *, epoch: int, batches_per_step: int) -> None:
    """Raise DivergenceError at the first non-finite loss of an epoch's batches; losses [batch] on the CPU."""
    bad = torch.nonzero(~torch.isfinite(losses)).flatten()
    if len(bad):
        first = int(bad[0])
        raise DivergenceError(
            "training loss", epoch=epoch, step=first // batches_per_step + 1, got=float(losses[first])
        )


def check_weights(parameters: Sequence[Tensor], *, epoch: int, steps: int) -> None:
    """Raise DivergenceError unless all weights are finite after an epoch."""
    norms = torch.stack(torch._foreach_norm([p.detach() for p in parameters], float("inf")))
    if not bool(torch.isfinite(norms).all()):
        raise DivergenceError("weights", epoch=epoch, step=steps)
