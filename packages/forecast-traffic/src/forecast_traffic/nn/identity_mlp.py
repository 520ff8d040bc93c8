"""The network of `traffic/stid`: an MLP that knows which node it reads, and when."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from forecast_core.losses import MixtureParameters
from forecast_traffic.nn.dropout import Dropout
from forecast_traffic.nn.mixture_head import MixtureHead
from forecast_traffic.nn.tensors import NetworkBatch

__all__ = ["IdentityMLP", "ResidualLayer", "last_observed"]


class ResidualLayer(nn.Module):
    """x + second(relu(first(x))), [..., size] to the same."""

    def __init__(self, size: int, dropout: float) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(size, size), nn.Linear(size, size)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[..., size] -> [..., size]."""
        out: Tensor = x + self.second(self.dropout(torch.relu(self.first(x))))
        return out


class IdentityMLP(nn.Module):
    """A node's context, and embeddings of node, slot of the day and weekday -> residual layers -> mixture."""

    def __init__(
        self,
        *,
        nodes: int,
        slots: int,
        channels: int,
        context_length: int,
        horizon: int,
        hidden_size: int,
        num_layers: int,
        dropout: float,
        weekdays: bool,
        residual: bool,
        anchors: Tensor,
        mixture_weights: str,
    ) -> None:
        super().__init__()
        self.context_length, self.residual = context_length, residual
        self.read = nn.Linear(context_length * 2 * channels, hidden_size)
        self.node = nn.Parameter(torch.empty(nodes, hidden_size))
        self.slot = nn.Embedding(slots, hidden_size)
        self.weekday = nn.Embedding(7, hidden_size) if weekdays else None
        nn.init.xavier_uniform_(self.node)
        for table in (self.slot, self.weekday):
            if table is not None:
                nn.init.xavier_uniform_(table.weight)
        size = hidden_size * (4 if weekdays else 3)
        self.layers = nn.Sequential(*(ResidualLayer(size, dropout) for _ in range(num_layers)))
        self.head = MixtureHead(size, horizon=horizon, anchors=anchors, weights=mixture_weights)

    def forward(self, batch: NetworkBatch) -> MixtureParameters:
        """Mixtures [B, N, H, C, K] in scaled units."""
        context, now = batch.context, batch.clock[:, self.context_length - 1]  # now [B, 4]
        b, _, n, _ = context.shape
        parts = [self.read(context.transpose(1, 2).flatten(2)), self.node.expand(b, -1, -1)]  # [B, N, D]
        tables = [(self.slot, now[:, 0])] + ([] if self.weekday is None else [(self.weekday, now[:, 1])])
        parts += [table(index)[:, None].expand(-1, n, -1) for table, index in tables]
        hidden = self.layers(torch.cat(parts, -1))  # [B, N, parts * D]
        mixture: MixtureParameters = self.head(hidden, last_observed(context) if self.residual else None)
        return mixture


def last_observed(context: Tensor) -> Tensor:
    """The last observed scaled value [B, N, 1, C] of contexts [B, T, N, 2C]; 0, the mean, where none was."""
    channels = context.shape[-1] // 2
    values, seen = context[..., :channels], context[..., channels:]
    steps = torch.arange(1, context.shape[1] + 1, device=context.device, dtype=context.dtype)
    latest = (seen * steps[:, None, None]).argmax(1, keepdim=True)  # [B, 1, N, C]; unseen values are 0
    return values.gather(1, latest).transpose(1, 2)
