"""Plots of a network's forecasts, as matplotlib figures without global state; needs the extra `plot`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from forecast_core.errors import InvalidInputError, MissingDependencyError, ShapeError, near_misses
from forecast_core.validation import numbers, whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from forecast_core.prediction import ForecastPrediction
    from forecast_traffic.graph.panel import GraphPanel, NodeId

__all__ = ["plot_fan", "plot_network", "plot_weather_attention"]

_BANDS = (0.9, 0.5)
_BLUE, _GREY = "#0969da", "#8c959f"


def plot_fan(
    prediction: ForecastPrediction,
    panel: GraphPanel,
    *,
    node: NodeId,
    channel: int = 0,
    history: int = 36,
) -> Figure:
    """The last `history` rows of a node, and its forecast as a median with 50 % and 90 % bands.

    panel: what was predicted from; if it goes on after the forecast begins, what happened is drawn too.
    Raises InvalidInputError for an unknown node or channel, or a history that is no number of rows.
    """
    history = whole("history", history, least=0)
    _check_channel(channel, prediction, panel)
    row, at = _row_of(prediction.item_ids, node), _row_of(panel.node_ids, node)
    if prediction.timestamps is None:
        raise InvalidInputError("prediction", "has timestamps")
    times = prediction.timestamps if prediction.timestamps.ndim == 1 else prediction.timestamps[row]
    begins = int(np.searchsorted(panel.timestamps, times[0]))
    shown = slice(max(begins - history, 0), begins + len(times))
    figure, axes = _canvas(8.0, 3.4)
    values = panel.values[shown, at, channel]
    axes.plot(panel.timestamps[shown], values, color="black", linewidth=1.2, label="observed")
    for coverage in _BANDS:
        lower, upper = (end[row, :, channel] for end in prediction.interval(coverage))
        label = f"{100 * coverage:.0f} % interval"
        axes.fill_between(times, lower, upper, color=_BLUE, alpha=0.2, linewidth=0, label=label)
    axes.plot(times, prediction.median()[row, :, channel], color=_BLUE, linewidth=1.4, label="median")
    axes.set(title=str(node), ylabel=prediction.target_names[channel])
    _time_axis(axes)
    axes.legend(frameon=False, fontsize="small")
    return figure


def plot_network(
    prediction: ForecastPrediction,
    panel: GraphPanel,
    *,
    positions: np.ndarray,
    step: int = 1,
    show: Literal["level", "uncertainty"] = "level",
    channel: int = 0,
) -> Figure:
    """The network's nodes and edges, coloured by the median or by the width of the 90 % interval at a step.

    positions: [node, 2], across and up, such as longitude and latitude. step: ahead, from 1. Raises
    ShapeError where positions do not fit the panel's nodes or the prediction has another row than one a node,
    InvalidInputError for a step or channel it does not hold.
    """
    positions = numbers("positions", positions)
    if positions.shape != (len(panel.node_ids), 2):
        raise ShapeError("positions", f"is [{len(panel.node_ids)}, 2]", got=positions.shape)
    if tuple(prediction.item_ids) != panel.node_ids:
        raise ShapeError("prediction", "has one row a node of the panel, in its order")
    _check_channel(channel, prediction, panel)
    if whole("step", step) > prediction.horizon:
        raise InvalidInputError("step", f"lies in 1..{prediction.horizon}", got=step)
    one = prediction.at_steps([step - 1])
    if show == "level":
        colours, label, palette = one.median(), prediction.target_names[channel], "RdYlGn"
    elif show == "uncertainty":
        lower, upper = one.interval(0.9)
        colours, label, palette = upper - lower, "width of the 90 % interval", "viridis"
    else:
        raise InvalidInputError("show", "is 'level' or 'uncertainty'", got=repr(show))
    figure, axes = _canvas(6.4, 5.2)
    ends = positions[panel.edge_index]  # [2, E, 2]
    axes.plot(ends[..., 0], ends[..., 1], color=_GREY, linewidth=0.6, zorder=1)
    marks = axes.scatter(*positions.T, c=colours[:, 0, channel], cmap=palette, s=42, zorder=2)
    figure.colorbar(marks, ax=axes, label=label)
    axes.set(title=f"step {step}", aspect="equal")
    axes.set_xticks([])
    axes.set_yticks([])
    return figure


def plot_weather_attention(weights: np.ndarray, groups: Sequence[str]) -> Figure:
    """How much forecasts look at the weather of each step, a line a kind of weather, on average.

    weights [n, horizon]: of `STMGT.weather_weights`; groups [n]: the kind of weather of each window, such as
    "dry" and "rain". Raises ShapeError where they do not go together.
    """
    weights, names = np.asarray(weights), np.asarray(groups)
    if weights.ndim != 2 or names.shape != weights.shape[:1]:
        raise ShapeError("groups", "has one name a row of weights [n, horizon]", got=names.shape)
    figure, axes = _canvas(6.4, 3.2)
    for name in dict.fromkeys(names.tolist()):
        mean = weights[names == name].mean(0)
        axes.plot(range(1, len(mean) + 1), mean, marker=".", label=f"{name} (sum {mean.sum():.2f})")
    axes.set(xlabel="steps ahead", ylabel="weight on the step's weather")
    axes.legend(frameon=False)
    return figure


def _check_channel(channel: int, prediction: ForecastPrediction, panel: GraphPanel) -> None:
    last = min(len(prediction.target_names), len(panel.channel_names)) - 1
    if whole("channel", channel, least=0) > last:
        raise InvalidInputError("channel", f"lies in 0..{last}", got=channel)


def _row_of(ids: Sequence[NodeId], node: NodeId) -> int:
    if node not in ids:
        hint = near_misses(str(node), map(str, ids))
        raise InvalidInputError(
            "node", "is a node of the prediction and the panel", got=repr(node), hint=hint
        )
    return list(ids).index(node)


def _canvas(width: float, height: float) -> tuple[Figure, Any]:
    try:
        from forecast_core.reporting.drawing import canvas
    except ImportError as error:
        raise MissingDependencyError(
            "matplotlib", purpose="plots", install="pip install 'forecast-core[plot]'"
        ) from error
    return canvas(width, height)


def _time_axis(axes: Any) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
