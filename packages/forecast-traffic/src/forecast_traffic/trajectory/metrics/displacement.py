"""Distances between predicted and true paths, in metres; lower is better.

Average displacement is over all observed steps, final displacement at the last one. `ade` and `fde` are of
the mean path. Those that begin with `min` are of the best of k paths: the k most probable modes, or, where
a prediction has fewer, k draws with seed 0. Two conventions are in use and both are here by name: `minade`
and `minfde` choose the best path each by itself; `minfde_by_ade` is the final displacement of the path that
`minade` chose (Gupta et al. 2018 choose by each sum), `minade_by_fde` the average displacement of the one
that `minfde` chose (Chang et al. 2019, Argoverse).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from forecast_core.errors import CapabilityError
from forecast_core.metrics import ForecastMetric, Metric, Parameter
from forecast_core.metrics.base import given
from forecast_core.metrics.case import Case
from forecast_core.prediction import PathMixturePrediction, SamplePrediction

__all__ = ["DISPLACEMENT_METRICS", "MISS_MODES", "best_paths", "in_the_plane"]

MISS_MODES = 6


def in_the_plane(case: Case) -> None:
    """CapabilityError unless the targets are two coordinates."""
    if case.targets.shape[2] != 2:
        raise CapabilityError(f"paths have two coordinates; these targets have {case.targets.shape[2]}")


def best_paths(case: Case, k: int) -> np.ndarray:
    """k paths a row [n, k, h, 2]: the most probable modes, most probable first, or k draws with seed 0."""
    in_the_plane(case)
    prediction = case.prediction

    def ask() -> np.ndarray:
        if isinstance(prediction, PathMixturePrediction) and prediction.weights.shape[1] >= k:
            return prediction.modes()[1][:, :k]
        if isinstance(prediction, SamplePrediction) and len(prediction.values) >= k:
            return np.moveaxis(prediction.values[:k], 0, 1)
        return np.moveaxis(prediction.sample(k, seed=0), 0, 1)

    return case.answer(("paths", k), ask)


def _distances(case: Case, k: int) -> np.ndarray:
    """Distance of k paths to the truth [n, k, h], NaN where a step was not observed."""
    return case.answer(
        ("distances", k),
        lambda: np.linalg.norm(best_paths(case, k) - case.targets[:, None], axis=-1),
    )


def _averages(case: Case, k: int) -> np.ndarray:
    """Average displacement of k paths [n, k], NaN where nothing was observed."""
    distances = _distances(case, k)
    seen = ~np.isnan(distances)
    count = seen.sum(-1)
    total = np.where(seen, distances, 0.0).sum(-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _ends(case: Case, k: int) -> np.ndarray:
    """Final displacement of k paths [n, k]."""
    return _distances(case, k)[..., -1]


def _of_path(values: np.ndarray) -> np.ndarray:
    """One value a row [n] as statistics of whole paths [n, 1, 1]."""
    return values[:, None, None]


def _average_displacement(case: Case, _: float | None) -> Iterator[np.ndarray]:
    in_the_plane(case)
    yield np.linalg.norm(case.mean() - case.targets, axis=-1, keepdims=True)


def _final_displacement(case: Case, _: float | None) -> Iterator[np.ndarray]:
    in_the_plane(case)
    yield np.linalg.norm(case.mean()[:, -1:] - case.targets[:, -1:], axis=-1, keepdims=True)


def _best_average(case: Case, k: float | None) -> Iterator[np.ndarray]:
    yield _of_path(_averages(case, int(given(k))).min(1))


def _best_end(case: Case, k: float | None) -> Iterator[np.ndarray]:
    yield _of_path(_ends(case, int(given(k))).min(1))


def _end_of_best_average(case: Case, k: float | None) -> Iterator[np.ndarray]:
    averages, ends = _averages(case, int(given(k))), _ends(case, int(given(k)))
    yield _of_path(_chosen(ends, averages))


def _average_of_best_end(case: Case, k: float | None) -> Iterator[np.ndarray]:
    averages, ends = _averages(case, int(given(k))), _ends(case, int(given(k)))
    yield _of_path(_chosen(averages, ends))


def _chosen(values: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Of each row the value [n] where `by` [n, k] is smallest; NaN where that is."""
    best = np.where(np.isnan(by), np.inf, by).argmin(1)
    row = np.arange(len(by))
    return np.where(np.isnan(by[row, best]), np.nan, values[row, best])


def _modes_for_misses(case: Case) -> int:
    prediction = case.prediction
    if isinstance(prediction, PathMixturePrediction):
        return min(MISS_MODES, int(prediction.weights.shape[1]))
    return MISS_MODES if isinstance(prediction, SamplePrediction) else 1


def _missed(case: Case, metres: float | None) -> Iterator[np.ndarray]:
    nearest = _ends(case, _modes_for_misses(case)).min(1)
    yield _of_path(np.where(np.isnan(nearest), np.nan, nearest > given(metres)))


def _brier_end(case: Case, k: float | None) -> Iterator[np.ndarray]:
    prediction = case.prediction
    if not isinstance(prediction, PathMixturePrediction):
        raise CapabilityError(f"a {prediction.kind} prediction gives its paths no probabilities")
    modes = min(int(given(k)), prediction.weights.shape[1])
    ends = _ends(case, modes)
    weights = prediction.modes()[0][:, :modes].astype(np.float64)
    weights = weights / weights.sum(1, keepdims=True)
    yield _of_path(_chosen(ends + (1.0 - weights) ** 2, ends))


_COUNT = Parameter(name="k", default=20, whole=True)
_FEW = Parameter(name="k", default=6, whole=True)

DISPLACEMENT_METRICS: tuple[Metric, ...] = (
    ForecastMetric(
        name="ade",
        summary="average displacement: mean distance of the mean path; @3 is the distance at step 3 alone",
        needs="mean",
        unit="target",
        statistics=_average_displacement,
    ),
    ForecastMetric(
        name="fde",
        summary="final displacement: distance of the mean path at its last step",
        needs="mean",
        unit="target",
        statistics=_final_displacement,
    ),
    ForecastMetric(
        name="minade",
        summary="average displacement of the best of k paths; @1 is the most probable path",
        needs="distribution",
        unit="target",
        parameter=_COUNT,
        statistics=_best_average,
    ),
    ForecastMetric(
        name="minfde",
        summary="final displacement of the path, of k, that ends best; independent of minade's choice",
        needs="distribution",
        unit="target",
        parameter=_COUNT,
        statistics=_best_end,
    ),
    ForecastMetric(
        name="minfde_by_ade",
        summary="final displacement of the path, of k, with the least average displacement (same path)",
        needs="distribution",
        unit="target",
        parameter=_COUNT,
        statistics=_end_of_best_average,
    ),
    ForecastMetric(
        name="minade_by_fde",
        summary="average displacement of the path, of k, that ends best (same path)",
        needs="distribution",
        unit="target",
        parameter=_COUNT,
        statistics=_average_of_best_end,
    ),
    ForecastMetric(
        name="missrate",
        summary="share of paths whose end lies further than d metres from that of each of 6 likely modes",
        needs="distribution",
        parameter=Parameter(name="d", default=2.0),
        statistics=_missed,
    ),
    ForecastMetric(
        name="brier_minfde",
        summary="minfde of the k most probable modes plus (1 - p)^2 of the mode chosen",
        needs="distribution",
        unit="target",
        parameter=_FEW,
        statistics=_brier_end,
    ),
)
