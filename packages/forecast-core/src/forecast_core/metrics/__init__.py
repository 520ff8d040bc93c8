"""Metrics of predictions: point errors, proper scores, calibration, classification, and their grammar.

`evaluate_metrics(prediction, targets, mask, ["mae", "coverage@0.9", "rmse@1-3"])` gives values by key;
`by_horizon` and `by_item` give them for each step and each item, `score_metrics` all three at once. Plugins
add `ForecastMetric` or `ClassMetric` objects through the hook `forecast_metrics`.
"""

from forecast_core.metrics.base import (
    ClassMetric as ClassMetric,
    ForecastMetric as ForecastMetric,
    Metric as Metric,
    Parameter as Parameter,
    ratio as ratio,
)
from forecast_core.metrics.calibration import pit_values as pit_values
from forecast_core.metrics.case import Case as Case, MetricContext as MetricContext
from forecast_core.metrics.crps import crps_values as crps_values
from forecast_core.metrics.grammar import (
    MetricRequest as MetricRequest,
    metric_direction as metric_direction,
    parse_metric as parse_metric,
)
from forecast_core.metrics.likelihood import log_density as log_density
from forecast_core.metrics.registry import METRICS as METRICS, available_metrics as available_metrics
from forecast_core.metrics.scoring import (
    MetricScores as MetricScores,
    by_horizon as by_horizon,
    by_item as by_item,
    evaluate_metrics as evaluate_metrics,
    score_metrics as score_metrics,
)
