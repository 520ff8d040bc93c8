"""Extrapolations that are linear in the points known: a matrix of weights for each length of history."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["by_length", "polynomial_weights"]


def by_length(contexts: np.ndarray, lengths: np.ndarray, weights: Callable[[int], np.ndarray]) -> np.ndarray:
    """Paths [n, steps, 2]: weights(length) [steps, length] times the last `length` points of each history.

    contexts [n, L, 2]; lengths [n]. Rows of weights sum to 1, so points are taken relative to the last one,
    and a path does not lose digits far from the origin. One matrix product a distinct length.
    """
    last = contexts[:, -1]
    distinct = np.unique(lengths).tolist()
    out: np.ndarray | None = None
    for length in distinct:
        matrix = weights(length)
        rows = slice(None) if len(distinct) == 1 else np.flatnonzero(lengths == length)
        known = contexts[rows, contexts.shape[1] - length :] - last[rows, None]  # [m, length, 2]
        paths = np.einsum("sl,nli->nsi", matrix, known, optimize=True) + last[rows, None]
        if out is None:
            out = np.empty((len(contexts), len(matrix), 2))
        out[rows] = paths
    assert out is not None
    return out


def polynomial_weights(
    length: int, steps: int, *, degree: int, ridge: float, decay: float = 1.0
) -> np.ndarray:
    """Weights [steps, length] of the points in a polynomial fitted by least squares and carried on.

    Time runs from -1 at the first point to 0 at the last. ridge: penalty on the squares of all coefficients
    but the constant; decay: weight of a point as a power of its age in steps. A history of `length` points
    takes a polynomial of degree length - 1 at most.
    """
    scale = max(length - 1, 1)
    time = np.arange(1 - length, 1) / scale
    degree = min(degree, length - 1)
    past = time[:, None] ** np.arange(degree + 1)  # [length, degree + 1]
    root = decay ** (0.5 * np.arange(length - 1, -1, -1))
    penalty = np.sqrt(ridge) * np.eye(degree + 1)[1:]
    # Least squares on the points and, below them, on a row of zero targets for each penalised coefficient.
    design = np.concatenate([past * root[:, None], penalty])
    solved = np.linalg.pinv(design)[:, :length] * root  # [degree + 1, length]
    ahead = (np.arange(1, steps + 1) / scale)[:, None] ** np.arange(degree + 1)
    weights: np.ndarray = ahead @ solved
    return weights
