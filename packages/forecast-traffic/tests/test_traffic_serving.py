"""Models of a network behind REST: the request is the task's own, errors name its fields."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import forecast_core as fc
from forecast_traffic import GraphPanel
from forecast_traffic.graph.sample import sample_graph

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
