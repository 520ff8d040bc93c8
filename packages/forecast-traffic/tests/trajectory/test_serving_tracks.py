"""REST requests of tracks: the same answer as in Python, typed refusals of everything else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import forecast_core as fc
from forecast_core.errors import ForecastError
from forecast_traffic.trajectory import sample_tracks
from forecast_traffic.trajectory.serving import TrackRequest


def body(tracks: Any) -> dict[str, Any]:
    parts = np.split(np.arange(len(tracks.xy)), tracks.offsets[1:-1])
    return {
        "x": [tracks.xy[rows, 0].tolist() for rows in parts],
        "y": [tracks.xy[rows, 1].tolist() for rows in parts],
        "frames": [tracks.frames[rows].tolist() for rows in parts],
        "track_ids": list(tracks.item_ids),
    }


def test_a_request_is_the_tracks_it_tells_of() -> None:
    tracks = sample_tracks(items=3)
    model = fc.create_model("trajectory/constant-velocity").fit(tracks)
    data = TrackRequest.model_validate({**body(tracks), "start": "2024-05-01T08:00:00Z"}).to_data(model.info)
    np.testing.assert_array_equal(data.xy, tracks.xy)
    assert data.dt == tracks.dt
    assert data.start == tracks.start
    np.testing.assert_allclose(model.predict(data).mean(), model.predict(tracks).mean())


def test_defaults_are_consecutive_frames_up_to_now() -> None:
    info = fc.create_model("trajectory/constant-velocity", dt=0.5).info
    data = TrackRequest.model_validate({"x": [[0, 1], [4, 5, 6]], "y": [[0, 0], [0, 0, 0]]}).to_data(info)
    assert data.item_ids == (0, 1)
    assert data.dt == 0.5
    np.testing.assert_array_equal(data.frames, [1, 2, 0, 1, 2])


@pytest.mark.parametrize(
    "changes",
    [
        {"y": [[0.0]]},
        {"track_ids": [1, 1]},
        {"track_ids": [1]},
        {"frames": [[0, 1], [1, 0, 2]]},
        {"x": [[0.0, 1e6], [4.0, 5.0, 6.0]]},
        {"dt": None},
    ],
)
def test_what_does_not_fit_is_a_typed_error(changes: dict[str, Any]) -> None:
    info = fc.create_model("trajectory/constant-velocity").info
    given = {"x": [[0.0, 1.0], [4.0, 5.0, 6.0]], "y": [[0.0, 0.0], [0.0, 0.0, 0.0]], "dt": 0.5}
    with pytest.raises(ForecastError):
        TrackRequest.model_validate({**given, **changes}).to_data(info)


def test_models_are_served_over_rest(tmp_path: Path) -> None:
    httpx = pytest.importorskip("httpx")
    pytest.importorskip("fastapi")
    from forecast_core.serving import DirectorySource, ModelPool, create_app

    tracks = sample_tracks(items=3)
    model = fc.create_model("trajectory/constant-velocity").fit(tracks)
    model.save(tmp_path / "cv")
    app = create_app(ModelPool({"cv": DirectorySource(tmp_path / "cv")}))

    async def ask() -> list[Any]:
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                good = {**body(tracks), "horizon": 3, "start": "2024-05-01T08:00:00Z"}
                bad = {**body(tracks), "x": [[1.0, "a"]]}
                return [await client.post("/models/cv/predict", json=each) for each in (good, bad)]

    answer, refused = asyncio.run(ask())
    assert answer.status_code == 200, answer.text
    mean, expected = answer.json()["mean"], model.predict(tracks, horizon=3).mean()
    np.testing.assert_allclose(mean["x"], expected[..., 0])
    np.testing.assert_allclose(mean["y"], expected[..., 1])
    assert refused.status_code == 422
    assert "x.0.1" in refused.text
