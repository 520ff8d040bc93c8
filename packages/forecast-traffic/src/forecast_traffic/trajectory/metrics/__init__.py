"""Metrics of paths, which the plugin registers with core."""

from __future__ import annotations

from forecast_core.metrics import Metric
from forecast_traffic.trajectory.metrics.collisions import COLLISION_METRICS
from forecast_traffic.trajectory.metrics.density import DENSITY_METRICS
from forecast_traffic.trajectory.metrics.displacement import DISPLACEMENT_METRICS

__all__ = ["TRAJECTORY_METRICS"]

TRAJECTORY_METRICS: tuple[Metric, ...] = (*DISPLACEMENT_METRICS, *DENSITY_METRICS, *COLLISION_METRICS)
