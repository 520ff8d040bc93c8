"""The model confidence set: which of several models may be the best."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from forecast_core.data.frames import build_frame
from forecast_core.errors import ShapeError
from forecast_core.evaluation.significance.bootstrap import arch_bootstrap, block_length_for
from forecast_core.evaluation.significance.checks import loss_table, rounding_error
from forecast_core.validation import fraction, whole

__all__ = ["ConfidenceSet", "model_confidence_set"]


@dataclass(frozen=True)
class ConfidenceSet:
    """Result of `model_confidence_set`; models in the order in which they were given.

    included: the models whose p-value is above size; they hold the best with probability 1 - size.
    p_values: model -> the smallest size at which it would be excluded.
    """

    included: tuple[str, ...]
    excluded: tuple[str, ...]
    p_values: Mapping[str, float]
    size: float
    block_length: int
    observations: int

    def to_frame(self, *, backend: str | None = None) -> Any:
        """A row a model: model, p, included."""
        return build_frame(
            {
                "model": list(self.p_values),
                "p": list(self.p_values.values()),
                "included": [name in self.included for name in self.p_values],
            },
            backend=backend,
        )

    def to_json(self) -> str:
        """All fields as JSON."""
        return json.dumps(asdict(self), indent=2)


def model_confidence_set(
    losses: Mapping[str, Any],
    *,
    size: float = 0.1,
    block_length: int | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
) -> ConfidenceSet:
    """The models that hold the best one with probability 1 - size (Hansen, Lunde & Nason 2011).

    losses: model -> [origin] in order of time. The range statistic on the stationary bootstrap of arch.
    block_length: mean length of a block in origins; default: as in `block_bootstrap`, the longest of those
    for each model's difference from the average. Origins at which any loss is NaN are left out.

    Approximate: where the correlation lasts long against the number of origins, models are excluded
    somewhat too readily. Of five equal models with losses correlated over 4 of 300 origins, all were kept
    at size 0.1 in 76 % of simulations, one named beforehand in 92 %.

    Models of equal losses share one p-value. Of models whose losses always differ by the same, all but the
    best have p-value 0.

    Raises InvalidInputError for no model and numbers out of bounds, ShapeError for unequal lengths or too
    few origins (2; 8 for the default block length), DataError for infinity, MissingDependencyError without
    arch.
    """
    size = fraction("size", size)
    whole("n_resamples", n_resamples, least=100)
    whole("seed", seed, least=0)
    names, table = loss_table(losses)
    table = table[~np.isnan(table).any(axis=1)]  # [origin, model]
    if len(table) < 2:
        raise ShapeError("losses", "have at least 2 origins in common", got=len(table))
    difference = table - table.mean(axis=1, keepdims=True)
    length = block_length_for(difference, block_length)
    p = _p_values(difference, rounding_error(table), length, n_resamples, seed)
    return ConfidenceSet(
        included=tuple(name for name, value in zip(names, p, strict=True) if value > size),
        excluded=tuple(name for name, value in zip(names, p, strict=True) if value <= size),
        p_values=dict(zip(names, p.tolist(), strict=True)),
        size=size,
        block_length=length,
        observations=len(table),
    )


def _p_values(
    losses: np.ndarray, rounding: float, block_length: int, n_resamples: int, seed: int
) -> np.ndarray:
    """Each model's p-value, [model], from losses [origin, model].

    The worst model leaves the set again and again, at the largest p-value so far. Written out because the
    loop of `arch.bootstrap.MCS` fails where two statistics are equal; it gives the same numbers elsewhere.
    """
    unit = float(np.abs(losses).max()) or 1.0  # squares of any unit fit
    losses, rounding = losses / unit, rounding / unit
    bootstrap = arch_bootstrap().StationaryBootstrap(block_length, losses, seed=seed)
    resampled = np.asarray(
        bootstrap.apply(lambda sample: sample.mean(axis=0), n_resamples)
    )  # [resample, model]
    means = losses.mean(axis=0)
    gap = means[:, None] - means  # [model, model] positive where the first is worse
    noise = resampled[:, :, None] - resampled[:, None, :] - gap  # [resample, model, model]
    spread = np.sqrt((noise**2).mean(axis=0))
    varies = spread > rounding
    limit = np.where(np.abs(gap) <= rounding, 0.0, np.copysign(np.inf, gap))
    statistic = np.divide(gap, spread, out=limit, where=varies)
    noise = np.divide(noise, spread, out=np.zeros_like(noise), where=varies)
    left, p, largest = np.arange(len(means)), np.ones(len(means)), 0.0
    while len(left) > 1:
        worst = statistic[np.ix_(left, left)].max(axis=1)  # [left]
        simulated = noise[:, left[:, None], left].max(axis=(1, 2))  # [resample]
        largest = max(largest, float(np.mean(simulated >= worst.max())))
        out = int(worst.argmax())
        p[left[out]] = largest
        left = np.delete(left, out)
    return p
