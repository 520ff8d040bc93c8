"""The metric grammar: `name`, `name@argument`, `name@steps`.

What follows the @ is the metric's own parameter if it declares one (`coverage@0.9`), else horizon steps
(`mae@3`, `rmse@1-3`). Several, separated by commas, are several metrics under keys of their own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from forecast_core.errors import MetricError
from forecast_core.metrics.base import ForecastMetric, Metric
from forecast_core.metrics.registry import find_metric

__all__ = ["MetricRequest", "Steps", "metric_direction", "parse_metric"]

_STEPS = re.compile(r"(\d+(?:\.\d+)?)(?:-(\d+(?:\.\d+)?))?", re.ASCII)


@dataclass(frozen=True)
class Steps:
    """A first and a last step, both included; equal for a single one."""

    first: float
    last: float


@dataclass(frozen=True)
class MetricRequest:
    """One metric as asked for, such as "mae@3,6,12".

    keys: what its values are called, one for each thing asked for. Beside each key stand its `arguments`
    (None: the metric's own default is None) and, unless the whole horizon is meant, its `steps`.
    """

    text: str
    metric: Metric
    keys: tuple[str, ...]
    arguments: tuple[float | None, ...]
    steps: tuple[Steps, ...] | None = None


def parse_metric(text: str) -> MetricRequest:
    """Read a metric's name and what follows its @.

    Steps are counted from 1, or named as the prediction's `steps` name them (3, 5, 10; or seconds).
    Raises MetricError for an unknown name (with near misses), an argument out of its bounds, or steps that
    are no positive numbers or ranges of them.
    """
    if not isinstance(text, str):
        raise MetricError("metric", "is a name such as 'mae' or 'coverage@0.9'", got=repr(text))
    name, at, rest = (part.strip() for part in text.partition("@"))
    metric = find_metric(name)
    if not at:
        default = metric.parameter.default if metric.parameter is not None else None
        return MetricRequest(text, metric, (name,), (default,))
    parts = [part.strip() for part in rest.split(",")]
    keys = tuple(f"{name}@{part}" for part in parts)
    if metric.parameter is not None:
        return MetricRequest(text, metric, keys, tuple(_argument(metric, part, text) for part in parts))
    if not isinstance(metric, ForecastMetric):
        rule = f"takes nothing after the @ ({name} is of classes, without steps)"
        raise MetricError(f"metric {text!r}", rule)
    return MetricRequest(text, metric, keys, (None,) * len(keys), tuple(_steps(part, text) for part in parts))


def metric_direction(text: str) -> Literal["lower", "higher"] | None:
    """Which values of a metric are better, by name or by key; None where neither is.

    MetricError as for `parse_metric`.
    """
    return parse_metric(text).metric.direction


def _argument(metric: Metric, part: str, text: str) -> float:
    assert metric.parameter is not None
    try:
        return metric.parameter.parse(part)
    except MetricError as error:
        place = f"metric {text!r}" if error.place is None else f"metric {text!r}, {error.place}"
        raise MetricError(error.argument, error.rule, place=place, got=error.got, hint=error.hint) from None


def _steps(part: str, text: str) -> Steps:
    match = _STEPS.fullmatch(part)
    if match is None:
        rule = "is a step such as 3 or a range of steps such as 1-3"
        raise MetricError("steps", rule, place=f"metric {text!r}", got=repr(part))
    first = float(match[1])
    last = first if match[2] is None else float(match[2])
    if not 0 < first <= last:
        rule = "are above 0, the first not after the last"
        raise MetricError("steps", rule, place=f"metric {text!r}", got=repr(part))
    return Steps(first, last)
