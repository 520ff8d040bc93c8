"""`create_ensemble` and `conformalize`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import numpy as np

from forecast_core import registry
from forecast_core.compose.members import described
from forecast_core.data.protocols import Data, Windows
from forecast_core.errors import InvalidInputError
from forecast_core.predictor import Predictor
from forecast_core.validation import numbers

__all__ = ["conformalize", "create_ensemble"]


def create_ensemble(
    members: Sequence[str | Predictor[Any]],
    *,
    weights: Literal["uniform", "fit"] | Sequence[float] | None = None,
) -> Predictor[Any]:
    """A predictor that mixes the members' distributions.

    members: ids (with default options) or predictors; one several times makes a seed ensemble. weights:
    "uniform" (None means the same), a number a member (made to sum to 1), or "fit": chosen by CRPS (log
    score for classes) on the validation data given to `fit`. Where all members are fitted and weights are
    not to be, the ensemble is fitted too; `fit` fits all members afresh. Predictors given stay what they
    are: the ensemble has copies.

    Raises InvalidInputError for members of several tasks, CapabilityError for points beside distributions,
    ConfigError for weights that do not fit.
    """
    if isinstance(members, str) or not members:
        raise InvalidInputError(
            "members", "are a list of ids and predictors, at least one", got=repr(members)
        )
    given = [m if isinstance(m, Predictor) else registry.create_model(m) for m in members]
    if weights is None:
        weights = "uniform"
    ensemble = registry.create_model(
        "compose/ensemble",
        members=[described(model) for model in given],
        weights=weights if isinstance(weights, str) else _listed("weights", weights),
    )
    from forecast_core.compose.ensemble import EnsemblePredictor

    if ensemble.config.weights != "fit" and all(model.is_fitted for model in given):
        cast(EnsemblePredictor, ensemble).adopt(given)
    return ensemble


def conformalize(
    model: Predictor[Any],
    calibration: Data | Windows,
    *,
    coverage: float | Sequence[float] = 0.9,
    method: Literal["split", "adaptive"] = "split",
    groups: Literal["item"] | Mapping[str, str] | None = None,
    scaled: bool = True,
    learning_rate: float = 0.05,
) -> Predictor[Any]:
    """A copy of a fitted model, with quantiles corrected by its errors on data it was not fitted on.

    Works on every model that forecasts, points included; predictions become quantiles. coverage: central
    intervals wanted, one or several. method: "split" corrects once; "adaptive" also learns from
    `update(data)`. groups: correct "item" by item, or in groups {item id: group}; None: all items
    together. scaled: errors are measured in the model's own standard deviations, so that wide forecasts
    are widened more; points count in the target's unit. learning_rate: of the adaptive method.

    Raises LeakError where the model was fitted on a calibration target, CapabilityError for a model that
    is not fitted or classifies, DataError for too few windows: the outermost level q needs 1 / (1 - q) - 1
    a group and step.
    """
    from forecast_core.compose.conformal import ConformalPredictor

    if not isinstance(model, Predictor):
        hint = "create_model(id) makes one, to be fitted"
        raise InvalidInputError("model", "is a predictor", got=repr(model), hint=hint)
    calibrated = registry.create_model(
        "compose/conformal",
        model=described(model),
        coverage=_listed("coverage", coverage),
        method=method,
        groups=dict(groups) if isinstance(groups, Mapping) else groups,
        scaled=scaled,
        learning_rate=learning_rate,
    )
    cast(ConformalPredictor, calibrated).adopt(model, calibration)
    return calibrated


def _listed(argument: str, values: Any) -> tuple[float, ...]:
    """One number or several, as a tuple; DataError for what is none."""
    return tuple(np.atleast_1d(numbers(argument, values)).tolist())
