"""A walk-forward as one self-contained HTML page, with the same figures as JSON beside it."""

from __future__ import annotations

import math
from html import escape
from pathlib import Path

import numpy as np

from forecast_core.reporting.page import check_target, figure, page, table, write_page
from forecast_finance.evaluation import charts
from forecast_finance.evaluation.dates import Estimate
from forecast_finance.evaluation.walk_forward import BASELINES, ModelResult, WalkForward

__all__ = ["write_report"]

_DIRECTION = (
    "accuracy",
    "always_up",
    "above_always_up",
    "balanced_accuracy",
    "mcc",
    "auc",
    "f1",
    "demeaned_accuracy",
    "ic",
    "rank_ic",
)
_ACCOUNT = (
    "annual_return",
    "annual_volatility",
    "win_rate",
    "average_trade",
    "max_drawdown",
    "turnover",
    "exposure",
    "trades",
)
_FAN = (0.05, 0.25, 0.5, 0.75, 0.95)


def write_report(result: WalkForward, path: Path, *, title: str) -> Path:
    """Write the report to `path` (ending in .html) and `path` with .json; both atomically.

    Raises MissingDependencyError without matplotlib.
    """
    check_target(path)
    return write_page(path, page(title, _parts(result, title)), json=result.to_json())


def _parts(result: WalkForward, title: str) -> list[str]:
    windows = result.windows
    deflated, overfitted = result.overfitting()
    tries = len(result.results)
    return [
        f"<h1>{escape(title)}</h1>",
        f"<p>{len(windows):,} windows of {len(windows.data.symbols)} symbols on "
        f"{len(np.unique(windows.origins)):,} dates; fitted before {escape(result.train_end)}, validated "
        f"before {escape(result.valid_end)}, tested after. Values are followed by 95 % intervals, from "
        "drawing blocks of dates.</p>",
        "<h2>Verdicts</h2>",
        table(["model", "verdict"], [[label, result.verdict(label)] for label in result.labels]),
        *(_directions(result, k) for k in range(windows.horizon)),
        f"<h2>Accounts after {result.cost_bp:g} bp a side</h2>",
        f"<p class='note'>Signals at a close are filled at the next open and held "
        f"{windows.data.horizons[result.decision]} bars. A year has {result.bars_a_year:,.5g} bars. "
        "Advantage: mean return a bar above always-up's.</p>",
        _accounts(result),
        f"<p class='note'>Equal parts of all symbols held throughout, without costs: Sharpe "
        f"{_plain(result.market.metrics['sharpe'])}, {_plain(result.market.metrics['annual_return'])} a year."
        "</p>",
        f"<p>Best of {tries} tries: deflated Sharpe ratio {_plain(deflated)}; probability of backtest "
        f"overfitting {_plain(overfitted)}.</p>",
        *_charts(result),
    ]


def _directions(result: WalkForward, step: int) -> str:
    ahead = result.windows.data.horizons[step]
    rows = [
        [r.label, str(r.seed), *(_estimate(r.directions[step][name]) for name in _DIRECTION)]
        for r in result.results
    ]
    head = f"<h2>Direction over {ahead} bars</h2>"
    return head + table(["model", "seed", *(name.replace("_", " ") for name in _DIRECTION)], rows)


def _accounts(result: WalkForward) -> str:
    header = ["model", "seed", "sharpe", "advantage", *(n.replace("_", " ") for n in _ACCOUNT), "crps"]
    rows = []
    for r in result.results:
        gain = "-"
        if r.advantage is not None:
            a = r.advantage
            gain = _estimate(Estimate(-a.mean_difference, -a.upper, -a.lower), digits=5)
        figures = [_plain(r.account.metrics[name]) for name in _ACCOUNT]
        crps = "-" if r.crps is None else f"{r.crps:.5f}"
        rows.append([r.label, str(r.seed), _estimate(r.sharpe), gain, *figures, crps])
    return table(header, rows)


def _charts(result: WalkForward) -> list[str]:
    first = {label: result.of(label)[0] for label in result.labels}
    hold = result.windows.data.horizons[result.decision]
    parts = [
        "<h2>Charts</h2>",
        figure(
            charts.equity({label: r.account for label, r in first.items()}),
            f"Worth of each account with its first seed, positions held {hold} bars",
        ),
    ]
    for label, r in first.items():
        parts += _of_model(label, r, result)
    return parts


def _of_model(label: str, r: ModelResult, result: WalkForward) -> list[str]:
    parts, aux, windows = [], r.prediction.aux, result.windows
    returns = windows.targets()[0][:, result.decision, 0]
    if "veto_probability" in aux:
        known = ~np.isnan(returns) & (returns != 0)
        right = np.sign(returns) == np.sign(r.prediction.mean()[:, result.decision, 0])
        chart = charts.reliability(aux["veto_probability"][known], right[known].astype(np.float64))
        parts.append(figure(chart, f"{label}: reliability of the veto"))
    if r.prediction.importance:
        parts.append(figure(charts.importance(r.prediction.importance), f"{label}: inputs of the veto"))
    if "attention" in aux:
        parts.append(figure(charts.attention(aux["attention"]), f"{label}: attention over the lookback"))
    if label not in BASELINES:
        quantiles = r.prediction.take([len(windows) - 1]).quantile(_FAN)[0, :, 0]
        name = f"{windows.item_ids[-1]} after {str(windows.origins[-1])[:10]}"
        fan = charts.quantile_fan(_FAN, quantiles, r.prediction.steps or (), title=name)
        parts.append(figure(fan, f"{label}: the last window's returns"))
    return parts


def _estimate(e: Estimate, *, digits: int = 3) -> str:
    if not math.isfinite(e.value):
        return "-"
    if not math.isfinite(e.lower):
        return f"{e.value:.{digits}f}"
    return f"{e.value:.{digits}f} [{e.lower:.{digits}f}, {e.upper:.{digits}f}]"


def _plain(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "-"
