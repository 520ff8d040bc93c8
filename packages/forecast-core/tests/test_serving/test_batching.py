"""Requests that come together are predicted together, change nothing for each other, and never wait long."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import forecast_core as fc
from forecast_core.series.sample import sample_panel
from forecast_core.serving.joining import Joiner, Question
from forecast_core.strategies import panels


def batch_sizes(client: Any, model: str) -> dict[str, float]:
    prefix = 'forecast_batch_size_bucket{le="'
    found = {}
    for line in client.get("/metrics").text.splitlines():
        if line.startswith(prefix) and f'model="{model}"' in line:
            label, _, count = line.rpartition(" ")
            found[label[len(prefix) :].partition('"')[0]] = float(count)
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    drawn=st.lists(panels(rows=(3, 30), covariates=False, targets=(1, 1)), min_size=1, max_size=4),
    copies=st.lists(st.integers(0, 3), min_size=1, max_size=8),
    model=st.sampled_from(["series/naive", "series/seasonal-naive"]),
    horizon=st.integers(1, 8),
    short=st.integers(2, 30),
)
def test_joined_answers_are_those_of_each_alone(
    drawn: list[fc.Panel], copies: list[int], model: str, horizon: int, short: int
) -> None:
    predictor = fc.create_model(model)
    joiner = Joiner(predictor)
    joiner._joined = 3  # the first ones would be checked
    chosen = []
    for n, k in enumerate(copies):
        panel = drawn[k % len(drawn)]
        values = np.random.default_rng(n).normal(size=panel.values.shape)
        values[np.isnan(panel.values)] = np.nan
        ids = [f"{n}-{k}" for k in range(len(panel.item_ids))] if n % 3 else panel.item_ids
        made = fc.Panel(
            values=values, timestamps=panel.timestamps, item_ids=tuple(ids), freq=panel.freq, tz=panel.tz
        )
        chosen.append(made.rows(0, min(short, len(made))))
    answers = joiner.predict([Question(panel, horizon) for panel in chosen])
    for panel, answer in zip(chosen, answers, strict=True):
        if isinstance(answer, Exception):
            with pytest.raises(type(answer), match=re.escape(str(answer))):
                predictor.predict(panel, horizon=horizon)
        else:
            assert answer == predictor.predict(panel, horizon=horizon)


def test_requests_of_one_shape_are_one_call(touchy: Any) -> None:
    predictor = fc.create_model("toys/touchy")
    joiner = Joiner(predictor)
    joiner._joined = 3
    one = [sample_panel(k, rows=20, items=2) for k in range(6)]
    renamed = [
        fc.Panel(values=p.values, timestamps=p.timestamps, item_ids=(f"{k}a", f"{k}b"), freq=p.freq)
        for k, p in enumerate(one)
    ]
    joiner.predict([Question(panel, 3) for panel in renamed])
    assert [size for _, size in touchy.calls] == [12]
    touchy.calls.clear()
    joiner.predict([Question(panel, 3) for panel in one])  # the same items cannot stand in one panel
    assert [size for _, size in touchy.calls] == [2] * 6
    touchy.calls.clear()
    joiner.predict([Question(panel, 1 + k % 2) for k, panel in enumerate(renamed)])
    assert sorted(size for _, size in touchy.calls) == [6, 6]


def test_items_that_look_at_each_other_are_never_joined_for_good(touchy: Any) -> None:
    predictor = fc.create_model("toys/touchy", social=True)  # exchangeable, but not independent
    joiner = Joiner(predictor)
    panels_ = [
        fc.Panel(values=p.values, timestamps=p.timestamps, item_ids=(k,), freq=p.freq)
        for k, p in enumerate(sample_panel(k, rows=9, items=1) for k in range(4))
    ]
    for _ in range(3):
        answers = joiner.predict([Question(panel, 3) for panel in panels_])
        assert answers == [predictor.predict(panel, horizon=3) for panel in panels_]
        assert not joiner.joins


def test_models_of_one_item_or_of_particular_items_are_not_joined(touchy: Any) -> None:
    for lacking in ("multi_item", "exchangeable_items"):
        model = fc.create_model("toys/touchy")
        capabilities = model.spec.capabilities.model_copy(update={lacking: False})
        model._spec = model.spec.model_copy(update={"capabilities": capabilities})
        assert not Joiner(model).joins


def test_what_waits_for_a_busy_model_is_taken_together(
    touchy: Any, tmp_path: Path, opened: Callable[..., Any], body: Any
) -> None:
    fc.create_model("toys/touchy", seconds=0.03).save(tmp_path / "points")
    client = opened(tmp_path / "points")
    bodies = [{**body, "item_ids": [f"{k}a", f"{k}b"]} for k in range(32)]
    answers = client.together("/models/points/predict", bodies)
    assert [a.status_code for a in answers] == [200] * 32
    assert [a.json()["item_ids"] for a in answers] == [each["item_ids"] for each in bodies]
    sizes = batch_sizes(client, "points")
    assert sizes["+Inf"] < 32  # calls of the lane, fewer than requests
    assert {name for name, _ in touchy.calls} == {"forecast-points_0"}
    assert threading.main_thread().name not in {name for name, _ in touchy.calls}


def test_one_bad_request_among_joined_ones_fails_alone(
    touchy: Any, tmp_path: Path, opened: Callable[..., Any], body: Any
) -> None:
    fc.create_model("toys/touchy", seconds=0.01).save(tmp_path / "points")
    client = opened(tmp_path / "points")
    bodies = [{**body, "item_ids": [f"{k}a", f"{k}b"]} for k in range(8)]
    bodies[3] = {**bodies[3], "horizon": -1}
    bodies[5] = {**bodies[5], "context": {"target": [[1.0], [2.0]]}}
    found = [answer.status_code for answer in client.together("/models/points/predict", bodies)]
    assert found == [200, 200, 200, 422, 200, 422, 200, 200]


def test_the_event_loop_answers_while_a_model_computes(
    touchy: Any, tmp_path: Path, opened: Callable[..., Any], body: Any
) -> None:
    fc.create_model("toys/touchy", seconds=0.3).save(tmp_path / "points")
    client = opened(tmp_path / "points")

    async def race() -> list[str]:
        order = []

        async def ask(method: str, path: str, **content: Any) -> None:
            answer = await client._client.request(method, path, **content)
            assert answer.status_code == 200
            order.append(path)

        slow = asyncio.create_task(ask("POST", "/models/points/predict", json=body))
        await asyncio.sleep(0.05)
        for _ in range(5):
            await ask("GET", "/v2/health/live")
        await slow
        return order

    assert client._runner.run(race()) == ["/v2/health/live"] * 5 + ["/models/points/predict"]


def test_too_many_requests_are_refused_at_once_and_told_when_to_return(
    touchy: Any, tmp_path: Path, opened: Callable[..., Any], body: Any
) -> None:
    fc.create_model("toys/touchy", seconds=0.05).save(tmp_path / "points")
    client = opened(tmp_path / "points", max_waiting=5, max_joined=1)
    answers = client.together("/models/points/predict", [body] * 30)
    refused = [a for a in answers if a.status_code == 503]
    assert [a.status_code for a in answers].count(200) + len(refused) == 30
    assert len(refused) >= 20
    assert all(int(a.headers["retry-after"]) >= 1 for a in refused)
    assert refused[0].json()["error"]["type"] == "OverloadedError"
    assert client.post("/models/points/predict", body).status_code == 200  # it recovers by itself
    assert f'forecast_refused_total{{model="points"}} {len(refused)}.0' in client.get("/metrics").text


def test_bodies_in_work_have_so_many_bytes_together(
    opened: Any, touchy: Any, tmp_path: Path, body: Any
) -> None:
    fc.create_model("toys/touchy", seconds=0.3).save(tmp_path / "slow")
    size = len(json.dumps(body))
    client = opened(tmp_path / "slow", max_body=2 * size, max_bytes=5 * size // 2)
    for _ in range(2):
        answers = client.together("/models/slow/predict", [body] * 4)
        assert sorted(answer.status_code for answer in answers) == [200, 200, 503, 503]
        refused = next(answer for answer in answers if answer.status_code == 503)
        assert refused.json()["error"]["type"] == "OverloadedError"
        assert refused.headers["retry-after"] == "1"
        assert client.raw("/models/slow/predict", b" " * 20 * size).status_code == 413
        assert client.post("/streams/none/predict", {}).status_code == 404


def test_requests_that_would_wait_too_long_are_refused(
    touchy: Any, tmp_path: Path, opened: Callable[..., Any], body: Any
) -> None:
    fc.create_model("toys/touchy", seconds=0.02).save(tmp_path / "points")
    client = opened(tmp_path / "points", max_wait=0.1, max_joined=1)
    for _ in range(8):  # so that it knows how long a request takes
        client.post("/models/points/predict", body)
    codes = [a.status_code for a in client.together("/models/points/predict", [body] * 40)]
    assert 3 <= codes.count(200) <= 10
    assert codes.count(503) == 40 - codes.count(200)


def test_requests_are_counted_by_route(client: Any, body: Any) -> None:
    for name in ("daily", "other", "none"):
        client.post(f"/models/{name}/predict", body)
    client.get("/secret/path")
    text = client.get("/metrics").text
    route = 'method="POST",route="/models/{name}/predict"'
    assert f'forecast_requests_total{{{route},status="200"}} 1.0' in text
    assert f'forecast_requests_total{{{route},status="404"}} 2.0' in text
    assert 'forecast_request_seconds_count{route="/models/{name}/predict"} 3.0' in text
    assert "secret" not in text
    assert "forecast_requests_in_flight 1.0" in text  # this very request
