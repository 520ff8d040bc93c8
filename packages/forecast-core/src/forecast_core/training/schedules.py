"""Learning rates as functions of the step, so that a schedule has no state to save."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi

from forecast_core.training.options import Schedule

__all__ = ["rate_factor"]

_START = 1 / 25  # of the peak, where one-cycle begins
_END = 1e-4  # of the start, where one-cycle ends
_FALL = 0.1  # at a milestone


def rate_factor(
    schedule: Schedule, step: int, *, total_steps: int, warmup: float = 0.3, milestones: Sequence[int] = ()
) -> float:
    """What the peak learning rate is multiplied by at `step`, 0..total_steps - 1.

    constant: 1. cosine: (1 + cos(pi step / total_steps)) / 2 (Loshchilov & Hutter 2017, SGDR, eq. 5, one
    period down to 0). one-cycle: cosine from 1/25 up to 1 over the share `warmup` of steps, then cosine
    down to 1/250000 (Smith & Topin 2018, with the shape and constants of torch's OneCycleLR). milestones: a
    tenth more from each of these steps on (as torch's MultiStepLR).
    """
    if schedule == "constant":
        return 1.0
    if schedule == "milestones":
        return _FALL ** sum(step >= each for each in milestones)
    if schedule == "cosine":
        return (1 + cos(pi * step / total_steps)) / 2
    top = warmup * total_steps - 1  # the step of the peak; the first one where there is no warm-up
    if 0 < top >= step:
        return _between(_START, 1.0, step / top)
    top = max(top, 0.0)
    rest = total_steps - 1 - top
    return _between(1.0, _START * _END, (step - top) / rest) if rest > 0 else 1.0


def _between(start: float, end: float, share: float) -> float:
    """Half a cosine from start (share 0) to end (share 1)."""
    return end + (start - end) * (1 + cos(pi * share)) / 2
