"""A study as one self-contained HTML file, with the same numbers as JSON beside it."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecast_core.reporting.page import check_target, figure, number, page, table, write_page
from forecast_core.tuning.failures import TuningError

if TYPE_CHECKING:
    from forecast_core.tuning.result import Tuning

__all__ = ["write_report"]

_TRIALS_SHOWN = 10


def write_report(tuning: Tuning, path: Path, *, title: str) -> Path:
    """Write the report to `path` (ending in .html) and `path` with .json; both atomically.

    Raises MissingDependencyError without matplotlib, TuningError where no trial is complete.
    """
    check_target(path)
    return write_page(path, page(title, _parts(tuning, title)), json=tuning.to_json())


def _parts(tuning: Tuning, title: str) -> list[str]:
    from forecast_core.tuning import plots

    trials, best = tuning.trials, tuning.best
    states = [t.state for t in trials]
    counts = ", ".join(f"{states.count(s)} {s}" for s in dict.fromkeys(states))
    return [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(tuning.model_id)}, {escape(tuning.objective)} on validation: "
        f"{number(best.value)} in trial {best.number}, {number(tuning.default_value)} by default. "
        f"{len(trials)} trials: {counts}.</p>",
        "<h2>Best beside default</h2>",
        table(["field", "best", "default"], _beside(tuning)),
        "<p class='note'>Fields that were not searched: "
        f"{escape(json.dumps(dict(tuning.base), default=str))} fixed, the others as the model has them.</p>",
        "<h2>History</h2>",
        figure(plots.history(tuning), "Value of each trial, and the best one so far"),
        *_importance(tuning),
        "<h2>Fields together</h2>",
        figure(plots.parallel(tuning), "A line a trial; the best tenth in colour, the best one thick"),
        "<h2>Fields one by one</h2>",
        figure(plots.slices(tuning), "Later trials are darker; the very worst values are left out"),
        "<h2>Best trials</h2>",
        table(["trial", tuning.objective, "seconds", *(d.name for d in tuning.dimensions)], _best(tuning)),
    ]


def _importance(tuning: Tuning) -> list[str]:
    from forecast_core.tuning import plots

    try:
        shares = tuning.importance()
    except TuningError as error:
        return ["<h2>Importance</h2>", f"<p class='note'>{escape(str(error))}</p>"]
    caption = "Share of each field in reaching the best tenth of values (PED-ANOVA)"
    return ["<h2>Importance</h2>", figure(plots.importance(shares), caption)]


def _beside(tuning: Tuning) -> list[list[str]]:
    best = tuning.best_params
    return [[d.name, _text(best[d.name]), _text(tuning.defaults[d.name])] for d in tuning.dimensions]


def _best(tuning: Tuning) -> list[list[str]]:
    return [
        [
            str(t.number),
            number(t.value),
            number(t.seconds),
            *(_text(t.params.get(d.name)) for d in tuning.dimensions),
        ]
        for t in tuning.ranked[:_TRIALS_SHOWN]
    ]


def _text(value: Any) -> str:
    return (
        f"{value:.4g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)
    )
