"""Errors of point forecasts over the observed targets, and the reduction that all losses share."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from forecast_core.errors import InvalidInputError
from forecast_core.losses.checks import as_floats, check_mask, check_positive, check_shape

__all__ = ["Reduction", "keep_observed", "masked_huber", "masked_mae", "masked_mse", "masked_reduce"]

Reduction = Literal["mean", "sum", "none"]


def keep_observed(values: Tensor, mask: Tensor | None, *, fill: float = 0.0) -> Tensor:
    """`values` with `fill` wherever the mask is False; unchanged without a mask.

    values [...] or [..., K], mask [...]. Applied to the arguments of a loss, not to its result: 0 times the
    infinite slope of a loss at a NaN would be NaN in the gradient, whatever is done to the result.
    """
    if mask is None:
        return values
    while mask.ndim < values.ndim:
        mask = mask[..., None]
    return torch.where(mask, values, fill)


def masked_reduce(losses: Tensor, mask: Tensor | None = None, *, reduction: Reduction = "mean") -> Tensor:
    """Loss elements [...] brought to a scalar over the observed ones (`mask` [...], True = observed).

    "mean": sum over observed / max(1, number observed), so 0 with gradient 0 where nothing is observed;
    "sum": the sum over observed; "none": [...] with 0 under the mask.
    Raises InvalidInputError for another reduction or a mask that is not boolean, ShapeError for its shape.
    """
    if reduction not in get_args(Reduction):
        raise InvalidInputError("reduction", f"is one of {get_args(Reduction)}", got=repr(reduction))
    check_mask(mask, losses.shape)
    losses = keep_observed(losses, mask)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    if mask is None:
        return losses.sum() / max(1, losses.numel())
    return losses.sum() / mask.sum().clamp(min=1)


def masked_mae(
    targets: Tensor, predictions: Tensor, *, mask: Tensor | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """Mean absolute error |y - f|, in the target's unit; the median minimises its expectation.

    targets, predictions, mask: [...]. Returns a scalar, or [...] for reduction "none".
    Raises ShapeError if shapes differ. Source: Gneiting (2011), Making and evaluating point forecasts.
    """
    return masked_reduce(_difference(targets, predictions, mask).abs(), mask, reduction=reduction)


def masked_mse(
    targets: Tensor, predictions: Tensor, *, mask: Tensor | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """Mean squared error (y - f)^2, in the target's unit squared; the mean minimises its expectation.

    targets, predictions, mask: [...]. Returns a scalar, or [...] for reduction "none".
    Raises ShapeError if shapes differ. Source: Gneiting (2011), Making and evaluating point forecasts.
    """
    return masked_reduce(_difference(targets, predictions, mask).square(), mask, reduction=reduction)


def masked_huber(
    targets: Tensor,
    predictions: Tensor,
    *,
    delta: float = 1.0,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Huber loss: e^2 / 2 where |e| <= delta, delta (|e| - delta / 2) beyond, with e = y - f.

    targets, predictions, mask: [...]; delta in the target's unit. Returns a scalar, or [...] for "none".
    Raises ShapeError if shapes differ, InvalidInputError unless delta > 0.
    Source: Huber (1964), Robust estimation of a location parameter.
    """
    check_positive("delta", delta)
    error = _difference(targets, predictions, mask)
    losses = F.huber_loss(error, torch.zeros_like(error), reduction="none", delta=delta)
    return masked_reduce(losses, mask, reduction=reduction)


def _difference(targets: Tensor, predictions: Tensor, mask: Tensor | None) -> Tensor:
    check_shape("predictions", predictions, targets.shape)
    check_mask(mask, targets.shape)
    targets, predictions = as_floats(targets, predictions)
    return keep_observed(targets, mask) - keep_observed(predictions, mask)
