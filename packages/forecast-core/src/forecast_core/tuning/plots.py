"""Charts of a study as SVG text, drawn with matplotlib and no global state."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from forecast_core.reporting.drawing import canvas, svg
from forecast_core.tuning.space import Dimension

if TYPE_CHECKING:
    from forecast_core.tuning.result import TrialRecord, Tuning

__all__ = ["history", "importance", "parallel", "slices"]

_BLUE, _GREY = "#0969da", "#8c959f"
_COLUMNS = 3
_LEFT_OUT = 0.1  # share of the worst values that no axis is stretched for


def history(tuning: Tuning) -> str:
    """Value of each trial in order, the best so far, and the default's."""
    figure, axes = canvas(9.0, 3.2)
    complete = _complete(tuning)
    numbers, values = np.array([t.number for t in complete]), _values(complete)
    best = np.maximum if tuning.higher_is_better else np.minimum
    axes.scatter(numbers, values, s=14, color=_GREY, label="trial")
    axes.step(numbers, best.accumulate(values), where="post", color=_BLUE, label="best so far")
    if tuning.default_value is not None:
        axes.axhline(tuning.default_value, color="#1b1f24", linewidth=0.8, linestyle="--", label="default")
    ended = [t.number for t in tuning.trials if t.state != "complete"]
    if ended:
        axes.plot(ended, [0.02] * len(ended), "|", color="#cf222e", transform=axes.get_xaxis_transform(),
                  label="pruned or not usable")  # fmt: skip
    axes.set(xlabel="trial", ylabel=tuning.objective, ylim=_limits(values, tuning))
    axes.legend(frameon=False)
    return svg(figure)


def importance(shares: Mapping[str, float]) -> str:
    """A bar a field, the most important one on top."""
    figure, axes = canvas(7.0, 0.6 + 0.32 * len(shares))
    names = list(shares)[::-1]
    axes.barh(names, [shares[n] for n in names], color=_BLUE, height=0.6)
    axes.set(xlabel="share")
    return svg(figure)


def slices(tuning: Tuning) -> str:
    """Each searched field against the objective, later trials darker."""
    complete = _complete(tuning)
    rows = math.ceil(len(tuning.dimensions) / _COLUMNS)
    figure = Figure(figsize=(9.0, 2.6 * rows), layout="constrained")
    grid = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for axes, dimension in zip(grid, tuning.dimensions, strict=False):
        shown = [t for t in complete if dimension.name in t.params]
        axes.scatter(
            _positions(dimension, shown), _values(shown), c=[t.number for t in shown], cmap="Blues", s=16,
            edgecolors=_GREY, linewidths=0.4,
        )  # fmt: skip
        _scale(axes.xaxis, dimension, axes.set_xscale)
        axes.set(xlabel=dimension.name, ylabel=tuning.objective, ylim=_limits(_values(complete), tuning))
        axes.grid(alpha=0.25, linewidth=0.6)
    for axes in grid[len(tuning.dimensions) :]:
        axes.set_axis_off()
    return svg(figure)


def parallel(tuning: Tuning) -> str:
    """A line a trial through the values of its fields; the best tenth in colour, the best one thick."""
    figure, axes = canvas(9.0, 3.4)
    names = [d.name for d in tuning.dimensions]
    shown = [t for t in _complete(tuning) if all(name in t.params for name in names)]
    heights = np.stack([_heights(d, shown) for d in tuning.dimensions], axis=1)  # [trial, field]
    sign = -1.0 if tuning.higher_is_better else 1.0
    rank = np.argsort(np.argsort(sign * _values(shown), kind="stable"), kind="stable")
    best = rank < max(1, len(shown) // 10)
    across = np.broadcast_to(np.arange(len(names), dtype=float), heights.shape)
    lines = np.stack([across, heights], axis=-1)  # [trial, field, 2]
    order = np.argsort(-rank, kind="stable")
    axes.add_collection(
        LineCollection(
            list(lines[order]),
            colors=[_BLUE if best[k] else colormaps["Greys"](0.35) for k in order],
            linewidths=[2.4 if rank[k] == 0 else 1.4 if best[k] else 0.6 for k in order],
        )
    )
    axes.set(xlim=(-0.1, len(names) - 0.9 if len(names) > 1 else 0.1), ylim=(-0.05, 1.05), yticks=[])
    axes.set_xticks(range(len(names)), [_ends(d) for d in tuning.dimensions])
    return svg(figure)


def _complete(tuning: Tuning) -> list[TrialRecord]:
    return [t for t in tuning.trials if t.state == "complete"]


def _values(trials: list[TrialRecord]) -> np.ndarray:
    return np.array([t.value for t in trials], dtype=float)


def _positions(dimension: Dimension, trials: list[TrialRecord]) -> list[float]:
    """Where values stand on the field's axis; choices at 0, 1, ..., a default that is none of them at -1."""
    values: list[Any] = [t.params[dimension.name] for t in trials]
    if dimension.kind != "choice":
        return [math.nan if v is None else float(v) for v in values]
    places = {repr(choice): float(k) for k, choice in enumerate(dimension.choices)}
    return [places.get(repr(v), -1.0) for v in values]


def _heights(dimension: Dimension, trials: list[TrialRecord]) -> np.ndarray:
    """Values of a field between 0 and 1."""
    at = np.array(_positions(dimension, trials))
    if dimension.kind == "choice":
        return at / max(len(dimension.choices) - 1, 1)
    if dimension.log:
        at, low, high = np.log(np.maximum(at, 1e-300)), math.log(dimension.low), math.log(dimension.high)
    else:
        low, high = dimension.low, dimension.high
    clipped: np.ndarray = np.clip((at - low) / (high - low), -0.05, 1.05)
    return clipped


def _ends(dimension: Dimension) -> str:
    if dimension.kind == "choice":
        return f"{dimension.name}\n{dimension.choices[0]} .. {dimension.choices[-1]}"
    return f"{dimension.name}\n{dimension.low:g} .. {dimension.high:g}{' (log)' if dimension.log else ''}"


def _scale(axis: Any, dimension: Dimension, set_scale: Any) -> None:
    if dimension.kind == "choice":
        axis.set_ticks(range(len(dimension.choices)), [str(choice) for choice in dimension.choices])
    elif dimension.log:
        set_scale("log")


def _limits(values: np.ndarray, tuning: Tuning) -> tuple[float, float]:
    """From the best value to one that leaves out the very worst, the default included."""
    higher = tuning.higher_is_better
    worst = float(np.quantile(values, _LEFT_OUT if higher else 1 - _LEFT_OUT))
    ends = [worst, float(values.max() if higher else values.min())]
    if tuning.default_value is not None:
        ends.append(tuning.default_value)
    room = 0.08 * (max(ends) - min(ends)) or 0.05 * abs(ends[0]) or 1.0
    return min(ends) - room, max(ends) + room
