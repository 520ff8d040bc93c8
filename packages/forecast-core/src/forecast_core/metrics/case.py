"""What a metric sees: a prediction, what happened, and the scale of the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from forecast_core.errors import CapabilityError, ShapeError
from forecast_core.prediction import ForecastPrediction, Interval

__all__ = ["Case", "MetricContext"]

Scale = Callable[[int | None], np.ndarray]


@dataclass(frozen=True)
class MetricContext:
    """What metrics may know beyond prediction and targets.

    scale(seasonality) gives the in-sample mean absolute seasonal difference of each row's item, [n, t] in
    the target's unit, NaN where unknown (MASE); squared_scale the mean of its square (RMSSE). Seasonality
    None means the data's own.
    """

    scale: Scale | None = None
    squared_scale: Scale | None = None


class Case:
    """A forecast and what happened; each answer of the prediction is worked out once, in float64.

    targets [n, h, t]: NaN where nothing was observed or the mask leaves it out.
    """

    def __init__(
        self, prediction: ForecastPrediction, targets: np.ndarray, *, context: MetricContext | None = None
    ) -> None:
        self.prediction = prediction
        self.targets = targets
        self.context = context if context is not None else MetricContext()
        self._known: dict[object, np.ndarray] = {}

    def mean(self) -> np.ndarray:
        """Expected value [n, h, t]."""
        return self.answer("mean", self.prediction.mean)

    def median(self) -> np.ndarray:
        """Median [n, h, t]; the value itself of a point forecast."""
        return self.answer("median", self.prediction.median)

    def quantile(self, level: float) -> np.ndarray:
        """Quantile at one level [n, h, t]."""
        if level == 0.5:
            return self.median()
        return self.answer(("quantile", level), lambda: self.prediction.quantile(level))

    def interval(self, coverage: float) -> Interval:
        """Central interval, each end [n, h, t]."""
        ends = self.answer(("interval", coverage), lambda: np.stack(self.prediction.interval(coverage)))
        return Interval(ends[0], ends[1])

    def scale(self, seasonality: float | None, *, squared: bool = False) -> np.ndarray:
        """In-sample naive error of each row [n, 1, t]; NaN where it is unknown or 0.

        Raises CapabilityError where the data has none.
        """
        source = self.context.squared_scale if squared else self.context.scale
        if source is None:
            name = "squared_scale" if squared else "scale"
            raise CapabilityError(f"the data gives no in-sample naive scale (MetricContext.{name})")
        season = None if seasonality is None else int(seasonality)
        rows, _, count = self.targets.shape
        value = np.asarray(source(season), dtype=np.float64)
        if value.shape != (rows, count):
            raise ShapeError("scale", f"is [{rows}, {count}]", got=value.shape)
        return np.where(value > 0, value, np.nan)[:, None, :]

    def answer(self, key: object, ask: Callable[[], np.ndarray]) -> np.ndarray:
        """The array known under the key, asked for and kept the first time."""
        if key not in self._known:
            self._known[key] = np.asarray(ask(), dtype=np.float64)
        return self._known[key]
