"""Fitting a few parameters by a smooth cost."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["minimised"]


def minimised(cost: Callable[[np.ndarray], float], start: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Where a cost is least [p], from `start` within `bounds` [p, 2]; the same for the same cost.

    L-BFGS-B with gradients from central differences. The start is kept where nothing better is found.
    """
    from scipy.optimize import minimize

    first = np.clip(start, bounds[:, 0], bounds[:, 1])
    found = minimize(
        cost, first, method="L-BFGS-B", jac="3-point", bounds=bounds, options={"maxiter": 200, "ftol": 1e-12}
    )
    better = np.isfinite(found.fun) and found.fun <= cost(first)
    least: np.ndarray = found.x if better else first
    return least
