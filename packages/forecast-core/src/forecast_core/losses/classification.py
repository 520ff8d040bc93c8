"""Losses of class probabilities: focal loss, and the consistency of several views of one thing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from forecast_core.errors import InvalidInputError, ShapeError
from forecast_core.losses.checks import as_floats, as_vector, check_mask, check_parameters, check_shape
from forecast_core.losses.masked import Reduction, keep_observed, masked_reduce

__all__ = ["focal_loss", "jensen_shannon", "symmetric_kl"]


def focal_loss(
    targets: Tensor,
    logits: Tensor,
    *,
    gamma: float = 2.0,
    alpha: Tensor | Sequence[float] | None = None,
    label_smoothing: float = 0.0,
    mask: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Focal loss alpha_t (1 - p_t)^gamma CE, in nats, with CE = -sum_c s_c ln p_c.

    s = (1 - eps) onehot(t) + eps / C are the smoothed labels of the cross entropy alone; p_t, which says how
    hard the sample is, comes from the unsmoothed log-softmax. gamma 0 without alpha is the cross entropy, a
    proper score; with gamma > 0 the probabilities need recalibration. alpha weighs classes, and the mean is
    over samples, not over alpha. targets: integer class indices [...]; logits: [..., C]; alpha: [C];
    mask: [...], any index may stand under it. Returns a scalar, or [...] for reduction "none".
    Raises ShapeError if shapes differ, InvalidInputError for targets that are not integers, gamma < 0 or
    label_smoothing outside [0, 1).
    Source: Lin et al. (2017), Focal loss for dense object detection, eq. 5; Szegedy et al. (2016), section 7.
    """
    check_parameters("logits", logits, targets.shape)
    check_mask(mask, targets.shape)
    if targets.is_floating_point() or targets.is_complex():
        raise InvalidInputError("targets", "are integer class indices", got=targets.dtype)
    if not 0.0 <= gamma < math.inf:
        raise InvalidInputError("gamma", "is finite and not negative", got=gamma)
    if not 0.0 <= label_smoothing < 1.0:
        raise InvalidInputError("label_smoothing", "lies in [0, 1)", got=label_smoothing)
    (logits,) = as_floats(logits)
    index = keep_observed(targets.long(), mask, fill=0)
    log_p = torch.log_softmax(keep_observed(logits, mask), -1)
    log_p_t = log_p.gather(-1, index[..., None])[..., 0]
    losses = -(1.0 - label_smoothing) * log_p_t - label_smoothing * log_p.mean(-1)
    # Below gamma 1 the slope of x^gamma is infinite at 0, and so at p_t = 1.
    hardness = (-torch.expm1(log_p_t)).clamp(min=torch.finfo(logits.dtype).eps)
    losses = hardness.pow(gamma) * losses
    if alpha is not None:
        losses = as_vector("alpha", alpha, logits)[index] * losses
    return masked_reduce(losses, mask, reduction=reduction)


def symmetric_kl(
    first: Tensor, second: Tensor, *, mask: Tensor | None = None, reduction: Reduction = "mean"
) -> Tensor:
    """(KL(p || q) + KL(q || p)) / 2 = sum_c (p_c - q_c) (ln p_c - ln q_c) / 2, in nats.

    first, second: logits [..., C] of p and q; mask: [...]. Where only one side shall learn, detach the
    other. Returns a scalar, or [...] for reduction "none". Raises ShapeError if shapes differ.
    Source: Jeffreys (1946); as a consistency loss, Wu et al. (2021), R-Drop, eq. 2.
    """
    check_parameters("first", first, first.shape[:-1])
    check_shape("second", second, first.shape)
    check_mask(mask, first.shape[:-1])
    first, second = as_floats(first, second)
    log_p = torch.log_softmax(keep_observed(first, mask), -1)
    log_q = torch.log_softmax(keep_observed(second, mask), -1)
    losses = 0.5 * ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(-1)
    return masked_reduce(losses, mask, reduction=reduction)


def jensen_shannon(views: Tensor, *, mask: Tensor | None = None, reduction: Reduction = "mean") -> Tensor:
    """Jensen-Shannon divergence of V views, mean_v KL(p_v || m) with m = mean_v p_v, in 0 .. ln V nats.

    views: logits [..., V, C]; mask: [...]. Bounded, so one confident disagreement cannot rule a batch.
    Returns a scalar, or [...] for reduction "none". Raises ShapeError without axes V and C.
    Source: Lin (1991), Divergence measures based on the Shannon entropy; as a consistency loss,
    Hendrycks et al. (2020), AugMix, section 3.
    """
    if views.ndim < 2 or 0 in views.shape[-2:]:
        raise ShapeError("views", "has the shape [..., V, C]", got=tuple(views.shape))
    check_mask(mask, views.shape[:-2])
    (views,) = as_floats(views)
    log_p = torch.log_softmax(keep_observed(views, mask), -1)  # [..., V, C]
    log_m = torch.logsumexp(log_p, -2, keepdim=True) - math.log(views.shape[-2])  # [..., 1, C]
    losses = (log_p.exp() * (log_p - log_m)).sum(-1).mean(-1)
    return masked_reduce(losses, mask, reduction=reduction)
