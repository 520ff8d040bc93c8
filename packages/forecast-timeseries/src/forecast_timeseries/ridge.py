"""Ridge regression of many outputs at once, from second moments that add up over chunks of rows."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

__all__ = ["RidgePath", "apply_ridge", "moving_average", "ridge_error", "ridge_weights", "second_moments"]

_TINY = 1e-12  # penalty of inputs that never vary


def second_moments(chunks: Iterable[np.ndarray], *, columns: int) -> np.ndarray:
    """Sums of products [1 + columns, 1 + columns] of rows [n, columns] preceded by a one.

    The first row holds the number of rows and the sums; moments of two sets of rows add up to those of both.
    """
    total = np.zeros((1 + columns, 1 + columns))
    for rows in chunks:
        sums = rows.sum(axis=0)
        total[0, 0] += len(rows)
        total[0, 1:] += sums
        total[1:, 0] += sums
        total[1:, 1:] += rows.T @ rows
    return total


class RidgePath:
    """Ridge solutions for any penalty after one eigendecomposition; the intercept is not penalised.

    moments: of rows [inputs, outputs], see `second_moments`. basis [inputs, r]: the inputs are seen as these
    r combinations, whose weights are penalised; default: the inputs themselves.

    Source: Hastie, Tibshirani & Friedman, The Elements of Statistical Learning (2nd ed.), 3.4.1.
    """

    def __init__(self, moments: np.ndarray, *, inputs: int, basis: np.ndarray | None = None) -> None:
        mean = moments[0, 1:] / moments[0, 0]
        covariance = moments[1:, 1:] / moments[0, 0] - np.outer(mean, mean)
        self._mean = mean
        self._basis = np.eye(inputs) if basis is None else basis
        gram = self._basis.T @ covariance[:inputs, :inputs] @ self._basis  # [r, r]
        values, self._vectors = np.linalg.eigh((gram + gram.T) / 2.0)
        self._values = np.maximum(values, 0.0)
        self._cross = self._vectors.T @ (self._basis.T @ covariance[:inputs, inputs:])  # [r, output]

    def weights(self, strength: float) -> np.ndarray:
        """[1 + inputs, outputs], the intercept first.

        strength: penalty in mean variances of an input, a window, so that units and counts do not matter.
        """
        penalty = max(strength * float(self._values.mean()), _TINY)
        slopes = self._basis @ (self._vectors @ (self._cross / (self._values + penalty)[:, None]))
        inputs = len(slopes)
        intercept = self._mean[inputs:] - self._mean[:inputs] @ slopes
        return np.concatenate([intercept[None], slopes])


def ridge_weights(
    moments: np.ndarray, strength: float, *, inputs: int, basis: np.ndarray | None = None
) -> np.ndarray:
    """What `RidgePath` gives at one strength, in a fraction of its time."""
    mean = moments[0, 1:] / moments[0, 0]
    covariance = moments[1:, 1:] / moments[0, 0] - np.outer(mean, mean)
    metric = np.eye(inputs) if basis is None else basis @ basis.T
    gram = covariance[:inputs, :inputs] @ metric
    penalty = max(strength * float(np.trace(gram)) / (inputs if basis is None else basis.shape[1]), _TINY)
    slopes = metric @ np.linalg.solve(gram + penalty * np.eye(inputs), covariance[:inputs, inputs:])
    return np.concatenate([(mean[inputs:] - mean[:inputs] @ slopes)[None], slopes])


def apply_ridge(weights: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """Outputs [n, outputs] of inputs [n, inputs]."""
    outputs: np.ndarray = inputs @ weights[1:] + weights[0]
    return outputs


def ridge_error(moments: np.ndarray, weights: np.ndarray) -> float:
    """Mean squared error over rows and outputs of weights on the rows of some moments."""
    inputs, outputs = weights.shape
    xx, xy, yy = moments[:inputs, :inputs], moments[:inputs, inputs:], moments[inputs:, inputs:]
    total = np.trace(yy) - 2.0 * np.sum(weights * xy) + np.sum(weights * (xx @ weights))
    return float(total / (moments[0, 0] * outputs))


def moving_average(length: int, *, width: int) -> np.ndarray:
    """Matrix [length, length] whose product with a window is its centred moving average.

    width: rows averaged; the first and last value are repeated beyond the ends, as in DLinear.
    """
    before = (width - 1) // 2
    source = np.clip(np.arange(length)[:, None] + np.arange(width) - before, 0, length - 1)  # [length, width]
    matrix = np.zeros((length, length))
    np.add.at(matrix, (np.arange(length)[:, None], source), 1.0 / width)
    return matrix
