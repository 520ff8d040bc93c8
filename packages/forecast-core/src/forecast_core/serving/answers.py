"""Predictions as the bodies of responses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, JsonValue

from forecast_core.errors import CapabilityError, InvalidInputError
from forecast_core.prediction import ClassPrediction, ForecastPrediction, Prediction
from forecast_core.serving.models import Loaded

__all__ = [
    "DEFAULT_LEVELS",
    "ClassAnswer",
    "ForecastAnswer",
    "ModelVersion",
    "answer_of",
    "iso",
    "mean_and_quantiles",
]

DEFAULT_LEVELS = (0.1, 0.5, 0.9)

Numbers = list[list[float]]


class ModelVersion(BaseModel):
    """Which model answered. name: as it is served; version: of its artifact; id: of its spec."""

    model_config = ConfigDict(protected_namespaces=())

    name: str
    version: str
    id: str


class ForecastAnswer(BaseModel):
    """A forecast. mean: target name -> [item][step]; quantiles: level -> target name -> [item][step], none
    from a model of points. timestamps: UTC, [step], or [item][step] where items differ.
    """

    model: ModelVersion
    item_ids: list[str | int]
    target_names: list[str]
    steps: list[float] | None
    timestamps: list[str] | list[list[str]] | None
    mean: dict[str, Numbers]
    quantiles: dict[str, dict[str, Numbers]]


class ClassAnswer(BaseModel):
    """Classes. probabilities: [item][class]; labels: the most probable class of each item; aux: whatever else
    the model tells, by name, such as a decision at a threshold of its own; null for what is no number.
    """

    model: ModelVersion
    item_ids: list[str | int]
    classes: list[str]
    probabilities: Numbers
    labels: list[str]
    aux: dict[str, JsonValue]


class OtherAnswer(BaseModel):
    """A prediction of a kind that a plugin added, in the JSON form that its `from_json` reads."""

    model: ModelVersion
    prediction: JsonValue


def answer_of(
    prediction: Prediction, loaded: Loaded, *, levels: Sequence[float] | None = None
) -> ForecastAnswer | ClassAnswer | OtherAnswer:
    """The body that answers with a prediction.

    levels: of quantiles; None: 0.1, 0.5 and 0.9 where there is a distribution. Raises CapabilityError for
    levels of a prediction that has none, InvalidInputError for a prediction that is not finite.
    """
    version = ModelVersion(name=loaded.name, version=loaded.version, id=loaded.info.id)
    if isinstance(prediction, ForecastPrediction):
        mean, given, quantiles = mean_and_quantiles(prediction, levels)
        names = prediction.target_names
        return ForecastAnswer.model_construct(
            model=version,
            item_ids=list(prediction.item_ids),
            target_names=list(names),
            steps=None if prediction.steps is None else list(prediction.steps),
            timestamps=None if prediction.timestamps is None else iso(prediction.timestamps),
            mean=_by_target(mean, names),
            quantiles={str(level): _by_target(quantiles[..., k], names) for k, level in enumerate(given)},
        )
    if levels is not None:
        raise CapabilityError(f"{loaded.name}: a {prediction.kind} prediction has no quantiles")
    if isinstance(prediction, ClassPrediction):
        return ClassAnswer.model_construct(
            model=version,
            item_ids=list(prediction.item_ids),
            classes=list(prediction.classes),
            probabilities=prediction.probabilities.tolist(),
            labels=prediction.labels(),
            aux={name: _nested(array) for name, array in prediction.aux.items()},
        )
    content: Any = json.loads(prediction.to_json())
    return OtherAnswer.model_construct(model=version, prediction=content)


def mean_and_quantiles(
    prediction: ForecastPrediction, levels: Sequence[float] | None
) -> tuple[np.ndarray, tuple[float, ...], np.ndarray]:
    """Mean [item, step, target], levels, and quantiles [item, step, target, level]; see `answer_of`."""
    given = DEFAULT_LEVELS if levels is None else tuple(levels)
    mean = prediction.mean()
    try:
        quantiles = prediction.quantile(given)
    except CapabilityError:
        if levels is not None:
            raise
        given, quantiles = (), np.empty((*mean.shape, 0))
    if not (np.isfinite(mean).all() and np.isfinite(quantiles).all()):
        raise InvalidInputError("prediction", "is finite", hint="ask about smaller numbers")
    return mean, given, quantiles


def _nested(array: np.ndarray) -> Any:
    """Nested lists, None for what JSON has no number for."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        told = array.astype(object)
        told[~np.isfinite(array)] = None
        return told.tolist()
    return array.tolist()


def iso(stamps: np.ndarray) -> Any:
    """Times as nested lists of texts in ISO 8601 with Z, to the second where that says it all."""
    seconds = stamps.astype("datetime64[s]")
    exact = seconds if (seconds == stamps).all() else stamps.astype("datetime64[us]")
    return np.char.add(np.datetime_as_string(exact), "Z").tolist()


def _by_target(values: np.ndarray, names: Sequence[str]) -> dict[str, Numbers]:
    return {name: values[..., k].tolist() for k, name in enumerate(names)}
