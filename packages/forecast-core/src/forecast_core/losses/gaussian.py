"""Losses of a Gaussian forecast: log score, beta-NLL, CRPS."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from forecast_core.errors import InvalidInputError
from forecast_core.losses.bounds import clamp_inward
from forecast_core.losses.checks import as_floats, check_mask, check_positive, check_shape
from forecast_core.losses.masked import Reduction, keep_observed, masked_reduce

__all__ = [
    "SIGMA_FLOOR",
    "absolute_moment",
    "beta_nll",
    "crps_gaussian",
    "gaussian_log_density",
    "gaussian_nll",
]

SIGMA_FLOOR = 1e-6
"""Smallest standard deviation that a loss reckons with: softplus(-120) is 0 in float32."""


def gaussian_nll(
    targets: Tensor,
    means: Tensor,
    *,
    sigmas: Tensor,
    mask: Tensor | None = None,
    sigma_floor: float = SIGMA_FLOOR,
    reduction: Reduction = "mean",
) -> Tensor:
    """Negative log likelihood ((y - mu) / sigma)^2 / 2 + ln sigma + ln(2 pi) / 2, in nats.

    targets, means, sigmas, mask: [...]; sigma in the target's unit, raised to `sigma_floor` where smaller
    (the gradient that would widen it passes). Returns a scalar, or [...] for reduction "none".
    Raises ShapeError if shapes differ, InvalidInputError unless the floor is positive.
    Source: the logarithmic score, Good (1952); Gneiting and Raftery (2007), section 4.
    """
    targets, means, sigmas = _prepare(targets, means, sigmas, mask, sigma_floor)
    return masked_reduce(-gaussian_log_density(targets - means, sigmas), mask, reduction=reduction)


def beta_nll(
    targets: Tensor,
    means: Tensor,
    *,
    sigmas: Tensor,
    beta: float = 0.5,
    mask: Tensor | None = None,
    sigma_floor: float = SIGMA_FLOOR,
    reduction: Reduction = "mean",
) -> Tensor:
    """beta-NLL: stop_gradient(sigma^(2 beta)) * NLL; 0 is the NLL, 1 gives the mean the gradient of the MSE.

    Samples that the network finds hard keep their pull on the mean, which the plain NLL takes from them.
    Arguments, result and errors as for `gaussian_nll`; InvalidInputError unless 0 <= beta <= 1.
    The value is a surrogate: compare models by `gaussian_nll` or `crps_gaussian`, not by it.
    Source: Seitzer et al. (2022), On the pitfalls of heteroscedastic uncertainty estimation.
    """
    if not 0.0 <= beta <= 1.0:
        raise InvalidInputError("beta", "lies in [0, 1]", got=beta)
    targets, means, sigmas = _prepare(targets, means, sigmas, mask, sigma_floor)
    scale = sigmas.detach().pow(2.0 * beta)
    return masked_reduce(-scale * gaussian_log_density(targets - means, sigmas), mask, reduction=reduction)


def crps_gaussian(
    targets: Tensor,
    means: Tensor,
    *,
    sigmas: Tensor,
    mask: Tensor | None = None,
    sigma_floor: float = SIGMA_FLOOR,
    reduction: Reduction = "mean",
) -> Tensor:
    """CRPS of N(mu, sigma^2) in the target's unit: sigma (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)).

    z = (y - mu) / sigma. Arguments, result and errors as for `gaussian_nll`.
    Source: Gneiting et al. (2005), Calibrated probabilistic forecasting using EMOS, eq. 5.
    """
    targets, means, sigmas = _prepare(targets, means, sigmas, mask, sigma_floor)
    losses = absolute_moment(targets - means, sigmas) - sigmas / math.sqrt(math.pi)
    return masked_reduce(losses, mask, reduction=reduction)


def gaussian_log_density(differences: Tensor, sigmas: Tensor) -> Tensor:
    """ln N(difference; 0, sigma^2), elementwise; [...] and [...] to [...]."""
    z = differences / sigmas
    return -0.5 * z.square() - sigmas.log() - 0.5 * math.log(2.0 * math.pi)


def absolute_moment(means: Tensor, sigmas: Tensor) -> Tensor:
    """E|X| for X ~ N(mean, sigma^2) = mu (2 Phi(mu / sigma) - 1) + 2 sigma phi(mu / sigma), elementwise."""
    z = means / sigmas
    density = torch.exp(-0.5 * z.square()) * math.sqrt(2.0 / math.pi)  # 2 phi(z)
    return means * torch.erf(z * math.sqrt(0.5)) + sigmas * density


def _prepare(
    targets: Tensor, means: Tensor, sigmas: Tensor, mask: Tensor | None, sigma_floor: float
) -> tuple[Tensor, Tensor, Tensor]:
    check_shape("means", means, targets.shape)
    check_shape("sigmas", sigmas, targets.shape)
    check_mask(mask, targets.shape)
    check_positive("sigma_floor", sigma_floor)
    targets, means, sigmas = as_floats(targets, means, sigmas)
    sigmas = clamp_inward(keep_observed(sigmas, mask, fill=1.0), low=sigma_floor)
    return keep_observed(targets, mask), keep_observed(means, mask), sigmas
