"""Moments of Gaussian mixtures."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from forecast_core.errors import ShapeError

__all__ = ["Moments", "mixture_to_moments"]


class Moments(NamedTuple):
    """Mean and variance, each [...], in the target's unit and its square."""

    mean: np.ndarray
    variance: np.ndarray


def mixture_to_moments(weights: np.ndarray, means: np.ndarray, sigmas: np.ndarray) -> Moments:
    """Mean sum_k w_k mu_k and variance sum_k w_k (sigma_k^2 + (mu_k - mean)^2) of Gaussian mixtures.

    means, sigmas: [..., K]; weights: [..., K], summing to 1, any axis but the last may be 1 (weights shared
    over the horizon). Computed in float64. Raises ShapeError where shapes do not go together.
    """
    w, mu, sigma = (np.asarray(a, dtype=np.float64) for a in (weights, means, sigmas))
    if mu.ndim < 1 or sigma.shape != mu.shape:
        raise ShapeError("sigmas", f"has the shape of means {mu.shape}", got=sigma.shape)
    fits = w.ndim == mu.ndim and w.shape[-1] == mu.shape[-1]
    if not fits or any(n not in (1, full) for n, full in zip(w.shape, mu.shape, strict=True)):
        raise ShapeError("weights", f"is {mu.shape}, or 1 on axes before the last", got=w.shape)
    mean = (w * mu).sum(-1)
    variance = (w * (sigma**2 + (mu - mean[..., None]) ** 2)).sum(-1)
    return Moments(mean, variance)
