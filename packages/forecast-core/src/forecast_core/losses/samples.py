"""Losses of forecasts given as samples: CRPS of single values, energy score of vectors."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from forecast_core.errors import InvalidInputError, ShapeError
from forecast_core.losses.checks import as_floats, check_mask, check_parameters
from forecast_core.losses.masked import Reduction, keep_observed, masked_reduce

__all__ = ["Estimator", "crps_samples", "energy_score"]

Estimator = Literal["fair", "plain"]


def crps_samples(
    targets: Tensor,
    samples: Tensor,
    *,
    estimator: Estimator = "fair",
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """CRPS = E|X - y| - E|X - X'| / 2 from M samples, in the target's unit, in O(M log M).

    The second mean is taken over M^2 pairs ("plain": the score of the samples' own distribution), or over
    the M (M - 1) pairs of different samples ("fair": unbiased for the distribution that they come from, the
    one to train with). targets, mask: [...]; samples: [..., M]. Returns a scalar, or [...] for "none".
    Raises ShapeError if shapes differ or M = 1 with "fair", InvalidInputError for another estimator.
    Source: Ferro (2014), Fair scores for ensemble forecasts; Gneiting and Raftery (2007), eq. 21.
    """
    check_parameters("samples", samples, targets.shape)
    check_mask(mask, targets.shape)
    m = samples.shape[-1]
    pairs = _pairs(m, estimator)
    targets, samples = as_floats(targets, samples)
    error = keep_observed(samples, mask) - keep_observed(targets, mask)[..., None]  # [..., M]
    # sum_ij |x_i - x_j| = 2 sum_i (2 i - M - 1) x_(i); errors instead of samples, for digits
    rank = torch.arange(1 - m, m, 2, device=error.device, dtype=error.dtype)  # [M]
    spread = 2.0 * (torch.sort(error, dim=-1).values * rank).sum(-1) / pairs
    return masked_reduce(error.abs().mean(-1) - 0.5 * spread, mask, reduction=reduction)


def energy_score(
    targets: Tensor,
    samples: Tensor,
    *,
    estimator: Estimator = "fair",
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Energy score E||X - y|| - E||X - X'|| / 2 of vectors, Euclidean norm: the CRPS for more dimensions.

    targets: [..., D]; samples: [..., M, D]; mask: [...], a whole vector observed or not. All components
    need one unit (standardise first). Costs M^2 distances. Estimators as for `crps_samples`. Returns a
    scalar, or [...] for reduction "none". Raises ShapeError if shapes differ or M = 1 with "fair".
    Source: Gneiting and Raftery (2007), Strictly proper scoring rules, eq. 22 (beta = 1).
    """
    fits = targets.ndim >= 1 and samples.ndim == targets.ndim + 1 and 0 not in samples.shape[-2:]
    if not fits or samples.shape[:-2] + samples.shape[-1:] != targets.shape:
        expected = f"[..., M, D] for targets [..., D] of shape {tuple(targets.shape)}"
        raise ShapeError("samples", f"has the shape {expected}", got=tuple(samples.shape))
    check_mask(mask, targets.shape[:-1])
    pairs = _pairs(samples.shape[-2], estimator)
    targets, samples = as_floats(targets, samples)
    error = keep_observed(samples, mask) - keep_observed(targets, mask)[..., None, :]  # [..., M, D]
    distances = torch.cdist(error, error, compute_mode="donot_use_mm_for_euclid_dist")  # [..., M, M]
    to_target = torch.linalg.vector_norm(error, dim=-1).mean(-1)
    return masked_reduce(to_target - 0.5 * distances.sum((-2, -1)) / pairs, mask, reduction=reduction)


def _pairs(m: int, estimator: Estimator) -> int:
    if estimator not in get_args(Estimator):
        raise InvalidInputError("estimator", f"is one of {get_args(Estimator)}", got=repr(estimator))
    if estimator == "fair" and m < 2:
        raise ShapeError("samples", "holds at least two samples for the fair estimator", got=m)
    return m * (m - 1) if estimator == "fair" else m * m
