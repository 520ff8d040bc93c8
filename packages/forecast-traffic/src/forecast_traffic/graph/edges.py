"""Edges of a road graph: checks, adjacency matrices, kernels of distances, subgraphs."""

from __future__ import annotations

from typing import Any

import numpy as np

from forecast_core.arrays import frozen
from forecast_core.errors import DataError, InvalidInputError, ShapeError
from forecast_core.validation import numbers

__all__ = [
    "adjacency_matrix",
    "checked_edges",
    "edges_of",
    "gaussian_kernel",
    "position_distances",
    "same_edges",
    "subgraph",
]

_EARTH = 6_371_000.0  # metres, mean radius


def checked_edges(edge_index: Any, edge_weight: Any, *, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Edges [2, E] (source, destination) as int64 and their weights [E] as float64, both read-only.

    Self loops and several edges between two nodes are allowed; no weights means 1 each. Raises ShapeError
    for another shape, DataError naming the edge that is out of range, or whose weight is negative or not
    finite.
    """
    index = np.asarray(edge_index)
    if index.size == 0:
        index = np.zeros((2, 0), dtype=np.int64)
    if index.ndim != 2 or index.shape[0] != 2:
        raise ShapeError("edge_index", "is [2, E]: sources, destinations", got=index.shape)
    if index.dtype.kind not in "iu":
        raise DataError("edge_index", "holds whole numbers", got=index.dtype)
    outside = np.argwhere((index < 0) | (index >= nodes))
    if len(outside):
        end, edge = outside[outside[:, 1].argmin()].tolist()
        raise DataError(
            "edge_index",
            f"holds positions of nodes, 0..{nodes - 1}",
            place=f"edge {edge} ({'destination' if end else 'source'})",
            got=int(index[end, edge]),
        )
    if edge_weight is None:
        return frozen(index.astype(np.int64)), frozen(np.ones(index.shape[1]))
    weight = np.asarray(edge_weight)
    if weight.shape != (index.shape[1],):
        raise ShapeError("edge_weight", f"has one number an edge ({index.shape[1]})", got=weight.shape)
    if weight.dtype.kind not in "fiub":
        raise DataError("edge_weight", "holds numbers", got=weight.dtype)
    weight = weight.astype(np.float64)
    wrong = np.flatnonzero(~np.isfinite(weight) | (weight < 0))
    if len(wrong):
        raise DataError(
            "edge_weight", "is finite and not negative", place=f"edge {wrong[0]}", got=weight[wrong[0]]
        )
    return frozen(index.astype(np.int64)), frozen(weight)


def edges_of(adjacency: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edges [2, E] and weights [E] of an adjacency matrix [node, node], whose entry (i, j) is the weight
    from i to j and 0 where there is no edge. Raises ShapeError, or DataError for a weight that is negative
    or not finite.
    """
    matrix = numbers("adjacency", adjacency)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ShapeError("adjacency", "is a square matrix", got=matrix.shape)
    wrong = np.argwhere(~np.isfinite(matrix) | (matrix < 0))
    if len(wrong):
        place = tuple(wrong[0].tolist())
        raise DataError("adjacency", "is finite and not negative", place=f"entry {place}", got=matrix[place])
    index = np.stack(np.nonzero(matrix))
    return index.astype(np.int64), matrix[index[0], index[1]].astype(np.float64)


def adjacency_matrix(edge_index: np.ndarray, edge_weight: np.ndarray, *, nodes: int) -> np.ndarray:
    """Adjacency [node, node] of edges [2, E] with weights [E]; weights of equal edges add up."""
    matrix = np.zeros((nodes, nodes))
    np.add.at(matrix, (edge_index[0], edge_index[1]), edge_weight)
    return matrix


def gaussian_kernel(
    distances: np.ndarray, *, sigma: float | None = None, threshold: float = 0.1
) -> np.ndarray:
    """Adjacency exp(-(d / sigma)^2) of distances [node, node], 0 where that is below `threshold`.

    distances: infinite where no road leads from one node to the other; sigma in their unit, by default the
    standard deviation of the finite ones. Raises ShapeError, DataError for a negative or missing distance,
    InvalidInputError for a sigma or threshold out of bounds.
    Source: Shuman et al. (2013), as used by Li et al. (2018), DCRNN, section 4.
    """
    distances = numbers("distances", distances)
    if distances.ndim != 2 or distances.shape[0] != distances.shape[1]:
        raise ShapeError("distances", "is a square matrix", got=distances.shape)
    wrong = np.argwhere(np.isnan(distances) | (distances < 0))
    if len(wrong):
        place = tuple(wrong[0].tolist())
        raise DataError("distances", "are not negative", place=f"entry {place}", got=distances[place])
    finite = distances[np.isfinite(distances)]
    if sigma is None:
        sigma = float(finite.std()) if len(finite) else 1.0
        sigma = sigma if sigma > 0 else 1.0
    if not (np.isfinite(sigma) and sigma > 0):
        raise InvalidInputError("sigma", "is positive", got=sigma)
    if not 0 <= threshold < 1:
        raise InvalidInputError("threshold", "lies in [0, 1)", got=threshold)
    weight = np.exp(-((distances / sigma) ** 2))
    return np.where(weight >= threshold, weight, 0.0)


def position_distances(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Distances [node, node] in metres as the crow flies, of positions [node] in degrees (haversine formula).

    Raises ShapeError where they do not go together, DataError for one that is no place on earth.
    """
    up, across = (np.asarray(each, dtype=np.float64) for each in (latitude, longitude))
    if up.ndim != 1 or across.shape != up.shape:
        raise ShapeError("longitude", f"has the shape of latitude {up.shape}", got=across.shape)
    for name, degrees, limit in (("latitude", up, 90.0), ("longitude", across, 180.0)):
        wrong = np.flatnonzero(~(np.abs(degrees) <= limit))
        if len(wrong):
            rule = f"lies in -{limit:g}..{limit:g}"
            raise DataError(name, rule, place=f"node {wrong[0]}", got=degrees[wrong[0]])
    up, across = np.radians(up), np.radians(across)
    apart = np.sin((up[:, None] - up) / 2) ** 2
    apart += np.cos(up[:, None]) * np.cos(up) * np.sin((across[:, None] - across) / 2) ** 2
    distances: np.ndarray = 2.0 * _EARTH * np.arcsin(np.sqrt(np.minimum(apart, 1.0)))
    return distances


def same_edges(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> bool:
    """Whether edges [2, E] and weights [E] are those of another graph, in whatever order."""
    mine, theirs = (np.concatenate([index, weight[None]]) for index, weight in (one, other))  # [3, E]
    return np.array_equal(mine[:, np.lexsort(mine)], theirs[:, np.lexsort(theirs)])


def subgraph(
    edge_index: np.ndarray, edge_weight: np.ndarray, chosen: np.ndarray, *, nodes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Edges among the nodes at positions `chosen` [k], which become 0..k-1, in the order they had."""
    place = np.full(nodes, -1)
    place[chosen] = np.arange(len(chosen))
    moved = place[edge_index]
    kept = (moved >= 0).all(axis=0)
    return moved[:, kept], edge_weight[kept]
