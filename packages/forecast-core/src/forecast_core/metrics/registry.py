"""All metrics by name: core's own and those that plugins add."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from forecast_core.errors import DuplicateIdError, MetricError, PluginError, near_misses
from forecast_core.metrics.base import Metric
from forecast_core.metrics.calibration import CALIBRATION_METRICS
from forecast_core.metrics.classification import CLASS_METRICS
from forecast_core.metrics.crps import CRPS_METRICS
from forecast_core.metrics.likelihood import LIKELIHOOD_METRICS
from forecast_core.metrics.point import POINT_METRICS
from forecast_core.metrics.quantiles import QUANTILE_METRICS

if TYPE_CHECKING:
    from forecast_core.plugins import Plugin

__all__ = ["METRICS", "available_metrics", "find_metric"]

METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for group in (
            POINT_METRICS,
            CRPS_METRICS,
            LIKELIHOOD_METRICS,
            QUANTILE_METRICS,
            CALIBRATION_METRICS,
            CLASS_METRICS,
        )
        for metric in group
    }
)
"""Core's own metrics by name."""


@dataclass(frozen=True)
class _Catalogue:
    """All metrics of this process, rebuilt when a plugin comes or goes."""

    generation: int = -1
    metrics: Mapping[str, Metric] = field(default_factory=dict)


_catalogue = _Catalogue()


def available_metrics() -> Mapping[str, Metric]:
    """Every metric by name, sorted: core's own and those of plugins' `forecast_metrics` hooks.

    A plugin's metric under a name that is taken (core's own names always are) is left out, and reported as
    a DuplicateIdError naming both owners, the way every failure of a plugin is.
    """
    global _catalogue
    from forecast_core import plugins

    now = plugins.generation()
    if _catalogue.generation != now:
        _catalogue = _Catalogue(now, MappingProxyType(_gather()))
    return _catalogue.metrics


def find_metric(name: str) -> Metric:
    """The metric of this name; MetricError with near misses otherwise."""
    known = available_metrics()
    if name not in known:
        raise MetricError("metric", "is a known name", got=repr(name), hint=near_misses(name, known))
    return known[name]


def _gather() -> dict[str, Metric]:
    from forecast_core import plugins

    found = dict(METRICS)
    owners = dict.fromkeys(METRICS, "forecast-core itself")
    for plugin, metric in plugins.collect("forecast_metrics"):
        try:
            _check(metric, _owner(plugin), owners)
        except PluginError as error:
            plugins.record_failure(plugin, "forecast_metrics", error)
            continue
        found[metric.name], owners[metric.name] = metric, _owner(plugin)
    return {name: found[name] for name in sorted(found)}


def _check(metric: object, owner: str, owners: Mapping[str, str]) -> None:
    if not isinstance(metric, Metric):
        raise PluginError(f"{owner} gave a {type(metric).__name__} where a Metric is wanted")
    if metric.name in owners:
        raise DuplicateIdError(f"the metric {metric.name!r} of {owner} is taken by {owners[metric.name]}")


def _owner(plugin: Plugin) -> str:
    return f"plugin {plugin.name!r} ({plugin.distribution or plugin.package})"
