"""Train, validation and test windows under the two protocols of the literature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from forecast_core.errors import InvalidInputError, ShapeError
from forecast_core.splits import Split, SplitReport, time_split
from forecast_traffic.graph.panel import GraphPanel
from forecast_traffic.graph.windows import GraphWindows

__all__ = ["Protocol", "split_windows"]

Protocol = Literal["gap", "compat"]


def split_windows(
    panel: GraphPanel,
    ratios: Sequence[float] = (0.7, 0.1, 0.2),
    *,
    protocol: Protocol = "gap",
    context_length: int = 12,
    horizon: int = 12,
) -> Split[GraphWindows]:
    """Windows in three parts, in order of time.

    "gap": rows are cut, and no window crosses a border, with its context or with its targets. "compat": all
    windows of the panel are made first and then cut by their number, as published comparisons on METR-LA,
    PEMS-BAY and PEMS04/08 do; the first windows of a part then share rows with the last ones of the part
    before. Raises InvalidInputError for another protocol or wrong ratios, ShapeError where a part would be
    empty.
    """
    if protocol not in ("gap", "compat"):
        raise InvalidInputError("protocol", "is 'gap' or 'compat'", got=repr(protocol))
    if protocol == "gap":
        cut = time_split(panel, ratios)
        starts = np.cumsum([0, *cut.report.sizes[:-1]])
        parts = [
            _moved(part.windows(context_length=context_length, horizon=horizon), panel, int(start))
            for part, start in zip(cut, starts, strict=True)
        ]
    else:
        every = panel.windows(context_length=context_length, horizon=horizon)
        rows = np.unique(every.rows)
        sizes = time_split(panel, ratios).report.sizes  # checks the ratios
        first = round(len(rows) * sizes[0] / sum(sizes))
        second = first + round(len(rows) * sizes[1] / sum(sizes))
        if not 0 < first < second < len(rows):
            raise ShapeError("panel", "leaves a window for each part", got=f"{len(rows)} origins")
        bounds = ((0, rows[first]), (rows[first], rows[second]), (rows[second], len(panel)))
        parts = [every.take((every.rows >= low) & (every.rows < high)) for low, high in bounds]
    train, valid, test = parts
    report = SplitReport(
        sizes=(len(train), len(valid), len(test)),
        starts=(str(train.origins[0]), str(valid.origins[0]), str(test.origins[0])),
    )
    return Split(train, valid, test, report)


def _moved(windows: GraphWindows, panel: GraphPanel, start: int) -> GraphWindows:
    """The windows of a part, cut at row `start`, as windows of the whole panel."""
    return replace(windows, panel=panel, rows=windows.rows + start)
