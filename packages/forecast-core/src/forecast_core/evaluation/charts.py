"""Charts of a backtest as SVG text, drawn with matplotlib and no global state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

from forecast_core.prediction import ClassPrediction, ForecastPrediction
from forecast_core.reporting.drawing import canvas, svg

if TYPE_CHECKING:
    from forecast_core.evaluation.backtesting import Backtest

__all__ = ["by_horizon", "calibration", "fans", "pit", "reliability"]

_COVERAGES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_BANDS = (0.9, 0.5)
_ITEMS = 4
_STEPS = 168  # steps of a fan chart, at most, of consecutive windows
_ROWS = 4000  # windows that calibration is drawn from, evenly spread
_BINS = 10
_BLUE = "#0969da"


def by_horizon(result: Backtest, metric: str) -> str:
    """One line a model: the metric at each step."""
    figure, axes = canvas(9.0, 3.2)
    for scores in result.scores:
        values = [np.nan if v is None else v for v in scores.by_horizon.get(metric, ())]
        axes.plot(range(1, len(values) + 1), values, label=scores.label, marker=".", linewidth=1.2)
    axes.set(xlabel="steps ahead", ylabel=metric)
    axes.legend(frameon=False)
    return svg(figure)


def calibration(result: Backtest, predictions: Mapping[str, ForecastPrediction]) -> str:
    """Nominal against actual coverage of central intervals, a line a model."""
    figure, axes = canvas(4.6, 4.2)
    axes.plot([0, 1], [0, 1], color="#8c959f", linewidth=0.8)
    rows, truth, seen = _some_rows(result)
    for label, prediction in predictions.items():
        some = prediction.take(rows)
        actual = []
        for coverage in _COVERAGES:
            lower, upper = some.interval(coverage)
            actual.append(float(((truth >= lower) & (truth <= upper))[seen].mean()) if seen.any() else np.nan)
        axes.plot(_COVERAGES, actual, marker=".", label=label, linewidth=1.2)
    axes.set(xlabel="nominal coverage", ylabel="actual coverage", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.legend(frameon=False)
    return svg(figure)


def pit(result: Backtest, predictions: Mapping[str, ForecastPrediction]) -> str:
    """Histogram of the predicted probability of being at or below what happened, a line a model."""
    figure, axes = canvas(4.6, 3.2)
    axes.axhline(1.0, color="#8c959f", linewidth=0.8)
    rows, truth, seen = _some_rows(result)
    edges = np.linspace(0.0, 1.0, _BINS + 1)
    for label, prediction in predictions.items():
        values = prediction.take(rows).cdf(np.where(seen, truth, 0.0))[seen]
        share = np.histogram(values, edges)[0] / max(len(values), 1) * _BINS
        axes.stairs(share, edges, label=label, linewidth=1.2)
    axes.set(xlabel="probability integral transform", ylabel="density", xlim=(0, 1))
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return svg(figure)


def reliability(result: Backtest, predictions: Mapping[str, ClassPrediction]) -> str:
    """Predicted probability of the likeliest class against how often it was right, a line a model."""
    figure, axes = canvas(4.6, 4.2)
    axes.plot([0, 1], [0, 1], color="#8c959f", linewidth=0.8)
    labels, seen = result.windows.targets()
    edges = np.linspace(0.0, 1.0, _BINS + 1)
    for label, prediction in predictions.items():
        surest = prediction.probabilities.max(-1)[seen]
        right = (prediction.label_index() == labels)[seen]
        bin_of = np.clip(np.digitize(surest, edges) - 1, 0, _BINS - 1)
        count = np.bincount(bin_of, minlength=_BINS)
        some = count > 0
        predicted = np.bincount(bin_of, surest, minlength=_BINS)[some] / count[some]
        actual = np.bincount(bin_of, right, minlength=_BINS)[some] / count[some]
        axes.plot(predicted, actual, marker=".", label=label, linewidth=1.2)
    axes.set(xlabel="predicted probability", ylabel="share right", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.legend(frameon=False)
    return svg(figure)


def _some_rows(result: Backtest) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows that calibration is drawn from, their targets, and which of these were observed."""
    targets, mask = result.windows.targets()
    rows = np.unique(np.linspace(0, len(targets) - 1, min(len(targets), _ROWS)).astype(np.intp))
    return rows, targets[rows], mask[rows]


def fans(result: Backtest, label: str) -> list[tuple[str, str]]:
    """Fan charts of some items, (caption, svg): median, 50 % and 90 % bands, and what happened.

    Items are spread from the busiest to the quietest; windows follow each other without overlap up to
    the end of the backtest.
    """
    prediction = result.predictions[label]
    assert isinstance(prediction, ForecastPrediction)
    stamps = prediction.timestamps
    if stamps is None or stamps.ndim != 2:
        return []
    targets, _ = result.windows.targets()
    drawn = []
    for item in _spread_items(prediction, targets):
        rows = np.array([k for k, i in enumerate(prediction.item_ids) if i == item])
        rows = rows[_last_apart(stamps[rows])]
        drawn.append(
            (f"{item}: {label}, median with 50 % and 90 % intervals", _fan(prediction, targets, rows))
        )
    return drawn


def _fan(prediction: ForecastPrediction, targets: np.ndarray, rows: np.ndarray) -> str:
    figure, axes = canvas(9.0, 2.8)
    some = prediction.take(rows)
    assert some.timestamps is not None
    for k in range(len(rows)):  # a polygon each, so that gaps between windows stay gaps
        times = some.timestamps[k]
        one = some.take([k])
        if prediction.kind != "point":
            for coverage, shade in zip(_BANDS, (0.18, 0.3), strict=True):
                lower, upper = one.interval(coverage)
                axes.fill_between(
                    times, lower[0, :, 0], upper[0, :, 0], color=_BLUE, alpha=shade, linewidth=0
                )
        axes.plot(times, one.median()[0, :, 0], color=_BLUE, linewidth=1.2)
        axes.plot(times, targets[rows[k], :, 0], color="#1b1f24", linewidth=0.9)
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.set(ylabel=prediction.target_names[0])
    return svg(figure)


def _spread_items(prediction: ForecastPrediction, targets: np.ndarray) -> list[Any]:
    items = list(dict.fromkeys(prediction.item_ids))
    position = {item: k for k, item in enumerate(items)}
    index = np.array([position[i] for i in prediction.item_ids])
    size = np.abs(np.where(np.isnan(targets), 0.0, targets)).reshape(len(targets), -1).mean(1)
    level = np.bincount(index, weights=size) / np.maximum(np.bincount(index), 1)
    order = np.argsort(-level)
    chosen = order[np.unique(np.linspace(0, len(items) - 1, min(_ITEMS, len(items))).astype(int))]
    return [items[k] for k in chosen]


def _last_apart(stamps: np.ndarray) -> np.ndarray:
    """Positions of the last windows that do not overlap, in order of time."""
    order = np.argsort(stamps[:, 0])
    chosen: list[int] = []
    for k in order[::-1].tolist():
        if len(chosen) * stamps.shape[1] >= _STEPS:
            break
        if not chosen or stamps[k, -1] < stamps[chosen[-1], 0]:
            chosen.append(k)
    return np.array(chosen[::-1], dtype=np.intp)
