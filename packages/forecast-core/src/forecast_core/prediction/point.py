"""Point forecasts: one number a step, and nothing claimed about how sure it is."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn, Self

import numpy as np
from pydantic import model_validator

from forecast_core.arrays import FloatArray
from forecast_core.errors import CapabilityError
from forecast_core.prediction.checks import check_dims, check_finite
from forecast_core.prediction.forecast import ForecastPrediction

__all__ = ["PointPrediction"]


class PointPrediction(ForecastPrediction):
    """values [item, horizon, target]: the forecast, in the target's unit.

    mean() and median() are the values. It holds no distribution: variance, quantile, interval, cdf and
    sample raise CapabilityError rather than claim certainty.
    """

    kind: ClassVar[str] = "point"
    axes: ClassVar[dict[str, tuple[int | None, int | None]]] = {**ForecastPrediction.axes, "values": (0, 1)}

    values: FloatArray

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_dims("values", self.values, ("item", "horizon", "target"))
        check_finite("values", self.values)
        self._check_axes()
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """(rows, horizon, targets)."""
        i, h, t = self.values.shape
        return i, h, t

    def mean(self) -> np.ndarray:
        """The values [item, horizon, target]."""
        return self.values

    def median(self) -> np.ndarray:
        """The values [item, horizon, target]."""
        return self.values

    def variance(self) -> np.ndarray:
        """Not known: raises CapabilityError."""
        self._refuse("variance")

    def _quantile(self, levels: np.ndarray) -> np.ndarray:
        self._refuse("quantiles")

    def _cdf(self, x: np.ndarray) -> np.ndarray:
        self._refuse("a distribution function")

    def _sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        self._refuse("samples")

    def _refuse(self, what: str) -> NoReturn:
        raise CapabilityError(f"a point prediction has no {what}; use a model with a distribution")

    def _value_columns(self) -> dict[str, Any]:
        return {"mean": self.values.reshape(-1)}
