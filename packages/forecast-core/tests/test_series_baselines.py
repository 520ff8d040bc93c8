"""The naive baselines: what the textbook says, at every origin at once, and never from the future."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import forecast_core as fc
from forecast_core.errors import DataError, InvalidInputError
from forecast_core.series.sample import sample_panel

HOUR = np.timedelta64(1, "h")


def panel(values: np.ndarray) -> fc.Panel:
    """Hourly series from values [time, item]."""
    start = np.datetime64("2024-01-01T00", "us")
    return fc.Panel(
        values=values[..., None],
        timestamps=start + HOUR * np.arange(len(values)),
        item_ids=tuple(range(values.shape[1])),
        freq=fc.Freq.parse("h"),
    )


def seasonal(season: int, horizon: int = 3) -> fc.Predictor[fc.Panel]:
    return fc.create_model("series/seasonal-naive", seasonality=season, horizon=horizon)


def by_hand(values: np.ndarray, season: int, horizon: int) -> np.ndarray:
    """Last observation of the same phase for each step of one series, else the last one at all."""
    known = {t: v for t, v in enumerate(values.tolist()) if not math.isnan(v)}
    out = []
    for step in range(1, horizon + 1):
        at = len(values) - 1 + step
        same = [t for t in known if t < len(values) and (at - t) % season == 0]
        out.append(known[max(same)] if same else known[max(known)])
    return np.array(out)


@st.composite
def gappy(draw: st.DrawFn) -> np.ndarray:
    """Values [time, 2] with gaps, none in the first two rows."""
    rows = draw(st.integers(4, 30))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    values = rng.normal(10.0, 3.0, (rows, 2))
    gaps = rng.random(values.shape) < draw(st.floats(0.0, 0.7))
    gaps[:2] = False
    return np.where(gaps, np.nan, values)


@settings(deadline=None, max_examples=60)
@given(gappy(), st.integers(1, 7), st.integers(1, 12))
def test_every_step_repeats_the_last_observation_of_its_phase(
    values: np.ndarray, season: int, horizon: int
) -> None:
    prediction = seasonal(season, horizon).predict(panel(values))
    for item in range(2):
        np.testing.assert_array_equal(
            prediction.mean()[item, :, 0], by_hand(values[:, item], season, horizon)
        )


@settings(deadline=None, max_examples=40)
@given(gappy(), st.integers(1, 5))
def test_windows_say_what_predict_says_at_each_origin(values: np.ndarray, season: int) -> None:
    data = panel(values)
    model = seasonal(season, 2)
    windows = data.windows(horizon=2, origins=data.timestamps[1:-2])
    rolled = model.predict_windows(windows)
    for row in range(1, len(values) - 2):
        direct = model.predict(data.rows(0, row + 1))
        at = np.flatnonzero(windows.rows == row)
        np.testing.assert_allclose(rolled.mean()[at], direct.mean(), rtol=1e-12)
        np.testing.assert_allclose(rolled.variance()[at], direct.variance(), rtol=1e-9)


@settings(deadline=None, max_examples=40)
@given(gappy(), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_later_values_change_nothing(values: np.ndarray, season: int, seed: int) -> None:
    data = panel(values)
    row = len(values) // 2
    other = values.copy()
    other[row + 1 :] = np.random.default_rng(seed).normal(1e6, 1e5, other[row + 1 :].shape)
    origins = data.timestamps[row : row + 1]
    model = seasonal(season, 1)
    assert model.predict_windows(data.windows(horizon=1, origins=origins)) == model.predict_windows(
        panel(other).windows(horizon=1, origins=origins)
    )


def test_naive_intervals_are_those_of_the_textbook() -> None:
    # Hyndman & Athanasopoulos, FPP3, 5.5: last close 758.88, residual sd 11.19, 95 % interval [736.9, 780.8].
    closes = 758.88 + 11.19 * (
        np.arange(200) % 2 - 1.0
    )  # every change is 11.19 in size, the last value 758.88
    prediction = fc.create_model("series/naive", horizon=10).predict(panel(closes[:, None]))
    lower, upper = prediction.interval(0.95)
    assert prediction.mean()[0, :, 0] == pytest.approx([758.88] * 10)
    assert (round(lower[0, 0, 0], 1), round(upper[0, 0, 0], 1)) == (736.9, 780.8)
    steps = np.sqrt(prediction.variance()[0, :, 0])
    np.testing.assert_allclose(
        steps, 11.19 * np.sqrt(np.arange(1, 11)), rtol=1e-9
    )  # table 5.2: sigma sqrt(h)


def test_seasonal_variance_grows_with_whole_seasons() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, 1))
    prediction = seasonal(6, 15).predict(panel(values))
    sigma = np.sqrt(np.mean((values[6:, 0] - values[:-6, 0]) ** 2))
    seasons = np.arange(15) // 6 + 1  # table 5.2: sigma sqrt(k + 1), k = floor((h - 1) / m)
    np.testing.assert_allclose(np.sqrt(prediction.variance()[0, :, 0]), sigma * np.sqrt(seasons), rtol=1e-9)


def test_the_season_follows_from_the_frequency() -> None:
    data = sample_panel(rows=100)
    automatic = fc.create_model("series/seasonal-naive", horizon=24).predict(data)
    np.testing.assert_array_equal(automatic.mean(), data.values[-24:].swapaxes(0, 1))


def test_intervals_cover_random_walks_as_often_as_claimed() -> None:
    walks = np.cumsum(np.random.default_rng(1).normal(size=(400, 200)), axis=0)
    windows = panel(walks).windows(horizon=5, origins=panel(walks).timestamps[300:301])
    prediction = fc.create_model("series/naive", horizon=5).predict_windows(windows)
    truth, _ = windows.targets()
    lower, upper = prediction.interval(0.9)
    covered = ((lower <= truth) & (truth <= upper)).mean(axis=(0, 2))
    assert ((covered > 0.82) & (covered < 0.97)).all()


def test_what_cannot_be_repeated_is_named() -> None:
    values = np.full((10, 2), np.nan)
    values[:, 0] = 1.0
    values[:] = np.nan
    with pytest.raises(DataError, match="observed value to repeat"):
        fc.create_model("series/naive", horizon=1).predict(panel(values))
    with pytest.raises(DataError, match="two observations"):
        fc.create_model("series/naive", horizon=1).predict(panel(np.ones((1, 1))))
    with pytest.raises(InvalidInputError, match="horizon"):
        fc.create_model("series/naive").predict(panel(np.ones((5, 1))))


def test_a_constant_series_has_a_small_spread_and_an_unchanging_mean() -> None:
    prediction = fc.create_model("series/naive", horizon=3).predict(panel(np.full((20, 1), 7.0)))
    assert (prediction.mean() == 7.0).all()
    assert (prediction.variance() > 0).all()
    assert (prediction.variance() < 1e-9).all()


def test_an_item_without_changes_takes_the_spread_of_the_others() -> None:
    values = np.random.default_rng(2).normal(size=(30, 2))
    lone = values.copy()
    lone[:-1, 1] = np.nan
    prediction = fc.create_model("series/naive", horizon=1).predict(panel(lone))
    assert prediction.variance()[1] == prediction.variance()[0]
    whole = fc.create_model("series/naive", horizon=1).predict(panel(values))
    assert whole.variance()[1] != whole.variance()[0]


def test_targets_are_repeated_one_by_one() -> None:
    data = sample_panel(rows=50)
    two = replace(
        data, values=np.concatenate([data.values, -3 * data.values], axis=2), target_names=("a", "b")
    )
    prediction = seasonal(12).predict(two)
    np.testing.assert_allclose(prediction.mean()[..., 1], -3 * prediction.mean()[..., 0])


def test_an_item_never_observed_is_expected_where_the_others_are() -> None:
    values = np.random.default_rng(0).normal([10.0, 30.0, 0.0], 1.0, (50, 3))
    values[:, 2] = np.nan
    p = fc.create_model("series/naive", horizon=4).predict(panel(values))
    assert isinstance(p, fc.ForecastPrediction)
    np.testing.assert_allclose(p.mean()[2], values[-1, :2].mean())
    assert (np.sqrt(p.variance()[2]) > 9.0).all()
    known = fc.create_model("series/naive", horizon=4).predict(panel(values[:, :2]))
    np.testing.assert_array_equal(p.take([0, 1]).mean(), known.mean())


@settings(max_examples=25, deadline=None)
@given(st.floats(-1e9, 1e9), st.integers(0, 99))
def test_the_spread_of_a_series_does_not_depend_on_its_level(level: float, seed: int) -> None:
    panel = sample_panel(seed, rows=100, items=2)
    moved = replace(panel, values=panel.values + level)
    for model in (fc.create_model("series/naive"), fc.create_model("series/seasonal-naive")):
        here, there = (model.predict(p, horizon=3) for p in (panel, moved))
        assert isinstance(here, fc.MixturePrediction)
        assert isinstance(there, fc.MixturePrediction)
        np.testing.assert_allclose(there.sigmas, here.sigmas, rtol=1e-5)
