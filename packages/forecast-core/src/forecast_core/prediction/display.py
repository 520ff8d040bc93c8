"""How a prediction looks in a notebook: its kind, its size and its first rows as an HTML table."""

from __future__ import annotations

from html import escape

import numpy as np

from forecast_core.prediction.base import Prediction

__all__ = ["html"]

_ROWS = 12


def html(prediction: Prediction) -> str:
    """A heading and a table of the first rows; every text in it is escaped."""
    some = prediction.take(range(min(len(prediction), _ROWS)))
    columns = some._columns()
    names = list(columns)
    made = len(columns[names[0]])
    total = made // max(len(some), 1) * len(prediction)  # every row of a prediction gives as many
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(_cell(columns[name][row]))}</td>" for name in names) + "</tr>"
        for row in range(min(made, _ROWS))
    )
    more = f"<p>{total - _ROWS} more rows</p>" if total > _ROWS else ""
    return (
        f"<p><b>{escape(repr(prediction))}</b></p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"
    )


def _cell(value: object) -> str:
    if isinstance(value, float | np.floating):
        return f"{float(value):.4g}"
    return str(value)
