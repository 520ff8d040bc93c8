"""What a metric is: what it asks of a prediction, and how its value follows from sums or from labels."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from forecast_core.errors import MetricError
from forecast_core.metrics.case import Case

__all__ = [
    "ClassMetric",
    "Compute",
    "Finish",
    "ForecastMetric",
    "Metric",
    "Needs",
    "Parameter",
    "Statistics",
    "given",
    "ratio",
]

Needs = Literal["mean", "median", "quantile", "distribution", "class"]
Statistics = Callable[[Case, float | None], Iterable[np.ndarray]]
Finish = Callable[..., np.ndarray]
Compute = Callable[[np.ndarray, np.ndarray, float | None], float]

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """The number a metric takes after the @: `coverage@0.9`. It lies strictly between `low` and `high`.

    default: used where the name comes alone; None lets the metric choose (the data's own seasonality).
    whole: only whole numbers of at least 1.
    """

    name: str
    default: float | None
    whole: bool = False
    low: float = 0.0
    high: float = math.inf

    def parse(self, text: str) -> float:
        """The number in the text; MetricError if it is none or lies out of bounds."""
        try:
            value = int(text) if self.whole else float(text)
        except ValueError:
            value = math.nan
        if not self.low < value < self.high:
            raise MetricError(self.name, self._rule(), got=repr(text))
        return value

    def _rule(self) -> str:
        if self.whole:
            return "is a whole number of at least 1"
        if math.isinf(self.high):
            return f"is a number above {self.low:g}"
        return f"lies strictly between {self.low:g} and {self.high:g}"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What all metrics declare.

    name: lower case, unique among all plugins. summary: one line for listings. needs: what it asks a
    prediction for. unit: of its value, "target" for the target's own, "1" for a bare number.
    greater_is_better: None where neither direction is better by itself (width, coverage, bias). from_zero:
    whether 0 is the best value there is, so that skill, a share of the baseline's value, means something; not
    so of the logarithm of a density, whose sign changes with the unit.
    Raises MetricError for a name that the metric grammar cannot hold.
    """

    name: str
    summary: str
    needs: Needs
    unit: str = "1"
    greater_is_better: bool | None = False
    from_zero: bool = True
    parameter: Parameter | None = None

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            rule = "is lower-case letters, digits and _, a letter first"
            raise MetricError("name", rule, got=repr(self.name))

    @property
    def direction(self) -> Literal["lower", "higher"] | None:
        """Which values are better; None where neither is."""
        if self.greater_is_better is None:
            return None
        return "higher" if self.greater_is_better else "lower"


def given(argument: float | None) -> float:
    """The argument of a metric whose parameter has a default, and which therefore always gets one."""
    if argument is None:
        raise MetricError("argument", "is given where the parameter has a default")
    return argument


def ratio(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """total / count elementwise, NaN where count is 0."""
    total, count = np.asarray(total, dtype=np.float64), np.asarray(count, dtype=np.float64)
    out = np.full(np.broadcast_shapes(total.shape, count.shape), np.nan)
    np.divide(total, count, out=out, where=count != 0)
    return out


def _mean(count: np.ndarray, total: np.ndarray) -> np.ndarray:
    return ratio(total, count)


@dataclass(frozen=True, kw_only=True)
class ForecastMetric(Metric):
    """A metric of forecasts whose value follows from sums, so that it can be taken over any steps and items.

    statistics(case, argument) gives arrays [n, h | 1, t | 1], one after the other; each is summed before
    the next is asked for, so a generator keeps memory low. Targets that do not count are NaN in
    `case.targets`; elements where the first array is NaN do not count. finish(count, *sums) makes the
    value from the number of elements and the sums, elementwise on arrays of any one shape; the default
    is the mean. An array [n, 1, 1] has one value a path (then there is none for each step).
    CapabilityError from `statistics` says that the prediction or the data cannot answer.
    """

    statistics: Statistics
    finish: Finish = _mean


@dataclass(frozen=True, kw_only=True)
class ClassMetric(Metric):
    """A metric of class predictions.

    compute(labels [m], probabilities [m, c], argument) gives the value over the observed rows, m >= 1;
    labels are class indices. NaN where it is undefined for these rows.
    """

    needs: Needs = "class"
    compute: Compute
