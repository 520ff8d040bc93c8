"""Several models on the same windows as one self-contained HTML file, with the same numbers as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from os import PathLike
from pathlib import Path

import numpy as np

from forecast_core.errors import InvalidInputError
from forecast_core.evaluation import Evaluation
from forecast_core.prediction import PathMixturePrediction
from forecast_core.reporting.page import check_target, figure, number, page, table, write_page
from forecast_traffic.trajectory.windows import TrackWindows

__all__ = ["write_track_report"]

_SHOWN = 3  # windows drawn of each model


def write_track_report(
    evaluations: Mapping[str, Evaluation],
    path: str | PathLike[str],
    *,
    title: str = "Trajectories",
    note: str = "",
) -> Path:
    """Write metrics, errors by horizon, calibration of ellipses, and some paths; name -> `fc.evaluate`.

    All evaluations are of the same windows. note: what the data is and by which protocol. The windows drawn
    are those of the median and of the tenth and ninetieth percentile of the first model's final error.
    Raises InvalidInputError for a path that does not end in .html or evaluations of different windows,
    MissingDependencyError without matplotlib.
    """
    target = Path(path)
    check_target(target)
    if not evaluations:
        raise InvalidInputError("evaluations", "hold at least one model")
    first = next(iter(evaluations.values()))
    windows = first.windows
    if not isinstance(windows, TrackWindows) or any(
        e.prediction.item_ids != first.prediction.item_ids for e in evaluations.values()
    ):
        raise InvalidInputError("evaluations", "are of the same windows of tracks")
    from forecast_traffic.trajectory.charts import calibration_chart, horizon_chart, paths_chart

    keys = list(first.metrics)
    rows = [[name, *(number(e.metrics.get(k)) for k in keys)] for name, e in evaluations.items()]
    paths = {
        n: e.prediction for n, e in evaluations.items() if isinstance(e.prediction, PathMixturePrediction)
    }
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{len(windows):,} windows. {escape(note)}</p>",
        table(["model", *keys], rows),
        "<h2>Errors by horizon</h2>",
        figure(horizon_chart(evaluations), "Mean distance of the mean path from what came"),
    ]
    if paths:
        parts += [
            "<h2>Calibration</h2>",
            figure(
                calibration_chart(paths, windows),
                "Share of positions inside the regions that promise to hold it",
            ),
            "<h2>Paths</h2>",
        ]
        for name, prediction in paths.items():
            for row in _some(first, windows):
                parts.append(figure(paths_chart(prediction, windows, row), f"{name}: modes, 90 % ellipses"))
    told = {name: dict(e.metrics) for name, e in evaluations.items()}
    text = json.dumps({"title": title, "note": note, "windows": len(windows), "metrics": told}, indent=2)
    return write_page(target, page(title, parts), json=text)


def _some(evaluation: Evaluation, windows: TrackWindows) -> list[int]:
    """Windows at the 10th, 50th and 90th percentile of the final error of the mean path."""
    prediction = evaluation.prediction
    assert isinstance(prediction, PathMixturePrediction)
    apart = np.linalg.norm(prediction.mean()[:, -1] - windows.targets()[0][:, -1], axis=-1)
    order = np.argsort(np.nan_to_num(apart, nan=np.inf), kind="stable")
    at = np.linspace(0.1, 0.9, _SHOWN) * (len(order) - 1)
    return [int(order[k]) for k in at.astype(np.intp)]
