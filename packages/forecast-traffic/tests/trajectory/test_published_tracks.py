"""Constant velocity reproduces the table of ETH/UCY to four decimals, for two protocols and five scenes.

The data is not part of the repository: FORECAST_DATA, or `shared/data` beside the repository, holds it.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

import forecast_core as fc
from forecast_core.errors import DataError, InvalidInputError
from forecast_traffic.trajectory import (
    Tracks,
    available_protocols,
    calibrate_ellipses,
    protocol,
    sample_tracks,
)

SHARED = Path(os.environ.get("FORECAST_DATA", Path(__file__).parents[5] / "shared" / "data"))
ETH_UCY, KITTI = SHARED / "trajectories" / "eth_ucy", SHARED / "trajectories" / "kitti_tracking"


def needs_data(test: Any) -> Any:
    """Marks a test that reads public data."""
    reason = "set FORECAST_DATA to the folder of public data sets"
    return pytest.mark.data(pytest.mark.skipif(not ETH_UCY.is_dir(), reason=reason)(test))


TABLE = {
    ("eth-ucy/sgan", "eth"): (0.9954, 2.2344, 181),
    ("eth-ucy/sgan", "hotel"): (0.3227, 0.6169, 1053),
    ("eth-ucy/sgan", "univ"): (0.5242, 1.1651, 24334),
    ("eth-ucy/sgan", "zara1"): (0.4313, 0.9604, 2253),
    ("eth-ucy/sgan", "zara2"): (0.3257, 0.7284, 5833),
    ("eth-ucy/full-tracks", "eth"): (1.0755, 2.2819, 364),
    ("eth-ucy/full-tracks", "hotel"): (0.3194, 0.6142, 1197),
    ("eth-ucy/full-tracks", "univ"): (0.5242, 1.1651, 24334),
    ("eth-ucy/full-tracks", "zara1"): (0.4272, 0.9524, 2356),
    ("eth-ucy/full-tracks", "zara2"): (0.3239, 0.7244, 5910),
}


@needs_data
@pytest.mark.parametrize(("name", "scene"), TABLE, ids=[f"{name}-{scene}" for name, scene in TABLE])
def test_constant_velocity_gives_the_published_table(name: str, scene: str) -> None:
    ade, fde, count = TABLE[name, scene]
    windows = protocol(name).windows(Tracks.read_eth_ucy(ETH_UCY / scene / "test"))
    model = fc.create_model("trajectory/constant-velocity", context_length=8, horizon=12, dt=0.4)
    found = fc.evaluate(model, windows, metrics=["ade", "fde", "minade@1", "minfde@1"]).metrics
    assert len(windows) == count
    assert found["ade"] == pytest.approx(ade, abs=5e-5)
    assert found["fde"] == pytest.approx(fde, abs=5e-5)
    assert found["minade@1"] == pytest.approx(ade, abs=5e-5)
    assert found["minfde@1"] == pytest.approx(fde, abs=5e-5)


@needs_data
def test_the_largest_scene_takes_less_than_a_second() -> None:
    data = Tracks.read_eth_ucy(ETH_UCY / "univ" / "test")
    model = fc.create_model("trajectory/constant-velocity")
    model.predict(sample_tracks())
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        p = model.predict_windows(protocol("eth-ucy/full-tracks").windows(data))
        best = min(best, time.perf_counter() - began)
    assert p.shape == (24334, 12, 2)
    assert best < 1.0


@needs_data
@pytest.mark.parametrize(("name", "budget"), [("polynomial", 1.0), ("gaussian-process", 20.0)])
def test_the_largest_scene_in_closed_form_takes_no_loop_over_tracks(name: str, budget: float) -> None:
    windows = protocol("eth-ucy/full-tracks").windows(Tracks.read_eth_ucy(ETH_UCY / "univ" / "test"))
    model = fc.create_model(f"trajectory/{name}").fit(windows)
    began = time.perf_counter()
    assert model.predict_windows(windows).shape == (24334, 12, 2)
    assert time.perf_counter() - began < budget


@needs_data
def test_nine_of_ten_positions_lie_in_the_calibrated_ellipses_of_scenes_left_out() -> None:
    covered: dict[str, list[float]] = {"split": [], "adaptive": []}
    for scene in ("eth", "hotel", "univ", "zara1", "zara2"):
        parts = {
            p: Tracks.read_eth_ucy(ETH_UCY / scene / p, singles="drop", gaps="keep") for p in ("train", "val")
        }
        train, valid = (protocol("eth-ucy/full-tracks").windows(parts[p]) for p in ("train", "val"))
        model = fc.create_model("trajectory/constant-velocity").fit(train)
        test = protocol("eth-ucy/sgan").windows(Tracks.read_eth_ucy(ETH_UCY / scene / "test"))
        for method, shares in covered.items():
            calibrated = calibrate_ellipses(model, valid, method=method)  # type: ignore[arg-type]
            found = fc.evaluate(calibrated, test, metrics=["ellipse_coverage@0.9"]).metrics
            assert found["ellipse_coverage@0.9"] is not None
            shares.append(found["ellipse_coverage@0.9"])
    assert 0.85 < sum(covered["split"]) / 5 < 0.95
    assert min(covered["split"]) > 0.82  # scenes differ: exchangeability is what split calibration rests on
    assert max(covered["split"]) < 0.98
    assert min(covered["adaptive"]) > 0.85  # each of them
    assert max(covered["adaptive"]) < 0.95


NETWORKS = ("lstm", "interaction-transformer")


@pytest.mark.parametrize(
    "name",
    [
        "constant-velocity",
        "constant-acceleration",
        "constant-turn",
        "polynomial",
        "gaussian-process",
        "kalman",
        *NETWORKS,
    ],
)
def test_a_single_prediction_takes_less_than_five_milliseconds(name: str) -> None:
    one = sample_tracks(items=1)
    params = {"max_epochs": 1, "windows_per_epoch": 64} if name in NETWORKS else {}
    model = fc.create_model(f"trajectory/{name}", **params).fit(sample_tracks())
    model.predict(one)
    best = float("inf")
    for _ in range(20):
        began = time.perf_counter()
        model.predict(one)
        best = min(best, time.perf_counter() - began)
    assert best < 0.005


@needs_data
def test_kitti_labels_are_read_as_relative_motion_in_metres() -> None:
    tracks = Tracks.read_kitti(KITTI / "data" / "label", classes=("Car",))
    assert len(tracks.scene_ids) == 20 or len(tracks.scene_ids) == 21
    assert set(tracks.classes or ()) == {"Car"}
    assert tracks.dt == 0.1
    assert 0 < tracks.xy[:, 1].mean() < 80  # ahead of the camera
    assert set(tracks.columns) == {"heading"}


def test_protocols_are_known_by_name() -> None:
    assert set(available_protocols()) == {"eth-ucy/sgan", "eth-ucy/full-tracks"}
    with pytest.raises(InvalidInputError, match="eth-ucy/sgan"):
        protocol("eth-ucy/sgam")


def test_a_protocol_refuses_another_step() -> None:
    with pytest.raises(DataError, match=r"0.4 s for the protocol"):
        protocol("eth-ucy/sgan").windows(sample_tracks().thinned(2))


def test_together_means_in_one_scene_at_one_moment() -> None:
    data = sample_tracks(items=3, frames=40)  # two in one scene, one alone in the other
    alone = data.select_items(["track-2"])
    assert len(protocol("eth-ucy/full-tracks").windows(alone))
    together = protocol("eth-ucy/sgan").windows(data)
    assert set(together.item_ids) == {"track-0", "track-1"}
