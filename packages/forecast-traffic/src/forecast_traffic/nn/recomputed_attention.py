"""Edge attention whose backward pass works its edge tensors out again, block by block."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["recomputed_attention"]

_BLOCK = 1 << 19  # numbers in an edge tensor at a time: 2 MB, which caches hold


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
    # Sums over the channels of a head, and numbers of a head repeated for its channels, are products with
    # small matrices [H * C, H]: reductions and broadcasts over so few numbers are slow otherwise.

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
        edges, width = len(source), h * c
        left, right = left.reshape(n, b, width), right.reshape(n, b, width)
        scores = left.new_empty((edges, b, h))
        score = _by_head(attention)  # [H * C, H]
        for at in _blocks(edges, b * width):
            joined = left.index_select(0, source[at]).add_(right.index_select(0, destination[at]))
            torch.matmul(F.leaky_relu_(joined, slope), score, out=scores[at])
        index = destination[:, None, None].expand_as(scores)
        top = scores.new_full((n, b, h), -math.inf).scatter_reduce_(0, index, scores, "amax")
        weights = scores.sub_(top.index_select(0, destination)).exp_()
        total = scores.new_zeros((n, b, h)).index_add_(0, destination, weights)
        weights.div_(total.index_select(0, destination))
        sums = torch.zeros_like(left)
        spread = _by_head(torch.ones_like(attention)).T
        for at in _blocks(edges, b * width):
            sent = left.index_select(0, source[at]).mul_(weights[at] @ spread)
            sums.index_add_(0, destination[at], sent)
        ctx.save_for_backward(left, right, attention, source, destination, weights)
        ctx.slope = slope
        ctx.mark_non_differentiable(weights)
        return sums.view(n, b, h, c), weights

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        left, right, attention, source, destination, weights = ctx.saved_tensors
        (n, b, width), (h, c) = left.shape, attention.shape
        grad = grads[0].reshape(n, b, width)
        blocks = _blocks(len(source), b * width)
        gather = _by_head(torch.ones_like(attention))  # [H * C, H]
        along = weights.new_empty(weights.shape)  # d loss / d weight, [E, B, H]
        for at in blocks:
            product = left.index_select(0, source[at]).mul_(grad.index_select(0, destination[at]))
            torch.matmul(product, gather, out=along[at])
        # softmax: d score = w (d w - sum over the node's edges of w d w)
        along.mul_(weights)
        mean = along.new_zeros((n, b, h)).index_add_(0, destination, along)
        scores = along.sub_(mean.index_select(0, destination).mul_(weights))
        grad_left, grad_right = torch.zeros_like(left), torch.zeros_like(right)
        pulls = left.new_zeros((h, width))  # its diagonal blocks are d loss / d attention
        score = _by_head(attention).T
        for at in blocks:
            joined = left.index_select(0, source[at]).add_(right.index_select(0, destination[at]))
            through = torch.ops.aten.leaky_relu_backward(scores[at] @ score, joined, ctx.slope, False)
            # d loss / d (left + right), [e, B, H * C]
            active = F.leaky_relu_(joined, ctx.slope).view(-1, width)
            pulls.addmm_(scores[at].reshape(-1, h).T, active)
            grad_right.index_add_(0, destination[at], through)
            through.add_(grad.index_select(0, destination[at]).mul_(weights[at] @ gather.T))
            grad_left.index_add_(0, source[at], through)
        head = torch.arange(h, device=left.device)
        grad_attention = pulls.view(h, h, c)[head, head]
        shape = (n, b, h, c)
        return grad_left.view(shape), grad_right.view(shape), grad_attention, None, None, None


def _by_head(values: Tensor) -> Tensor:
    """[H, C] -> [H * C, H]: in the column of a head its own values, 0 elsewhere."""
    heads = [head[:, None] for head in values]
    blocks: Tensor = torch.block_diag(*heads)  # type: ignore[no-untyped-call]
    return blocks


def _blocks(edges: int, width: int) -> list[slice]:
    size = max(_BLOCK // max(width, 1), 1)
    return [slice(begin, min(begin + size, edges)) for begin in range(0, edges, size)]
