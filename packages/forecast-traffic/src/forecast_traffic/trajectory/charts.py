"""Charts of trajectories as SVG text: paths with ellipses, errors by horizon, calibration of ellipses."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.patches import Ellipse

from forecast_core.errors import InvalidInputError
from forecast_core.evaluation import Evaluation
from forecast_core.prediction import PathMixturePrediction, Prediction
from forecast_core.reporting.drawing import canvas, svg
from forecast_traffic.trajectory.metrics.density import density_levels
from forecast_traffic.trajectory.windows import TrackWindows

__all__ = ["calibration_chart", "horizon_chart", "paths_chart"]

_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_MODES = 6  # drawn at most
_ROWS = 1000  # windows that calibration is told from, evenly spread
_BLUE, _GREY, _GREEN = "#0969da", "#8c959f", "#1a7f37"


def paths_chart(
    prediction: Prediction, windows: TrackWindows, row: int, *, coverage: float = 0.9, truth: bool = True
) -> str:
    """One window in the plane, in metres: history, what came (`truth`), and the most probable modes.

    A mode is drawn the darker the more probable it is; the most probable one has the ellipses that hold
    `coverage` of its positions. Raises InvalidInputError for a row that is not there or another kind.
    """
    if not isinstance(prediction, PathMixturePrediction):
        raise InvalidInputError("prediction", "is of paths", got=prediction.kind)
    if len(prediction) != len(windows) or not 0 <= row < len(windows):
        raise InvalidInputError("row", f"is one of {len(windows)} windows predicted", got=row)
    figure, axes = canvas(5.2, 5.2)
    one = windows.take(np.array([row]))
    history = one.contexts()[0][0]
    axes.plot(history[:, 0], history[:, 1], color=_GREY, marker=".", label="history")
    weights, paths = (part[0] for part in prediction.take([row]).modes())  # [k], [k, h, 2]
    shown = min(_MODES, len(weights))
    for k in reversed(range(shown)):
        path = np.concatenate([history[-1:], paths[k]])
        axes.plot(
            path[:, 0],
            path[:, 1],
            color=_BLUE,
            alpha=float(0.25 + 0.75 * weights[k] / weights[0]),
            linewidth=1.2,
            label=f"most probable path ({weights[0]:.0%})" if k == 0 else None,
        )
    best = int(prediction.weights[row].argmax())
    size = np.sqrt(-2.0 * np.log1p(-coverage))
    for centre, covariance in zip(
        prediction.means[row, :, :, best], prediction.covariances[row, :, :, :, best], strict=True
    ):
        values, vectors = np.linalg.eigh(covariance.astype(np.float64))
        width, height = 2.0 * size * np.sqrt(values)
        angle = float(np.degrees(np.arctan2(vectors[1, 0], vectors[0, 0])))
        axes.add_patch(
            Ellipse(tuple(centre), width, height, angle=angle, color=_BLUE, alpha=0.06, linewidth=0)
        )
    if truth:
        future = np.concatenate([history[-1:], one.targets()[0][0]])
        axes.plot(future[:, 0], future[:, 1], color=_GREEN, marker=".", linewidth=1.0, label="what came")
    axes.set(xlabel="x, m", ylabel="y, m", title=str(one.item_ids[0]))
    axes.set_aspect("equal", adjustable="datalim")
    axes.legend(frameon=False)
    return svg(figure)


def horizon_chart(evaluations: Mapping[str, Evaluation], metric: str = "ade") -> str:
    """A line a model: the metric at each step, against seconds ahead; names as the mapping's keys."""
    figure, axes = canvas(7.0, 3.2)
    for name, found in evaluations.items():
        values = [np.nan if v is None else v for v in found.by_horizon.get(metric, ())]
        seconds = getattr(found.prediction, "steps", None) or range(1, len(values) + 1)
        axes.plot(list(seconds)[: len(values)], values, marker=".", linewidth=1.2, label=name)
    axes.set(xlabel="seconds ahead", ylabel=f"{metric}, m")
    axes.legend(frameon=False)
    return svg(figure)


def calibration_chart(predictions: Mapping[str, Prediction], windows: TrackWindows) -> str:
    """A line a model: share of positions inside its regions, against the share these promise."""
    figure, axes = canvas(4.6, 4.2)
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8)
    rows = np.unique(np.linspace(0, len(windows) - 1, min(_ROWS, len(windows))).astype(np.intp))
    truth = windows.take(rows).targets()[0]
    for name, prediction in predictions.items():
        if not isinstance(prediction, PathMixturePrediction):
            raise InvalidInputError("predictions", "are of paths", got=f"{name}: {prediction.kind}")
        levels = density_levels(prediction.take(rows), truth)
        levels = levels[~np.isnan(levels)]
        axes.plot(_LEVELS, [(levels <= q).mean() for q in _LEVELS], marker=".", linewidth=1.2, label=name)
    axes.set(xlabel="probability of the region", ylabel="share inside", xlim=(0, 1), ylim=(0, 1))
    axes.set_aspect("equal")
    axes.legend(frameon=False)
    return svg(figure)
