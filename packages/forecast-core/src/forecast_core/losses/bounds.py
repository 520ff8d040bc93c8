"""A clamp that a value can come back from."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

__all__ = ["clamp_inward"]


class _ClampInward(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(values: Tensor, low: float, high: float) -> Tensor:
        return values.clamp(low, high)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float, float], output: Tensor) -> None:
        values, ctx.low, ctx.high = inputs
        ctx.save_for_backward(values)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        (values,), (grad,) = ctx.saved_tensors, grad_outputs
        # A descent step moves against the gradient: outward below the floor is a positive gradient.
        outward = ((values < ctx.low) & (grad > 0)) | ((values > ctx.high) & (grad < 0))
        return grad.masked_fill(outward, 0.0), None, None


def clamp_inward(values: Tensor, *, low: float = -math.inf, high: float = math.inf) -> Tensor:
    """`values` clamped to [low, high], with the gradient that leads back inside left in place.

    values [...]; returns [...]. A plain clamp has gradient 0 beyond its bounds, so a parameter that steps
    over one stays there for good; here descent may still bring it back, and never carries it further out.
    """
    clamped: Tensor = _ClampInward.apply(values, low, high)  # type: ignore[no-untyped-call]
    return clamped
