"""Scalers fitted on observed training values only, and feature selection by a random forest.

A scaler is fitted along `axis` (the axes that are summed over), keeps the shape of the rest, and applies
to any array that broadcasts against it. Missing values are NaN or False in `mask`; they never count and
stay as they are. State is a dict of arrays, so a scaler is stored with a model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from forecast_core.errors import (
    DataError,
    InvalidInputError,
    MissingDependencyError,
    NotFittedError,
    ShapeError,
    UnknownIdError,
    near_misses,
)

__all__ = [
    "FeatureSelection",
    "IdentityScaler",
    "LogScaler",
    "MinMaxScaler",
    "RobustScaler",
    "Scaler",
    "StandardScaler",
    "scaler",
    "scaler_from_state",
    "select_features",
]

_KINDS: dict[str, type[Scaler]] = {}


class Scaler(ABC):
    """An elementwise affine or log transform with fitted `shift` and `scale`.

    float32 stays float32, everything else becomes float64. Where nothing was observed, or nothing
    varies, scale is 1 unless `fit` is told otherwise, so that values pass through shifted but not blown up.
    """

    kind: ClassVar[str]

    def __init__(self) -> None:
        self.shift: np.ndarray | None = None
        self.scale: np.ndarray | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _KINDS[cls.kind] = cls

    def fit(
        self,
        values: np.ndarray,
        mask: np.ndarray | None = None,
        *,
        axis: int | tuple[int, ...] = 0,
        constant: float = 1.0,
    ) -> Self:
        """Learn shift and scale from observed values; `axis` is reduced and kept as size 1.

        constant: the scale where nothing varies; infinity turns all values there into 0.
        Raises DataError for infinity (naming its index) or values outside the transform's domain,
        ShapeError for a mask of another shape.
        """
        observed = self._observed(values, mask)
        prepared = self._prepare(np.where(observed, values, np.nan).astype(np.float64))
        count = observed.sum(axis, keepdims=True)
        shift, scale = self._statistics(prepared, axis, np.maximum(count, 1))
        self.shift = np.where(count > 0, shift, 0.0)
        usable = (count > 0) & np.isfinite(scale) & (scale > np.finfo(np.float64).tiny)
        self.scale = np.where(usable, scale, constant)
        return self

    def transform(self, values: np.ndarray) -> np.ndarray:
        """Scaled values, same shape; NaN stays NaN."""
        shift, scale = self._fitted(values)
        result: np.ndarray = ((self._prepare(_floats(values)) - shift) / scale).astype(
            _float_type(values), copy=False
        )
        return result

    def inverse(self, values: np.ndarray) -> np.ndarray:
        """What `transform` was given, up to rounding."""
        shift, scale = self._fitted(values)
        return self._restore(_floats(values) * scale + shift).astype(_float_type(values), copy=False)

    def state(self) -> dict[str, np.ndarray]:
        """Fitted arrays, for storage; `scaler_from_state(kind, state)` brings the scaler back."""
        if self.shift is None or self.scale is None:
            raise NotFittedError(f"the {self.kind} scaler has to be fitted first")
        return {"shift": self.shift, "scale": self.scale}

    @abstractmethod
    def _statistics(
        self, values: np.ndarray, axis: int | tuple[int, ...], count: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Shift and scale of values with NaN where missing; anything where nothing was observed."""

    def _prepare(self, values: np.ndarray) -> np.ndarray:
        return values

    def _restore(self, values: np.ndarray) -> np.ndarray:
        return values

    def _observed(self, values: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        values = np.asarray(values)
        if values.dtype.kind not in "fiub":
            raise DataError("values", "are numbers", got=values.dtype)
        if mask is not None and np.shape(mask) != values.shape:
            raise ShapeError("mask", f"has the shape of values {values.shape}", got=np.shape(mask))
        observed = ~np.isnan(values) if mask is None else ~np.isnan(values) & np.asarray(mask, dtype=bool)
        wrong = observed & ~np.isfinite(values)
        if wrong.any():
            place = tuple(int(k) for k in np.argwhere(wrong)[0])
            raise DataError(
                "values", "are finite, or NaN where missing", place=f"index {place}", got=values[place]
            )
        result: np.ndarray = observed
        return result

    def _fitted(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        state = self.state()
        try:
            np.broadcast_shapes(np.shape(values), state["shift"].shape)
        except ValueError:
            raise ShapeError(
                "values", f"broadcast against the fitted shape {state['shift'].shape}", got=np.shape(values)
            ) from None
        return state["shift"], state["scale"]


class IdentityScaler(Scaler):
    """Leaves values as they are."""

    kind: ClassVar[str] = "identity"

    def _statistics(
        self, values: np.ndarray, axis: int | tuple[int, ...], count: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(count.shape), np.ones(count.shape)


class StandardScaler(Scaler):
    """(x - mean) / standard deviation, divided by their number."""

    kind: ClassVar[str] = "standard"

    def _statistics(
        self, values: np.ndarray, axis: int | tuple[int, ...], count: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        mean = np.nansum(values, axis, keepdims=True) / count
        variance = np.nansum((values - mean) ** 2, axis, keepdims=True) / count
        spread = np.sqrt(variance)
        # A constant column differs from its own mean by rounding only.
        return mean, np.where(spread <= 1e-12 * np.abs(mean), 0.0, spread)


class LogScaler(StandardScaler):
    """Standard scaling of log(1 + x); every value is above -1."""

    kind: ClassVar[str] = "log"

    def _prepare(self, values: np.ndarray) -> np.ndarray:
        below = values <= -1.0
        if below.any():
            place = tuple(int(k) for k in np.argwhere(below)[0])
            raise DataError("values", "are above -1 for a log", place=f"index {place}", got=values[place])
        result: np.ndarray = np.log1p(values)
        return result

    def _restore(self, values: np.ndarray) -> np.ndarray:
        result: np.ndarray = np.expm1(values)
        return result


class MinMaxScaler(Scaler):
    """(x - min) / (max - min)."""

    kind: ClassVar[str] = "min-max"

    def _statistics(
        self, values: np.ndarray, axis: int | tuple[int, ...], count: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        low = np.where(np.isnan(values), np.inf, values).min(axis, keepdims=True, initial=np.inf)
        high = np.where(np.isnan(values), -np.inf, values).max(axis, keepdims=True, initial=-np.inf)
        seen = np.isfinite(low)
        low, high = np.where(seen, low, 0.0), np.where(seen, high, 0.0)
        return low, high - low


class RobustScaler(Scaler):
    """(x - median) / (third - first quartile)."""

    kind: ClassVar[str] = "robust"

    def _statistics(
        self, values: np.ndarray, axis: int | tuple[int, ...], count: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        # A slice without observations would only warn; its result is not used.
        empty = np.isnan(values).all(axis, keepdims=True)
        low, middle, high = np.nanquantile(
            np.where(empty, 0.0, values), (0.25, 0.5, 0.75), axis=axis, keepdims=True
        )
        return middle, high - low


def scaler(kind: str) -> Scaler:
    """A new scaler: identity, standard, min-max, robust or log; UnknownIdError otherwise."""
    if kind not in _KINDS:
        raise UnknownIdError(f"no scaler {kind!r}; {near_misses(kind, _KINDS)}")
    return _KINDS[kind]()


def scaler_from_state(kind: str, state: Mapping[str, np.ndarray]) -> Scaler:
    """The scaler whose `state()` this was; KeyError where something is missing."""
    found = scaler(kind)
    found.shift, found.scale = np.asarray(state["shift"]), np.asarray(state["scale"])
    return found


class FeatureSelection(BaseModel):
    """Names chosen out of all, most important first, and the importance of every feature (sum 1)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    names: tuple[str, ...]
    importances: dict[str, float] = Field(description="of all features, chosen or not")


def select_features(
    features: np.ndarray,
    target: np.ndarray,
    *,
    names: Sequence[str],
    n_features: int | None = None,
    threshold: float | None = None,
    task: Literal["regression", "classification"] = "regression",
    seed: int = 0,
    n_estimators: int = 200,
) -> FeatureSelection:
    """Choose features by the impurity importance of a random forest fitted on the rows given.

    features [n, f], target [n]; rows with a missing value are left out. Either the `n_features` most
    important ones are chosen, or those of at least `threshold` importance (default: the mean). Give
    training rows only. Raises ShapeError, InvalidInputError, MissingDependencyError.
    Source: Breiman (2001), Random forests.
    """
    features, target = np.asarray(features), np.asarray(target)
    if features.ndim != 2 or target.shape != (len(features),):
        raise ShapeError("features", "is [n, f] beside a target [n]", got=(features.shape, target.shape))
    if len(set(names)) != len(names) or len(names) != features.shape[1]:
        raise ShapeError("names", f"are distinct, one a feature ({features.shape[1]})", got=tuple(names))
    if n_features is not None and (threshold is not None or not 1 <= n_features <= len(names)):
        raise InvalidInputError(
            "n_features", f"is in 1..{len(names)}, given without threshold", got=n_features
        )
    try:
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    except ImportError as error:
        raise MissingDependencyError(
            "scikit-learn", purpose="feature selection", install="pip install 'forecast-core[evaluate]'"
        ) from error
    complete = np.isfinite(features.astype(np.float64)).all(1)
    if task == "regression":
        complete &= np.isfinite(target.astype(np.float64))
    if complete.sum() < 2:
        raise ShapeError("features", "has at least two rows without a missing value", got=int(complete.sum()))
    forest = {"regression": RandomForestRegressor, "classification": RandomForestClassifier}[task]
    fitted = forest(n_estimators=n_estimators, random_state=seed).fit(features[complete], target[complete])
    importance = fitted.feature_importances_
    order = np.argsort(-importance, kind="stable")
    if n_features is not None:
        chosen = order[:n_features]
    else:
        least = importance.mean() if threshold is None else threshold
        chosen = order[importance[order] >= least]
    return FeatureSelection(
        names=tuple(names[k] for k in chosen.tolist()),
        importances={name: float(v) for name, v in zip(names, importance.tolist(), strict=True)},
    )


def _floats(values: np.ndarray) -> np.ndarray:
    return np.asarray(values).astype(np.float64)


def _float_type(values: np.ndarray) -> np.dtype[Any]:
    given = np.asarray(values).dtype
    return given if given == np.float32 else np.dtype(np.float64)
