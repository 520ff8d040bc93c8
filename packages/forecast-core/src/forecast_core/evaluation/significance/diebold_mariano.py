"""The Diebold-Mariano test: are two models' expected losses equal?"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from forecast_core.errors import InvalidInputError, MissingDependencyError, ShapeError
from forecast_core.evaluation.significance.checks import loss_differences
from forecast_core.validation import whole

__all__ = ["Alternative", "DieboldMariano", "Kernel", "diebold_mariano"]

Alternative = Literal["two-sided", "less", "greater"]
Kernel = Literal["rectangular", "bartlett"]

_POSITIVE = 1e-12  # share of the variance at lag 0 below which a long-run variance is rounding


@dataclass(frozen=True)
class DieboldMariano:
    """Result of `diebold_mariano`; a negative statistic or mean difference speaks for model a.

    statistic: with the correction for small samples; infinite where losses differ by a constant.
    mean_difference: mean of loss_a - loss_b, in the unit of the loss. long_run_variance: n times the
    variance of that mean, in the squared unit. kernel: which weights of the autocovariances gave it.
    observations: origins at which both losses are there.
    """

    statistic: float
    p_value: float
    mean_difference: float
    horizon: int
    observations: int
    long_run_variance: float
    kernel: Kernel


def diebold_mariano(
    loss_a: Any, loss_b: Any, *, horizon: int = 1, alternative: Alternative = "two-sided"
) -> DieboldMariano:
    """Test whether two models' expected losses are equal (Diebold & Mariano 1995).

    loss_a, loss_b: [origin] in order of time, equally spaced. horizon: how many successive origins have
    targets in common, so that their losses are correlated up to lag horizon - 1. With forecasts of h steps
    from every s-th row that is ceil(h / s): 12 for 12 steps from every row, 1 for 24 steps from every 24th.
    alternative: "less" asks whether a's loss is lower, "greater" whether it is higher.

    The long-run variance is the sum of the autocovariances at lags -(horizon - 1) to horizon - 1, each with
    weight 1 (rectangular); only where that is not positive, with Bartlett weights 1 - lag / horizon at the
    same lags. The statistic has the correction of Harvey, Leybourne & Newbold (1997) and is compared with
    Student's t with n - 1 degrees of freedom.

    NaN marks an origin without a loss. It counts neither in the mean nor in the autocovariances, but keeps
    its place: origins before and after a gap stay as far apart as they are (Parzen 1963). Equal losses
    give statistic 0. Losses that always differ by the same give an infinite statistic, the limit as the
    variance goes to 0.

    Raises InvalidInputError for a horizon below 1 or an unknown alternative, ShapeError for unequal lengths
    or fewer than horizon + 1 origins in common, DataError for infinity, MissingDependencyError without scipy.
    """
    horizon = whole("horizon", horizon)
    if alternative not in get_args(Alternative):
        raise InvalidInputError(
            "alternative", f"is one of {list(get_args(Alternative))}", got=repr(alternative)
        )
    difference, rounding = loss_differences(loss_a, loss_b)
    seen = ~np.isnan(difference)
    n = int(seen.sum())
    if n <= horizon:
        rule = f"have at least {horizon + 1} origins in common for horizon {horizon}"
        raise ShapeError("loss_a, loss_b", rule, got=n)
    mean = float(difference[seen].mean())
    centred = np.where(seen, difference - mean, 0.0)  # [origin]
    spread = float(np.abs(centred).max())
    kernel: Kernel = "rectangular"
    if spread <= rounding:
        variance = 0.0
        statistic = 0.0 if abs(mean) <= rounding else math.copysign(math.inf, mean)
    else:
        scaled, kernel = _long_run_variance(centred / spread, horizon, n)  # squares of any unit fit
        variance = scaled * spread * spread
        correction = (n - horizon) * (n - horizon + 1) / n**2  # = (n + 1 - 2h + h (h - 1) / n) / n
        statistic = mean / spread * math.sqrt(correction * n / scaled)
    return DieboldMariano(
        statistic=statistic,
        p_value=_p_value(statistic, n - 1, alternative),
        mean_difference=mean,
        horizon=horizon,
        observations=n,
        long_run_variance=variance,
        kernel=kernel,
    )


def _long_run_variance(centred: np.ndarray, horizon: int, n: int) -> tuple[float, Kernel]:
    """The long-run variance of deviations from the mean, zero at gaps, of which n are observed."""
    size = len(centred)
    autocovariance = np.array([centred[lag:] @ centred[: size - lag] for lag in range(horizon)]) / n
    both_sides = np.where(np.arange(horizon) == 0, 1.0, 2.0)
    rectangular = float(both_sides @ autocovariance)
    if rectangular > _POSITIVE * autocovariance[0]:
        return rectangular, "rectangular"
    bartlett = 1.0 - np.arange(horizon) / horizon
    return float((both_sides * bartlett) @ autocovariance), "bartlett"


def _p_value(statistic: float, freedom: int, alternative: Alternative) -> float:
    below = _student()
    if alternative == "two-sided":
        return min(1.0, 2.0 * float(below(freedom, -abs(statistic))))
    return float(below(freedom, statistic if alternative == "less" else -statistic))


def _student() -> Callable[[int, float], Any]:
    """Student's distribution function of (degrees of freedom, t)."""
    try:
        from scipy.special import stdtr
    except ImportError as error:
        raise MissingDependencyError(
            "scipy", purpose="the Diebold-Mariano test", install="pip install 'forecast-core[evaluate]'"
        ) from error
    function: Callable[[int, float], Any] = stdtr
    return function
