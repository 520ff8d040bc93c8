"""`compare`: a backtest, and whether the differences it shows are more than chance."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from forecast_core.data.frames import build_frame
from forecast_core.data.protocols import Data
from forecast_core.errors import MetricError, ShapeError
from forecast_core.evaluation.backtesting import Backtest, backtest
from forecast_core.evaluation.losses import loss_metric, origin_losses
from forecast_core.evaluation.refitting import RefitPolicy
from forecast_core.evaluation.significance import (
    ConfidenceSet,
    Significance,
    compare_losses,
    model_confidence_set,
)
from forecast_core.metrics import parse_metric
from forecast_core.predictor import Predictor

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True)
class Comparison(Backtest):
    """A backtest with tests of significance on the loss of each origin, averaged over items and steps.

    loss: the metric tested. Losses of origins whose horizons overlap are correlated, and the tests allow for
    that. Plain samples, which have no origins, count one by one.
    """

    loss: str

    @cached_property
    def losses(self) -> Mapping[str, np.ndarray]:
        """Label -> loss of each origin, in order of time; of the models whose predictions can answer it."""
        found = {
            label: origin_losses(prediction, self.windows, self.loss, before=self.start)
            for label, prediction in self.predictions.items()
        }
        return {label: values for label, values in found.items() if not np.isnan(values).all()}

    @property
    def overlap(self) -> int:
        """Origins within one horizon: 1 where horizons do not overlap."""
        return -(-(self.horizon or 1) // self.stride)

    @cached_property
    def tests(self) -> Significance:
        """Diebold-Mariano tests of all pairs of models, adjusted by Holm's method."""
        return compare_losses(self.losses, horizon=self.overlap)

    @property
    def significance(self) -> Any:
        """A row a pair of models: pair, model_a, model_b, mean_difference (a - b; negative: a is better), DM
        (the statistic), p, p_holm, and better (the label, None where neither is at 5 %).
        """
        pairs = self.tests.pairs
        return build_frame(
            {
                "pair": [f"{p.model_a} / {p.model_b}" for p in pairs],
                "model_a": [p.model_a for p in pairs],
                "model_b": [p.model_b for p in pairs],
                "mean_difference": [p.mean_difference for p in pairs],
                "DM": [p.dm for p in pairs],
                "p": [p.p for p in pairs],
                "p_holm": [p.p_holm for p in pairs],
                "better": [p.better for p in pairs],
            }
        )

    @cached_property
    def untested(self) -> str | None:
        """Why the losses cannot be tested (too few origins, one model only); None where they can."""
        if len(self.losses) < 2:
            return f"fewer than two models have {self.loss}"
        try:
            _ = self.tests, self.confidence_set
        except ShapeError as error:
            return str(error)
        return None

    @cached_property
    def confidence_set(self) -> ConfidenceSet:
        """The models among which the best is with 90 % confidence (Hansen, Lunde & Nason 2011)."""
        return model_confidence_set(self.losses, size=0.1)

    def to_json(self) -> str:
        """Everything but the predictions, as JSON, tests of significance included."""
        told = json.loads(super().to_json())
        told["loss"] = self.loss
        told["untested"] = self.untested
        told["significance"] = None if self.untested else json.loads(self.tests.to_json())["pairs"]
        told["confidence_set"] = None if self.untested else json.loads(self.confidence_set.to_json())
        return json.dumps(told, indent=2)


def compare(
    models: Sequence[Predictor[Any]] | Mapping[str, Predictor[Any]],
    data: Data,
    *,
    start: Any,
    horizon: int | None = None,
    stride: int = 1,
    metrics: Sequence[str] | None = None,
    seed: int = 0,
    refit: RefitPolicy | int | None = None,
    loss: str | None = None,
) -> Comparison:
    """`backtest`, with tests of whether the models' losses differ.

    Arguments, result and errors are those of `backtest`. loss: the metric whose means the tests compare;
    default: the first of `metrics` of which less is better (mse for rmse). Raises MetricError where there
    is none, or where `loss` stands for several values.
    """
    if loss is not None and len(parse_metric(loss).keys) > 1:
        raise MetricError("loss", "is one value, not several", got=repr(loss))
    asked = (loss,) if loss is not None else None if metrics is None else tuple(metrics)
    chosen = None if asked is None else loss_metric(asked)  # what is wrong is told before anything is fitted
    result = backtest(
        models, data, start=start, horizon=horizon, stride=stride, metrics=metrics, seed=seed, refit=refit
    )
    known = {field.name: getattr(result, field.name) for field in fields(result)}
    return Comparison(**known, loss=loss_metric(result.metrics) if chosen is None else chosen)
