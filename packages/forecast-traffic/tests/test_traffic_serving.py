"""Models of a network behind REST: the request is the task's own, errors name its fields."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import forecast_core as fc
from forecast_traffic import GraphPanel
from forecast_traffic.graph.sample import sample_graph
from forecast_traffic.serving import GraphRequest

pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")

OPTIONS: dict[str, Any] = {
    "context_length": 6,
    "horizon": 4,
    "max_epochs": 1,
    "windows_per_epoch": 32,
    "hidden_size": 8,
    "head_size": 8,
    "heads": 2,
    "num_layers": 1,
}


def ask(folder: Path, bodies: list[dict[str, Any]]) -> list[Any]:
    """Answers of a server of one saved model, in this process."""
    from forecast_core.serving import DirectorySource, ModelPool, create_app

    async def session() -> list[Any]:
        app = create_app(ModelPool({"net": DirectorySource(folder)}))
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
        ):
            return [await client.post("/models/net/predict", json=body) for body in bodies]

    return asyncio.run(session())


def test_a_served_network_answers_like_the_model(tmp_path: Path) -> None:
    gp = sample_graph(future_covariates=1)
    assert gp.weather is not None
    assert gp.weather_type is not None
    assert gp.event_ids is not None
    model = fc.create_model("traffic/stmgt", **OPTIONS).fit(gp)
    model.save(tmp_path / "model")
    recent = slice(100, 110)  # six rows of history and four of the future
    body = {
        "context": {"speed": gp.values[100:106, :, 0].T.tolist()},
        "timestamps": [f"{t}Z" for t in gp.timestamps[100:106].astype("M8[s]")],
        "weather": {n: gp.weather[recent, k].tolist() for k, n in enumerate(gp.weather_names)},
        "weather_type": gp.weather_type[recent].tolist(),
        "event_ids": gp.event_ids[recent].tolist(),
        "quantile_levels": [0.5],
    }
    events = {**body, "event_ids": [9, *body["event_ids"][1:]]}
    without = {k: v for k, v in body.items() if k not in ("weather", "weather_type")}
    good, unknown, missing = ask(tmp_path / "model", [body, events, without])
    assert good.status_code == 200, good.text
    windows = gp.windows(context_length=6, horizon=4, origins=gp.timestamps[[105]])
    expected = model.predict_windows(windows).median()
    assert str(round(float(expected[0, 0, 0]), 3))[:5] in good.text
    for answer, told in ((unknown, "event_ids"), (missing, "weather")):
        assert answer.status_code == 422
        assert told in answer.text
    assert isinstance(gp, GraphPanel)
    assert np.isfinite(expected).all()


@pytest.mark.parametrize("covariates", [0, 1])
def test_an_exported_network_brings_a_request_that_it_answers(tmp_path: Path, covariates: int) -> None:
    gp = sample_graph(future_covariates=covariates)
    fc.create_model("traffic/stmgt", **OPTIONS).fit(gp).save(tmp_path / "model")
    folder = fc.export(tmp_path / "model", tmp_path / "made").path
    body = json.loads((folder / "request.json").read_text())
    assert set(body) >= ({"weather", "weather_type", "event_ids"} if covariates else {"context"})
    (answer,) = ask(folder / "model", [body])
    assert answer.status_code == 200, answer.text
    data = GraphRequest.model_validate_json(json.dumps(body)).to_data(fc.load_model(folder / "model").info)
    assert data.node_ids == gp.node_ids
    assert data.timestamps[data.known_rows - 1] == gp.timestamps[-1]
    known = data.values[: data.known_rows]
    assert gp.values.min() <= known.min() < known.max() <= gp.values.max()


def test_weather_of_nodes_makes_no_request() -> None:
    gp = sample_graph(future_covariates=1)
    assert gp.weather is not None
    assert gp.weather_type is not None
    by_node = replace(
        gp,
        weather=np.repeat(gp.weather[:, None], len(gp.node_ids), axis=1),
        weather_type=np.repeat(gp.weather_type[:, None], len(gp.node_ids), axis=1),
    )
    info = fc.create_model("traffic/stmgt", **OPTIONS).fit(by_node).info
    assert GraphRequest.example(info, rows=4) is None
    body = GraphRequest.example(fc.create_model("traffic/last-value").info, rows=4)
    assert body is not None
    assert list(body["context"]) == ["target"]
    assert np.shape(body["context"]["target"]) == (1, 4)
