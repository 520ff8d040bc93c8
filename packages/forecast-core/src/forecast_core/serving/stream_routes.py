"""`/streams`: series that a server keeps, so that a client sends each row once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from forecast_core.errors import CapabilityError, ConfigError, ConflictError, ShapeError, near_misses
from forecast_core.prediction import Prediction
from forecast_core.series.columns import (
    check_span,
    column_names,
    item_ids_of,
    rows_of,
    steps_asked,
    target_names_of,
    times,
    zone_of,
)
from forecast_core.series.serving import Columns, KnownColumns, StaticColumns, as_targets, static_of
from forecast_core.series.stream import Stream
from forecast_core.serving.answers import answer_of, iso
from forecast_core.serving.batching import Work
from forecast_core.serving.joining import Question
from forecast_core.serving.kserve_forecast import takes_panels
from forecast_core.serving.limits import read_body
from forecast_core.serving.models import Loaded
from forecast_core.serving.problems import RequestError, ServingError
from forecast_core.serving.request import Body, ForecastRequest, ItemId, Name, Time
from forecast_core.serving.sources import check_name
from forecast_core.serving.typed import question_of

if TYPE_CHECKING:
    from fastapi import FastAPI

    from forecast_core.serving.app import Server
    from forecast_core.serving.limits import Limits

__all__ = [
    "AppendRequest",
    "StreamLimitError",
    "StreamPredictRequest",
    "StreamRequest",
    "StreamStore",
    "UnknownStreamError",
    "add_to",
]

_CAPACITY = 1024  # rows of a stream, where neither its creator nor its model needs more


class UnknownStreamError(ServingError, LookupError):
    """There is no stream of this id."""

    status = 404


class StreamLimitError(ServingError):
    """The server keeps no more streams, or no more numbers in them."""

    status = 429


class StreamRequest(Body):
    """Body that creates a stream. model: name of the model that will predict it; freq, target_names, tz:
    default is that of the model's training; item_ids: default is one series. capacity: rows to keep; default
    is 1024, or those that the model's forecasts look at where they are more, within the server's limit.
    """

    model: Name
    freq: Annotated[str, Field(min_length=1, max_length=30)] | None = None
    item_ids: Annotated[list[ItemId], Field(min_length=1, max_length=10_000)] | None = None
    target_names: Annotated[list[Name], Field(min_length=1, max_length=1_000)] | None = None
    past_covariates: list[Name] = Field(default_factory=list, max_length=1_000)
    future_covariates: list[Name] = Field(default_factory=list, max_length=1_000)
    static_covariates: StaticColumns = Field(default_factory=dict, max_length=1_000)
    tz: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    capacity: int | None = Field(default=None, ge=2)


class AppendRequest(Body):
    """Rows of a stream: timestamps [row], columns name -> [item][row]."""

    timestamps: Annotated[list[Time], Field(min_length=1, max_length=100_000)]
    context: Annotated[Columns, Field(min_length=1, max_length=1_000)]
    past_covariates: Columns = Field(default_factory=dict)
    future_covariates: KnownColumns = Field(default_factory=dict)


class StreamPredictRequest(ForecastRequest):
    """What to predict of a stream. future_covariates: name -> [item][step ahead]."""

    future_covariates: KnownColumns = Field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Kept:
    stream: Stream
    model: str


class StreamStore:
    """The streams of a server by id, within its limits. They live in memory, and end with the server."""

    def __init__(self, limits: Limits) -> None:
        self._limits, self._streams = limits, dict[str, _Kept]()
        self._values = 0

    def __len__(self) -> int:
        return len(self._streams)

    def add(self, stream_id: str, stream: Stream, model: str) -> None:
        """Keep a stream. ConflictError for an id that is taken, StreamLimitError over a limit."""
        if stream_id in self._streams:
            raise ConflictError(f"stream {stream_id!r} exists already")
        if len(self) >= self._limits.max_streams:
            raise StreamLimitError(f"streams: are at most {self._limits.max_streams}; delete some")
        self.check_room(stream.values_kept)
        self._streams[stream_id] = _Kept(stream, model)
        self._values += stream.values_kept

    def check_room(self, values: int) -> None:
        """StreamLimitError where so many more numbers do not fit."""
        if self._values + values > self._limits.max_stream_values:
            raise StreamLimitError(
                f"capacity: all streams keep at most {self._limits.max_stream_values} numbers, "
                f"{self._limits.max_stream_values - self._values} are free, {values} wanted"
            )

    def get(self, stream_id: str) -> _Kept:
        """A stream and the name of its model; UnknownStreamError otherwise."""
        if stream_id not in self._streams:
            raise UnknownStreamError(f"no stream {stream_id[:100]!r}")
        return self._streams[stream_id]

    def remove(self, stream_id: str) -> None:
        """Forget a stream; UnknownStreamError where there is none."""
        self._values -= self.get(stream_id).stream.values_kept
        del self._streams[stream_id]


def add_to(app: FastAPI, server: Server) -> None:
    """Add creating, showing, appending to, predicting and deleting a stream."""
    store = server.streams

    async def create(stream_id: str, request: Request) -> Response:
        _check_id(stream_id)
        body = await parsed(request, StreamRequest)
        model = server.pool.get(body.model)
        if not takes_panels(model):
            raise CapabilityError(f"{model.name} forecasts no series; it takes no streams")
        stream = _stream(body, model.current, server.limits, store)
        store.add(stream_id, stream, model.name)
        server.metrics.streams.set(len(store))
        return server.json(shown(stream_id), status=201)

    async def show(stream_id: str) -> Response:
        return server.json(shown(stream_id))

    def shown(stream_id: str) -> dict[str, Any]:
        kept = store.get(stream_id)
        return _shown(stream_id, kept, reach=server.pool.get(kept.model).current.predictor.reach())

    async def append(stream_id: str, request: Request) -> Response:
        return await worked(stream_id, request, _appending)

    async def predict(stream_id: str, request: Request) -> Response:
        return await worked(stream_id, request, _predicting)

    async def delete(stream_id: str) -> Response:
        store.remove(stream_id)
        server.metrics.streams.set(len(store))
        return Response(status_code=204)

    async def worked(
        stream_id: str, request: Request, work: Callable[[_Kept, bytes, Limits], Work]
    ) -> Response:
        kept = store.get(stream_id)
        body = await read_body(request, server.limits)
        return server.response(await server.lane(kept.model).submit(work(kept, body, server.limits)))

    async def parsed(request: Request, kind: type[StreamRequest]) -> StreamRequest:
        raw = await read_body(request, server.limits)
        try:
            return await asyncio.to_thread(kind.model_validate_json, raw)
        except ValidationError as error:
            raise RequestError.of(error) from error

    path = "/streams/{stream_id}"
    server.post(app, path, create, "Create a stream", bodies={"StreamRequest": StreamRequest})
    server.get(app, path, show, "Show a stream")
    server.post(app, f"{path}/append", append, "Append rows", bodies={"AppendRequest": AppendRequest})
    bodies = {"StreamPredictRequest": StreamPredictRequest}
    server.post(app, f"{path}/predict", predict, "Predict a stream", bodies=bodies)
    server.delete(app, path, delete, "Delete a stream")


def _check_id(stream_id: str) -> None:
    try:
        check_name(stream_id)
    except ConfigError:
        rule = "has 1 to 100 letters, digits and _ . -, beginning with a letter or digit"
        raise RequestError.one("stream_id", rule) from None


def _shown(stream_id: str, kept: _Kept, *, reach: int | None) -> dict[str, Any]:
    """What a stream holds; reach: rows that the model's forecast looks at, None for all."""
    stream = kept.stream
    return {
        "id": stream_id,
        "model": kept.model,
        "rows": len(stream),
        "capacity": stream.capacity,
        "reach": reach,
        "last": None if stream.last is None else iso(np.array([stream.last]))[0],
        "item_ids": list(stream.item_ids),
        "freq": str(stream.freq),
        "target_names": list(stream.target_names),
    }


def _stream(body: StreamRequest, loaded: Loaded, limits: Limits, store: StreamStore) -> Stream:
    info = loaded.info
    freq = body.freq if body.freq is not None else info.data.get("freq")
    if not isinstance(freq, str):
        raise RequestError.one("freq", "is given, as the model was not fitted on data of one")
    capacity = body.capacity
    if capacity is None:
        capacity = min(max(_CAPACITY, loaded.predictor.reach() or 0), limits.max_stream_rows)
    if capacity > limits.max_stream_rows:
        raise RequestError.one("capacity", f"is at most {limits.max_stream_rows}")
    kinds = ("past_covariates", "future_covariates", "static_covariates")
    asked = frozenset(kind for kind in kinds if getattr(body, kind))
    for kind in sorted(loaded.predictor.spec.capabilities.refuses(asked)):
        raise RequestError.one(kind, f"are none, as {info.id} takes none")
    given = body.target_names or target_names_of(info) or ("target",)
    targets = column_names("target_names", given, info, kind="target_names")
    past = column_names("past_covariates", body.past_covariates, info, kind="past_covariates")
    future = column_names("future_covariates", body.future_covariates, info, kind="future_covariates")
    count = len(body.item_ids) if body.item_ids is not None else 1
    store.check_room(2 * capacity * count * (len(targets) + len(past) + len(future)))
    return Stream(
        item_ids=item_ids_of(body.item_ids, count=count, targets=targets),
        freq=freq,
        target_names=targets,
        past_covariate_names=past,
        future_covariate_names=future,
        **static_of(body.static_covariates, info, items=count),
        tz=zone_of(body.tz, info),
        capacity=capacity,
    )


def _appending(kept: _Kept, body: bytes, limits: Limits) -> Work:
    """Appending needs no prediction, but waits its turn among those of its model."""
    done: list[dict[str, Any]] = []

    def ask(loaded: Loaded) -> list[Question]:
        request, stream = AppendRequest.model_validate_json(body), kept.stream
        stamps = times("timestamps", request.timestamps)
        check_span("timestamps", stamps.max(), stream.freq, steps=0)
        result = stream.append(
            stamps,
            _rows(
                "context", as_targets(request.context, loaded.info), stream.target_names, stream, len(stamps)
            ),
            past_covariates=_rows(
                "past_covariates", request.past_covariates, stream.past_covariate_names, stream, len(stamps)
            ),
            future_covariates=_rows(
                "future_covariates",
                request.future_covariates,
                stream.future_covariate_names,
                stream,
                len(stamps),
            ),
        )
        last = None if stream.last is None else iso(np.array([stream.last]))[0]
        done.append({**result._asdict(), "rows": len(stream), "last": last})
        return []

    return Work(ask, lambda loaded, predictions: done[0])


def _predicting(kept: _Kept, body: bytes, limits: Limits) -> Work:
    asked: list[StreamPredictRequest] = []

    def ask(loaded: Loaded) -> list[Question]:
        request, stream = StreamPredictRequest.model_validate_json(body), kept.stream
        asked.append(request)
        ahead = None
        if stream.future_covariate_names:
            known = request.future_covariates.values()
            steps = max((len(row) for column in known for row in column), default=0)
            ahead = _rows(
                "future_covariates", request.future_covariates, stream.future_covariate_names, stream, steps
            )
        elif request.future_covariates:
            raise RequestError.one("future_covariates", "are none, as the stream was created without")
        if stream.last is not None:
            check_span("horizon", stream.last, stream.freq, steps=steps_asked(request.horizon, loaded.info))
        return [question_of(_Asked(request, stream, ahead), loaded, limits)]

    def answer(loaded: Loaded, predictions: Sequence[Prediction]) -> Any:
        return answer_of(predictions[0], loaded, levels=asked[0].quantile_levels)

    return Work(ask, answer)


class _Asked:
    """A stream's request with its data; what is wrong with rows sent before is wrong with the stream."""

    data_fields: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("data", "stream", "values", "timestamps", "target_names"), "stream_id"),
        **dict.fromkeys(("item_ids", "freq"), "stream_id"),
        "future": "future_covariates",
    }

    def __init__(self, request: StreamPredictRequest, stream: Stream, ahead: np.ndarray | None) -> None:
        self.horizon, self.quantile_levels = request.horizon, request.quantile_levels
        self._stream, self._ahead = stream, ahead

    def to_data(self, info: Any) -> Any:
        """The panel of the stream."""
        return self._stream.panel(future_covariates=self._ahead)


def _rows(argument: str, columns: Any, names: tuple[str, ...], stream: Stream, count: int) -> np.ndarray:
    """Columns {name: [item][row]} of a stream as [row, item, column]."""
    if set(columns) != set(names):
        unknown = next((name for name in columns if name not in names), None)
        hint = "" if unknown is None else f"; {near_misses(unknown, names)}"
        raise ShapeError(argument, f"holds the stream's {list(names)}{hint}", got=str(list(columns))[:200])
    return rows_of(argument, columns, names, items=len(stream.item_ids), rows=count)
