"""What a network with a mixture head is trained for: weighted terms, which can also be told apart."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from forecast_core.losses import (
    MixtureParameters,
    crps_mixture,
    mixture_calibration,
    mixture_diversity,
    mixture_nll,
)
from forecast_core.losses.masked import masked_mae
from forecast_core.training import LossTerms
from forecast_traffic.configs import LossWeights
from forecast_traffic.nn.mixture_head import mixture_median
from forecast_traffic.nn.tensors import NetworkBatch

__all__ = ["MixtureObjective"]


@dataclass(frozen=True)
class MixtureObjective:
    """The loss of a batch: a weighted sum of terms, over what was observed.

    nll: of the scaled target, in nats. mae: of the median, in the target's unit divided by `unit`. crps:
    closed form, likewise. calibration and diversity: see `forecast_core.losses`. scale [N, C]: of each node's
    channels; unit: what errors are divided by, so that terms are of one size.
    """

    weights: LossWeights
    scale: Tensor
    unit: float = 1.0

    def __call__(self, module: nn.Module, batch: NetworkBatch) -> LossTerms:
        """The loss of a batch, and its terms before they are weighed."""
        terms = self.terms(module(batch), batch)
        total = torch.stack([weight * terms[name] for name, weight in self.weights if weight > 0]).sum()
        return LossTerms(total, terms)

    def terms(self, mixture: MixtureParameters, batch: NetworkBatch) -> dict[str, Tensor]:
        """The terms whose weight is above 0, each a scalar, by name."""
        targets, mask = batch.targets.transpose(1, 2), batch.observed.transpose(1, 2)  # [B, N, H, C]
        real = self.scale[:, None] / self.unit  # [N, 1, C], real units of a scaled one
        found: dict[str, Tensor] = {}
        if self.weights.nll > 0:
            found["nll"] = mixture_nll(targets, mixture, mask=mask)
        if self.weights.mae > 0:
            median = mixture_median(mixture) * real
            found["mae"] = masked_mae(targets.float() * real, median, mask=mask)
        if self.weights.crps > 0:
            scaled = MixtureParameters(
                mixture.logits, mixture.means * real[..., None], mixture.sigmas * real[..., None]
            )
            found["crps"] = crps_mixture(targets * real, scaled, mask=mask)
        if self.weights.calibration > 0:
            found["calibration"] = mixture_calibration(targets, mixture, mask=mask)
        if self.weights.diversity > 0:
            found["diversity"] = mixture_diversity(mixture, mask=mask)
        return found
