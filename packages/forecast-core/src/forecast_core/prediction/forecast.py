"""What every forecast over time answers: mean, quantiles, intervals, cdf, samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from forecast_core.arrays import Array, FloatArray, positions
from forecast_core.data.frames import id_column
from forecast_core.data.freq import Freq
from forecast_core.errors import CapabilityError, InvalidInputError, ShapeError
from forecast_core.prediction.base import Prediction, Record
from forecast_core.prediction.checks import tail_of
from forecast_core.validation import whole

__all__ = ["ForecastPrediction", "Interval", "Uncertainty"]


class Interval(NamedTuple):
    """Central interval: `lower` and `upper`, each shaped like the mean, in the target's unit."""

    lower: np.ndarray
    upper: np.ndarray


class Uncertainty(Record):
    """Spread around a mean, all [item, horizon, target] in the target's unit (variance: its square).

    kind says what the variance holds: "aleatoric" (noise of the future), "epistemic" (doubt about the
    model) or "total". Raises ShapeError where shapes differ, InvalidInputError for a negative variance
    or bounds that cross.
    """

    mean: FloatArray
    variance: FloatArray
    lower: FloatArray
    upper: FloatArray
    coverage: float = Field(gt=0, lt=1)
    kind: Literal["aleatoric", "epistemic", "total"]

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("variance", "lower", "upper"):
            if getattr(self, name).shape != self.mean.shape:
                raise ShapeError(
                    name, f"has the shape of mean {self.mean.shape}", got=getattr(self, name).shape
                )
        if not (self.variance >= 0).all():
            raise InvalidInputError("variance", "is not negative")
        if not (self.lower <= self.upper).all():
            raise InvalidInputError("lower", "is not above upper")
        return self


class ForecastPrediction(Prediction):
    """A prediction over time: [item, horizon, target] and what is derived from it.

    steps [h]: offsets from the last known row (1..H, or 3/5/10, or seconds), increasing.
    timestamps [h] or [i, h]: UTC, increasing. target_names [t]: one name a target.
    """

    axes: ClassVar[dict[str, tuple[int | None, int | None]]] = {
        **Prediction.axes,
        "timestamps": (0, 1),
    }

    steps: tuple[float, ...] | None = None
    timestamps: Array | None = None
    target_names: tuple[str, ...] = ("target",)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(rows, horizon, targets)."""
        raise NotImplementedError

    @property
    def horizon(self) -> int:
        """How many steps each row holds."""
        return self.shape[1]

    def _extent(self, axis: int) -> int:
        return self.shape[axis]

    def _axis(self, name: str, axis: int) -> int | None:
        if name == "timestamps" and self.timestamps is not None and self.timestamps.ndim == 1:
            return None if axis == 0 else 0
        return super()._axis(name, axis)

    def at_steps(self, index: np.ndarray | Sequence[int]) -> Self:
        """The prediction at some steps, by increasing position (0 is the first step) or boolean mask."""
        at = positions("index", index, length=self.horizon)
        steps = None if self.steps is None else tuple(self.steps[i] for i in at.tolist())
        return self._gather(at, axis=1, steps=steps)

    def _check_axes(self) -> None:
        """Rows, steps, timestamps and names agree with the kind's own shape."""
        rows, horizon, targets = self.shape
        if rows != len(self.item_ids):
            raise ShapeError("item_ids", f"needs one id a row ({rows})", got=len(self.item_ids))
        if targets != len(self.target_names):
            raise ShapeError(
                "target_names", f"needs one name a target ({targets})", got=len(self.target_names)
            )
        if self.steps is not None:
            if len(self.steps) != horizon:
                raise ShapeError("steps", f"needs one offset a step ({horizon})", got=len(self.steps))
            if not all(map(math.isfinite, self.steps)) or any(a >= b for a, b in pairwise(self.steps)):
                raise InvalidInputError("steps", "are finite and increase", got=self.steps)
        if self.timestamps is not None:
            if self.timestamps.dtype.kind != "M":
                raise InvalidInputError("timestamps", "are datetime64", got=self.timestamps.dtype)
            if self.timestamps.shape not in ((horizon,), (rows, horizon)):
                raise ShapeError(
                    "timestamps", f"are [{horizon}] or [{rows}, {horizon}]", got=self.timestamps.shape
                )
            if np.isnat(self.timestamps).any() or not (np.diff(self.timestamps).astype(np.int64) > 0).all():
                raise InvalidInputError("timestamps", "increase, and none is missing")
        if self.confidence is not None and self.confidence.shape not in ((rows,), self.shape):
            raise ShapeError("confidence", f"is [{rows}] or {self.shape}", got=self.confidence.shape)

    # the algebra

    def mean(self) -> np.ndarray:
        """Expected value [item, horizon, target]."""
        raise NotImplementedError

    def median(self) -> np.ndarray:
        """Median [item, horizon, target]."""
        return self.quantile(0.5)

    def variance(self) -> np.ndarray:
        """Variance [item, horizon, target], in the square of the target's unit."""
        raise NotImplementedError

    def quantile(self, levels: float | Sequence[float] | np.ndarray) -> np.ndarray:
        """Quantiles: [item, horizon, target] for one level, [item, horizon, target, level] for several.

        Raises InvalidInputError for a level outside (0, 1).
        """
        try:
            wanted = np.asarray(levels, dtype=np.float64)
        except (ValueError, TypeError):
            raise InvalidInputError("levels", "are numbers", got=repr(levels)) from None
        if wanted.ndim > 1 or not ((wanted > 0) & (wanted < 1)).all():
            raise InvalidInputError("levels", "lie strictly between 0 and 1", got=levels)
        out = self._quantile(np.atleast_1d(wanted))
        return out if wanted.ndim else out[..., 0]

    def interval(self, coverage: float = 0.9) -> Interval:
        """Central interval that holds the truth with probability `coverage`: two quantiles.

        Raises InvalidInputError for a coverage outside (0, 1), or so near to 1 that float64 cannot tell.
        """
        tail = tail_of(coverage)
        both = self._quantile(np.array([tail, 1.0 - tail]))
        return Interval(both[..., 0], both[..., 1])

    def cdf(self, x: np.ndarray | float) -> np.ndarray:
        """P(target <= x), [item, horizon, target]; x broadcasts to that shape. NaN where x is NaN."""
        try:
            at = np.broadcast_to(np.asarray(x, dtype=np.float64), self.shape)
        except ValueError:
            raise ShapeError("x", f"broadcasts to {self.shape}", got=np.shape(x)) from None
        return self._cdf(at)

    def sample(self, n: int, seed: int) -> np.ndarray:
        """n draws [sample, item, horizon, target]; the same seed gives the same draws.

        Steps are drawn independently unless the kind says it holds joint paths.
        """
        rng = np.random.default_rng(whole("seed", seed, least=0))
        return self._sample(whole("n", n), rng)

    def aggregate(self, freq: str | Freq, *, how: Literal["sum", "mean"] = "sum") -> ForecastPrediction:
        """The distribution of sums or means over coarser periods; needs joint paths.

        Marginal distributions do not add up, so every kind without joint paths raises CapabilityError.
        """
        raise CapabilityError(
            f"aggregate({freq!r}) needs joint sample paths; a {self.kind} prediction holds each step's "
            "distribution alone, and quantiles do not add up"
        )

    def _quantile(self, levels: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _cdf(self, x: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        raise NotImplementedError

    def _columns(self) -> dict[str, Any]:
        rows, horizon, targets = self.shape
        full = (rows, horizon, targets)
        columns: dict[str, Any] = {"item_id": id_column(self.item_ids, each=horizon * targets)}
        if self.timestamps is not None:
            stamps = np.broadcast_to(self.timestamps, (rows, horizon))
            columns["timestamp"] = np.repeat(stamps.reshape(-1), targets)  # [i*h*t]
        steps = np.asarray(self.steps if self.steps is not None else range(1, horizon + 1), dtype=np.float64)
        if (steps == np.round(steps)).all():
            steps = steps.astype(np.int64)
        columns["step"] = np.broadcast_to(steps[None, :, None], full).reshape(-1)
        columns["target"] = list(self.target_names) * (rows * horizon)
        columns.update(self._value_columns())
        return columns

    def _value_columns(self) -> dict[str, np.ndarray]:
        levels = (0.05, 0.1, 0.5, 0.9, 0.95)
        values = self.quantile(levels)
        columns = {"mean": self.mean().reshape(-1)}
        columns.update({str(level): values[..., k].reshape(-1) for k, level in enumerate(levels)})
        return columns

    def __repr__(self) -> str:
        rows, horizon, targets = self.shape
        return f"{type(self).__name__}({rows} rows x {horizon} steps x {targets} targets)"

    __str__ = __repr__
