"""A backtest as one self-contained HTML file, with the same numbers as JSON beside it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from forecast_core.errors import InvalidInputError, MissingDependencyError
from forecast_core.evaluation.scores import Scores
from forecast_core.metrics import metric_direction
from forecast_core.prediction import ClassPrediction, ForecastPrediction

if TYPE_CHECKING:
    from forecast_core.evaluation.backtesting import Backtest

__all__ = ["write_report"]

_ITEMS_SHOWN = 10

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1f24 }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.2rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } figure { margin: 1rem 0 }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #d8dee4 }
th, td { white-space: nowrap } div.wide { overflow-x: auto }
th:first-child, td:first-child { text-align: left } svg { max-width: 100%; height: auto }
tr.best td { font-weight: 600 } p.note, figcaption { color: #57606a; font-size: .9rem }
"""


def write_report(result: Backtest, path: Path, *, title: str) -> Path:
    """Write the report to `path` (ending in .html) and `path` with .json; both atomically.

    Holds the leaderboard, tests of significance (of a comparison), error by horizon, calibration, fan charts,
    and the hardest items.
    Raises MissingDependencyError without matplotlib.
    """
    if path.suffix != ".html":
        raise InvalidInputError("path", "ends in .html", got=str(path))
    if find_spec("matplotlib") is None:
        raise MissingDependencyError(
            "matplotlib", purpose="a report", install="pip install 'forecast-core[plot]'"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, _page(result, title))
    _replace(path.with_suffix(".json"), result.to_json())
    return path


def _page(result: Backtest, title: str) -> str:
    parts = [
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
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f"<meta name='viewport' content='width=device-width'><title>{escape(title)}</title>"
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>"
    )


def _leaderboard(result: Backtest) -> str:
    keys = list(result.scores[0].metrics)
    skills = list(result.scores[0].skill)
    header = ["model", *keys, *(f"skill ({k})" for k in skills), "predict, s"]
    rows = [
        [
            s.label,
            *(_number(s.metrics[k]) for k in keys),
            *(_percent(s.skill.get(k)) for k in skills),
            f"{s.predict_seconds:.2f}",
        ]
        for s in result.scores
    ]
    return _table(header, rows, best=0)


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
            _number(p.mean_difference),
            _number(p.dm),
            _number(p.p),
            _number(p.p_holm),
            p.better or "-",
        ]
        for p in pairs
    ]
    return [
        "<h2>Significance</h2>",
        _table(["pair", f"difference of {result.loss}", "DM", "p", "p (Holm)", "better at 5 %"], rows),
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
            _figure(charts.by_horizon(result, key), f"{key} at each step ahead"),
        ]
    spread = {
        label: p
        for label, p in result.predictions.items()
        if isinstance(p, ForecastPrediction) and p.kind != "point"
    }
    if spread:
        parts += [
            "<h2>Calibration</h2>",
            _figure(
                charts.calibration(result, spread),
                "Share of outcomes within central intervals; on the diagonal they hold what they promise",
            ),
            _figure(
                charts.pit(result, spread),
                "Probability integral transform: where outcomes fell within their predicted distributions; "
                "flat is calibrated, a hump too wide, a bowl too narrow, a slope biased",
            ),
        ]
    classes = {label: p for label, p in result.predictions.items() if isinstance(p, ClassPrediction)}
    if classes:
        parts += [
            "<h2>Calibration</h2>",
            _figure(
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
            parts += [_figure(svg, caption) for caption, svg in fans]
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
            [item, _number(value), _number(reference), _percent(1 - value / reference if reference else None)]
        )
    return [
        "<h2>Hardest items</h2>",
        _table(["item", f"{key}, {best.label}", f"{key}, {result.baseline}", "skill"], rows),
    ]


def _of(scores: Sequence[Scores], label: str) -> Scores:
    return next(s for s in scores if s.label == label)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], *, best: int | None = None) -> str:
    head = "".join(f"<th>{escape(h)}</th>" for h in header)
    body = "".join(
        f"<tr{' class=best' if k == best else ''}>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>"
        for k, row in enumerate(rows)
    )
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _figure(svg: str, caption: str) -> str:
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.1f} %"


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
