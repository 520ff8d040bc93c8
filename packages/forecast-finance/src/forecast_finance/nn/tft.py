"""TFT-XL: variables weighed, a recurrent encoder, attention that can be read, and quantiles in order."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from forecast_core.losses import noncrossing_quantiles, pinball_loss
from forecast_core.nn import GatedLinearUnit, GatedResidualNetwork
from forecast_finance.nn.interpretable import InterpretableAttention
from forecast_finance.nn.selection import VariableSelection
from forecast_finance.nn.tensors import Batch

__all__ = ["LEVELS", "TFTNetwork", "TFTOutput"]

LEVELS = (0.1, 0.5, 0.9)
_VARIABLES = 5
_LSTM_LAYERS = 2


class TFTOutput(NamedTuple):
    """quantiles [b, horizon, 3] of returns in volatility * sqrt(h), logits of a rise [b, horizon], weights of
    the variables [b, length, 5], and attention of the last bar to the window [b, length].
    """

    quantiles: Tensor
    logits: Tensor
    variables: Tensor
    attention: Tensor


class TFTNetwork(nn.Module):
    """A temporal fusion transformer over a window of bars; the context of its last bar is static input."""

    def __init__(
        self,
        *,
        context_size: int,
        horizons: int,
        embedding_size: int,
        size: int,
        heads: int,
        layers: int,
        dropout: float,
    ) -> None:
        super().__init__()

        def residual(input_size: int, *, context: bool = False) -> GatedResidualNetwork:
            return GatedResidualNetwork(
                input_size,
                hidden_size=size,
                output_size=size,
                context_size=size if context else None,
                dropout=dropout,
            )

        self.horizons = horizons
        self.scale = nn.Parameter(torch.randn(_VARIABLES, embedding_size))
        self.shift = nn.Parameter(torch.zeros(_VARIABLES, embedding_size))
        self.static = residual(context_size)
        self.static_selection, self.static_enrichment = residual(size), residual(size)
        self.static_hidden, self.static_cell = residual(size), residual(size)
        self.selection = VariableSelection(
            _VARIABLES, input_size=embedding_size, output_size=size, context_size=size, dropout=dropout
        )
        self.encoder = nn.LSTM(size, size, _LSTM_LAYERS, batch_first=True, dropout=dropout)
        self.after_encoder = _GateAdd(size, dropout)
        self.enrichment = residual(size, context=True)
        self.attentions = nn.ModuleList(
            InterpretableAttention(size, heads=heads, dropout=dropout) for _ in range(layers)
        )
        self.after_attention = nn.ModuleList(_GateAdd(size, dropout) for _ in range(layers))
        self.position_wise = nn.ModuleList(residual(size) for _ in range(layers))
        self.after_all = _GateAdd(size, dropout)
        self.quantiles, self.logits = nn.Linear(size, 3 * horizons), nn.Linear(size, horizons)

    def forward(self, batch: Batch) -> TFTOutput:
        """Quantiles, logits, and what was looked at."""
        embedded = batch.bars[..., None] * self.scale + self.shift  # [b, length, variable, embedding]
        static = self.static(batch.context)  # [b, size]
        chosen, weights = self.selection(embedded, self.static_selection(static)[:, None])
        start = [part(static).expand(_LSTM_LAYERS, -1, -1).contiguous() for part in self._starts()]
        encoded, _ = self.encoder(chosen, (start[0], start[1]))
        temporal = self.after_encoder(encoded, chosen)  # [b, length, size]
        x = self.enrichment(temporal, self.static_enrichment(static)[:, None])
        last = len(self.attentions) - 1
        attended = torch.empty(0)
        for k, (attention, join, network) in enumerate(
            zip(self.attentions, self.after_attention, self.position_wise, strict=True)
        ):
            query = x[:, -1:] if k == last else x  # only the last bar is answered for
            found, attended = attention(query, x)
            x = network(join(found, query))
        state = self.after_all(x, temporal[:, -1:])[:, 0]  # [b, size]
        raw = self.quantiles(state).view(-1, self.horizons, len(LEVELS))
        return TFTOutput(noncrossing_quantiles(raw), self.logits(state), weights, attended[:, -1])

    def _starts(self) -> tuple[nn.Module, nn.Module]:
        return self.static_hidden, self.static_cell


def loss(network: nn.Module, batch: Batch) -> Tensor:
    """Pinball loss of the quantiles plus half the cross entropy of directions."""
    out: TFTOutput = network(batch)
    direction = F.binary_cross_entropy_with_logits(out.logits, batch.up)
    return pinball_loss(batch.returns, out.quantiles, levels=LEVELS) + 0.5 * direction


class _GateAdd(nn.Module):
    """LayerNorm(skip + GLU(x))."""

    def __init__(self, size: int, dropout: float) -> None:
        super().__init__()
        self.gate, self.norm = GatedLinearUnit(size, size, dropout=dropout), nn.LayerNorm(size)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        joined: Tensor = self.norm(skip + self.gate(x))
        return joined
