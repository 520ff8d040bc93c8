"""`timeseries/gbm`: that it learns, that its intervals hold out of sample, what it stores and refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import forecast_core as fc
from forecast_core.errors import ArtifactError, ConfigError, DataError, InvalidInputError, ShapeError
from forecast_core.series.sample import sample_panel

SMALL = {
    "horizon": 6,
    "num_trees": 30,
    "min_leaf": 10,
    "num_leaves": 7,
    "quantile_levels": (0.1, 0.5, 0.9),
}


def fitted(panel: fc.Panel, **options: Any) -> Any:
    return fc.create_model("timeseries/gbm", **{**SMALL, **options}).fit(panel)


def noisy_days(rows: int = 1500, *, seed: int = 0) -> fc.Panel:
    """Hourly, with a daily cycle, and noise that is four times larger by day than at night."""
    panel = sample_panel(rows=rows, items=2)
    rng = np.random.default_rng(seed)
    hour = np.arange(rows) % 24
    spread = np.where((hour >= 8) & (hour < 20), 4.0, 1.0)
    cycle = 50.0 + 10.0 * np.sin(2.0 * np.pi * hour / 24)
    values = cycle[:, None] + rng.normal(size=(rows, 2)) * spread[:, None]
    return replace(panel, values=values[..., None])


def test_it_beats_the_seasonal_naive_on_a_noisy_cycle() -> None:
    panel = noisy_days()
    train, _, test = fc.splits.time_split(panel, (0.7, 0.1, 0.2))
    model = fitted(train, num_trees=100)
    result = fc.backtest(
        [model, fc.create_model("series/seasonal-naive", seasonality=24)],
        panel,
        start=test.timestamps[0],
        horizon=6,
        stride=6,
        metrics=["mae", "crps"],
    )
    naive = result["series/seasonal-naive"].metrics
    for name, error in result["timeseries/gbm"].metrics.items():
        assert error < 0.85 * naive[name]


@pytest.mark.parametrize("given_validation", [True, False])
def test_intervals_cover_what_they_promise_out_of_sample(given_validation: bool) -> None:
    panel = noisy_days(3000, seed=3)
    train, valid, test = fc.splits.time_split(panel, (0.6, 0.1, 0.3))
    model = fc.create_model("timeseries/gbm", **{**SMALL, "num_trees": 200, "num_leaves": 31, "min_leaf": 5})
    model.fit(train, validation=valid if given_validation else None)
    windows = panel.windows(horizon=6, origins=test.timestamps[:-6:5])
    truth, _ = windows.targets()
    lower, upper = model.predict_windows(windows).interval(0.8)
    assert 0.75 < ((truth >= lower) & (truth <= upper)).mean() < 0.85


def test_intervals_are_wider_where_noise_is() -> None:
    panel = noisy_days()
    model = fitted(panel, num_trees=100, horizon=24)
    lower, upper = model.predict(panel).interval(0.8)
    hour = panel.freq.shift(panel.timestamps[-1], np.arange(1, 25)).astype("datetime64[h]").astype(int) % 24
    base = panel.timestamps[0].astype("datetime64[h]").astype(int) % 24
    by_day = ((hour - base) % 24 >= 8) & ((hour - base) % 24 < 20)
    width = (upper - lower)[:, :, 0]
    assert width[:, by_day].mean() > 2.0 * width[:, ~by_day].mean()


def test_future_covariates_move_the_forecast() -> None:
    rng = np.random.default_rng(1)
    panel = sample_panel(rows=600, items=1, future_covariates=1)
    driver = rng.normal(size=(600, 1, 1))
    values = 10.0 + 3.0 * driver + rng.normal(0.0, 0.1, (600, 1, 1))
    panel = replace(panel, values=values, future_covariates=driver)
    model = fitted(panel.rows(0, 594), num_trees=150)
    known, future = panel.rows(0, 594), panel.rows(594, 600)
    blank = replace(future, values=np.full_like(future.values, np.nan))
    p = model.predict(known, future=blank)
    np.testing.assert_allclose(p.median()[0, :, 0], values[594:, 0, 0], atol=1.5)


def test_predicting_a_panel_equals_predicting_its_last_window() -> None:
    panel = noisy_days()
    model = fitted(panel.rows(0, 1400))
    windows = panel.windows(horizon=6, origins=panel.timestamps[[1420]])
    np.testing.assert_array_equal(
        model.predict(panel.rows(0, 1421)).values, model.predict_windows(windows).values
    )


@pytest.mark.parametrize("back", [0, 24, 48])
def test_predicting_equals_predicting_the_last_window_after_an_outage(back: int) -> None:
    panel = noisy_days()
    values = panel.values.copy()
    values[1420 - back - 12 : 1421 - back, 0] = np.nan
    values[1420 - back - 13] = 500.0
    gappy = replace(panel, values=values)
    model = fitted(panel.rows(0, 1400), lags=12, seasons=(24,), repeats=2)
    windows = gappy.windows(horizon=6, origins=panel.timestamps[[1420]])
    np.testing.assert_array_equal(
        model.predict(gappy.rows(0, 1421)).values, model.predict_windows(windows).values
    )


def test_a_level_far_from_that_of_training_is_followed() -> None:
    panel = noisy_days(400)
    values = panel.values.copy()
    values[-100:, 1] = 5e9
    median = fitted(panel).predict(replace(panel, values=values)).median()
    np.testing.assert_allclose(median[1], 5e9, rtol=1e-3)
    assert median[0].max() < 100.0


def test_series_with_gaps_and_without_recent_values_are_answered() -> None:
    panel = noisy_days()
    values = panel.values.copy()
    values[np.random.default_rng(0).random(values.shape) < 0.3] = np.nan
    values[-40:, 0] = np.nan
    p = fitted(replace(panel, values=values)).predict(replace(panel, values=values))
    assert np.isfinite(p.values).all()
    assert 30.0 < p.median()[0].mean() < 70.0


def test_saved_and_loaded_it_says_the_same(tmp_path: Path) -> None:
    panel = noisy_days()
    model = fitted(panel, seasons=(24,))
    model.save(tmp_path / "gbm")
    again = fc.load_model(tmp_path / "gbm")
    assert again.predict(panel) == model.predict(panel)


def test_an_artifact_with_a_broken_booster_is_refused(tmp_path: Path, monkeypatch: Any) -> None:
    panel = noisy_days(300)
    model = fitted(panel)
    state = model._state()
    broken = replace(state, texts={**state.texts, "booster-0.txt": "tree\nversion=nonsense\n"})
    monkeypatch.setattr(model, "_state", lambda: broken)
    model.save(tmp_path / "gbm")
    with pytest.raises(ArtifactError, match="holds no state"):
        fc.load_model(tmp_path / "gbm")


def test_what_it_cannot_use_is_refused() -> None:
    panel = noisy_days(300)
    with pytest.raises(ConfigError, match="seasons"):
        fc.create_model("timeseries/gbm", seasons=(24, 24))
    with pytest.raises(ConfigError, match="hour_sin"):
        fc.create_model("timeseries/gbm", calendar=("hour_sine",))
    with pytest.raises(InvalidInputError, match="at most 6"):
        fitted(panel).predict(panel, horizon=7)
    with pytest.raises(ShapeError, match="held out"):
        fitted(panel.rows(0, 20), lags=12)
    later = panel.rows(200, 300)
    unseen = replace(later, values=np.full_like(later.values, np.nan))
    with pytest.raises(DataError, match="observed target"):
        fitted(panel).fit(panel.rows(0, 200), validation=unseen)
