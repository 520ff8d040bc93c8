"""GATv2 attention over one graph that a whole batch shares."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from forecast_core.errors import InvalidInputError, ShapeError
from forecast_traffic.nn.compiling import compiled_or_eager
from forecast_traffic.nn.edge_plan import EdgePlan
from forecast_traffic.nn.recomputed_attention import recomputed_attention

__all__ = ["SharedGATv2", "edge_attention"]

_Attend = Callable[..., tuple[Tensor, Tensor]]


def edge_attention(
    left: Tensor, right: Tensor, attention: Tensor, source: Tensor, destination: Tensor, slope: float
) -> tuple[Tensor, Tensor]:
    """Weighted sums [N, B, H, C] of sources at each destination, and the weights [E, B, H].

    left, right [N, B, H, C]: what a node is as source and as destination; attention [H, C]; edges sorted by
    destination. score_e = attention . leaky_relu(left[source_e] + right[destination_e]), weights are the
    softmax of scores over the edges that enter a node. A node that no edge enters gets 0.
    """
    sent = left.index_select(0, source)  # [E, B, H, C]
    scores = (F.leaky_relu(sent + right.index_select(0, destination), slope) * attention).sum(-1)  # [E, B, H]
    weights = edge_softmax(scores, destination, left.shape[0])
    sums = torch.zeros_like(left).index_add(0, destination, sent * weights[..., None])
    return sums, weights


def edge_softmax(scores: Tensor, destination: Tensor, nodes: int) -> Tensor:
    """Softmax of scores [E, B, H] over the edges of each destination."""
    shape = (nodes, *scores.shape[1:])
    index = destination[:, None, None].expand_as(scores)
    with torch.no_grad():
        top = scores.new_full(shape, -math.inf).scatter_reduce(0, index, scores, "amax")
    exps = torch.exp(scores - top.index_select(0, destination))
    total = scores.new_zeros(shape).index_add(0, destination, exps)
    return exps / total.index_select(0, destination)


class SharedGATv2(nn.Module):
    """Graph attention with dynamic scores over one graph, for all B copies of it at once.

    forward(x [N, B, in_channels], edge_index [2, E]) -> [N, B, heads * out_channels]; out_channels is per
    head.
    The same as torch_geometric's GATv2Conv on a batch of B replicated graphs, with the same parameters
    (`load_pyg_state_dict`), but nodes come first, edges are sorted by destination once for as long as the
    same edge_index comes, and nothing is replicated. add_self_loops: False here, True in PyG.

    compile: True compiles the attention and raises what compiling raises; "auto" does so where a C++ compiler
    (or a GPU) is there and compiling succeeds; the first call then takes most of a minute. Where it is not
    compiled, recompute works through edges in blocks and keeps only node tensors and weights for the backward
    pass, which is a fraction of the memory and quicker too; without it, plain operations that can be
    differentiated twice.

    Raises ShapeError or DataError for x or edges that do not fit. Source: Brody et al. (2022), How attentive
    are graph attention networks?, eq. 7.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        heads: int = 4,
        *,
        negative_slope: float = 0.2,
        add_self_loops: bool = False,
        bias: bool = True,
        recompute: bool = True,
        compile: bool | Literal["auto"] = False,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels, self.heads = in_channels, out_channels, heads
        self.negative_slope, self.add_self_loops = negative_slope, add_self_loops
        self.recompute, self.compile_mode = recompute, compile
        width = heads * out_channels
        self.left = nn.Linear(in_channels, width, bias=bias)
        self.right = nn.Linear(in_channels, width, bias=bias)
        self.attention = nn.Parameter(torch.empty(heads, out_channels))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None
        self._plan: tuple[Tensor, int, EdgePlan] | None = None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Glorot weights, biases 0."""
        for layer in (self.left, self.right):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        nn.init.xavier_uniform_(self.attention)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor, edge_index: Tensor | EdgePlan) -> Tensor:
        """x [N, B, in_channels] -> [N, B, heads * out_channels]."""
        return self.attend(x, edge_index)[0]

    def attend(self, x: Tensor, edge_index: Tensor | EdgePlan) -> tuple[Tensor, Tensor]:
        """The output, and the weights [E, B, heads] of edges in the order of the plan."""
        if x.ndim != 3 or x.shape[-1] != self.in_channels:
            raise ShapeError("x", f"is [N, B, {self.in_channels}]", got=tuple(x.shape))
        plan = edge_index if isinstance(edge_index, EdgePlan) else self._planned(edge_index, x.shape[0])
        if plan.nodes != x.shape[0]:
            raise ShapeError("x", f"has a row a node of the graph ({plan.nodes})", got=tuple(x.shape))
        left = self.left(x).unflatten(-1, (self.heads, self.out_channels))  # [N, B, H, C]
        right = self.right(x).unflatten(-1, (self.heads, self.out_channels))
        attend = self._implementation(x.device)
        attention = self.attention.to(left.dtype)
        sums, weights = attend(left, right, attention, plan.source, plan.destination, self.negative_slope)
        out = sums.flatten(2)
        return (out if self.bias is None else out + self.bias), weights

    def _implementation(self, device: torch.device) -> _Attend:
        eager = recomputed_attention if self.recompute else edge_attention
        if self.compile_mode is False or torch.compiler.is_compiling():
            return eager
        strict = self.compile_mode is True
        return compiled_or_eager(edge_attention, instead=eager, strict=strict, device=device)

    def _planned(self, edge_index: Tensor, nodes: int) -> EdgePlan:
        kept = self._plan
        if kept is not None and kept[0] is edge_index and kept[1] == edge_index._version:
            return kept[2]
        plan = EdgePlan.of(edge_index, nodes=nodes, self_loops=self.add_self_loops)
        self._plan = (edge_index, edge_index._version, plan)
        return plan

    def load_pyg_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over the parameters of a `torch_geometric.nn.GATv2Conv` of the same sizes.

        Raises InvalidInputError where the state has parameters that this layer has no place for (edge
        features, a residual), or lacks one.
        """
        names = {
            "lin_l.weight": "left.weight",
            "lin_l.bias": "left.bias",
            "lin_r.weight": "right.weight",
            "lin_r.bias": "right.bias",
            "att": "attention",
            "bias": "bias",
        }
        unknown = sorted(set(state) - set(names))
        if unknown:
            raise InvalidInputError("state", "holds parameters of a plain GATv2Conv", got=unknown)
        own = self.state_dict()
        mine = {names[name]: value for name, value in state.items()}
        if set(mine) != set(own):
            raise InvalidInputError("state", f"holds {sorted(own)} under PyG's names", got=sorted(state))
        mine["attention"] = mine["attention"].reshape(self.heads, self.out_channels)
        self.load_state_dict(mine)

    def extra_repr(self) -> str:
        """Sizes and options, as modules show them."""
        return (
            f"{self.in_channels}, {self.out_channels}, heads={self.heads}, "
            f"add_self_loops={self.add_self_loops}, recompute={self.recompute}"
        )
