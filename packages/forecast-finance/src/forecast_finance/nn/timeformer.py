"""TimeFormer-XL: patches of bars, what an embedding adds to them, and returns with their uncertainty."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from forecast_core.losses import HomoscedasticWeighting, beta_nll, gaussian_nll
from forecast_core.nn import GatedResidualNetwork, RotaryAttention
from forecast_finance.nn.tensors import Batch

__all__ = ["TimeFormerNetwork", "TimeFormerOutput"]

_LEAST_SIGMA = 0.05  # in volatility * sqrt(h)


class TimeFormerOutput(NamedTuple):
    """means, sigmas of returns in volatility * sqrt(h), and logits of a rise, [b, horizon] each."""

    means: Tensor
    sigmas: Tensor
    logits: Tensor


class TimeFormerNetwork(nn.Module):
    """Patch embedding, attention over patches and to the context's tokens, causal convolutions, an encoder,
    and gated residual networks on the last patch.

    context_sizes: how many numbers of the context make up each token (an embedding's components, features).
    length is a multiple of patch; every attention turns queries and keys by their positions.
    """

    def __init__(
        self,
        *,
        context_sizes: tuple[int, ...],
        horizons: int,
        size: int,
        heads: int,
        layers: int,
        feed_forward: int,
        patch: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.context_sizes = list(context_sizes)
        self.patches = nn.Conv1d(5, size, kernel_size=patch, stride=patch)
        self.tokens = nn.ModuleList(nn.Linear(count, size) for count in context_sizes)
        self.attend_patches = _Residual(RotaryAttention(size, heads=heads, dropout=dropout), size, dropout)
        self.attend_context = _Residual(RotaryAttention(size, heads=heads, dropout=dropout), size, dropout)
        self.convolutions = nn.ModuleList(
            _Residual(_CausalConvolution(size, dilation), size, dropout) for dilation in (1, 2, 4)
        )
        self.encoder = nn.Sequential(
            *(
                nn.Sequential(
                    _Residual(RotaryAttention(size, heads=heads, dropout=dropout), size, dropout),
                    _Residual(_FeedForward(size, feed_forward, dropout), size, dropout),
                )
                for _ in range(layers)
            )
        )
        self.norm = nn.LayerNorm(size)
        self.joins = nn.ModuleList(
            GatedResidualNetwork(size, hidden_size=size, output_size=size, context_size=size, dropout=dropout)
            for _ in range(2)
        )
        self.means, self.spreads = nn.Linear(size, horizons), nn.Linear(size, horizons)
        self.logits = nn.Linear(size, horizons)
        self.weighting = HomoscedasticWeighting({"direction": "classification"})

    def forward(self, batch: Batch) -> TimeFormerOutput:
        """Means, sigmas and logits of a batch."""
        x = self.patches(batch.bars.transpose(1, 2)).transpose(1, 2)  # [b, patch, size]
        parts = torch.split(batch.context, self.context_sizes, dim=-1)
        tokens = [token(part) for token, part in zip(self.tokens, parts, strict=True)]
        memory = torch.stack(tokens, dim=1)  # [b, token, size]
        x = self.attend_patches(x)
        x = self.attend_context(x, memory)
        for convolution in self.convolutions:
            x = convolution(x)
        x = self.encoder(x)
        state = self.norm(x[:, -1])  # the last patch holds the last bar
        context = memory.mean(dim=1)
        for join in self.joins:
            state = join(state, context)
        sigmas = F.softplus(self.spreads(state)) + _LEAST_SIGMA
        return TimeFormerOutput(self.means(state), sigmas, self.logits(state))


def training_loss(network: nn.Module, batch: Batch) -> Tensor:
    """beta-NLL of returns, and the cross entropy of directions weighted by a learnt noise level."""
    out: TimeFormerOutput = network(batch)
    direction = F.binary_cross_entropy_with_logits(out.logits, batch.up)
    returns = beta_nll(batch.returns, out.means, sigmas=out.sigmas)
    weighted: Tensor = network.weighting({"direction": direction})  # type: ignore[operator]
    return returns + weighted


def validation_loss(network: nn.Module, batch: Batch) -> Tensor:
    """NLL of returns plus cross entropy: a proper score, which the training loss is not."""
    out: TimeFormerOutput = network(batch)
    direction = F.binary_cross_entropy_with_logits(out.logits, batch.up)
    return gaussian_nll(batch.returns, out.means, sigmas=out.sigmas) + direction


class _Residual(nn.Module):
    """x + dropout(block(LayerNorm(x), ...))."""

    def __init__(self, block: nn.Module, size: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.block, self.dropout = nn.LayerNorm(size), block, nn.Dropout(dropout)

    def forward(self, x: Tensor, *others: Tensor) -> Tensor:
        added: Tensor = x + self.dropout(self.block(self.norm(x), *others))
        return added


class _CausalConvolution(nn.Module):
    """A convolution over 3 places, `dilation` apart, that reads earlier ones only; [b, n, size]."""

    def __init__(self, size: int, dilation: int) -> None:
        super().__init__()
        self.padding = 2 * dilation
        self.convolution = nn.Conv1d(size, size, kernel_size=3, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x.transpose(1, 2), (self.padding, 0))
        return F.gelu(self.convolution(padded)).transpose(1, 2)


class _FeedForward(nn.Sequential):
    def __init__(self, size: int, hidden: int, dropout: float) -> None:
        super().__init__(nn.Linear(size, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, size))
