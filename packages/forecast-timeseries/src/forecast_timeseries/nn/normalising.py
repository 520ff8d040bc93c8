"""Normalisation of each window by its own context."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["window_statistics"]

_LEAST_SPREAD = 0.05  # of the item's spread in training


def window_statistics(values: Tensor, observed: Tensor, *, used: bool) -> tuple[Tensor, Tensor]:
    """Mean and spread [n, 1, target] of what was observed of contexts [n, time, target]; where they are
    not used, 0 and 1.

    A window that was hardly observed stays on its item's scale; one that hardly changes, nearly so.
    Source: Kim et al. 2022, Reversible Instance Normalization.
    """
    if not used:
        shape = (values.shape[0], 1, values.shape[2])
        return values.new_zeros(shape), values.new_ones(shape)
    count = observed.sum(1, keepdim=True)
    shift = (values * observed).sum(1, keepdim=True) / count.clamp_min(1.0)
    spread = (((values - shift) * observed) ** 2).sum(1, keepdim=True) / count.clamp_min(1.0)
    return shift, torch.where(count > 1, spread.sqrt().clamp_min(_LEAST_SPREAD), 1.0)
