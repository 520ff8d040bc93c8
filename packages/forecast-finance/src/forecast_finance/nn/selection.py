"""Variable selection: a weight for each variable, by what it says and by the context."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from forecast_core.nn import GatedResidualNetwork

__all__ = ["GroupedLinear", "VariableSelection"]


class GroupedLinear(nn.Module):
    """A linear map of its own for each of several groups; [..., group, input] to [..., group, output]."""

    def __init__(self, groups: int, input_size: int, output_size: int) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(input_size)
        self.weight = nn.Parameter(torch.empty(groups, output_size, input_size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(groups, output_size).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """[..., group, input] to [..., group, output]."""
        flat = x.reshape(-1, *x.shape[-2:]).transpose(0, 1)  # [group, n, input]
        out = torch.baddbmm(self.bias[:, None], flat, self.weight.transpose(1, 2))
        return out.transpose(0, 1).reshape(*x.shape[:-1], -1)


class VariableSelection(nn.Module):
    """A gated residual network for each variable, and their sum weighted by a softmax over variables.

    forward(x [..., variable, input], context [..., context]) gives [..., output] and the weights
    [..., variable]. Source: Lim et al. (2021), Temporal fusion transformers, eqs. 6 to 8.
    """

    def __init__(
        self, variables: int, *, input_size: int, output_size: int, context_size: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        hidden = min(input_size, output_size)
        self.weigh = GatedResidualNetwork(
            variables * input_size,
            hidden_size=min(output_size, variables),
            output_size=variables,
            context_size=context_size,
            dropout=dropout,
        )
        self.dropout = nn.Dropout(dropout)
        self.entry = GroupedLinear(variables, input_size, hidden)
        self.inner = GroupedLinear(variables, hidden, hidden)
        self.gate = GroupedLinear(variables, hidden, 2 * output_size)
        self.skip = (
            nn.Identity() if input_size == output_size else GroupedLinear(variables, input_size, output_size)
        )
        self.scale = nn.Parameter(torch.ones(variables, output_size))
        self.shift = nn.Parameter(torch.zeros(variables, output_size))

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """The selected [..., output] and the weights [..., variable]."""
        weights = torch.softmax(self.weigh(x.flatten(-2), context), dim=-1)
        gated = F.glu(self.gate(self.dropout(self.inner(F.elu(self.entry(x))))), dim=-1)
        joined = self.skip(x) + gated
        each = F.layer_norm(joined, joined.shape[-1:]) * self.scale + self.shift  # [..., variable, output]
        selected: Tensor = (weights[..., None, :] @ each)[..., 0, :]
        return selected, weights
