"""A backtest as one self-contained HTML file, with the same numbers as JSON beside it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from forecast_core.evaluation.scores import Scores
from forecast_core.metrics import metric_direction
from forecast_core.prediction import ClassPrediction, ForecastPrediction
from forecast_core.reporting.page import check_target, figure, number, page, percent, table, write_page

if TYPE_CHECKING:
    from forecast_core.evaluation.backtesting import Backtest

__all__ = ["write_report"]

_ITEMS_SHOWN = 10


def write_report(result: Backtest, path: Path, *, title: str) -> Path:
    """Write the report to `path` (ending in .html) and `path` with .json; both atomically.

    Holds the leaderboard, tests of significance (of a comparison), error by horizon, calibration, fan charts,
    and the hardest items.
    Raises MissingDependencyError without matplotlib.
    """
    check_target(path)
    return write_page(path, page(title, _parts(result, title)), json=result.to_json())


def _parts(result: Backtest, title: str) -> list[str]:
    return [
        f"<h1>{escape(title)}</h1>",
        f"<p>{len(result.windows):,} windows"
        + (f", horizon {result.horizon}" if result.horizon else "")
        + f", an origin every {result.stride} rows, first forecast {escape(str(result.start))}. "
        f"Skill is 1 - score / score of {escape(result.baseline)}: 0 is no better, 1 is perfect.</p>",
        "<h2>Leaderboard</h2>",
        _leaderboard(result),
        *_tests(result),
        *_charts(result),
        *_hardest(result),
    ]


def _leaderboard(result: Backtest) -> str:
    keys = list(result.scores[0].metrics)
    skills = list(result.scores[0].skill)
    header = ["model", *keys, *(f"skill ({k})" for k in skills), "predict, s"]
    rows = [
        [
            s.label,
            *(number(s.metrics[k]) for k in keys),
            *(percent(s.skill.get(k)) for k in skills),
            f"{s.predict_seconds:.2f}",
        ]
        for s in result.scores
    ]
    return table(header, rows, best=0)


def _tests(result: Backtest) -> list[str]:
    from forecast_core.evaluation.comparing import Comparison

    if not isinstance(result, Comparison):
        return []
    if result.untested:
        return ["<h2>Significance</h2>", f"<p class='note'>Not tested: {escape(result.untested)}.</p>"]
    pairs, chosen = result.tests.pairs, result.confidence_set
    rows = [
        [
            f"{p.model_a} / {p.model_b}",
            number(p.mean_difference),
            number(p.dm),
            number(p.p),
            number(p.p_holm),
            p.better or "-",
        ]
        for p in pairs
    ]
    return [
        "<h2>Significance</h2>",
        table(["pair", f"difference of {result.loss}", "DM", "p", "p (Holm)", "better at 5 %"], rows),
        f"<p class='note'>Diebold-Mariano tests on {pairs[0].observations} origins; a negative difference "
        f"speaks for the first. The best model is among these with 90 % confidence: "
        f"{escape(', '.join(chosen.included))}.</p>",
    ]


def _charts(result: Backtest) -> list[str]:
    from forecast_core.evaluation import charts

    parts: list[str] = []
    key = next((k for k in result.scores[0].by_horizon if metric_direction(k) == "lower"), None)
    if key is not None and (result.horizon or 0) > 1:
        parts += [
            "<h2>Error by horizon</h2>",
            figure(charts.by_horizon(result, key), f"{key} at each step ahead"),
        ]
    spread = {
        label: p
        for label, p in result.predictions.items()
        if isinstance(p, ForecastPrediction) and p.kind != "point"
    }
    if spread:
        parts += [
            "<h2>Calibration</h2>",
            figure(
                charts.calibration(result, spread),
                "Share of outcomes within central intervals; on the diagonal they hold what they promise",
            ),
            figure(
                charts.pit(result, spread),
                "Probability integral transform: where outcomes fell within their predicted distributions; "
                "flat is calibrated, a hump too wide, a bowl too narrow, a slope biased",
            ),
        ]
    classes = {label: p for label, p in result.predictions.items() if isinstance(p, ClassPrediction)}
    if classes:
        parts += [
            "<h2>Calibration</h2>",
            figure(
                charts.reliability(result, classes),
                "How often the predicted class was right, by its predicted probability",
            ),
        ]
    best = next(
        (s.label for s in result.scores if isinstance(result.predictions[s.label], ForecastPrediction)), None
    )
    if best is not None:
        fans = charts.fans(result, best)
        if fans:
            parts.append("<h2>Forecasts</h2>")
            parts += [figure(svg, caption) for caption, svg in fans]
    return parts


def _hardest(result: Backtest) -> list[str]:
    best = result.scores[0]
    key = next((k for k in best.by_item if metric_direction(k) == "lower"), None)
    if key is None or len(best.by_item[key]) < 2:
        return []
    naive = _of(result.scores, result.baseline).by_item.get(key, {})
    known = [(v, item) for item, v in best.by_item[key].items() if v is not None]
    rows = []
    for value, item in sorted(known, reverse=True)[:_ITEMS_SHOWN]:
        reference = naive.get(item)
        rows.append(
            [item, number(value), number(reference), percent(1 - value / reference if reference else None)]
        )
    return [
        "<h2>Hardest items</h2>",
        table(["item", f"{key}, {best.label}", f"{key}, {result.baseline}", "skill"], rows),
    ]


def _of(scores: Sequence[Scores], label: str) -> Scores:
    return next(s for s in scores if s.label == label)
