"""Edge attention whose backward pass works its edge tensors out again, block by block."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["recomputed_attention"]

_BLOCK = 1 << 20  # numbers in an edge tensor at a time: 4 MB, which caches hold


def recomputed_attention(
    left: Tensor, right: Tensor, attention: Tensor, source: Tensor, destination: Tensor, slope: float
) -> tuple[Tensor, Tensor]:
    """As `edge_attention`; saves node tensors and weights only, and never holds a whole tensor [E, B, H, C].

    No gradient passes through the weights that are returned.
    """
    arguments = (left, right, attention, source, destination, slope)
    with torch.autocast(left.device.type, enabled=False):  # in the type of the node tensors throughout
        sums, weights = _Attention.apply(*arguments)  # type: ignore[no-untyped-call]
    return sums, weights


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        left: Tensor,
        right: Tensor,
        attention: Tensor,
        source: Tensor,
        destination: Tensor,
        slope: float,
    ) -> tuple[Tensor, Tensor]:
        n, b, h, c = left.shape
        edges = len(source)
        scores = left.new_empty((edges, b, h))
        for at in _blocks(edges, b * h * c):
            joined = left[source[at]].add_(right[destination[at]])
            torch.sum(F.leaky_relu_(joined, slope).mul_(attention), -1, out=scores[at])
        index = destination[:, None, None].expand_as(scores)
        top = scores.new_full((n, b, h), -math.inf).scatter_reduce_(0, index, scores, "amax")
        weights = scores.sub_(top[destination]).exp_()
        total = scores.new_zeros((n, b, h)).index_add_(0, destination, weights)
        weights.div_(total[destination])
        sums = torch.zeros_like(left)
        for at in _blocks(edges, b * h * c):
            sums.index_add_(0, destination[at], left[source[at]].mul_(weights[at, ..., None]))
        ctx.save_for_backward(left, right, attention, source, destination, weights)
        ctx.slope = slope
        ctx.mark_non_differentiable(weights)
        return sums, weights

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        left, right, attention, source, destination, weights = ctx.saved_tensors
        grad = grads[0].contiguous()
        n, b, h, c = left.shape
        blocks = _blocks(len(source), b * h * c)
        along = weights.new_empty(weights.shape)  # d loss / d weight, [E, B, H]
        for at in blocks:
            torch.sum(left[source[at]].mul_(grad[destination[at]]), -1, out=along[at])
        # softmax: d score = w (d w - sum over the node's edges of w d w)
        along.mul_(weights)
        mean = along.new_zeros((n, b, h)).index_add_(0, destination, along)
        scores = along.sub_(weights * mean[destination])
        grad_left, grad_right = torch.zeros_like(left), torch.zeros_like(right)
        grad_attention = torch.zeros_like(attention)
        for at in blocks:
            joined = left[source[at]].add_(right[destination[at]])
            slope = torch.where(joined > 0, 1.0, ctx.slope).to(joined.dtype)
            pulled = scores[at, ..., None]
            grad_attention += (joined.mul_(slope).mul_(pulled)).sum((0, 1))
            through = slope.mul_(attention).mul_(pulled)  # d loss / d (left + right), [e, B, H, C]
            grad_right.index_add_(0, destination[at], through)
            through.addcmul_(grad[destination[at]], weights[at, ..., None])
            grad_left.index_add_(0, source[at], through)
        return grad_left, grad_right, grad_attention, None, None, None


def _blocks(edges: int, width: int) -> list[slice]:
    size = max(_BLOCK // max(width, 1), 1)
    return [slice(begin, min(begin + size, edges)) for begin in range(0, edges, size)]
