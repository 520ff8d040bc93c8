"""A study as one self-contained HTML file, with the same numbers as JSON beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast_core.errors import InvalidInputError, MissingDependencyError
from forecast_core.training.atomic import write_atomically
from forecast_core.tuning.failures import TuningError

if TYPE_CHECKING:
    from forecast_core.tuning.result import Tuning

__all__ = ["write_report"]

_TRIALS_SHOWN = 10

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1b1f24 }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.2rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } figure { margin: 1rem 0 }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #d8dee4 }
th, td { white-space: nowrap } div.wide { overflow-x: auto }
th:first-child, td:first-child { text-align: left } svg { max-width: 100%; height: auto }
p.note, figcaption { color: #57606a; font-size: .9rem }
"""


def write_report(tuning: Tuning, path: Path, *, title: str) -> Path:
    """Write the report to `path` (ending in .html) and `path` with .json; both atomically.

    Raises MissingDependencyError without matplotlib, TuningError where no trial is complete.
    """
    if path.suffix != ".html":
        raise InvalidInputError("path", "ends in .html", got=str(path))
    if find_spec("matplotlib") is None:
        raise MissingDependencyError(
            "matplotlib", purpose="a report", install="pip install 'forecast-core[plot]'"
        )
    write_atomically(path, [_page(tuning, title).encode()])
    write_atomically(path.with_suffix(".json"), [tuning.to_json().encode()])
    return path


def _page(tuning: Tuning, title: str) -> str:
    from forecast_core.tuning import plots

    trials, best = tuning.trials, tuning.best
    states = [t.state for t in trials]
    counts = ", ".join(f"{states.count(s)} {s}" for s in dict.fromkeys(states))
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(tuning.model_id)}, {escape(tuning.objective)} on validation: "
        f"{_number(best.value)} in trial {best.number}, {_number(tuning.default_value)} by default. "
        f"{len(trials)} trials: {counts}.</p>",
        "<h2>Best beside default</h2>",
        _table(["field", "best", "default"], _beside(tuning)),
        "<p class='note'>Fields that were not searched: "
        f"{escape(json.dumps(dict(tuning.base), default=str))} fixed, the others as the model has them.</p>",
        "<h2>History</h2>",
        _figure(plots.history(tuning), "Value of each trial, and the best one so far"),
        *_importance(tuning),
        "<h2>Fields together</h2>",
        _figure(plots.parallel(tuning), "A line a trial; the best tenth in colour, the best one thick"),
        "<h2>Fields one by one</h2>",
        _figure(plots.slices(tuning), "Later trials are darker; the very worst values are left out"),
        "<h2>Best trials</h2>",
        _table(["trial", tuning.objective, "seconds", *(d.name for d in tuning.dimensions)], _best(tuning)),
    ]
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f"<meta name='viewport' content='width=device-width'><title>{escape(title)}</title>"
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>"
    )


def _importance(tuning: Tuning) -> list[str]:
    from forecast_core.tuning import plots

    try:
        shares = tuning.importance()
    except TuningError as error:
        return ["<h2>Importance</h2>", f"<p class='note'>{escape(str(error))}</p>"]
    caption = "Share of each field in reaching the best tenth of values (PED-ANOVA)"
    return ["<h2>Importance</h2>", _figure(plots.importance(shares), caption)]


def _beside(tuning: Tuning) -> list[list[str]]:
    best = tuning.best_params
    return [[d.name, _text(best[d.name]), _text(tuning.defaults[d.name])] for d in tuning.dimensions]


def _best(tuning: Tuning) -> list[list[str]]:
    return [
        [
            str(t.number),
            _number(t.value),
            _number(t.seconds),
            *(_text(t.params.get(d.name)) for d in tuning.dimensions),
        ]
        for t in tuning.ranked[:_TRIALS_SHOWN]
    ]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(h)}</th>" for h in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in rows)
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _figure(svg: str, caption: str) -> str:
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _text(value: Any) -> str:
    return (
        f"{value:.4g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)
    )
