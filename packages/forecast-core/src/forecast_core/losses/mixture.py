"""Losses of a Gaussian mixture: log score and CRPS, and two terms that keep the mixture honest."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from forecast_core.errors import ShapeError
from forecast_core.losses.bounds import clamp_inward
from forecast_core.losses.checks import (
    as_floats,
    check_mask,
    check_parameters,
    check_positive,
    check_shape,
)
from forecast_core.losses.gaussian import SIGMA_FLOOR, absolute_moment, gaussian_log_density
from forecast_core.losses.masked import Reduction, keep_observed, masked_reduce

__all__ = ["MixtureParameters", "crps_mixture", "mixture_calibration", "mixture_diversity", "mixture_nll"]


class MixtureParameters(NamedTuple):
    """What a mixture head puts out, for targets [...].

    logits: unnormalised log weights [..., K], any axis but the last may be 1 (weights shared over the
    horizon); means, sigmas: [..., K], in the target's unit, sigma > 0.
    """

    logits: Tensor
    means: Tensor
    sigmas: Tensor


def mixture_nll(
    targets: Tensor,
    mixture: MixtureParameters,
    *,
    mask: Tensor | None = None,
    sigma_floor: float = SIGMA_FLOOR,
    reduction: Reduction = "mean",
) -> Tensor:
    """Negative log likelihood -ln sum_k w_k N(y; mu_k, sigma_k^2), in nats.

    Computed as -logsumexp_k(log_softmax(logits)_k + ln N(y; mu_k, sigma_k^2)), so that neither far targets
    nor vanishing weights underflow. targets, mask: [...]; mixture: [..., K]; sigma is raised to
    `sigma_floor` where smaller (the gradient that would widen it passes). Returns a scalar, or [...] for
    reduction "none". Raises ShapeError if shapes differ, InvalidInputError unless the floor is positive.
    Source: Bishop (1994), Mixture density networks.
    """
    targets, log_weights, means, sigmas = _prepare(targets, mixture, mask, sigma_floor)
    joint = log_weights + gaussian_log_density(targets[..., None] - means, sigmas)  # [..., K]
    return masked_reduce(-torch.logsumexp(joint, -1), mask, reduction=reduction)


def crps_mixture(
    targets: Tensor,
    mixture: MixtureParameters,
    *,
    mask: Tensor | None = None,
    sigma_floor: float = SIGMA_FLOOR,
    reduction: Reduction = "mean",
) -> Tensor:
    """CRPS of a Gaussian mixture, in the target's unit; lower is better.

    sum_i w_i A(y - mu_i, s_i) - 1/2 sum_ij w_i w_j A(mu_i - mu_j, sqrt(s_i^2 + s_j^2)) with
    A(m, s) = E|N(m, s^2)| = m (2 Phi(m / s) - 1) + 2 s phi(m / s); each pair i < j is worked out once,
    and A(0, sqrt(2) s_i) = 2 s_i / sqrt(pi). Costs K^2 / 2 a target.
    Arguments, result and errors as for `mixture_nll`.
    Source: Grimit et al. (2006), The continuous ranked probability score for circular variables, eq. 4.
    """
    targets, log_weights, means, sigmas = _prepare(targets, mixture, mask, sigma_floor)
    weights = log_weights.exp()
    to_target = (weights * absolute_moment(targets[..., None] - means, sigmas)).sum(-1)
    own = (weights.square() * sigmas).sum(-1) / math.sqrt(math.pi)
    i, j = torch.triu_indices(means.shape[-1], means.shape[-1], offset=1, device=means.device)
    spread = torch.hypot(sigmas[..., i], sigmas[..., j])  # [..., pairs]
    moments = absolute_moment(means[..., i] - means[..., j], spread)
    apart = (weights[..., i] * weights[..., j] * moments).sum(-1)
    return masked_reduce(to_target - own - apart, mask, reduction=reduction)


def mixture_diversity(
    mixture: MixtureParameters,
    *,
    mask: Tensor | None = None,
    sigma_floor: float = SIGMA_FLOOR,
    reduction: Reduction = "mean",
) -> Tensor:
    """How much the components overlap, 0 (apart) to 1 (all the same); a penalty against their collapse.

    The mean over pairs i < j of the Bhattacharyya coefficient of the two Gaussians,
    sqrt(2 s_i s_j / (s_i^2 + s_j^2)) exp(-(mu_i - mu_j)^2 / (4 (s_i^2 + s_j^2))): free of units, and the
    same whatever the weights, so that a component cannot hide by losing its weight. 0 for one component.
    mixture: [..., K]; mask: [...]. Returns a scalar, or [...] for reduction "none". Errors as `mixture_nll`.
    Source: Bhattacharyya (1943); as a repulsion between components, Petralia et al. (2012).
    """
    _check(mixture, mixture.means.shape[:-1], mask, sigma_floor)
    means, sigmas = as_floats(mixture.means, mixture.sigmas)
    means = keep_observed(means, mask)
    sigmas = clamp_inward(keep_observed(sigmas, mask, fill=1.0), low=sigma_floor)
    i, j = torch.triu_indices(means.shape[-1], means.shape[-1], offset=1, device=means.device)
    spread = torch.hypot(sigmas[..., i], sigmas[..., j])  # [..., pairs]
    distance = 0.5 * (means[..., i] - means[..., j]) / spread
    affinity = torch.sqrt(2.0 * (sigmas[..., i] / spread) * (sigmas[..., j] / spread))
    overlap = affinity * torch.exp(-distance.square())
    return masked_reduce(overlap.sum(-1) / max(1, len(i)), mask, reduction=reduction)


def mixture_calibration(
    targets: Tensor,
    mixture: MixtureParameters,
    *,
    mask: Tensor | None = None,
    sigma_floor: float = SIGMA_FLOOR,
) -> Tensor:
    """How far the batch is from calibrated: mean over i of (u_(i) - (i - 1/2) / n)^2, in 0 .. 1/3.

    u = sum_k w_k Phi((y - mu_k) / sigma_k) are the probability integral transforms of the n observed
    targets, sorted; they are uniform where the forecast is calibrated, and the term is the Cramer-von Mises
    distance to that. One number for the whole batch, so it wants batches of a hundred targets or more. It is
    no proper score (a climatology is calibrated): add it to one, with a small weight.
    targets, mask: [...]; mixture: [..., K]. Returns a scalar. Errors as for `mixture_nll`.
    Source: Dheur and Ben Taieb (2023), A large-scale study of probabilistic calibration in neural network
    regression (PCE-Sort, p = 2).
    """
    targets, log_weights, means, sigmas = _prepare(targets, mixture, mask, sigma_floor)
    cdf = 0.5 + 0.5 * torch.erf((targets[..., None] - means) / sigmas * math.sqrt(0.5))  # [..., K]
    pit = (log_weights.exp() * cdf).sum(-1)
    order = torch.sort(keep_observed(pit, mask, fill=2.0).flatten()).values  # unobserved ones come last
    rank = torch.arange(order.numel(), device=order.device)
    if mask is None:
        uniform = (rank + 0.5) / max(1, order.numel())
        return masked_reduce((order - uniform).square())
    observed = mask.sum()
    uniform = (rank + 0.5) / observed.clamp(min=1)
    return masked_reduce((order - uniform).square(), rank < observed)


def _prepare(
    targets: Tensor, mixture: MixtureParameters, mask: Tensor | None, sigma_floor: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Checked and cleaned: targets [...], log weights [... or 1, K], means and sigmas [..., K]."""
    _check(mixture, targets.shape, mask, sigma_floor)
    targets, logits, means, sigmas = as_floats(targets, *mixture)
    if mask is not None:
        logits = keep_observed(logits.expand_as(means), mask)
    sigmas = clamp_inward(keep_observed(sigmas, mask, fill=1.0), low=sigma_floor)
    log_weights = torch.log_softmax(logits, -1)
    return keep_observed(targets, mask), log_weights, keep_observed(means, mask), sigmas


def _check(mixture: MixtureParameters, shape: torch.Size, mask: Tensor | None, sigma_floor: float) -> None:
    logits, means, sigmas = mixture
    check_parameters("means", means, shape)
    check_shape("sigmas", sigmas, means.shape)
    check_mask(mask, shape)
    check_positive("sigma_floor", sigma_floor)
    fits = logits.ndim == means.ndim and logits.shape[-1] == means.shape[-1]
    if not fits or any(n not in (1, full) for n, full in zip(logits.shape, means.shape, strict=True)):
        expected = f"{tuple(means.shape)} as means, or 1 on axes before the last"
        raise ShapeError("logits", f"has the shape {expected}", got=tuple(logits.shape))
