"""The last layer of a network: a Gaussian mixture for each node, step and channel; and its losses."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from forecast_core.losses import MixtureParameters

__all__ = ["SIGMA_FLOOR", "MixtureHead", "StepMixtureHead", "mixture_median"]

SIGMA_FLOOR = 1e-3  # in scaled units
_BISECTIONS = 14


class MixtureHead(nn.Module):
    """features [..., F] -> mixtures [..., H, C, K] in scaled units, the same layer for all steps at once.

    mu_k = base + anchor_k + raw, sigma = softplus(raw) + 1e-3, weights by log-softmax. Means begin at anchors
    [C, K] (quantiles of training values or changes), so components begin apart. weights: "shared" has one set
    of weights a node for the whole horizon, "step" one for each step.
    """

    anchors: Tensor

    def __init__(self, features: int, *, horizon: int, anchors: Tensor, weights: str = "step") -> None:
        super().__init__()
        channels, components = anchors.shape
        self.shape = (horizon, channels, components)
        self.register_buffer("anchors", anchors.clone())
        size = math.prod(self.shape)
        self.weight_steps = horizon if weights == "step" else 1
        self.means = nn.Linear(features, size)
        self.sigmas = nn.Linear(features, size)
        self.logits = nn.Linear(features, self.weight_steps * channels * components)
        for layer in (self.means, self.sigmas, self.logits):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
        spread = anchors.max() - anchors.min() if components > 1 else torch.tensor(1.0)
        start = (spread / components).clamp(0.1, 2.0)
        nn.init.constant_(self.sigmas.bias, float(torch.log(torch.expm1(start))))

    def forward(self, features: Tensor, base: Tensor | None = None) -> MixtureParameters:
        """features [..., F], base [..., 1 | H, C] added to all means; logits [..., 1 | H, C, K]."""
        means = self.means(features).unflatten(-1, self.shape) + self.anchors
        if base is not None:
            means = means + base[..., None]
        sigmas = F.softplus(self.sigmas(features).unflatten(-1, self.shape)) + SIGMA_FLOOR
        logits = self.logits(features).unflatten(-1, (self.weight_steps, *self.shape[1:]))
        return MixtureParameters(logits, means, sigmas)


class StepMixtureHead(nn.Module):
    """features [..., H, F], one vector a step -> mixtures [..., H, C, K], by one layer for every step.

    weights: "shared" makes one set of weights of the steps' mean features; else as `MixtureHead`.
    """

    def __init__(self, features: int, *, anchors: Tensor, weights: str = "step") -> None:
        super().__init__()
        self.shared = weights == "shared"
        self.each = MixtureHead(features, horizon=1, anchors=anchors)

    def forward(self, features: Tensor, base: Tensor | None = None) -> MixtureParameters:
        """features [..., H, F], base [..., 1 | H, C]; logits [..., 1 | H, C, K]."""
        logits, means, sigmas = (each.squeeze(-3) for each in self.each(features))
        if self.shared:
            logits = self.each.logits(features.mean(-2, keepdim=True)).unflatten(-1, means.shape[-2:])
        return MixtureParameters(logits, means if base is None else means + base[..., None], sigmas)


def mixture_median(mixture: MixtureParameters) -> Tensor:
    """Medians [...] of mixtures [..., K], with their exact gradient.

    Bisection between the smallest and the largest mean, then one Newton step, whose derivative is that of the
    median by the implicit function theorem: dm = -dF(m) / f(m).
    """
    logits, means, sigmas = (each.float() for each in mixture)
    weights = torch.softmax(logits, -1).expand_as(means)
    if means.shape[-1] == 1:
        return means[..., 0]
    with torch.no_grad():
        low, high = means.amin(-1), means.amax(-1)
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            below = _cdf(weights, means, sigmas, middle) < 0.5
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        found = 0.5 * (low + high)
        z = (found[..., None] - means) / sigmas
        density = (weights * torch.exp(-0.5 * z * z) / sigmas).sum(-1) / math.sqrt(2.0 * math.pi)
        density = density.clamp_min(1e-3)
    return found - (_cdf(weights, means, sigmas, found) - 0.5) / density


def _cdf(weights: Tensor, means: Tensor, sigmas: Tensor, x: Tensor) -> Tensor:
    z = (x[..., None] - means) / sigmas
    return (weights * (0.5 + 0.5 * torch.erf(z * math.sqrt(0.5)))).sum(-1)
