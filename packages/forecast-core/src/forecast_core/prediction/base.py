"""What all predictions share: identity, rows, equality and storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from forecast_core.arrays import Array, FloatArray, arrays_equal, positions
from forecast_core.errors import DuplicateIdError, InvalidInputError, ShapeError
from forecast_core.prediction.checks import check_json
from forecast_core.validation import typed_error

__all__ = ["ItemId", "ModelRef", "Prediction", "Record", "prediction_kinds"]

ItemId = int | str

_KINDS: dict[str, type[Prediction]] = {}


def prediction_kinds() -> Mapping[str, type[Prediction]]:
    """All kinds known in this process: kind name -> class."""
    return dict(_KINDS)


class Record(BaseModel):
    """Frozen fields, arrays among them, with equality by content; raises InvalidInputError."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    def __init__(self, /, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise typed_error(type(self).__name__, error, known=type(self).model_fields) from error

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(_same(getattr(self, n), getattr(other, n)) for n in type(self).model_fields)

    __hash__ = None  # type: ignore[assignment]


class ModelRef(Record):
    """Which model made a prediction: spec id and version, and the digest of its fitted state's lineage."""

    id: str
    version: int = 1
    trained_on: str | None = None


class Prediction(Record):
    """One prediction for each row: an item, or a (window, item) pair of a backtest.

    item_ids [i]: names of rows; they repeat where several windows of one item were predicted.
    confidence [i] or shaped like the mean: the model's own score in [0, 1], higher is surer.
    importance: input name -> share of influence. aux: further named arrays (attention, weights, logits).
    metadata: whatever JSON can hold. A subclass that names its `kind` becomes known to `from_json` and
    `from_bytes`. Raises InvalidInputError or ShapeError where a rule of the kind is broken.
    """

    kind: ClassVar[str]
    # Axis of rows and axis of horizon steps (or None) of every array field.
    axes: ClassVar[dict[str, tuple[int | None, int | None]]] = {"confidence": (0, 1)}

    item_ids: tuple[ItemId, ...]
    model: ModelRef | None = None
    confidence: FloatArray | None = None
    importance: dict[str, float] | None = None
    aux: dict[str, Array] = Field(default_factory=dict)
    metadata: dict[str, JsonValue] = Field(default_factory=dict)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        kind = cls.__dict__.get("kind")
        if kind is None:
            return
        owner = _KINDS.get(kind)
        if owner is not None and (owner.__module__, owner.__qualname__) != (cls.__module__, cls.__qualname__):
            raise DuplicateIdError(
                f"prediction kind {kind!r} is taken by {owner.__module__}.{owner.__name__}"
            )
        _KINDS[kind] = cls

    def __len__(self) -> int:
        return len(self.item_ids)

    @model_validator(mode="after")
    def _check_common(self) -> Self:
        if self.confidence is not None:
            if self.confidence.shape[:1] != (len(self),):
                raise ShapeError("confidence", f"needs {len(self)} rows", got=self.confidence.shape)
            if not ((self.confidence >= 0) & (self.confidence <= 1)).all():
                raise InvalidInputError("confidence", "lies in [0, 1]")
        check_json("importance", dict(self.importance or {}))
        check_json("metadata", self.metadata)
        return self

    # rows

    def take(self, rows: np.ndarray | Sequence[int]) -> Self:
        """The prediction of some rows, by position or boolean mask, in the order given."""
        index = positions("rows", rows, length=len(self))
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
                update[name] = _joined(name, values, axis)
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


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return arrays_equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(type(a) is type(b) and a == b)


def _joined(name: str, arrays: Sequence[np.ndarray], axis: int) -> np.ndarray:
    try:
        return np.concatenate(arrays, axis=axis)
    except (ValueError, TypeError) as error:
        shapes = [a.shape for a in arrays]
        raise ShapeError(f"parts.{name}", "differ in rows only", got=shapes) from error


def _concat_aux(parts: Sequence[Mapping[str, np.ndarray]], rows: Sequence[int]) -> dict[str, np.ndarray]:
    if any(part.keys() != parts[0].keys() for part in parts):
        raise ShapeError("parts.aux", "holds the same names in every part")
    joined: dict[str, np.ndarray] = {}
    for name, first in parts[0].items():
        arrays = [part[name] for part in parts]
        if all(a.shape[:1] == (n,) for a, n in zip(arrays, rows, strict=True)):
            joined[name] = _joined(f"aux[{name!r}]", arrays, 0)
        elif all(arrays_equal(first, a) for a in arrays):
            joined[name] = first
        else:
            raise ShapeError(
                f"parts.aux[{name!r}]", "has a row for each row of its part, or is the same in all"
            )
    return joined
