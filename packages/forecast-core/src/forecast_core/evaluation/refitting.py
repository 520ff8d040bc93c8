"""Predictions of rolling origins by a model that learns as it goes: refitted, or updated online."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from forecast_core.data.protocols import Data, Windows
from forecast_core.data.reading import known_timeline
from forecast_core.errors import CapabilityError, InvalidInputError
from forecast_core.evaluation.scores import adapted, predict_in_batches
from forecast_core.prediction import ModelRef, Prediction
from forecast_core.predictor import Predictor
from forecast_core.validation import whole

__all__ = ["RefitPolicy", "fresh", "predict_rolling"]


@dataclass(frozen=True)
class RefitPolicy:
    """When a model learns again during a backtest; by default never.

    refit: a fresh model of the same configuration is fitted every that many origins, on all rows known at
    the first of them, or on the latest `rows` of these; validation: the share of these rows, the latest,
    that serves as validation data instead. update: a copy of the model learns
    the new rows every that many origins by `Predictor.update`; only for models that declare `online`. Raises
    InvalidInputError for both at once, counts below 1, a share outside [0, 1), or rows or validation without
    refit.
    """

    refit: int | None = None
    rows: int | None = None
    validation: float = 0.0
    update: int | None = None

    def __post_init__(self) -> None:
        for name in ("refit", "rows", "update"):
            if getattr(self, name) is not None:
                whole(name, getattr(self, name))
        if self.refit is not None and self.update is not None:
            raise InvalidInputError("update", "is not given together with refit", got=self.update)
        if self.rows is not None and self.refit is None:
            raise InvalidInputError("rows", "limits what a refit sees, so refit is given too", got=self.rows)
        if not isinstance(self.validation, int | float) or not 0 <= self.validation < 1:
            rule = "is a share in [0, 1) of the rows of a refit"
            raise InvalidInputError("validation", rule, got=repr(self.validation))
        if self.validation and self.refit is None:
            rule = "is a share of the rows of a refit, so refit is given too"
            raise InvalidInputError("validation", rule, got=self.validation)

    @property
    def every(self) -> int | None:
        """Origins from one time of learning to the next."""
        return self.refit if self.refit is not None else self.update

    def check(self, model: Predictor[Any]) -> None:
        """CapabilityError where the model cannot follow the policy."""
        if self.update is not None and not model.spec.capabilities.online:
            raise CapabilityError(f"{model.spec.id} does not learn online; use refit instead of update")


def fresh(model: Predictor[Any]) -> Predictor[Any]:
    """An unfitted predictor of the same class and configuration."""
    return type(model)(model.config, spec=model.spec)


def predict_rolling(
    model: Predictor[Any], windows: Windows, data: Data, *, policy: RefitPolicy, seed: int
) -> Prediction:
    """A row for each window, in their order; the given model itself is left as it was.

    Several models having made it, its `model` names no training data. Up to the first time of learning the
    given model predicts. Raises InvalidInputError for windows without origins, CapabilityError where the
    model cannot follow the policy.
    """
    capabilities = model.spec.capabilities
    learns = capabilities.needs_fit or (policy.update is not None and capabilities.online)
    if policy.every is None or not learns:
        return predict_in_batches(model, windows)
    policy.check(model)
    parts: list[Prediction] = []
    order: list[np.ndarray] = []
    for at, known in _chunks(windows, data, policy):
        if parts and policy.refit is not None:
            model = _refitted(model, known, policy, seed)
        elif parts:
            model = copy.deepcopy(model) if len(parts) == 1 else model
            model.update(adapted(model, known))
        part = predict_in_batches(model, windows.take(at))
        parts.append(
            part.model_copy(update={"model": ModelRef(id=model.spec.id, version=model.spec.version)})
        )
        order.append(at)
    return type(parts[0]).concat(parts).take(np.argsort(np.concatenate(order), kind="stable"))


def _refitted(model: Predictor[Any], known: Data, policy: RefitPolicy, seed: int) -> Predictor[Any]:
    train, validation = adapted(model, known), None
    if policy.validation:
        timeline = known_timeline(train)
        cut = timeline[int(len(timeline) * (1 - policy.validation))]
        train, validation = train.between(None, cut), train.between(cut, None)
    return fresh(model).fit(train, validation=validation, seed=seed)


def _chunks(windows: Windows, data: Data, policy: RefitPolicy) -> Iterator[tuple[np.ndarray, Any]]:
    """Positions of the windows between two times of learning, and the data known at the first of them."""
    origins = windows.origins
    if origins is None:
        raise InvalidInputError("refit", "needs windows with origins in time")
    assert policy.every is not None
    times, of = np.unique(origins, return_inverse=True)
    timeline = data.timeline
    for first in range(0, len(times), policy.every):
        after = int(np.searchsorted(timeline, times[first], side="right"))  # the first row not yet known
        start = None if policy.rows is None else timeline[max(after - policy.rows, 0)]
        at = np.flatnonzero((of >= first) & (of < first + policy.every))
        yield at, data.between(start, timeline[after] if after < len(timeline) else None)
