"""Asks a server with KServe's own client and types; runs in an environment that has kserve and none of ours.

`python ask_with_kserve.py URL MODEL < question.json > answers.json`; the question holds timestamps, item_ids,
values [item][time], frequencies, and the steps ahead.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.rest.timeseries.types import ErrorResponse, ForecastRequest, ForecastResponse
from pydantic import BaseModel


def inputs(question: dict[str, Any]) -> list[InferInput]:
    values = np.array(question["values"])
    found = []
    for name, datatype, array in (
        ("context.target", "FP64", values),
        ("timestamps", "BYTES", np.array(question["timestamps"], dtype=object)),
        ("item_ids", "BYTES", np.array(question["item_ids"], dtype=object)),
        ("quantile_levels", "FP64", np.array(question["levels"])),
    ):
        each = InferInput(name, list(array.shape), datatype)
        each.set_data_from_numpy(array, binary_data=False)
        found.append(each)
    return found


async def open_inference(url: str, model: str, question: dict[str, Any]) -> dict[str, Any]:
    """What KServe's client of the Open Inference Protocol gets."""
    async with InferenceRESTClient(RESTConfig(protocol="v2", timeout=60)) as client:
        ready = [
            await client.is_server_live(url),
            await client.is_server_ready(url),
            await client.is_model_ready(url, model),
        ]
        request = InferRequest(
            model_name=model,
            request_id="ours",
            infer_inputs=inputs(question),
            parameters={"horizon": question["horizon"]},
        )
        answer = await client.infer(url, request, model_name=model)
        try:
            await client.infer(url, InferRequest(model_name=model, infer_inputs=[]), model_name=model)
            refused = ""
        except httpx.HTTPStatusError as error:
            refused = str(error)
    return {
        "ready": ready,
        "id": answer.id,
        "model": answer.model_name,
        "outputs": {
            each.name: {"datatype": each.datatype, "shape": list(each.shape), "data": plain(each.as_numpy())}
            for each in answer.outputs
        },
        "refused": refused,
    }


def plain(array: np.ndarray) -> Any:
    if array.dtype.kind in "OS":
        return [each.decode() if isinstance(each, bytes) else each for each in array.ravel().tolist()]
    return array.tolist()


def forecasts(url: str, model: str, question: dict[str, Any]) -> dict[str, Any]:
    """Forecasts in every frequency, of one target and of two, as KServe's types read them."""
    told = []
    for frequency in question["frequencies"]:
        for wide in (False, True):
            series = question["values"]
            request = ForecastRequest.model_validate(
                {
                    "model": model,
                    "inputs": [
                        {
                            "type": f"{'multi' if wide else 'uni'}variate_time_series",
                            "name": name,
                            "series": [[value, 2 * value] for value in values] if wide else values,
                            "frequency": frequency,
                            "start_timestamp": question["start"],
                        }
                        for name, values in zip(question["item_ids"], series, strict=True)
                    ],
                    "options": {"horizon": question["horizon"], "quantiles": question["levels"]},
                    "metadata": {"from": "KServe's types"},
                }
            )
            answer = post(f"{url}/v1/timeseries/forecast", request.model_dump_json())
            assert answer.status_code == 200, answer.text
            response = ForecastResponse.model_validate_json(answer.content)
            told.append({"unknown": unknown(response), **response.model_dump(mode="json")})
    errors = []
    for body in ('{"model": "nobody"}', request.model_copy(update={"model": "nobody"}).model_dump_json()):
        answer = post(f"{url}/v1/timeseries/forecast", body)
        error = ErrorResponse.model_validate_json(answer.content)
        errors.append({"status": answer.status_code, "unknown": unknown(error), **error.model_dump()})
    models = httpx.get(f"{url}/v1/timeseries/models").json()
    return {"answers": told, "errors": errors, "models": models}


def post(url: str, body: str) -> httpx.Response:
    return httpx.post(url, content=body, headers={"content-type": "application/json"}, timeout=60)


def unknown(value: Any) -> list[str]:
    """Fields that KServe's types do not name, anywhere in an answer."""
    if isinstance(value, list):
        return [name for each in value for name in unknown(each)]
    if not isinstance(value, BaseModel):
        return []
    inside = [name for field in type(value).model_fields for name in unknown(getattr(value, field))]
    return [*(value.model_extra or {}), *inside]


def main() -> None:
    url, model = sys.argv[1:]
    question = json.load(sys.stdin)
    answers = {
        "infer": asyncio.run(open_inference(url, model, question)),
        "forecast": forecasts(url, model, question),
    }
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
