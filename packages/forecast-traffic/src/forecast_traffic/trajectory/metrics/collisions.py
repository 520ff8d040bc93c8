"""How often predicted paths of one scene meet."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from forecast_core.errors import CapabilityError
from forecast_core.metrics import ForecastMetric, Metric, Parameter
from forecast_core.metrics.base import given
from forecast_core.metrics.case import Case
from forecast_traffic.trajectory.metrics.displacement import best_paths
from forecast_traffic.trajectory.pairs import pairs_within

__all__ = ["COLLISION_METRICS"]

_PAIRS = 200_000  # compared at once


def _collides(case: Case, metres: float | None) -> Iterator[np.ndarray]:
    aux = case.prediction.aux
    if not {"scene", "frame"} <= aux.keys():
        raise CapabilityError("the prediction does not tell scene and frame, so who is there together")
    paths = best_paths(case, 1)[:, 0]  # [n, h, 2]
    scene, frame = aux["scene"].astype(np.int64), aux["frame"].astype(np.int64)
    moment = scene * (int(np.ptp(frame)) + 1) + frame - frame.min()
    hit = np.zeros(len(paths))
    one, other = pairs_within(moment)
    near = given(metres)
    for start in range(0, len(one), _PAIRS):
        a, b = one[start : start + _PAIRS], other[start : start + _PAIRS]
        apart = np.linalg.norm(paths[a] - paths[b], axis=-1).min(1)
        met = apart < near
        hit[a[met]] = hit[b[met]] = 1.0
    yield np.where(np.isnan(case.targets).all((1, 2)), np.nan, hit)[:, None, None]


COLLISION_METRICS: tuple[Metric, ...] = (
    ForecastMetric(
        name="collision_rate",
        summary="share of most probable paths that come nearer than d metres to another of their scene",
        needs="distribution",
        parameter=Parameter(name="d", default=0.2),
        statistics=_collides,
    ),
)
