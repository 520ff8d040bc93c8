"""`/v1/timeseries`: KServe's time series forecast protocol, for models of panels.

Source: KServe's "TimeSeries LLM Forecast API Reference" and kserve/protocol/rest/timeseries/types.py. Each
input is a series of its own: it may have another length, start and frequency than its neighbours. Where
that reference allows any further field, this server refuses it, as everywhere, but for `metadata`.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, JsonValue, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from forecast_core import registry
from forecast_core.data import Panel
from forecast_core.errors import CapabilityError, ForecastError, InvalidInputError
from forecast_core.prediction import ForecastPrediction, Prediction
from forecast_core.series.columns import series_panel
from forecast_core.serving.answers import iso, mean_and_quantiles
from forecast_core.serving.batching import Work
from forecast_core.serving.joining import Question
from forecast_core.serving.limits import Limits, read_body
from forecast_core.serving.models import Loaded, ServedModel
from forecast_core.serving.problems import RequestError
from forecast_core.serving.request import Body, Horizon, Levels, Name, Number, Time
from forecast_core.serving.typed import check_values

if TYPE_CHECKING:
    from fastapi import FastAPI

    from forecast_core.serving.app import Server

__all__ = ["FREQUENCIES", "ForecastBody", "ForecastOptions", "TimeSeriesInput", "add_to", "forecast"]

# KServe's frequency -> ours
FREQUENCIES = {
    "second": "s",
    "S": "s",
    "minute": "min",
    "T": "min",
    "hour": "h",
    "H": "h",
    "day": "D",
    "D": "D",
    "week": "W",
    "W": "W",
    "month": "MS",
    "M": "MS",
    "quarter": "QS",
    "Q": "QS",
    "year": "YS",
    "Y": "YS",
}
# argument of a panel -> field of an input
_FIELDS = {
    "data": "series",
    "values": "series",
    "target_names": "series",
    "timestamps": "start_timestamp",
    "item_ids": "name",
    "freq": "frequency",
}
Value = Number | None


class TimeSeriesInput(Body):
    """One series. name: of the item; series: [time], or [time][target] where it is multivariate; null
    where missing. start_timestamp: of the first value.
    """

    type: Literal["univariate_time_series", "multivariate_time_series"]
    name: Name
    series: (
        Annotated[list[Value], Field(min_length=1, max_length=100_000)]
        | Annotated[list[list[Value]], Field(min_length=1, max_length=100_000)]
    )
    frequency: Literal[
        "second", "S", "minute", "T", "hour", "H", "day", "D", "week", "W",
        "month", "M", "quarter", "Q", "year", "Y",
    ]  # fmt: skip
    start_timestamp: Time | None = None


class ForecastOptions(Body):
    """horizon: steps ahead. quantiles: levels; none are given unless asked for."""

    horizon: Horizon
    quantiles: Levels | None = None


class ForecastBody(Body):
    """Body of `/v1/timeseries/forecast`. model: its name; metadata: whatever the client wants."""

    model: Name
    inputs: list[TimeSeriesInput] = Field(min_length=1, max_length=1_000)
    options: ForecastOptions
    metadata: dict[str, JsonValue] | None = None


def add_to(app: FastAPI, server: Server) -> None:
    """Add `POST /v1/timeseries/forecast` and `GET /v1/timeseries/models`."""

    async def post(request: Request) -> Response:
        raw = await read_body(request, server.limits)
        try:
            body = await asyncio.to_thread(ForecastBody.model_validate_json, raw)
        except ValidationError as error:
            raise RequestError.of(error) from error
        model = server.pool.get(body.model)
        return server.response(await server.lane(model.name).submit(forecast(model, body, server.limits)))

    async def models() -> Response:
        return server.json([model.name for model in server.pool if takes_panels(model)])

    server.get(app, "/v1/timeseries/models", models, "Names of models that forecast series")
    server.post(app, "/v1/timeseries/forecast", post, "Forecast", bodies={"ForecastBody": ForecastBody})


def takes_panels(model: ServedModel) -> bool:
    """Whether a model's data is a Panel."""
    data = registry.load_object(model.task.data, owner=model.task.id)
    return isinstance(data, type) and issubclass(Panel, data)


def forecast(model: ServedModel, body: ForecastBody, limits: Limits) -> Work:
    """The work of a forecast request: a question for each of its inputs."""

    def ask(loaded: Loaded) -> list[Question]:
        if not takes_panels(model):
            raise CapabilityError(f"{model.name} forecasts no series; use /models/{model.name}/predict")
        if len(body.inputs) > limits.max_requests:
            raise RequestError.one("inputs", f"are at most {limits.max_requests}")
        questions, values = [], 0
        for k, each in enumerate(body.inputs):
            place = f"inputs.{k}"
            fields = {name: f"{place}.{field}" for name, field in _FIELDS.items()}
            try:
                panel = _panel(each, loaded, body.options.horizon)
            except ForecastError as error:
                raise RequestError.at(place, error, fields) from error
            levels = body.options.quantiles or ()
            values += len(panel.target_names) * body.options.horizon * (1 + len(levels))
            check_values(values, limits, field="options.horizon")
            fields["horizon"] = "options.horizon"
            questions.append(Question(panel, body.options.horizon, place=place, fields=fields))
        return questions

    def answer(loaded: Loaded, predictions: Sequence[Prediction]) -> dict[str, Any]:
        outputs = [
            {
                "type": "time_series_forecast",
                "id": str(uuid.uuid4()),
                "status": "completed",
                "content": [_content(each, prediction, body.options.quantiles)],
                "error": None,
            }
            for each, prediction in zip(body.inputs, predictions, strict=True)
        ]
        return {
            "id": str(uuid.uuid4()),
            "created_at": int(time.time()),
            "status": "completed",
            "error": None,
            "model": loaded.name,
            "outputs": outputs,
        }

    return Work(ask, answer)


def _panel(each: TimeSeriesInput, loaded: Loaded, horizon: int) -> Panel:
    if each.start_timestamp is None:
        raise InvalidInputError("start_timestamp", "is given: what comes next depends on the time")
    rows: list[Any] = each.series
    wide = isinstance(rows[0], list)
    if wide != (each.type == "multivariate_time_series"):
        raise InvalidInputError("series", "is [time] if univariate, [time][target] if multivariate")
    columns = rows if wide else [[value] for value in rows]
    widths = {len(row) for row in columns}
    if len(widths) != 1 or not widths <= set(range(1, 1_001)):
        raise InvalidInputError("series", "has equally many values, 1 to 1000, at each time")
    values = np.array(columns, dtype=np.float64)  # [time, target]
    return series_panel(
        values[:, None],
        start=each.start_timestamp,
        freq=FREQUENCIES[each.frequency],
        item_ids=(each.name,),
        info=loaded.info,
        horizon=horizon,
    )


def _content(each: TimeSeriesInput, prediction: Prediction, levels: Sequence[float] | None) -> dict[str, Any]:
    if not isinstance(prediction, ForecastPrediction) or prediction.timestamps is None:
        raise CapabilityError("the model gives no forecast over time")
    mean, given, quantiles = mean_and_quantiles(prediction, levels or None)
    one = each.type == "univariate_time_series"

    def shaped(values: np.ndarray) -> Any:  # [1, step, target]
        return values[0, :, 0].tolist() if one else values[0].tolist()

    wanted = enumerate(given) if levels else ()
    return {
        "type": each.type,
        "name": each.name,
        "mean_forecast": shaped(mean),
        "frequency": each.frequency,
        "start_timestamp": np.ravel(iso(prediction.timestamps))[0],
        "quantiles": {str(level): shaped(quantiles[..., k]) for k, level in wanted} or None,
    }
