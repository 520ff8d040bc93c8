"""Bodies of requests: strict types, no unknown fields, no number that JSON does not have."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

if TYPE_CHECKING:
    from forecast_core.predictor import ModelInfo

__all__ = [
    "Body",
    "ForecastRequest",
    "Horizon",
    "ItemId",
    "Level",
    "Levels",
    "ModelRequest",
    "Name",
    "Number",
    "TensorSpec",
    "Time",
]

_LARGEST = 1e30  # squares of it, and sums of squares, stay finite
_CLOCK = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
_TIME = rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}([T ]{_CLOCK}(Z|[+-][0-9]{{2}}:[0-9]{{2}})?)?$"


def _item_id(value: Any) -> Any:
    if isinstance(value, str) and 0 < len(value) <= 200:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return value
    raise ValueError("is a text of 1 to 200 characters or a whole number of 64 bits")


def _increasing(levels: tuple[float, ...] | None) -> tuple[float, ...] | None:
    if levels is not None and any(a >= b for a, b in pairwise(levels)):
        raise ValueError("increase strictly")
    return levels


Name = Annotated[str, Field(min_length=1, max_length=200)]
Number = Annotated[float, Field(ge=-_LARGEST, le=_LARGEST)]
Time = Annotated[str, Field(pattern=_TIME, examples=["2025-01-31T13:00:00Z"])]
ItemId = Annotated[
    Any,
    AfterValidator(_item_id),
    WithJsonSchema({"anyOf": [{"type": "string", "minLength": 1, "maxLength": 200}, {"type": "integer"}]}),
]
Horizon = Annotated[int, Field(ge=1, le=10_000, description="steps ahead")]
Level = Annotated[float, Field(ge=0.0001, le=0.9999)]
Levels = Annotated[
    tuple[Level, ...], Field(min_length=1, max_length=99, strict=False), AfterValidator(_increasing)
]


class TensorSpec(NamedTuple):
    """An input of a model in the terms of the Open Inference Protocol; -1 is a size that varies.

    name: path of a field in the body, parts joined by dots ("context.target").
    """

    name: str
    datatype: Literal["FP64", "INT64", "BYTES", "BOOL"]
    shape: tuple[int, ...]


class Body(BaseModel):
    """What every body of a request keeps to: types as they are, nothing unknown, no NaN, no infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ModelRequest(Body):
    """Body of a request to predict, in the words of a task; named by `TaskSpec.request`.

    Field names hold no dot: the Open Inference Protocol's tensors are matched to fields by dotted path.
    data_fields: argument that errors about the data name -> field that holds it, where that is called
    otherwise; "data" is the data as a whole.
    """

    data_fields: ClassVar[Mapping[str, str]] = {}

    def to_data(self, info: ModelInfo) -> Any:
        """The task's data, to be given to `predict`; InvalidInputError naming the field that is wrong.

        info: of the model that is asked, for names and frequency the request leaves out.
        """
        raise NotImplementedError

    @classmethod
    def tensors(cls, info: ModelInfo) -> tuple[TensorSpec, ...]:
        """Inputs that a model's metadata show; none by default."""
        return ()

    @classmethod
    def example(cls, info: ModelInfo, *, rows: int) -> dict[str, Any] | None:
        """A body that fits a fitted model, of about so many rows, its numbers made up within the range of
        training; None where the task makes none (default).
        """
        return None


class ForecastRequest(ModelRequest):
    """Body of a request for a forecast. horizon: default is the model's. quantile_levels: increasing;
    default 0.1, 0.5 and 0.9 where the model gives a distribution.
    """

    horizon: Horizon | None = None
    quantile_levels: Levels | None = None
