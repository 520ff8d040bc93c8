"""Edges of a graph in the order that attention over them needs, worked out once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from forecast_core.errors import DataError, ShapeError

__all__ = ["EdgePlan"]


@dataclass(frozen=True)
class EdgePlan:
    """source, destination [E]: ends of edges, sorted by destination; order [E]: where each was given."""

    source: Tensor
    destination: Tensor
    order: Tensor
    nodes: int

    @classmethod
    def of(cls, edge_index: Tensor, *, nodes: int, self_loops: bool = False) -> EdgePlan:
        """From edges [2, E] (source, destination). self_loops: existing ones are replaced by one a node.

        Raises ShapeError for another shape, DataError for an end that is no whole number in 0..nodes-1.
        """
        if edge_index.ndim != 2 or edge_index.shape[0] != 2:
            raise ShapeError("edge_index", "is [2, E]: sources, destinations", got=tuple(edge_index.shape))
        if edge_index.is_floating_point() or edge_index.dtype == torch.bool:
            raise DataError("edge_index", "holds whole numbers", got=edge_index.dtype)
        edges = edge_index.long()
        outside = torch.nonzero(((edges < 0) | (edges >= nodes)).any(0)).flatten()
        if len(outside):
            first = int(outside[0])
            rule = f"holds positions of nodes, 0..{nodes - 1}"
            raise DataError("edge_index", rule, place=f"edge {first}", got=edges[:, first].tolist())
        if self_loops:
            loops = torch.arange(nodes, device=edges.device).expand(2, -1)
            edges = torch.cat([edges[:, edges[0] != edges[1]], loops], 1)
        order = torch.sort(edges[1], stable=True).indices
        return cls(edges[0, order].contiguous(), edges[1, order].contiguous(), order, nodes)
