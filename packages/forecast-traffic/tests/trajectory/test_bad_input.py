"""Bad input names the track, the place and the rule; nothing is dropped silently."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import forecast_core as fc
from forecast_core.errors import ConfigError, DataError, InvalidInputError, ShapeError
from forecast_traffic.trajectory import Tracks, calibrate_ellipses, sample_tracks


def rows(**changes: Any) -> dict[str, Any]:
    """Two tracks of six points whose rows alternate."""
    step = np.repeat(np.arange(6), 2)
    given = {
        "track_ids": np.tile([7, 9], 6),
        "frames": step,
        "x": 1.0 * step,
        "y": np.tile([0.0, 3.0], 6),
        "dt": 0.5,
    }
    return {**given, **changes}


def changed(name: str, row: int, value: Any) -> dict[str, Any]:
    values = np.array(rows()[name]).astype(float)
    values[row] = value
    return rows(**{name: values})


def without(*drop: int) -> dict[str, Any]:
    keep = np.setdiff1d(np.arange(12), drop)
    return rows(**{n: np.asarray(v)[keep] for n, v in rows().items() if n != "dt"})


def test_good_rows_are_sorted_into_tracks() -> None:
    tracks = Tracks.from_rows(**rows())
    assert tracks.item_ids == (7, 9)
    np.testing.assert_array_equal(tracks.offsets, [0, 6, 12])
    np.testing.assert_array_equal(tracks.xy[6:, 1], 3.0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (changed("frames", 4, 1), "track 7, frame 1.*hold each track once.*duplicate"),
        (changed("frames", 4, 0), "track 7, frame 0.*go back"),
        (changed("frames", 11, 4.5), "track 9.*whole numbers.*4.5"),
        (changed("frames", 11, np.nan), "track 9.*whole numbers"),
        (changed("x", 5, np.nan), "x at row 5 .track 9, frame 2.*finite"),
        (changed("y", 0, np.inf), "y at row 0 .track 7.*finite"),
        (without(5, 7), "track 9, frame 4.*follow one another.*2 missing after frame 1"),
        (without(3, 5, 7, 9, 11), "track 9.*at least two points.*1 tracks of one"),
        (rows(dt=0.0), "dt: is a number of seconds above 0, got 0.0"),
        (rows(dt=float("nan")), "dt"),
        (rows(x=1000.0 * np.repeat(np.arange(6), 2)), "track 7, frame 1.*100 m/s, got 2000 m/s.*metres"),
        (rows(dt=0.001), "100 m/s"),
        (rows(classes=["car", "van"] * 5 + ["car", "car"]), "classes at row 11.*same all along a track"),
        (rows(track_ids=np.tile([1.5, 2.5], 6)), "track_ids.*texts or whole numbers"),
    ],
)
def test_each_fault_is_named_with_its_track(given: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Tracks.from_rows(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (rows(dt="0.5"), "dt: is a number of seconds above 0, got '0.5'"),
        (rows(dt=True), "dt: is a number of seconds"),
        (rows(gaps="drop"), "gaps: is 'refuse' or 'keep', got 'drop'"),
        (rows(singles="keep"), "singles: is 'refuse' or 'drop', got 'keep'"),
        (rows(singles=None), "singles: is 'refuse' or 'drop', got None"),
        (rows(max_speed="fast"), "max_speed: is a number of m/s above 0, or None, got 'fast'"),
        (rows(max_speed=0.0), "max_speed"),
        (rows(max_speed=float("nan")), "max_speed"),
        (rows(x=["west", "east"] * 6), "x: holds numbers"),
        (rows(columns={"lane": ["left"] * 12}), "columns.'lane'.: holds numbers"),
        (rows(columns={"frame": np.zeros(12)}), "columns: have names.*got 'frame'; .*'own_frame': 'frame'"),
        (
            rows(track_ids=[7, "9"] * 6),
            "track_ids at row 1: are all texts, or all whole numbers, got '9' after 7",
        ),
        (rows(track_ids=np.array(["a", 9] * 6, dtype=object)), "track_ids at row 1.*got 9 after 'a'"),
        (
            rows(track_ids=np.array([7, None] * 6, dtype=object)),
            "track_ids at row 1.*whole numbers, got None",
        ),
        (rows(track_ids=np.zeros((6, 2))), "track_ids: has one id a row"),
        (rows(scenes=["square"]), r"scenes: has one entry a row \(12\)"),
    ],
)
def test_arguments_of_another_kind_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Tracks.from_rows(**given)


def test_tracks_without_a_speed_limit_or_of_large_ids_are_taken() -> None:
    large = np.array([2**70, 2**70 + 1] * 6, dtype=object)
    tracks = Tracks.from_rows(**rows(track_ids=large, max_speed=float("inf")))
    assert tracks.item_ids == (2**70, 2**70 + 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": [0, 1.7, 2]}, "frames at entry 1: are whole numbers, got 1.7"),
        ({"frames": [0, np.nan, 2]}, "frames at entry 1: are whole numbers, got nan"),
        ({"frames": ["a", "b", "c"]}, "frames: holds numbers"),
        ({"offsets": [0, 2.5, 3]}, "offsets at entry 1: are whole numbers, got 2.5"),
        ({"scenes": [0, 0.5]}, "scenes at entry 1: are whole numbers, got 0.5"),
        ({"xy": [["a", "b"]] * 3}, "xy: holds numbers"),
        ({"xy": 1.0}, "xy: is .row, 2."),
        ({"dt": True}, "dt: is a number of seconds"),
        ({"item_ids": (1.5, 2)}, "item_ids at track 0: are texts or whole numbers, got 1.5"),
        ({"columns": {"seconds": np.zeros(3)}}, "columns: have names.*got 'seconds'"),
    ],
)
def test_tracks_are_never_made_of_truncated_numbers(changes: dict[str, Any], message: str) -> None:
    fields = {"xy": np.zeros((3, 2)), "frames": [0.0, 1.0, 0.0], "offsets": [0, 2, 3], "item_ids": (1, 2)}
    assert Tracks(**fields, dt=0.4).frames.tolist() == [0, 1, 0]  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=message):
        Tracks(**{**fields, "dt": 0.4, **changes})  # type: ignore[arg-type]


def test_an_array_of_texts_is_refused_and_ids_are_plain() -> None:
    with pytest.raises(DataError, match="xy: holds numbers"):
        Tracks.from_array(np.array([[["a", "b"], ["c", "d"]]]), dt=0.4)
    made = Tracks.from_array(np.zeros((2, 3, 2)), dt=0.4, item_ids=np.array([4, 5]))  # type: ignore[arg-type]
    assert list(map(type, made.item_ids)) == [int, int]


@pytest.mark.parametrize("end", [float("nan"), float("inf"), "5", True])
def test_an_end_that_is_no_frame_is_refused(end: Any) -> None:
    tracks = Tracks.from_rows(**rows())
    for span in ((end, None), (None, end)):
        with pytest.raises(InvalidInputError, match="is a frame: these tracks have no clock"):
            tracks.between(*span)
    assert len(tracks.between(1.5, None).xy) == 8


def test_arrays_of_other_lengths_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"x: has one entry a row \(12\)"):
        Tracks.from_rows(**rows(x=np.zeros(5)))
    with pytest.raises(ShapeError, match="classes"):
        Tracks.from_rows(**rows(classes=["car"]))
    with pytest.raises(ShapeError, match="at least one row"):
        Tracks.from_rows(**rows(track_ids=[], frames=[], x=[], y=[]))


def test_gaps_single_points_and_speeds_are_taken_where_asked() -> None:
    kept = Tracks.from_rows(**without(5, 7), gaps="keep")
    assert kept.windows(context_length=2, horizon=2).frames.tolist() == [1, 2, 3]  # none of track 9
    with pytest.raises(DataError, match="follow one another"):
        Tracks.from_rows(**without(5, 7), singles="drop")
    assert Tracks.from_rows(**without(3, 5, 7, 9, 11), singles="drop").item_ids == (7,)
    fast = Tracks.from_rows(**rows(x=1000.0 * np.repeat(np.arange(6), 2)), max_speed=None)
    assert len(fast) == 2
    with pytest.raises(ShapeError, match="two points"):
        Tracks.from_rows(**without(*range(2, 12)), singles="drop")


@pytest.mark.parametrize("horizon", [0, -1, True, 1.5, "3", None])
def test_what_is_no_horizon_is_refused(horizon: Any) -> None:
    with pytest.raises(InvalidInputError, match="horizon"):
        Tracks.from_rows(**rows()).windows(horizon=horizon)


@pytest.mark.parametrize("horizon", [0, -1])
def test_no_model_predicts_nothing_or_the_past(horizon: int) -> None:
    for name in ("constant-velocity", "gaussian-process", "lstm", "interaction-transformer"):
        with pytest.raises(ConfigError, match="horizon"):
            fc.create_model(f"trajectory/{name}", horizon=horizon)
    with pytest.raises(InvalidInputError, match="horizon"):
        fc.create_model("trajectory/constant-velocity").predict(Tracks.from_rows(**rows()), horizon=horizon)
    with pytest.raises(ConfigError, match="dt"):
        fc.create_model("trajectory/constant-velocity", dt=0.0)


def test_windows_that_fit_nowhere_say_what_is_there() -> None:
    with pytest.raises(ShapeError, match=r"context \+ horizon = 4 \+ 3 points.*6 points at most"):
        Tracks.from_rows(**rows()).windows(context_length=4, horizon=3)
    with pytest.raises(InvalidInputError, match="min_context"):
        Tracks.from_rows(**rows()).windows(context_length=2, min_context=3, horizon=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"origins": [9999]}, r"origins at origin 0: lie in 0..5, got 9999"),
        ({"origins": [2, -1]}, r"origins at origin 1: lie in 0..5, got -1"),
        ({"origins": [0, 5]}, "origins: hold one with 2 points of a track up to it and 1 after it"),
        ({"origins": ["x"]}, "origins: holds numbers"),
        ({"origins": [1.5]}, "origins at entry 0: are whole numbers"),
        ({"stride": 1000}, "stride: meets a frame with 2 points of a track up to it.*got 1000"),
    ],
)
def test_origins_without_any_window_are_refused(options: dict[str, Any], message: str) -> None:
    tracks = Tracks.from_rows(**rows())
    with pytest.raises(InvalidInputError, match=message):
        tracks.windows(context_length=2, horizon=1, **options)
    assert tracks.windows(context_length=2, horizon=1, origins=np.array([0, 2])).frames.tolist() == [2, 2]


def test_origins_of_the_clock_are_times_within_it() -> None:
    data = sample_tracks(items=3)
    texts = data.windows(context_length=2, horizon=1, origins=[str(data.timeline[40])])  # type: ignore[arg-type]
    assert set(texts.frames) == {40}
    for origin, message in (("2030-01-01", "origin 0: lie in 2024"), ("2024-05-01T08:00:16.1", "hold one")):
        with pytest.raises(ShapeError, match=message):
            data.windows(context_length=2, horizon=1, origins=np.array([origin], dtype="datetime64[us]"))
    with pytest.raises(DataError, match="origins: are times"):
        data.windows(context_length=2, horizon=1, origins=np.array([40]))


def test_a_track_too_short_for_the_model_is_a_named_refusal() -> None:
    tracks = Tracks.from_rows(**without(5, 7, 9), gaps="keep")  # track 9 ends in a point of its own
    model = fc.create_model("trajectory/constant-velocity", horizon=3)
    p = model.predict(tracks)
    assert p.item_ids == (7,)
    assert "9" in p.metadata["refused"]
    assert "1 points in a row" in p.metadata["refused"]["9"]
    with pytest.raises(ShapeError, match="track '9'"):
        model.predict(tracks.select_items([9]))
    windows = tracks.windows(context_length=1, horizon=1)
    with pytest.raises(ShapeError, match=r"window 0 .track 7.*at least 2 points"):
        model.predict_windows(windows)


@pytest.mark.parametrize("context", [1, 2])
@pytest.mark.parametrize(
    "name",
    [
        "constant-velocity",
        "constant-acceleration",
        "constant-turn",
        "polynomial",
        "kalman",
        "gaussian-process",
        "lstm",
    ],
)
def test_a_history_shorter_than_the_model_needs_is_as_long_as_it_needs(name: str, context: int) -> None:
    data = sample_tracks(items=4, frames=40)
    small = {"max_epochs": 1, "windows_per_epoch": 16, "hidden_size": 8} if name == "lstm" else {}

    def fitted(length: int) -> Any:
        made = fc.create_model(f"trajectory/{name}", context_length=length, horizon=4, **small)
        return made.fit(data)

    model = fitted(context)
    assert model.predict(data) == fitted(model.least_rows).predict(data)
    assert model.predict_windows(data.windows(context_length=8, horizon=4)).horizon == 4
    for method in ("split", "adaptive"):
        calibrated = calibrate_ellipses(model, sample_tracks(1, items=6).without_clock(), method=method)  # type: ignore[arg-type]
        assert calibrated.predict(data.without_clock()).item_ids == data.item_ids


def test_data_of_another_step_than_configured_is_refused() -> None:
    with pytest.raises(DataError, match=r"data.dt: is 0.4 s"):
        fc.create_model("trajectory/constant-velocity", dt=0.4).predict(Tracks.from_rows(**rows()))


def test_a_longer_horizon_than_fitted_is_refused() -> None:
    tracks = Tracks.from_rows(**rows())
    model = fc.create_model("trajectory/constant-velocity", horizon=2, context_length=2)
    assert model.predict(tracks, horizon=40).horizon == 40
    model.fit(tracks)
    with pytest.raises(InvalidInputError, match="at most 2"):
        model.predict(tracks, horizon=3)
