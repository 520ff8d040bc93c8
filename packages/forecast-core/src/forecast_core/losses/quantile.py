"""Losses of quantile forecasts, and the head that keeps quantiles in order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from forecast_core.errors import InvalidInputError
from forecast_core.losses.checks import as_floats, as_vector, check_mask, check_parameters
from forecast_core.losses.masked import Reduction, keep_observed, masked_reduce

__all__ = ["crps_quantiles", "noncrossing_quantiles", "pinball_loss"]


def pinball_loss(
    targets: Tensor,
    quantiles: Tensor,
    *,
    levels: Tensor | Sequence[float],
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Pinball loss max(tau (y - q), (tau - 1) (y - q)), mean over the levels, in the target's unit.

    targets, mask: [...]; quantiles: [..., Q]; levels: Q numbers in (0, 1), increasing (a tensor is taken at
    its word, and on the device it costs no copy). Returns a scalar, or [...] for reduction "none".
    Raises ShapeError if shapes differ, InvalidInputError for levels out of order or bounds.
    Source: Koenker and Bassett (1978), Regression quantiles.
    """
    losses, _ = _pinball(targets, quantiles, levels, mask)
    return masked_reduce(losses.mean(-1), mask, reduction=reduction)


def crps_quantiles(
    targets: Tensor,
    quantiles: Tensor,
    *,
    levels: Tensor | Sequence[float],
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """CRPS = 2 integral of the pinball loss over tau in (0, 1), by quadrature at the levels.

    Each level counts with the width of its cell: the cells meet half-way between levels and reach 0 and 1,
    so unevenly spaced levels are weighted as they should be, and levels (i - 1/2) / Q all count 2 / Q.
    Arguments, result and errors as for `pinball_loss`.
    Source: Laio and Tamea (2007), Verification tools for probabilistic forecasts.
    """
    losses, levels = _pinball(targets, quantiles, levels, mask)
    middle = 0.5 * (levels[1:] + levels[:-1])
    edges = F.pad(F.pad(middle, (1, 0), value=0.0), (0, 1), value=1.0)  # [Q + 1]
    return masked_reduce(2.0 * (losses * edges.diff()).sum(-1), mask, reduction=reduction)


def noncrossing_quantiles(raw: Tensor, *, anchor: int | None = None) -> Tensor:
    """Quantiles that cannot cross, from free outputs: the anchor plus and minus cumulative softplus steps.

    raw [..., Q]; entry `anchor` (default the middle one, Q // 2) is taken as it is, the others are steps
    away from it, q_(a+k) = q_a + sum_(j<=k) softplus(raw_(a+j)), and the mirror image below.
    Returns [..., Q], never falling along the last axis. Raises ShapeError without a last axis,
    InvalidInputError for an anchor that is none of its entries.
    Source: Park et al. (2022), Learning quantile functions without quantile crossing.
    """
    check_parameters("raw", raw, raw.shape[:-1])
    count = raw.shape[-1]
    anchor = count // 2 if anchor is None else anchor
    if not 0 <= anchor < count:
        raise InvalidInputError("anchor", f"is an index in 0 .. {count - 1}", got=anchor)
    centre, steps = raw[..., anchor : anchor + 1], F.softplus(raw)
    below = steps[..., :anchor].flip(-1).cumsum(-1).flip(-1)
    above = steps[..., anchor + 1 :].cumsum(-1)
    return torch.cat([centre - below, centre, centre + above], dim=-1)


def _pinball(
    targets: Tensor, quantiles: Tensor, levels: Tensor | Sequence[float], mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Losses [..., Q] and the levels as a tensor [Q]."""
    check_parameters("quantiles", quantiles, targets.shape)
    check_mask(mask, targets.shape)
    if not isinstance(levels, Tensor):
        bounded = all(0.0 < level < 1.0 for level in levels)
        if not bounded or any(low >= high for low, high in pairwise(levels)):
            raise InvalidInputError("levels", "increase strictly within (0, 1)", got=list(levels))
    targets, quantiles = as_floats(targets, quantiles)
    tau = as_vector("levels", levels, quantiles)
    error = keep_observed(targets, mask)[..., None] - keep_observed(quantiles, mask)
    return torch.maximum(tau * error, (tau - 1.0) * error), tau
