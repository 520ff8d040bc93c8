"""Linear opinion pool: one prediction whose distribution is the weighted mixture of the members'."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from forecast_core.arrays import arrays_equal
from forecast_core.errors import CapabilityError, ShapeError
from forecast_core.prediction import (
    ClassPrediction,
    ForecastPrediction,
    MixturePrediction,
    PathMixturePrediction,
    PointPrediction,
    Prediction,
    QuantilePrediction,
    SamplePrediction,
)

__all__ = ["pool", "pooled_kinds", "variances"]

# Levels of a pooled quantile forecast, and of the knots at which members' distributions are added up.
_LEVELS = (0.01, 0.025, *(k / 20 for k in range(1, 20)), 0.975, 0.99)
_KNOTS = (0.001, 0.0025, 0.005, *_LEVELS, 0.995, 0.9975, 0.999)
_ROUNDS = 3  # of bisection between two knots
_CELLS = 2**21  # numbers held at once
_POINTS_APART = (
    "points and distributions cannot be pooled, since a point has no spread; let all members predict points, "
    "or none"
)
_PARTS = ("aleatoric_variance", "epistemic_variance")  # of a pool's variance: its own, never its members'


def pooled_kinds(kinds: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Kinds that a pool of members of these kinds may have; CapabilityError where some can only be points and
    others never are.
    """
    if ("point",) in kinds and not all("point" in own for own in kinds):
        raise CapabilityError(_POINTS_APART)
    every = {kind for own in kinds for kind in own}
    own_pool = every & {"point", "mixture", "path-mixture", "sample", "class"}
    if len(every) == 1 and own_pool:
        return tuple(every)
    return tuple(sorted(own_pool | {"quantile"}))


def pool(parts: Sequence[Prediction], weights: np.ndarray) -> Prediction:
    """The mixture sum_k w_k F_k of the members' distributions; weights [k] sum to 1.

    Gaussian and path mixtures stay what they are, with the components of all members; samples are drawn
    from the members in proportion to their weights, joint paths staying whole; points and class
    probabilities are averaged. Members of different or other kinds give quantiles of the pooled
    distribution, found by bisection of the sum of the members' cdfs. Sources: Stone, The opinion pool
    (1961); for the variance Lakshminarayanan et al., Deep ensembles (2017).

    `aux` of a forecast with a spread holds its parts "aleatoric_variance" and "epistemic_variance", [item,
    horizon, target]. Of the members' own, what all hold equal is kept (who was where), and shares
    [item, ...] between 0 and 1 that all hold, of one shape, become their weighted mean: of probabilities, the
    probability under the mixture. What some member does not hold, or what is no share, is left out.

    Raises ShapeError where members differ in rows or steps, CapabilityError for kinds that have no
    distribution, among them points beside distributions.
    """
    _check_rows(parts)
    aux = _shared_aux(parts, weights)
    if all(isinstance(part, ClassPrediction) for part in parts):
        return _average_classes(cast(Sequence[ClassPrediction], parts), weights, aux)
    if not all(isinstance(part, ForecastPrediction) for part in parts):
        raise CapabilityError(f"predictions of kinds {sorted({p.kind for p in parts})} cannot be pooled")
    forecasts = cast(Sequence[ForecastPrediction], parts)
    if all(isinstance(part, PointPrediction) for part in forecasts):
        values = sum(w * part.mean() for part, w in zip(forecasts, weights.tolist(), strict=True))
        return PointPrediction(**_identity(forecasts[0]), aux=aux, values=values)
    if any(isinstance(part, PointPrediction) for part in forecasts):
        raise CapabilityError(_POINTS_APART)
    identity = _identity(forecasts[0])
    identity["aux"] = {**aux, **dict(zip(_PARTS, variances(forecasts, weights), strict=True))}
    if all(isinstance(part, MixturePrediction) for part in forecasts):
        return _join_mixtures(cast(Sequence[MixturePrediction], forecasts), weights, identity)
    if all(isinstance(part, PathMixturePrediction) for part in forecasts):
        return _join_paths(cast(Sequence[PathMixturePrediction], forecasts), weights, identity)
    if all(isinstance(part, SamplePrediction) for part in forecasts):
        return _draw(cast(Sequence[SamplePrediction], forecasts), weights, identity)
    return _pool_quantiles(forecasts, weights, identity)


def variances(parts: Sequence[ForecastPrediction], weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two parts of a pool's variance [item, horizon, target]: the members' mean variance (aleatoric) and
    the variance of the members' means (epistemic); by the law of total variance they add up to the whole.
    """
    means = np.stack([part.mean() for part in parts], -1)
    within = np.stack([part.variance() for part in parts], -1) @ weights
    centre = means @ weights
    return within, ((means - centre[..., None]) ** 2) @ weights


def _check_rows(parts: Sequence[Prediction]) -> None:
    first = parts[0]
    for part in parts[1:]:
        if part.item_ids != first.item_ids:
            raise ShapeError("members", "predict the same rows", got=f"{len(first)} and {len(part)} rows")
        if not (isinstance(part, ForecastPrediction) and isinstance(first, ForecastPrediction)):
            continue
        if part.shape != first.shape or part.steps != first.steps:
            raise ShapeError("members", "predict the same steps and targets", got=(first.shape, part.shape))


def _identity(part: ForecastPrediction) -> dict[str, Any]:
    return {
        "item_ids": part.item_ids,
        "steps": part.steps,
        "timestamps": part.timestamps,
        "target_names": part.target_names,
    }


def _shared_aux(parts: Sequence[Prediction], weights: np.ndarray) -> dict[str, np.ndarray]:
    shared: dict[str, np.ndarray] = {}
    for name, first in parts[0].aux.items():
        held = [part.aux[name] for part in parts if name in part.aux]
        if name in _PARTS or len(held) < len(parts) or any(a.shape != first.shape for a in held):
            continue
        if all(arrays_equal(first, array) for array in held):
            shared[name] = first
        elif first.shape[:1] == (len(parts[0]),) and all(_shares(array) for array in held):
            stacked = np.stack([array.astype(np.float64) for array in held], -1)  # [item, ..., member]
            shared[name] = stacked @ weights
    return shared


def _shares(array: np.ndarray) -> bool:
    return array.dtype.kind == "f" and bool(((array >= 0) & (array <= 1)).all())


def _average_classes(
    parts: Sequence[ClassPrediction], weights: np.ndarray, aux: dict[str, np.ndarray]
) -> ClassPrediction:
    classes = parts[0].classes
    if any(part.classes != classes for part in parts):
        raise ShapeError("members", "know the same classes in the same order", got=[p.classes for p in parts])
    stacked = np.stack([part.probabilities.astype(np.float64) for part in parts], -1)  # [item, class, member]
    probabilities = stacked @ weights
    return ClassPrediction(item_ids=parts[0].item_ids, probabilities=probabilities, classes=classes, aux=aux)


def _join_mixtures(
    parts: Sequence[MixturePrediction], weights: np.ndarray, identity: dict[str, Any]
) -> MixturePrediction:
    shares = [
        np.broadcast_to(part.weights, part.means.shape).astype(np.float64) * w
        for part, w in zip(parts, weights.tolist(), strict=True)
    ]
    return MixturePrediction(
        **identity,
        weights=np.concatenate(shares, -1),
        means=np.concatenate([part.means for part in parts], -1),
        sigmas=np.concatenate([part.sigmas for part in parts], -1),
    )


def _join_paths(
    parts: Sequence[PathMixturePrediction], weights: np.ndarray, identity: dict[str, Any]
) -> PathMixturePrediction:
    shares = [part.weights.astype(np.float64) * w for part, w in zip(parts, weights.tolist(), strict=True)]
    return PathMixturePrediction(
        **identity,
        weights=np.concatenate(shares, -1),
        means=np.concatenate([part.means for part in parts], -1),
        covariances=np.concatenate([part.covariances for part in parts], -1),
    )


def _draw(
    parts: Sequence[SamplePrediction], weights: np.ndarray, identity: dict[str, Any]
) -> SamplePrediction:
    """The first draws of every member, as many as its weight asks for (largest remainders)."""
    total = max(len(part.values) for part in parts)
    wanted = weights * total
    count = np.floor(wanted).astype(np.intp)
    count[np.argsort(count - wanted, kind="stable")[: total - int(count.sum())]] += 1
    values = []
    for part, n in zip(parts, count.tolist(), strict=True):
        # A member with fewer draws than it is due repeats them.
        values.append(np.take(part.values, np.arange(n), axis=0, mode="wrap"))
    return SamplePrediction(
        **identity, values=np.concatenate(values), joint=all(part.joint for part in parts)
    )


def _pool_quantiles(
    parts: Sequence[ForecastPrediction], weights: np.ndarray, identity: dict[str, Any]
) -> QuantilePrediction:
    own = {float(level) for part in parts if isinstance(part, QuantilePrediction) for level in part.levels}
    only_quantiles = all(isinstance(part, QuantilePrediction) for part in parts)
    levels = np.array(sorted(own if only_quantiles else own | set(_LEVELS)))
    knots = np.array(sorted(own | set(_KNOTS)))
    rows, horizon, targets = parts[0].shape
    at_once = max(1, _CELLS // (horizon * targets * len(knots) * len(parts)))
    values = [
        _quantiles_of_sum(
            [part.take(np.arange(k, min(k + at_once, rows))) for part in parts], weights, knots, levels
        )
        for k in range(0, rows, at_once)
    ]
    return QuantilePrediction(**identity, levels=levels, values=np.concatenate(values))


def _quantiles_of_sum(
    parts: Sequence[ForecastPrediction], weights: np.ndarray, knots: np.ndarray, levels: np.ndarray
) -> np.ndarray:
    """Quantiles [item, horizon, target, level] of sum_k w_k F_k."""
    x = np.sort(np.concatenate([part.quantile(knots) for part in parts], -1), axis=-1)  # [i, h, t, k]
    p = np.maximum.accumulate(_cdf_of_sum(parts, weights, x), -1)
    above = (p[..., None] < levels).sum(-2)  # first knot that reaches the level, [i, h, t, q]
    at = (np.clip(above - 1, 0, None), np.clip(above, 0, x.shape[-1] - 1))
    (x_low, x_high), (p_low, p_high) = ([np.take_along_axis(v, k, -1) for k in at] for v in (x, p))
    for _ in range(_ROUNDS):  # shrink each bracket by its middle
        middle = (x_low + x_high) / 2
        reached = _cdf_of_sum(parts, weights, middle)
        below = reached < levels
        x_low, p_low = np.where(below, middle, x_low), np.where(below, reached, p_low)
        x_high, p_high = np.where(below, x_high, middle), np.where(below, p_high, reached)
    rise = np.where(p_high > p_low, p_high - p_low, 1.0)
    share = np.where(p_high > p_low, np.clip((levels - p_low) / rise, 0.0, 1.0), 1.0)
    return np.maximum.accumulate(x_low + (x_high - x_low) * share, -1)


def _cdf_of_sum(parts: Sequence[ForecastPrediction], weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """sum_k w_k F_k at several places of every step; x and result [item, horizon, target, place]."""
    p = np.empty_like(x)
    for k in range(x.shape[-1]):
        p[..., k] = sum(w * part.cdf(x[..., k]) for part, w in zip(parts, weights.tolist(), strict=True))
    return p
