"""Charts of a walk-forward report, as SVG text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from forecast_core.reporting.drawing import canvas, svg
from forecast_finance.evaluation.backtesting import BacktestResult

__all__ = ["attention", "equity", "importance", "quantile_fan", "reliability"]


def equity(accounts: Mapping[str, BacktestResult]) -> str:
    """The accounts' worth over time, and below it their drawdown."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    for label, account in accounts.items():
        days = account.times.astype("datetime64[D]").astype(object)
        upper.plot(days, account.equity(), label=label, linewidth=1)
        lower.plot(days, account.drawdown(), linewidth=1)
    for axes, name in ((upper, "worth, start = 1"), (lower, "drawdown")):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.set_ylabel(name)
    upper.legend(frameon=False, fontsize=8)
    return svg(figure)


def reliability(probability: np.ndarray, right: np.ndarray, *, bins: int = 10) -> str:
    """How often directions were right, by the veto's probability that they are."""
    figure, axes = canvas(4.5, 4)
    edges = np.quantile(probability, np.linspace(0, 1, bins + 1))
    at = np.clip(np.searchsorted(edges, probability, side="right") - 1, 0, bins - 1)
    count = np.bincount(at, minlength=bins)
    filled = count > 0
    mean = np.bincount(at, probability, bins)[filled] / count[filled]
    share = np.bincount(at, right, bins)[filled] / count[filled]
    low, high = float(min(mean.min(), share.min())), float(max(mean.max(), share.max()))
    axes.plot([low, high], [low, high], color="0.6", linewidth=1)
    axes.plot(mean, share, marker="o")
    axes.set_xlabel("probability that the direction is right")
    axes.set_ylabel("share that was right")
    return svg(figure)


def importance(shares: Mapping[str, float], *, shown: int = 15) -> str:
    """The inputs of most influence on the veto."""
    figure, axes = canvas(6, 4.5)
    top = sorted(shares.items(), key=lambda pair: pair[1])[-shown:]
    axes.barh([name for name, _ in top], [value for _, value in top])
    axes.set_xlabel("share of gain")
    return svg(figure)


def attention(weights: np.ndarray) -> str:
    """Mean attention of the last bar to the bars before it; weights [n, length]."""
    figure, axes = canvas(7, 3)
    axes.plot(np.arange(1 - weights.shape[1], 1), weights.mean(axis=0))
    axes.set_xlabel("bars before the origin")
    axes.set_ylabel("mean attention")
    return svg(figure)


def quantile_fan(levels: Sequence[float], values: np.ndarray, steps: Sequence[float], *, title: str) -> str:
    """Quantiles [horizon, level] of returns ahead, with the origin at 0."""
    figure, axes = canvas(6, 3.5)
    at = [0.0, *steps]
    paths = np.concatenate([np.zeros((1, values.shape[1])), values])  # [1 + horizon, level]
    for low in range(len(levels) // 2):
        high = len(levels) - 1 - low
        axes.fill_between(
            at,
            paths[:, low],
            paths[:, high],
            alpha=0.25,
            color="C0",
            linewidth=0,
            label=f"{levels[low]:.0%} to {levels[high]:.0%}",
        )
    axes.plot(at, paths[:, len(levels) // 2], color="C0")
    axes.set_xlabel("bars ahead")
    axes.set_ylabel("log return")
    axes.set_title(title, fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    return svg(figure)
