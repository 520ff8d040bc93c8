"""Sums of a metric's statistics by item and step, from which its value over any of them follows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from forecast_core.errors import MetricError, ShapeError
from forecast_core.metrics.base import ForecastMetric
from forecast_core.prediction.base import ItemId

__all__ = ["Groups", "Sums"]


@dataclass(frozen=True)
class Groups:
    """Rows of a prediction by item: `ids` in order of first appearance, `of_row` [n] the position of each."""

    ids: tuple[ItemId, ...]
    of_row: np.ndarray

    @classmethod
    def of(cls, item_ids: Sequence[ItemId]) -> Groups:
        """The groups of a prediction's rows."""
        place: dict[ItemId, int] = {}
        of_row = np.fromiter((place.setdefault(i, len(place)) for i in item_ids), np.intp, len(item_ids))
        return cls(tuple(place), of_row)

    def total(self, rows: np.ndarray) -> np.ndarray:
        """Sums over the rows of each item: [n, h] to [item, h]."""
        if not len(self.ids):
            return np.zeros((0, *rows.shape[1:]))
        order = np.argsort(self.of_row, kind="stable")
        start = np.searchsorted(self.of_row[order], np.arange(len(self.ids)))
        total: np.ndarray = np.add.reduceat(rows[order], start, axis=0)
        return total


@dataclass(frozen=True)
class Sums:
    """count [item, h] of what was observed, and the sum of each statistic, of the same shape."""

    metric: ForecastMetric
    count: np.ndarray
    totals: tuple[np.ndarray, ...]

    @classmethod
    def of(
        cls,
        metric: ForecastMetric,
        statistics: Iterable[np.ndarray],
        *,
        shape: tuple[int, int, int],
        groups: Groups,
    ) -> Sums:
        """Sum statistics [n, h | 1, t | 1] one after the other; shape is (n, h, t).

        ShapeError where one has another shape than the first, or none of these.
        """
        rows, horizon, targets = shape
        allowed = {(rows, h, t) for h in (1, horizon) for t in (1, targets)}
        observed: np.ndarray | None = None
        totals = []
        for statistic in statistics:
            if statistic.shape not in allowed:
                rule = f"are [{rows}, {horizon} | 1, {targets} | 1], all of one shape"
                raise ShapeError(f"statistics of {metric.name}", rule, got=statistic.shape)
            if observed is None:
                observed, allowed = ~np.isnan(statistic), {statistic.shape}
            totals.append(groups.total(np.where(observed, statistic, 0.0).sum(2)))
        if observed is None:
            raise MetricError(f"metric {metric.name!r}", "gives at least one statistic")
        return cls(metric, groups.total(observed.sum(2, dtype=np.float64)), tuple(totals))

    def at(self, columns: np.ndarray) -> Sums:
        """The sums of some steps, by position."""
        return replace(self, count=self.count[:, columns], totals=tuple(t[:, columns] for t in self.totals))

    def overall(self) -> float:
        """The value over all items and steps; NaN if nothing was observed."""
        return float(self._finish(None))

    def by_step(self) -> np.ndarray:
        """The value at each step [h], over all items."""
        return self._finish(0)

    def by_item(self) -> np.ndarray:
        """The value of each item [item], over all steps."""
        return self._finish(1)

    def _finish(self, axis: int | None) -> np.ndarray:
        count = self.count.sum(axis)
        return np.where(count > 0, self.metric.finish(count, *(t.sum(axis) for t in self.totals)), np.nan)
