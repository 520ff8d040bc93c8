"""What all predictions share: identity, rows, equality, storage; and what all forecasts answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from forecast_core.arrays import Array, FloatArray, arrays_equal
from forecast_core.data.freq import Freq
from forecast_core.errors import CapabilityError, DuplicateIdError, InvalidInputError, ShapeError
from forecast_core.validation import typed_error

__all__ = [
    "ForecastPrediction",
    "Interval",
    "ItemId",
    "ModelRef",
    "Prediction",
    "Uncertainty",
    "prediction_kinds",
]

ItemId = int | str

_KINDS: dict[str, type[Prediction]] = {}


def prediction_kinds() -> Mapping[str, type[Prediction]]:
    """All kinds known in this process: kind name -> class."""
    return dict(_KINDS)


class ModelRef(BaseModel):
    """Which model made a prediction: spec id and version, and the digest of its fitted state's lineage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    version: int = 1
    trained_on: str | None = None


class Interval(NamedTuple):
    """Central interval: `lower` and `upper`, each shaped like the mean, in the target's unit."""

    lower: np.ndarray
    upper: np.ndarray


class Uncertainty(BaseModel):
    """Spread around a mean, all [item, horizon, target] in the target's unit (variance: its square).

    kind says what the variance holds: "aleatoric" (noise of the future), "epistemic" (doubt about the
    model) or "total".
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    mean: FloatArray
    variance: FloatArray
    lower: FloatArray
    upper: FloatArray
    coverage: float = Field(gt=0, lt=1)
    kind: Literal["aleatoric", "epistemic", "total"]


class Prediction(BaseModel):
    """One prediction for each row: an item, or a (window, item) pair of a backtest.

    item_ids [i]: names of rows; they repeat where several windows of one item were predicted.
    confidence [i] or shaped like the mean: the model's own score in [0, 1], higher is surer.
    importance: input name -> share of influence. aux: further named arrays (attention, weights, logits).
    Raises InvalidInputError or ShapeError where a rule of the kind is broken.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    kind: ClassVar[str]
    # Axis of rows and axis of horizon steps (or None) of every array field.
    axes: ClassVar[dict[str, tuple[int | None, int | None]]] = {"confidence": (0, 1)}

    item_ids: tuple[ItemId, ...]
    model: ModelRef | None = None
    confidence: FloatArray | None = None
    importance: dict[str, float] | None = None
    aux: dict[str, Array] = Field(default_factory=dict)
    metadata: dict[str, JsonValue] = Field(default_factory=dict)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        kind = cls.__dict__.get("kind")
        if kind is None:
            return
        owner = _KINDS.get(kind)
        if owner is not None and (owner.__module__, owner.__qualname__) != (cls.__module__, cls.__qualname__):
            raise DuplicateIdError(
                f"prediction kind {kind!r} is taken by {owner.__module__}.{owner.__name__}"
            )
        _KINDS[kind] = cls

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise typed_error(type(self).__name__, error, known=type(self).model_fields) from error

    def __len__(self) -> int:
        return len(self.item_ids)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(_same(getattr(self, n), getattr(other, n)) for n in type(self).model_fields)

    __hash__ = None  # type: ignore[assignment]

    @model_validator(mode="after")
    def _check_common(self) -> Self:
        if self.confidence is not None:
            if self.confidence.shape[:1] != (len(self),):
                raise ShapeError("confidence", f"needs {len(self)} rows", got=self.confidence.shape)
            if not ((self.confidence >= 0) & (self.confidence <= 1)).all():
                raise InvalidInputError("confidence", "lies in [0, 1]")
        return self

    # rows

    def take(self, rows: np.ndarray | Sequence[int]) -> Self:
        """The prediction of some rows, in the order given."""
        index = np.asarray(rows)
        if index.dtype == bool:
            index = np.flatnonzero(index)
        index = index.astype(np.intp, copy=False)
        return self._gather(index, axis=0, item_ids=tuple(self.item_ids[i] for i in index.tolist()))

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """Rows of several predictions of one kind, one after the other.

        Everything but rows must agree (levels, steps, targets, model); ShapeError names what differs.
        """
        if not parts:
            raise InvalidInputError("parts", "holds at least one prediction")
        first = parts[0]
        if any(type(part) is not type(first) for part in parts):
            raise ShapeError("parts", "are of one kind", got=sorted({part.kind for part in parts}))
        if len(parts) == 1:
            return first
        update: dict[str, Any] = {"item_ids": tuple(i for part in parts for i in part.item_ids)}
        for name in type(first).model_fields:
            values = [getattr(part, name) for part in parts]
            if name == "item_ids":
                continue
            axis = first._axis(name, 0)
            if axis is not None and all(v is not None for v in values):
                update[name] = np.concatenate(values, axis=axis)
            elif name == "aux":
                update[name] = _concat_aux(values, [len(part) for part in parts])
            elif not all(_same(values[0], value) for value in values[1:]):
                raise ShapeError(f"parts.{name}", "is the same in every part")
            else:
                update[name] = values[0]
        return type(first)(**update)

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed; validated again."""
        return type(self)(**{**{n: getattr(self, n) for n in type(self).model_fields}, **changes})

    def _axis(self, name: str, axis: int) -> int | None:
        """Which axis of an array field runs over rows (0) or steps (1); None where it has no such axis."""
        value, at = getattr(self, name), self.axes.get(name, (None, None))[axis]
        return at if isinstance(value, np.ndarray) and at is not None and at < value.ndim else None

    def _gather(self, index: np.ndarray, *, axis: int, **update: Any) -> Self:
        """Rows (axis 0) or steps (axis 1) of every array that has them; broadcast axes stay."""
        extent = self._extent(axis)
        for name in self.axes:
            at = self._axis(name, axis)
            if at is not None and getattr(self, name).shape[at] == extent:
                update[name] = np.take(getattr(self, name), index, axis=at)
        if axis == 0:
            n = len(self)
            update["aux"] = {
                k: np.take(v, index, axis=0) if v.shape[:1] == (n,) else v for k, v in self.aux.items()
            }
        return self.replace(**update)

    def _extent(self, axis: int) -> int:
        return len(self)

    # storage

    def to_json(self) -> str:
        """JSON text from which `from_json` makes an equal prediction."""
        from forecast_core.prediction.storage import to_json

        return to_json(self)

    @staticmethod
    def from_json(text: str | bytes) -> Prediction:
        """The prediction that `to_json` wrote; InvalidInputError where the text is not one."""
        from forecast_core.prediction.storage import from_json

        return from_json(text)

    def to_bytes(self) -> bytes:
        """The prediction as one safetensors blob, bit for bit."""
        from forecast_core.prediction.storage import to_bytes

        return to_bytes(self)

    @staticmethod
    def from_bytes(blob: bytes) -> Prediction:
        """The prediction that `to_bytes` wrote; InvalidInputError where the blob is not one."""
        from forecast_core.prediction.storage import from_bytes

        return from_bytes(blob)

    def to_frame(self, *, backend: str | None = None) -> Any:
        """A long frame, a row an (item, step, target); pandas, polars or pyarrow, whichever is there."""
        from forecast_core.data.frames import build_frame

        return build_frame(self._columns(), backend=backend)

    def _columns(self) -> dict[str, Any]:
        raise NotImplementedError

    def _repr_html_(self) -> str:
        from forecast_core.prediction.display import html

        return html(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} rows)"

    __str__ = __repr__


class ForecastPrediction(Prediction):
    """A prediction over time: [item, horizon, target] and what is derived from it.

    steps [h]: offsets from the last known row (1..H, or 3/5/10, or seconds), increasing.
    timestamps [h] or [i, h]: UTC. target_names [t]: one name a target.
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
        """The prediction at some positions of the horizon axis (0 is the first step)."""
        at = np.asarray(index, dtype=np.intp)
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
            if any(b <= a for a, b in zip(self.steps, self.steps[1:], strict=False)):
                raise InvalidInputError("steps", "increase")
        if self.timestamps is not None:
            if self.timestamps.dtype.kind != "M":
                raise InvalidInputError("timestamps", "are datetime64", got=self.timestamps.dtype)
            if self.timestamps.shape not in ((horizon,), (rows, horizon)):
                raise ShapeError(
                    "timestamps", f"are [{horizon}] or [{rows}, {horizon}]", got=self.timestamps.shape
                )

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
        wanted = np.atleast_1d(np.asarray(levels, dtype=np.float64))
        if wanted.ndim != 1 or not ((wanted > 0) & (wanted < 1)).all():
            raise InvalidInputError("levels", "lie strictly between 0 and 1", got=levels)
        out = self._quantile(wanted)
        return out[..., 0] if np.ndim(levels) == 0 else out

    def interval(self, coverage: float = 0.9) -> Interval:
        """Central interval that holds the truth with probability `coverage`, strictly between 0 and 1."""
        if not 0 < coverage < 1:
            raise InvalidInputError("coverage", "lies strictly between 0 and 1", got=coverage)
        tail = (1.0 - coverage) / 2.0
        both = self._quantile(np.array([tail, 1.0 - tail]))
        return Interval(both[..., 0], both[..., 1])

    def cdf(self, x: np.ndarray | float) -> np.ndarray:
        """P(target <= x), [item, horizon, target]; x broadcasts to that shape."""
        try:
            at = np.broadcast_to(np.asarray(x, dtype=np.float64), self.shape)
        except ValueError:
            raise ShapeError("x", f"broadcasts to {self.shape}", got=np.shape(x)) from None
        return self._cdf(at)

    def sample(self, n: int, seed: int) -> np.ndarray:
        """n draws [sample, item, horizon, target]; the same seed gives the same draws.

        Steps are drawn independently unless the kind says it holds joint paths.
        """
        if n < 1:
            raise InvalidInputError("n", "is at least 1", got=n)
        return self._sample(n, np.random.default_rng(seed))

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
        columns: dict[str, Any] = {
            "item_id": np.repeat(np.array(self.item_ids, dtype=object), horizon * targets).tolist()
        }
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
        columns.update({f"{level:g}": values[..., k].reshape(-1) for k, level in enumerate(levels)})
        return columns

    def __repr__(self) -> str:
        rows, horizon, targets = self.shape
        return f"{type(self).__name__}({rows} rows x {horizon} steps x {targets} targets)"

    __str__ = __repr__


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return arrays_equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    return bool(type(a) is type(b) and a == b)


def _concat_aux(parts: Sequence[Mapping[str, np.ndarray]], rows: Sequence[int]) -> dict[str, np.ndarray]:
    if any(part.keys() != parts[0].keys() for part in parts):
        raise ShapeError("parts.aux", "holds the same names in every part")
    joined: dict[str, np.ndarray] = {}
    for name, first in parts[0].items():
        arrays = [part[name] for part in parts]
        if all(a.shape[:1] == (n,) for a, n in zip(arrays, rows, strict=True)):
            joined[name] = np.concatenate(arrays)
        elif all(arrays_equal(first, a) for a in arrays):
            joined[name] = first
        else:
            raise ShapeError(
                f"parts.aux[{name!r}]", "has a row for each row of its part, or is the same in all"
            )
    return joined
