"""`/models`: typed prediction answers as the model does, and refuses what is not typed so."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st

import forecast_core as fc
from forecast_core.errors import DataError, MissingFutureError
from forecast_core.series.sample import sample_panel
from forecast_core.series.serving import SeriesRequest
from forecast_core.serving.answers import iso
from forecast_core.strategies import panels

HERE = "/models/daily/predict"


def info(panel: fc.Panel | None = None) -> fc.ModelInfo:
    """Of a model fitted on a panel, or on none."""
    signature = {} if panel is None else dict(panel.signature())
    return fc.ModelInfo(id="toys/any", version=1, task="series", config={}, data=signature)


@pytest.mark.parametrize("horizon", [None, 12])
@pytest.mark.parametrize("freq", ["M", "Y"])
def test_months_and_years_need_no_horizon_in_a_request(freq: str, horizon: int | None) -> None:
    stamps = iso(fc.Freq.parse(freq).range(np.datetime64("2010-01-01"), 20))
    body = {"context": {"target": [[1.0] * 20]}, "timestamps": stamps, "freq": freq}
    asked = info().model_copy(update={"config": {"horizon": horizon}})
    assert SeriesRequest.model_validate(body).to_data(asked).known_rows == 20
    with pytest.raises(DataError, match="before the year 2262"):
        SeriesRequest.model_validate({**body, "horizon": 10_000}).to_data(asked)


@settings(max_examples=60, deadline=None)
@given(panel=panels(rows=(2, 12)), seed=st.integers(0, 99))
def test_a_request_becomes_the_panel_it_spells_out(panel: fc.Panel, seed: int) -> None:
    assume(panel.freq.shift(panel.timestamps[-1], len(panel)) < np.datetime64("2261-01-01"))  # its last year
    panel = replace(
        panel,
        item_ids=tuple(f"item {k}" for k in range(len(panel.item_ids))),
        values=panel.values.astype(np.float64),
        **{
            name: array.astype(np.float64)
            for name in ("past_covariates", "future_covariates", "static_covariates")
            if (array := getattr(panel, name)) is not None
        },
    )
    known = max(panel.known_rows, 1)
    rng = np.random.default_rng(seed)

    def columns(array: np.ndarray | None, names: tuple[str, ...], rows: int) -> dict[str, Any]:
        if array is None:
            return {}
        lists = {
            name: [[None if np.isnan(x) else x for x in row] for row in array[:rows, :, k].T.tolist()]
            for k, name in enumerate(names)
        }
        return {name: lists[name] for name in rng.permutation(names).tolist()}  # their order says nothing

    static = panel.static_covariates
    request = {
        "context": columns(panel.values, panel.target_names, known),
        "timestamps": iso(panel.timestamps[:known]),
        "item_ids": list(panel.item_ids),
        "past_covariates": columns(panel.past_covariates, panel.past_covariate_names, known),
        "future_covariates": columns(panel.future_covariates, panel.future_covariate_names, len(panel)),
        "static_covariates": {
            name: static[:, k].tolist()  # type: ignore[index]
            for k, name in enumerate(panel.static_covariate_names)
        },
        "horizon": 1,
    }
    made = SeriesRequest.model_validate_json(json.dumps(request)).to_data(info(panel))
    expected = replace(panel, known=known if panel.future_covariates is not None else None)
    if panel.past_covariates is not None and known < len(panel):
        blank = made.past_covariates.copy()
        blank[:known] = panel.past_covariates[:known]
        expected = replace(expected, past_covariates=blank)
    assert made == expected


def test_a_prediction_is_that_of_the_model(client: Any, panel: fc.Panel, body: Any, seasonal: Path) -> None:
    expected = fc.load_model(seasonal).predict(panel, horizon=12)
    answer = client.post(HERE, {**body, "quantile_levels": [0.05, 0.5]}).json()
    assert isinstance(expected, fc.MixturePrediction)
    assert answer["mean"] == {"target": expected.mean()[..., 0].tolist()}
    assert answer["quantiles"]["0.05"] == {"target": expected.quantile(0.05)[..., 0].tolist()}
    assert list(answer["quantiles"]) == ["0.05", "0.5"]
    assert answer["timestamps"][:2] == ["2024-01-04T00:00:00Z", "2024-01-04T01:00:00Z"]
    assert answer["item_ids"] == list(panel.item_ids)
    assert answer["model"]["id"] == "series/seasonal-naive"


def test_horizon_and_levels_have_defaults(client: Any, body: Any) -> None:
    del body["horizon"]
    answer = client.post(HERE, body).json()
    assert answer["steps"] == [1, 2, 3, 4, 5, 6]  # the model's own
    assert list(answer["quantiles"]) == ["0.1", "0.5", "0.9"]


def test_null_is_a_missing_value(client: Any, panel: fc.Panel, as_body: Any, seasonal: Path) -> None:
    values = panel.values.copy()
    values[-30:, 0] = np.nan
    gappy = replace(panel, values=values)
    expected = fc.load_model(seasonal).predict(gappy, horizon=2)
    assert isinstance(expected, fc.ForecastPrediction)
    answer = client.post(HERE, as_body(gappy, horizon=2)).json()
    assert answer["mean"]["target"] == expected.mean()[..., 0].tolist()


def test_points_have_no_quantiles(touchy: Any, tmp_path: Path, opened: Callable[..., Any], body: Any) -> None:
    fc.create_model("toys/touchy").save(tmp_path / "points")
    client = opened(tmp_path / "points")
    assert client.post("/models/points/predict", body).json()["quantiles"] == {}
    refused = client.post("/models/points/predict", {**body, "quantile_levels": [0.5]})
    assert refused.status_code == 422
    assert refused.json()["error"]["type"] == "CapabilityError"


def test_covariates_reach_the_model(
    touchy: Any, tmp_path: Path, opened: Callable[..., Any], as_body: Any
) -> None:
    panel = sample_panel(rows=30, items=2, past_covariates=1, future_covariates=2, static_covariates=1)
    fc.create_model("toys/touchy", horizon=3).save(tmp_path / "points")
    client = opened(tmp_path / "points")
    known = panel.rows(0, 27)
    history = replace(panel, values=np.concatenate([known.values, np.full((3, 2, 1), np.nan)]), known=27)
    expected = fc.load_model(tmp_path / "points").predict(history)

    def columns(array: Any, names: Any) -> Any:
        return {name: array[:, :, k].T.tolist() for k, name in enumerate(names)}

    body = as_body(
        known,
        past_covariates=columns(known.past_covariates, panel.past_covariate_names),
        future_covariates=columns(panel.future_covariates, panel.future_covariate_names),
        static_covariates={"static_0": panel.static_covariates[:, 0].tolist()},  # type: ignore[index]
    )
    answer = client.post("/models/points/predict", body)
    assert isinstance(expected, fc.PointPrediction)
    np.testing.assert_allclose(answer.json()["mean"]["target"], expected.values[..., 0], rtol=1e-12)
    body["future_covariates"] = {n: [r[:28] for r in c] for n, c in body["future_covariates"].items()}
    late = client.post("/models/points/predict", body)
    assert late.status_code == 422
    assert late.json()["error"]["type"] == MissingFutureError.__name__


@pytest.mark.parametrize(
    ("argument", "body_field", "input_field", "stream_field"),
    [
        ("data", "context", "inputs.0.series", "stream_id"),
        ("data.item_ids", "item_ids", "inputs.0.name", "stream_id"),
        ("data.values", "context", "inputs.0.series", "stream_id"),
        ("timestamps", "timestamps", "inputs.0.start_timestamp", "stream_id"),
        ("future", "future_covariates", "inputs.0.future", "future_covariates"),
        ("horizon", "horizon", "options.horizon", "horizon"),
    ],
)
def test_what_a_model_refuses_is_named_as_the_body_names_it(
    opened: Any, touchy: Any, tmp_path: Path, body: Any, monkeypatch: pytest.MonkeyPatch,
    argument: str, body_field: str, input_field: str, stream_field: str,
) -> None:  # fmt: skip
    def refuses(self: Any, data: Any, *, horizon: int | None) -> Any:
        raise DataError(argument, "are as in training")

    monkeypatch.setattr(touchy, "_predict", refuses)
    fc.create_model("toys/touchy").save(tmp_path / "m")
    client = opened(tmp_path / "m")

    def refusal(path: str, content: dict[str, Any]) -> Any:
        answer = client.post(path, content)
        assert answer.status_code == 422
        return answer.json()["error"]

    error = refusal("/models/m/predict", body)
    assert error["type"] == "DataError"
    assert error["message"] == f"{body_field}: are as in training"
    assert error["fields"] == [{"path": body_field, "rule": "are as in training"}]
    batch = refusal("/models/m/predict_batch", {"requests": [body]})
    assert batch["fields"][0]["path"] == f"requests.0.{body_field}"
    series = {"type": "univariate_time_series", "name": "a", "series": [1.0, 2.0], "frequency": "H"}
    series["start_timestamp"] = "2024-01-01T00:00:00Z"
    asked = {"model": "m", "inputs": [series], "options": {"horizon": 2}}
    assert refusal("/v1/timeseries/forecast", asked)["param"] == input_field
    client.post("/streams/s", {"model": "m", "freq": "h"})
    client.post("/streams/s/append", {"timestamps": ["2024-01-01T00:00:00Z"], "context": {"target": [[1.0]]}})
    assert refusal("/streams/s/predict", {"horizon": 2})["fields"][0]["path"] == stream_field


def test_columns_are_those_of_training() -> None:
    fitted = info(replace(sample_panel(rows=10, items=1), target_names=("load",)))
    request = {"context": {"target": [[1.0, 2.0]]}, "timestamps": ["2024-01-01", "2024-01-01T01:00"]}
    made = SeriesRequest.model_validate_json(json.dumps(request)).to_data(fitted)
    assert made.target_names == ("load",)
    assert made.item_ids == ("load",)  # as Panel.from_frame calls a single series
    assert str(made.freq) == "h"
    request["context"] = {"lod": [[1.0, 2.0]]}
    with pytest.raises(fc.ForecastError, match=r"context: holds the model's \['load'\].*did you mean 'load'"):
        SeriesRequest.model_validate_json(json.dumps(request)).to_data(fitted)


def test_a_batch_is_answered_like_its_requests(client: Any, body: Any, as_body: Any) -> None:
    bodies = [body, as_body(sample_panel(1, rows=40, items=1), horizon=3), body]
    together = client.post("/models/daily/predict_batch", {"requests": bodies})
    assert together.status_code == 200
    assert together.json()["predictions"] == [client.post(HERE, each).json() for each in bodies]


def test_one_bad_request_of_a_batch_is_named_and_none_answered(client: Any, body: Any, as_body: Any) -> None:
    unparsed = client.post("/models/daily/predict_batch", {"requests": [body, {**body, "horizon": 0}]})
    assert unparsed.status_code == 422
    assert unparsed.json()["error"]["fields"][0]["path"] == "requests.1.horizon"
    ragged = {**body, "context": {"target": [[1.0], [2.0]]}}
    unfitting = client.post("/models/daily/predict_batch", {"requests": [body, ragged]})
    assert unfitting.json()["error"]["fields"][0]["path"] == "requests.1.context.target.0"
    short = as_body(sample_panel(rows=1, items=1), horizon=1)
    unpredictable = client.post("/models/daily/predict_batch", {"requests": [body, short]})
    assert unpredictable.status_code == 422
    assert unpredictable.json()["error"]["fields"][0]["path"] == "requests.1.context"


def altered(body: dict[str, Any], **changes: Any) -> str:
    return json.dumps({**body, **changes})


BAD = {
    "nan": (lambda b: altered(b, context={"target": [[float("nan")] * 72] * 2}), "context.target.0.0"),
    "infinity": (lambda b: altered(b, context={"target": [[float("inf")] * 72] * 2}), "context.target.0.0"),
    "1e999": (lambda b: json.dumps(b).replace('"horizon": 12', '"horizon": 1e999'), "horizon"),
    "huge number": (lambda b: altered(b, context={"target": [[1e31] * 72] * 2}), "context.target.0.0"),
    "number as text": (lambda b: altered(b, horizon="5"), "horizon"),
    "true for a number": (lambda b: altered(b, horizon=True), "horizon"),
    "true for a float": (lambda b: altered(b, context={"target": [[True] * 72] * 2}), "context.target.0.0"),
    "fraction for a count": (lambda b: altered(b, horizon=1.5), "horizon"),
    "extra field": (lambda b: altered(b, horizons=5), "horizons"),
    "empty list": (lambda b: altered(b, context={"target": []}), "context.target"),
    "empty row": (lambda b: altered(b, context={"target": [[], []]}), "context.target.0"),
    "no target": (lambda b: altered(b, context={}), "context"),
    "ragged rows": (lambda b: altered(b, context={"target": [[1.0] * 72, [1.0]]}), "context.target.1"),
    "null for a covariate": (
        lambda b: altered(b, future_covariates={"x": [[None]]}),
        "future_covariates.x.0.0",
    ),
    "horizon zero": (lambda b: altered(b, horizon=0), "horizon"),
    "horizon too far": (lambda b: altered(b, horizon=10**9), "horizon"),
    "level of one": (lambda b: altered(b, quantile_levels=[1.0]), "quantile_levels.0"),
    "levels that fall": (lambda b: altered(b, quantile_levels=[0.9, 0.1]), "quantile_levels"),
    "items twice": (lambda b: altered(b, item_ids=["a", "a"]), "item_ids"),
    "item of another kind": (lambda b: altered(b, item_ids=["a", 1.5]), "item_ids.1"),
    "time that is none": (lambda b: altered(b, timestamps=["now"] * 72), "timestamps.0"),
    "time in other digits": (lambda b: altered(b, timestamps=["٢٠٢٤-01-01"] * 72), "timestamps.0"),
    "time out of range": (lambda b: altered(b, timestamps=["0001-01-01"] * 72), "timestamps"),
    "times that stand still": (lambda b: altered(b, timestamps=["2024-01-01"] * 72), "timestamps"),
    "frequency unknown": (lambda b: altered(b, freq="fortnight"), "freq"),
    "zone unknown": (lambda b: altered(b, tz="Mars/Olympus"), "tz"),
    "not an object": (lambda b: "[1]", "body"),
    "no JSON": (lambda b: "{", "body"),
    "nothing": (lambda b: "", "body"),
    "100k nesting": (lambda b: "[" * 100_000, "body"),
    "100k nested objects": (lambda b: '{"context":' * 100_000, "body"),
    "half a surrogate": (lambda b: '{"\\ud800": 1}', "body"),
    "answer too large": (
        lambda b: altered(b, horizon=10_000, quantile_levels=[k / 100 for k in range(1, 99)]),
        "horizon",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_refused_with_the_path_of_the_field(client: Any, body: Any, what: str) -> None:
    make, path = BAD[what]
    answer = client.raw(HERE, make(body))
    assert answer.status_code == 422, answer.text
    error = answer.json()["error"]
    assert error["fields"][0]["path"] == path, error
    assert error["message"]


def test_bytes_that_are_no_text_are_refused(client: Any) -> None:
    assert client.raw(HERE, b'{"context": "\xff\xfe"}').status_code == 422


def test_a_body_too_large_is_refused_with_and_without_its_length(opened: Any, seasonal: Path) -> None:
    client = opened(seasonal, max_body=1000)
    declared = client.raw(HERE, b" " * 1001)
    assert declared.status_code == 413
    assert declared.json()["error"]["type"] == "BodyTooLargeError"
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(40):
            sent += 1
            yield b" " * 100

    chunked = client.post(HERE, content=chunks(), headers={"content-type": "application/json"})
    assert chunked.status_code == 413
    assert client.raw(HERE, b" " * 1000).status_code == 422  # within the cap it is read


def test_only_declared_json_is_read(client: Any, body: Any) -> None:
    for headers in (
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ):
        answer = client.post(HERE, content=json.dumps(body), headers=headers)
        assert answer.status_code == 415, headers
    allowed = {"content-type": "Application/JSON; charset=utf-8"}
    assert client.post(HERE, content=json.dumps(body), headers=allowed).status_code == 200


def test_an_unknown_model_is_answered_with_near_misses(client: Any, body: Any) -> None:
    answer = client.post("/models/dally/predict", body)
    assert answer.status_code == 404
    assert "did you mean 'daily'?" in answer.json()["error"]["message"]


def test_errors_of_the_server_are_typed_too(client: Any) -> None:
    assert client.get("/nowhere").json()["error"]["type"] == "UnknownRouteError"
    assert client.get(HERE).status_code == 405


def test_a_failing_model_shows_nothing_of_itself(
    touchy: Any, tmp_path: Path, opened: Any, body: Any, caplog: pytest.LogCaptureFixture
) -> None:
    fc.create_model("toys/touchy", wrong=True).save(tmp_path / "points")
    answer = opened(tmp_path / "points").post("/models/points/predict", body)
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "ModelFailureError"
    assert "secret" not in answer.text
    assert "secret inner workings" in caplog.text


def test_the_description_of_the_service_holds_every_body(client: Any) -> None:
    described = client.get("/openapi.json").json()
    schemas = described["components"]["schemas"]
    assert schemas["SeriesRequest"]["additionalProperties"] is False
    (name,) = described["paths"]["/models/{name}/predict"]["post"]["parameters"]
    assert name["schema"]["enum"] == ["daily"]
    text = json.dumps(described)
    for name in [part.split('"')[0] for part in text.split("#/components/schemas/")[1:]]:
        assert name in schemas
    routes = {(method, path) for path, methods in described["paths"].items() for method in methods}
    assert ("post", "/models/{name}/predict") in routes
    assert ("delete", "/streams/{stream_id}") in routes
