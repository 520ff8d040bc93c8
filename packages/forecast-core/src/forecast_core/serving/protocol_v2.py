"""`/v2`: the Open Inference Protocol over REST.

Source: github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md. An input tensor
is a field of the task's request, named by its path ("context.target"); parameters are its plain fields
("horizon"). Numbers are finite; null stands for a missing value in a tensor of floats. Outputs: mean
[item, step, target], quantiles [item, step, target, level] and quantile_levels, timestamps and item_ids of
forecasts; probabilities [item, class], classes and item_ids of classifiers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from forecast_core import __version__
from forecast_core.errors import CapabilityError, near_misses
from forecast_core.prediction import ClassPrediction, ForecastPrediction, Prediction
from forecast_core.serving.answers import iso, mean_and_quantiles
from forecast_core.serving.batching import Work
from forecast_core.serving.joining import Question
from forecast_core.serving.limits import Limits, read_body
from forecast_core.serving.models import Loaded, ServedModel, UnknownModelError
from forecast_core.serving.problems import RequestError
from forecast_core.serving.request import Body, Name
from forecast_core.serving.typed import question_of

if TYPE_CHECKING:
    from fastapi import FastAPI

    from forecast_core.serving.app import Server

__all__ = ["InferenceRequest", "InputTensor", "OutputTensor", "add_to", "inference"]

Scalar = bool | int | float | str
Datatype = Literal[
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP32",
    "FP64",
    "BYTES",
]


class InputTensor(Body):
    """A field of the request: its data flat in row-major order, or nested. Its parameters are ignored."""

    name: Name
    shape: list[int] = Field(min_length=1, max_length=8)
    datatype: Datatype
    parameters: dict[str, Scalar] = Field(default_factory=dict)
    data: list[Any]


class OutputTensor(Body):
    """An output that is wanted. Its parameters are ignored."""

    name: Name
    parameters: dict[str, Scalar] = Field(default_factory=dict)


class InferenceRequest(Body):
    """Body of `/v2/models/{name}/infer`. parameters: plain fields of the task's request. model_name: that of
    the address, which KServe's client writes here too.
    """

    id: str | None = Field(default=None, max_length=200)
    model_name: Name | None = None
    parameters: dict[str, Scalar] = Field(default_factory=dict)
    inputs: list[InputTensor] = Field(min_length=1, max_length=100)
    outputs: list[OutputTensor] | None = None


def add_to(app: FastAPI, server: Server) -> None:
    """Add health, metadata and inference."""

    async def live() -> Response:
        return server.json({"live": True})

    async def ready() -> Response:
        return server.json(
            {"live": True, "ready": not server.draining}, status=503 if server.draining else 200
        )

    async def metadata() -> Response:
        return server.json({"name": "forecast", "version": __version__, "extensions": []})

    async def model_metadata(name: str) -> Response:
        return server.json(_metadata(server.pool.get(name)))

    async def version_metadata(name: str, version: str) -> Response:
        return server.json(_metadata(_of_version(server.pool.get(name), version)))

    async def model_ready(name: str) -> Response:
        return server.json(server.pool.get(name).describe())

    async def version_ready(name: str, version: str) -> Response:
        return server.json(_of_version(server.pool.get(name), version).describe())

    async def infer(name: str, request: Request) -> Response:
        model = server.pool.get(name)
        body = await read_body(request, server.limits)
        return server.response(await server.lane(name).submit(inference(model, body, server.limits)))

    async def version_infer(name: str, version: str, request: Request) -> Response:
        _of_version(server.pool.get(name), version)
        return await infer(name, request)

    server.get(app, "/v2/health/live", live, "Whether the server runs")
    server.get(app, "/v2/health/ready", ready, "Whether all models answer")
    server.get(app, "/v2", metadata, "The server")
    model, version = "/v2/models/{name}", "/v2/models/{name}/versions/{version}"
    server.get(app, model, model_metadata, "A model's inputs and outputs")
    server.get(app, version, version_metadata, "A version's inputs and outputs")
    server.get(app, f"{model}/ready", model_ready, "Whether a model answers")
    server.get(app, f"{version}/ready", version_ready, "Whether a version answers")
    bodies = {"InferenceRequest": InferenceRequest}
    server.post(app, f"{model}/infer", infer, "Predict", bodies=bodies)
    server.post(app, f"{version}/infer", version_infer, "Predict with a version", bodies=bodies)


def inference(model: ServedModel, body: bytes, limits: Limits) -> Work:
    """The work of an inference request."""
    asked: list[Any] = []

    def ask(loaded: Loaded) -> list[Question]:
        request = InferenceRequest.model_validate_json(body)
        if request.model_name not in (None, model.name):
            raise RequestError.one("model_name", f"is that of the address, {model.name!r}, or left out")
        typed = model.request.model_validate_json(to_json(_fields(request)))
        asked.extend((request, typed))
        return [question_of(typed, loaded, limits)]

    def answer(loaded: Loaded, predictions: Sequence[Prediction]) -> dict[str, Any]:
        request, typed = asked
        outputs = _outputs(predictions[0], getattr(typed, "quantile_levels", None))
        if request.outputs is not None:
            outputs = _wanted(outputs, request.outputs)
        content = {"model_name": loaded.name, "model_version": loaded.version, "outputs": outputs}
        return content if request.id is None else {**content, "id": request.id}

    return Work(ask, answer)


def _of_version(model: ServedModel, version: str) -> ServedModel:
    current = model.current.version
    if version != current:
        raise UnknownModelError(f"{model.name} has no version {version[:100]!r}; it serves {current!r}")
    return model


def _metadata(model: ServedModel) -> dict[str, Any]:
    tensors = getattr(model.request, "tensors", lambda info: ())(model.current.info)
    if model.task.kind == "classification":
        outputs = [_tensor("probabilities", "FP64", (-1, -1)), _tensor("classes", "BYTES", (-1,))]
    else:
        outputs = [
            _tensor("mean", "FP64", (-1, -1, -1)),
            _tensor("quantiles", "FP64", (-1, -1, -1, -1)),
            _tensor("quantile_levels", "FP64", (-1,)),
            _tensor("timestamps", "BYTES", (-1,)),
        ]
    return {
        "name": model.name,
        "versions": [model.current.version],
        "platform": f"forecast/{model.current.info.id}",
        "inputs": [_tensor(*tensor) for tensor in tensors],
        "outputs": [*outputs, _tensor("item_ids", "BYTES", (-1,))],
    }


def _tensor(name: str, datatype: str, shape: Sequence[int]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape)}


def _fields(request: InferenceRequest) -> dict[str, Any]:
    """The task's request that tensors and parameters spell out."""
    fields: dict[str, Any] = dict(request.parameters)
    for k, tensor in enumerate(request.inputs):
        place = f"inputs.{k}"
        inner, (*path, last) = fields, tensor.name.split(".")
        for part in path:
            inner = inner.setdefault(part, {})
            if not isinstance(inner, dict):
                raise RequestError.one(f"{place}.name", f"{tensor.name!r} is inside a tensor or parameter")
        if last in inner:
            raise RequestError.one(f"{place}.name", f"{tensor.name!r} is given twice")
        inner[last] = _nested(tensor, place)
    return fields


def _nested(tensor: InputTensor, place: str) -> Any:
    """The data of a tensor as lists nested by its shape."""
    flat: list[Any] = tensor.data
    for _ in tensor.shape[1:]:
        if not any(isinstance(entry, list) for entry in flat):
            break
        if not all(isinstance(entry, list) for entry in flat):
            raise RequestError.one(f"{place}.data", "is flat, or nested as deep as its shape")
        flat = [inner for entry in flat for inner in entry]
    if min(tensor.shape) < 1 or math.prod(tensor.shape) != len(flat):
        raise RequestError.one(
            f"{place}.shape", f"is of as many entries as data holds, {len(flat)}; got {tensor.shape}"
        )
    wrong = next((n for n, entry in enumerate(flat) if not _is_of(entry, tensor.datatype)), None)
    if wrong is not None:
        raise RequestError.one(
            f"{place}.data", f"holds entries of type {tensor.datatype}; entry {wrong} is not"
        )
    array = np.empty(len(flat), dtype=object)
    array[:] = flat
    return array.reshape(tensor.shape).tolist()


def _is_of(entry: Any, datatype: str) -> bool:
    kind = type(entry)
    if datatype == "BYTES":
        return kind is str
    if datatype == "BOOL":
        return kind is bool
    if datatype.startswith("FP"):
        return entry is None or kind is int or (kind is float and math.isfinite(entry))
    bits = int(datatype.lstrip("UINT"))
    low, high = (0, 2**bits) if datatype.startswith("U") else (-(2 ** (bits - 1)), 2 ** (bits - 1))
    return kind is int and low <= entry < high


def _outputs(prediction: Prediction, levels: Sequence[float] | None) -> list[dict[str, Any]]:
    ids = [str(item) for item in prediction.item_ids]
    if isinstance(prediction, ForecastPrediction):
        mean, given, quantiles = mean_and_quantiles(prediction, levels)
        outputs = [_output("mean", mean)]
        if given:
            outputs += [_output("quantiles", quantiles), _output("quantile_levels", np.array(given))]
        if prediction.timestamps is not None:
            stamps = np.array(iso(prediction.timestamps), dtype=object)
            outputs.append(_output("timestamps", stamps))
    elif isinstance(prediction, ClassPrediction):
        outputs = [
            _output("probabilities", prediction.probabilities),
            _output("classes", np.array(prediction.classes, dtype=object)),
        ]
    else:
        raise CapabilityError(f"a {prediction.kind} prediction has no tensors; use /models/{{name}}/predict")
    return [*outputs, _output("item_ids", np.array(ids, dtype=object))]


def _output(name: str, array: np.ndarray) -> dict[str, Any]:
    datatype = "FP64" if array.dtype.kind == "f" else "BYTES"
    return {**_tensor(name, datatype, array.shape), "data": array.reshape(-1).tolist()}


def _wanted(outputs: list[dict[str, Any]], wanted: list[OutputTensor]) -> list[dict[str, Any]]:
    known = {output["name"]: output for output in outputs}
    for k, each in enumerate(wanted):
        if each.name not in known:
            rule = f"is an output; {near_misses(each.name, known)}"
            raise RequestError.one(f"outputs.{k}.name", rule)
    return [known[each.name] for each in wanted]
