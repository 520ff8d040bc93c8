"""A prediction with its targets, ready to be asked for metrics."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from forecast_core.errors import CapabilityError, InvalidInputError, MetricError, ShapeError
from forecast_core.metrics.base import ClassMetric, ForecastMetric, Metric
from forecast_core.metrics.case import Case, MetricContext
from forecast_core.metrics.grammar import Steps, parse_metric
from forecast_core.metrics.sums import Groups, Sums
from forecast_core.prediction import ClassPrediction, ForecastPrediction, Prediction
from forecast_core.prediction.base import ItemId

__all__ = ["Asked", "Missing", "Scorer", "scorer_of"]

Missing = Literal["raise", "nan"]


@dataclass(frozen=True)
class Asked:
    """One key of a request."""

    key: str
    metric: Metric
    argument: float | None
    steps: Steps | None


@dataclass(frozen=True)
class _Rows:
    """Observed labels [m] and probabilities [m, c] of a class prediction, and the item [m] of each."""

    metric: ClassMetric
    argument: float | None
    labels: np.ndarray
    probabilities: np.ndarray
    items: np.ndarray
    item_count: int

    def overall(self) -> float:
        return self._compute(np.arange(len(self.labels)))

    def by_item(self) -> np.ndarray:
        order = np.argsort(self.items, kind="stable")
        ends = np.searchsorted(self.items[order], np.arange(self.item_count), side="right")
        return np.array([self._compute(rows) for rows in np.split(order, ends)[: self.item_count]])

    def _compute(self, rows: np.ndarray) -> float:
        if not len(rows):
            return math.nan
        return self.metric.compute(self.labels[rows], self.probabilities[rows], self.argument)


_Value = Sums | _Rows | None


class Scorer:
    """A prediction with its targets, ready to be asked for metrics."""

    def __init__(self, prediction: Prediction) -> None:
        self.kind = prediction.kind
        self.groups = Groups.of(prediction.item_ids)

    def values(self, names: Sequence[str], missing: Missing) -> Iterator[tuple[Asked, _Value]]:
        """What was asked for, key by key, with its value; None where there is none and none is needed."""
        for asked in _asked(names):
            try:
                value: _Value = self.value(asked)
            except CapabilityError as error:
                if missing == "raise":
                    rule = (
                        f"needs a prediction that answers {asked.metric.needs!r}, and data that has its scale"
                    )
                    raise MetricError(
                        f"metric {asked.key!r}", rule, got=f"a {self.kind} prediction", hint=str(error)
                    ) from error
                value = None
            yield asked, value

    def value(self, asked: Asked) -> Sums | _Rows:
        """The value asked for; CapabilityError where prediction or data cannot answer."""
        raise NotImplementedError

    def has_steps(self, value: _Value) -> bool:
        """Whether there is a value for each step."""
        return False

    def steps_of(self, asked: Asked, value: _Value, missing: Missing) -> np.ndarray:
        """Values by step [h]."""
        raise MetricError("prediction", "has steps", got=f"a {self.kind} prediction")

    def items_of(self, value: _Value) -> dict[ItemId, float]:
        """Values by item id."""
        values = np.full(len(self.groups.ids), np.nan) if value is None else value.by_item()
        return dict(zip(self.groups.ids, values.tolist(), strict=True))


class _ForecastScorer(Scorer):
    def __init__(self, case: Case) -> None:
        super().__init__(case.prediction)
        self.case = case
        self.shape = case.prediction.shape
        self._sums: dict[tuple[str, float | None], Sums] = {}

    def value(self, asked: Asked) -> Sums:
        columns = None if asked.steps is None else self._columns(asked.key, asked.steps)
        metric = asked.metric
        if not isinstance(metric, ForecastMetric):
            raise CapabilityError(f"{metric.name} is a metric of classes")
        known = (metric.name, asked.argument)
        if known not in self._sums:
            statistics = metric.statistics(self.case, asked.argument)
            self._sums[known] = Sums.of(metric, statistics, shape=self.shape, groups=self.groups)
        sums = self._sums[known]
        if columns is None:
            return sums
        if not self.has_steps(sums):
            raise _of_paths(asked)
        return sums.at(columns)

    def has_steps(self, value: _Value) -> bool:
        return not isinstance(value, Sums) or value.count.shape[1] == self.shape[1]

    def steps_of(self, asked: Asked, value: _Value, missing: Missing) -> np.ndarray:
        if asked.steps is not None:
            raise MetricError(f"metric {asked.key!r}", "names no steps where every step is asked for")
        if isinstance(value, Sums) and self.has_steps(value):
            return value.by_step()
        if value is not None and missing == "raise":
            raise _of_paths(asked)
        return np.full(self.shape[1], np.nan)

    def _columns(self, key: str, wanted: Steps) -> np.ndarray:
        """Positions of the steps wanted; MetricError if the horizon does not hold them."""
        steps = self.case.prediction.steps
        known = np.asarray(steps if steps is not None else range(1, self.shape[1] + 1), dtype=np.float64)
        near = 1e-9 * known[-1]
        inside = (known >= wanted.first - near) & (known <= wanted.last + near)
        if wanted.first < known[0] - near or wanted.last > known[-1] + near or not inside.any():
            have = f"1 to {self.shape[1]}" if steps is None else ", ".join(f"{s:g}" for s in steps)
            raise MetricError(f"metric {key!r}", f"names steps of the horizon, which are {have}")
        return np.flatnonzero(inside)


class _ClassScorer(Scorer):
    def __init__(self, prediction: ClassPrediction, targets: np.ndarray, observed: np.ndarray) -> None:
        super().__init__(prediction)
        self.labels = targets[observed].astype(np.int64)
        self.probabilities = prediction.probabilities[observed].astype(np.float64)
        self.items = self.groups.of_row[observed]

    def value(self, asked: Asked) -> _Rows:
        metric = asked.metric
        if not isinstance(metric, ClassMetric):
            raise CapabilityError(f"{metric.name} is a metric of forecasts")
        return _Rows(
            metric, asked.argument, self.labels, self.probabilities, self.items, len(self.groups.ids)
        )


def _asked(names: Sequence[str]) -> Iterator[Asked]:
    requests = [parse_metric(name) for name in ([names] if isinstance(names, str) else names)]
    for request in requests:
        steps = request.steps if request.steps is not None else (None,) * len(request.keys)
        for key, argument, at in zip(request.keys, request.arguments, steps, strict=True):
            yield Asked(key, request.metric, argument, at)


def _of_paths(asked: Asked) -> MetricError:
    return MetricError(f"metric {asked.key!r}", "has one value a path, none for single steps")


def scorer_of(
    prediction: Prediction, targets: np.ndarray, mask: np.ndarray | None, context: MetricContext | None
) -> Scorer:
    """The scorer of a kind of prediction; raises where targets or mask do not fit it."""
    targets = np.asarray(targets)
    if isinstance(prediction, ForecastPrediction):
        observed = _observed(targets, mask, shape=prediction.shape)
        known = np.where(observed, targets, np.nan).astype(np.float64)
        return _ForecastScorer(Case(prediction, known, context=context))
    if isinstance(prediction, ClassPrediction):
        observed = _observed(targets, mask, shape=(len(prediction),))
        _check_labels(targets, observed, len(prediction.classes))
        return _ClassScorer(prediction, targets, observed)
    raise MetricError("prediction", "is a forecast or a class prediction", got=prediction.kind)


def _observed(targets: np.ndarray, mask: np.ndarray | None, *, shape: tuple[int, ...]) -> np.ndarray:
    """What counts: known, and not masked. Raises where shapes differ or something that counts is infinite."""
    if targets.dtype.kind not in "fiub":
        raise InvalidInputError("targets", "are numbers", got=targets.dtype)
    if targets.shape != shape:
        raise ShapeError("targets", f"have the shape of the prediction {shape}", got=targets.shape)
    observed: np.ndarray = ~np.isnan(targets)
    if mask is not None:
        mask = np.asarray(mask)
        if mask.shape != shape or mask.dtype != np.bool_:
            raise ShapeError("mask", f"is boolean {shape}", got=f"{mask.dtype} {mask.shape}")
        observed = observed & mask
    infinite = observed & np.isinf(targets)
    if infinite.any():
        place = tuple(int(i) for i in np.argwhere(infinite)[0])
        raise InvalidInputError("targets", "are finite, or NaN where missing", place=f"index {place}")
    return observed


def _check_labels(targets: np.ndarray, observed: np.ndarray, classes: int) -> None:
    wrong = observed & ~np.isin(targets, np.arange(classes))
    if wrong.any():
        row = int(wrong.argmax())
        rule = f"are class indices in 0 .. {classes - 1}"
        raise InvalidInputError("targets", rule, place=f"row {row}", got=targets[row])
