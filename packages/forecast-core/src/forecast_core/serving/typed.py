"""`/models`: prediction with bodies typed by the model's task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, ValidationError, create_model
from starlette.requests import Request
from starlette.responses import Response

from forecast_core.errors import ForecastError, InvalidInputError
from forecast_core.prediction import Prediction
from forecast_core.serving.answers import answer_of
from forecast_core.serving.batching import Work
from forecast_core.serving.joining import Question
from forecast_core.serving.limits import Limits, read_body
from forecast_core.serving.models import Loaded
from forecast_core.serving.problems import RequestError, renamed
from forecast_core.serving.request import Body

if TYPE_CHECKING:
    from fastapi import FastAPI

    from forecast_core.serving.app import Server

__all__ = ["add_to", "batch_class", "predict_many", "predict_one", "question_of"]


def add_to(app: FastAPI, server: Server) -> None:
    """Add `GET /models`, `POST /models/{name}/predict` and `/predict_batch`."""

    async def models() -> Response:
        return server.json({"models": [model.describe() for model in server.pool]})

    async def predict(name: str, request: Request) -> Response:
        return await respond(name, request, lambda kind, body: predict_one(kind, body, server.limits))

    async def predict_batch(name: str, request: Request) -> Response:
        return await respond(name, request, lambda kind, body: predict_many(kind, body, server.limits))

    async def respond(
        name: str, request: Request, work: Callable[[type[BaseModel], bytes], Work]
    ) -> Response:
        model = server.pool.get(name)
        body = await read_body(request, server.limits)
        return server.response(await server.lane(name).submit(work(model.request, body)))

    requests = {model.request.__name__: model.request for model in server.pool}
    batches = {batch.__name__: batch for batch in (batch_class(r, server.limits) for r in requests.values())}
    server.get(app, "/models", models, "Models, their versions, and failed attempts to replace them")
    server.post(app, "/models/{name}/predict", predict, "Predict", bodies=requests)
    server.post(app, "/models/{name}/predict_batch", predict_batch, "Predict several", bodies=batches)


def predict_one(kind: type[BaseModel], body: bytes, limits: Limits) -> Work:
    """The work of one request of a task's class."""
    asked: list[Any] = []

    def ask(loaded: Loaded) -> list[Question]:
        asked.append(kind.model_validate_json(body))
        return [question_of(asked[0], loaded, limits)]

    def answer(loaded: Loaded, predictions: Sequence[Prediction]) -> BaseModel:
        return answer_of(predictions[0], loaded, levels=getattr(asked[0], "quantile_levels", None))

    return Work(ask, answer)


def predict_many(kind: type[BaseModel], body: bytes, limits: Limits) -> Work:
    """The work of several requests in one body, answered all or not at all."""
    asked: list[Any] = []

    def ask(loaded: Loaded) -> list[Question]:
        asked.extend(batch_class(kind, limits).model_validate_json(body).requests)  # type: ignore[attr-defined]
        questions, values = [], 0
        for k, each in enumerate(asked):
            try:
                question = question_of(each, loaded, limits)
                fields = {name: f"requests.{k}.{field}" for name, field in question.fields.items()}
                questions.append(replace(question, place=f"requests.{k}", fields=fields))
                values += _values(questions[-1], each)
                check_values(values, limits)
            except (ForecastError, ValidationError) as error:
                inner = RequestError.of(error) if isinstance(error, ValidationError) else error
                raise RequestError.at(f"requests.{k}", inner) from error
        return questions

    def answer(loaded: Loaded, predictions: Sequence[Prediction]) -> dict[str, list[BaseModel]]:
        return {
            "predictions": [
                answer_of(prediction, loaded, levels=getattr(each, "quantile_levels", None))
                for prediction, each in zip(predictions, asked, strict=True)
            ]
        }

    return Work(ask, answer)


def batch_class(kind: type[BaseModel], limits: Limits) -> type[Body]:
    """The body {"requests": [...]} of requests of a class."""
    return _batch_class(kind, limits.max_requests)


@cache
def _batch_class(kind: type[BaseModel], most: int) -> type[Body]:
    many = Field(min_length=1, max_length=most)
    return create_model(f"{kind.__name__}Batch", __base__=Body, requests=(list[kind], many))  # type: ignore[valid-type]


def question_of(request: Any, loaded: Loaded, limits: Limits) -> Question:
    """What a validated request asks. RequestError where the answer would be too large."""
    horizon = getattr(request, "horizon", None)
    if horizon is None:
        configured = loaded.info.config.get("horizon")
        horizon = configured if isinstance(configured, int) else None
    fields = getattr(request, "data_fields", {})
    try:
        question = Question(request.to_data(loaded.info), horizon, fields=fields)
    except InvalidInputError as error:
        renamed(error, fields)
        raise
    check_values(_values(question, request), limits)
    return question


def _values(question: Question, request: Any) -> int:
    """Numbers in the answer to a forecast's question."""
    items = len(getattr(question.data, "item_ids", ()))
    targets = len(getattr(question.data, "target_names", ("",)))
    levels = getattr(request, "quantile_levels", None)
    return items * targets * (question.horizon or 1) * (1 + (3 if levels is None else len(levels)))


def check_values(count: int, limits: Limits, *, field: str = "horizon") -> None:
    if count > limits.max_values:
        raise RequestError.one(
            field, f"items x steps x targets x (1 + levels) is at most {limits.max_values}, got {count}"
        )
