"""Losses of a prediction by origin: the series that significance tests compare."""

from __future__ import annotations

import numpy as np

from forecast_core.data.protocols import Windows
from forecast_core.errors import MetricError
from forecast_core.evaluation.scores import metric_context
from forecast_core.metrics import metric_direction, parse_metric
from forecast_core.metrics.scoring import by_item
from forecast_core.prediction import Prediction

__all__ = ["loss_metric", "origin_losses"]

_ADDITIVE = {"rmse": "mse", "rmsse": "mse"}  # the squares add up over origins, their roots do not


def loss_metric(names: tuple[str, ...]) -> str:
    """The first of some metrics of which less is better, as a loss that adds up over origins; of a name that
    stands for several values ("mae@3,6") the first.

    MetricError where there is none.
    """
    keys = (key for name in names for key in parse_metric(name).keys)
    found = next((key for key in keys if metric_direction(key) == "lower"), None)
    if found is None:
        raise MetricError("metrics", "hold one of which less is better, such as mae or crps", got=names)
    name, at, argument = found.partition("@")
    return _ADDITIVE.get(name, name) + at + argument


def origin_losses(
    prediction: Prediction, windows: Windows, metric: str, *, before: object = None
) -> np.ndarray:
    """The metric over all windows of each origin, [origin] in order of time; NaN where nothing was observed.

    Plain samples, which have no origins, count one by one in their order. All NaN where the prediction
    cannot answer the metric. Raises MetricError for a name that stands for several values ("mae@3,6").
    """
    if len(parse_metric(metric).keys) != 1:
        raise MetricError("metric", "is one value, not several", got=repr(metric))
    of = np.arange(len(windows))
    if windows.origins is not None:
        of = np.unique(windows.origins, return_inverse=True)[1]
    targets, mask = windows.targets()
    by_origin = prediction.model_copy(update={"item_ids": tuple(of.tolist())})
    found = next(
        iter(
            by_item(
                by_origin, targets, mask, [metric], missing="nan", context=metric_context(windows, before)
            ).values()
        )
    )
    return np.array([found[k] for k in range(len(found))])
