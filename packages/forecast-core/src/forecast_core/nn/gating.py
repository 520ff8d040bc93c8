"""Gated linear units, and the residual networks made of them."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from forecast_core.errors import InvalidInputError

__all__ = ["GatedLinearUnit", "GatedResidualNetwork"]


class GatedLinearUnit(nn.Module):
    """(W x + b) * sigmoid(V x + c), after dropout of x; [..., input] to [..., output].

    Source: Dauphin et al. (2017), Language modeling with gated convolutional networks, section 2.
    """

    def __init__(self, input_size: int, output_size: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(input_size, 2 * output_size)

    def forward(self, x: Tensor) -> Tensor:
        """[..., input] to [..., output]."""
        return F.glu(self.linear(self.dropout(x)), dim=-1)


class GatedResidualNetwork(nn.Module):
    """LayerNorm(skip(a) + GLU(W1 ELU(W2 a + W3 c))); a [..., input], c [..., context], result [..., output].

    skip is the identity where input and output are of one size, else linear. The context is optional and
    broadcasts over leading axes. Source: Lim et al. (2021), Temporal fusion transformers, eqs. 2 to 5.
    """

    def __init__(
        self,
        input_size: int,
        *,
        hidden_size: int,
        output_size: int,
        context_size: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.entry = nn.Linear(input_size, hidden_size)
        self.context = None if context_size is None else nn.Linear(context_size, hidden_size, bias=False)
        self.inner = nn.Linear(hidden_size, hidden_size)
        self.gate = GatedLinearUnit(hidden_size, output_size, dropout=dropout)
        self.skip = nn.Identity() if input_size == output_size else nn.Linear(input_size, output_size)
        self.norm = nn.LayerNorm(output_size)

    def forward(self, a: Tensor, context: Tensor | None = None) -> Tensor:
        """[..., input] to [..., output]; InvalidInputError for a context that it was not made for."""
        hidden = self.entry(a)
        if context is not None:
            if self.context is None:
                raise InvalidInputError("context", "is given where context_size is")
            hidden = hidden + self.context(context)
        gated = self.gate(self.inner(F.elu(hidden)))
        normed: Tensor = self.norm(self.skip(a) + gated)
        return normed
