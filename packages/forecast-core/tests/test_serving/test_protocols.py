"""The Open Inference Protocol and KServe's forecast protocol: forms of requests, answers and errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from pydantic import BaseModel

import forecast_core as fc
from forecast_core.series.sample import sample_panel
from forecast_core.serving import kserve_forecast
from forecast_core.serving.kserve_forecast import FREQUENCIES
from forecast_core.serving.protocol_v2 import _is_of

INFER = "/v2/models/daily/infer"
FORECAST = "/v1/timeseries/forecast"


def tensors(body: dict[str, Any], *, nested: bool = False) -> dict[str, Any]:
    """A typed body in the words of the Open Inference Protocol."""
    rows = body["context"]["target"]
    flat = [x for row in rows for x in row]
    return {
        "id": "request 7",
        "parameters": {"horizon": body["horizon"], "freq": body["freq"]},
        "inputs": [
            {
                "name": "context.target",
                "shape": [len(rows), len(rows[0])],
                "datatype": "FP64",
                "data": rows if nested else flat,
            },
            {"name": "timestamps", "shape": [72], "datatype": "BYTES", "data": body["timestamps"]},
            {"name": "quantile_levels", "shape": [2], "datatype": "FP64", "data": [0.1, 0.9]},
        ],
    }


def arrays(answer: dict[str, Any]) -> dict[str, np.ndarray]:
    return {each["name"]: np.array(each["data"]).reshape(each["shape"]) for each in answer["outputs"]}


@pytest.mark.parametrize("nested", [False, True])
def test_inference_is_the_typed_prediction_in_tensors(client: Any, body: Any, nested: bool) -> None:
    typed = client.post("/models/daily/predict", {**body, "quantile_levels": [0.1, 0.9]}).json()
    answer = client.post(INFER, tensors(body, nested=nested)).json()
    found = arrays(answer)
    assert answer["id"] == "request 7"
    assert answer["model_name"] == "daily"
    assert answer["model_version"] == typed["model"]["version"]
    assert found["mean"].shape == (2, 12, 1)
    assert found["mean"][..., 0].tolist() == typed["mean"]["target"]
    assert found["quantiles"][..., 0, 1].tolist() == typed["quantiles"]["0.9"]["target"]
    assert found["timestamps"].tolist() == typed["timestamps"]


def test_a_model_named_in_the_body_is_that_of_the_address(client: Any, body: Any) -> None:
    asked = tensors(body)
    named = client.post(INFER, {**asked, "model_name": "daily"})
    assert named.json() == client.post(INFER, asked).json()
    refused = client.post(INFER, {**asked, "model_name": "weekly"})
    assert refused.status_code == 422
    assert refused.json()["error"].startswith("model_name: is that of the address, 'daily'")


def test_outputs_are_those_asked_for(client: Any, body: Any) -> None:
    wanted = {**tensors(body), "outputs": [{"name": "timestamps"}, {"name": "mean"}]}
    assert [each["name"] for each in client.post(INFER, wanted).json()["outputs"]] == ["timestamps", "mean"]
    wanted["outputs"] = [{"name": "means"}]
    refused = client.post(INFER, wanted)
    assert refused.status_code == 422
    assert "did you mean 'mean'?" in refused.json()["error"]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"shape": [2, 71]}, "inputs.0.shape"),
        ({"shape": [-1, 72]}, "inputs.0.shape"),
        ({"shape": [2**62, 2**62]}, "inputs.0.shape"),
        ({"datatype": "INT64"}, "inputs.0.data"),
        ({"datatype": "FP16"}, "inputs.0.datatype"),
        ({"name": "context"}, "context"),
        ({"name": "timestamps"}, "inputs.1.name"),
        ({"name": "horizon.steps"}, "inputs.0.name"),
        ({"name": "context.target", "data": [float("inf")] * 144}, "inputs.0.data"),
        ({"name": "context.target", "data": [[1.0] * 143, 1.0]}, "inputs.0.data"),
        ({"name": "elsewhere"}, "context"),
    ],
)
def test_tensors_that_do_not_fit_are_named(client: Any, body: Any, change: Any, path: str) -> None:
    request = tensors(body)
    request["inputs"][0].update(change)
    answer = client.raw(INFER, json.dumps(request))
    assert answer.status_code == 422
    content = answer.json()
    assert isinstance(content["error"], str)  # as the protocol has it
    assert path in [each["path"] for each in content["fields"]], content


@pytest.mark.parametrize(
    ("datatype", "good", "bad"),
    [
        ("UINT8", [0, 255], [-1, 256, 1.0, True, "1", None]),
        ("INT8", [-128, 127], [-129, 128]),
        ("BOOL", [True, False], [0, 1, "true", None]),
        ("BYTES", ["", "x"], [1, None, ["x"]]),
        ("FP32", [0, 1.5, None], [True, "1"]),
    ],
)
def test_entries_are_of_their_datatype(datatype: str, good: list[Any], bad: list[Any]) -> None:
    assert all(_is_of(entry, datatype) for entry in good)
    assert not any(_is_of(entry, datatype) for entry in bad)


def test_health_and_metadata_have_the_protocols_form(client: Any) -> None:
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json()["ready"] is True
    assert set(client.get("/v2").json()) == {"name", "version", "extensions"}
    shown = client.get("/v2/models/daily").json()
    assert [each["name"] for each in shown["inputs"]] == ["context.target", "timestamps", "item_ids"]
    assert {each["name"]: each["shape"] for each in shown["outputs"]}["mean"] == [-1, -1, -1]
    (version,) = shown["versions"]
    assert client.get(f"/v2/models/daily/versions/{version}/ready").json()["ready"] is True
    assert client.get("/v2/models/daily/versions/old").status_code == 404
    assert isinstance(client.get("/v2/models/other/ready").json()["error"], str)


def test_a_version_is_asked_for_by_its_path(client: Any, body: Any) -> None:
    version = client.get("/models").json()["models"][0]["version"]
    assert client.post(f"/v2/models/daily/versions/{version}/infer", tensors(body)).status_code == 200
    assert client.post("/v2/models/daily/versions/1/infer", tensors(body)).status_code == 404


# What KServe documents of its answers: kserve/protocol/rest/timeseries/types.py.


class Status(StrEnum):
    COMPLETED = "completed"
    ERROR = "error"
    PENDING = "pending"
    PARTIAL = "partial"


class Kind(StrEnum):
    UNIVARIATE = "univariate_time_series"
    MULTIVARIATE = "multivariate_time_series"


class Forecast(BaseModel):
    type: Kind
    name: str
    mean_forecast: list[float] | list[list[float]]
    frequency: str
    start_timestamp: str
    quantiles: dict[str, list[float] | list[list[float]]] | None = None


class Output(BaseModel):
    type: str
    id: str
    status: Status
    content: list[Forecast]
    error: None


class Answer(BaseModel):
    id: str
    created_at: int
    status: Status
    error: None
    model: str
    outputs: list[Output]


def series(panel: fc.Panel, item: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "type": "univariate_time_series",
        "name": f"item {item}",
        "series": panel.values[:, item, 0].tolist(),
        "frequency": "H",
        "start_timestamp": "2024-01-01T00:00:00Z",
        **changes,
    }


def request(*inputs: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {"model": "daily", "inputs": list(inputs), "options": {"horizon": 5, **options}}


def test_each_series_is_forecast_as_if_alone(client: Any, seasonal: Path) -> None:
    panel, short = sample_panel(rows=72, items=2), sample_panel(3, rows=30, items=1)
    model = fc.load_model(seasonal)
    answer = client.post(FORECAST, request(series(panel), series(short), series(panel, 1), quantiles=[0.2]))
    found = Answer.model_validate(answer.json())
    for output, one in zip(
        found.outputs,
        (panel.select_items(["item-0"]), short, panel.select_items(["item-1"])),
        strict=True,
    ):
        expected = model.predict(one, horizon=5)
        assert isinstance(expected, fc.ForecastPrediction)
        (content,) = output.content
        assert content.mean_forecast == expected.mean()[0, :, 0].tolist()
        assert content.quantiles == {"0.2": expected.quantile(0.2)[0, :, 0].tolist()}
    assert found.outputs[0].content[0].start_timestamp == "2024-01-04T00:00:00Z"
    assert found.outputs[1].content[0].start_timestamp == "2024-01-02T06:00:00Z"


def test_a_multivariate_series_has_a_value_a_target(client: Any, seasonal: Path) -> None:
    panel = sample_panel(rows=50, items=2)
    both = replace(
        panel.select_items(["item-0"]), values=panel.values.transpose(0, 2, 1), target_names=("a", "b")
    )
    expected = fc.load_model(seasonal).predict(both, horizon=5)
    assert isinstance(expected, fc.ForecastPrediction)
    wide = series(panel, type="multivariate_time_series", series=panel.values[..., 0].tolist())
    found = Answer.model_validate(client.post(FORECAST, request(wide)).json())
    (content,) = found.outputs[0].content
    assert content.mean_forecast == expected.mean()[0].tolist()
    assert content.quantiles is None  # none were asked for


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"frequency": "fortnight"}, "inputs.0.frequency"),
        ({"start_timestamp": None}, "inputs.0.start_timestamp"),
        ({"start_timestamp": "yesterday"}, "inputs.0.start_timestamp"),
        ({"start_timestamp": "2024-01-31T00:00:00Z", "frequency": "month"}, "inputs.0.start_timestamp"),
        ({"start_timestamp": "2261-12-31T23:00:00Z"}, "inputs.0.start_timestamp"),
        ({"type": "multivariate_time_series"}, "inputs.0.series"),
        ({"series": [[1.0, 2.0], [1.0]], "type": "multivariate_time_series"}, "inputs.0.series"),
        ({"series": [[1.0], [2.0]]}, "inputs.0.series"),
        ({"series": [1.0]}, "inputs.0.series"),
        ({"colour": "red"}, "inputs.0.colour"),
    ],
)
def test_forecast_errors_have_kserves_form(client: Any, change: dict[str, Any], path: str) -> None:
    answer = client.post(FORECAST, request(series(sample_panel(rows=5, items=1), **change)))
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "param", "type"}
    assert error["code"] == "422"
    assert error["param"] == path, error


def test_the_model_of_a_forecast_has_to_be_served(client: Any) -> None:
    answer = client.post(FORECAST, {**request(series(sample_panel(rows=5))), "model": "daly"})
    assert answer.status_code == 404
    assert "did you mean 'daily'?" in answer.json()["error"]["message"]
    assert client.get("/v1/timeseries/models").json() == ["daily"]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frequency=st.sampled_from(sorted(FREQUENCIES)), rows=st.integers(3, 40))
def test_every_frequency_goes_on_where_the_series_ends(client: Any, frequency: str, rows: int) -> None:
    panel = sample_panel(rows=rows, items=1)
    answer = client.post(FORECAST, request(series(panel, frequency=frequency)))
    found = Answer.model_validate(answer.json()).outputs[0].content[0]
    freq = fc.Freq.parse(FREQUENCIES[frequency])
    expected = freq.shift(np.datetime64("2024-01-01", "us"), rows)
    assert np.datetime64(found.start_timestamp.removesuffix("Z"), "us") == expected
    assert found.frequency == frequency


def test_models_of_other_data_forecast_no_series(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kserve_forecast, "takes_panels", lambda model: False)
    answer = client.post(FORECAST, request(series(sample_panel(rows=50))))
    assert answer.status_code == 422
    assert answer.json()["error"]["type"] == "CapabilityError"


def test_points_are_forecast_without_quantiles(
    touchy: Any, tmp_path: Path, opened: Callable[..., Any]
) -> None:
    fc.create_model("toys/touchy").save(tmp_path / "daily")
    client = opened(tmp_path / "daily")
    panel = sample_panel(rows=5)
    found = Answer.model_validate(client.post(FORECAST, request(series(panel))).json())
    assert found.outputs[0].content[0].mean_forecast == [panel.values[-1, 0, 0]] * 5
    assert client.post(FORECAST, request(series(panel), quantiles=[0.5])).status_code == 422
