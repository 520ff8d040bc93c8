"""`timeseries/ets`: the fitted states against statsmodels, coverage, equivariance, gaps and newcomers."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import forecast_core as fc
from forecast_core.errors import ConfigError, DataError, InvalidInputError
from forecast_core.series.sample import sample_panel

pytest.importorskip("statsforecast")
import pandas as pd
from statsforecast.models import AutoETS
from statsmodels.tsa.exponential_smoothing.ets import ETSModel

from forecast_timeseries.models import ets
from forecast_timeseries.smoothing import Smoothing

LEVELS = np.array([0.1, 0.5, 0.9])
NAMES = {"A": "add", "M": "mul", "N": None}


def panel_of(values: np.ndarray) -> fc.Panel:
    """Of values [time, item]."""
    panel = sample_panel(rows=len(values), items=values.shape[1])
    return replace(panel, values=values[..., None])


def monthly(rows: int = 60, *, seed: int = 0, season: int = 4) -> np.ndarray:
    """A positive series with a trend, a season and noise, [time]."""
    rng = np.random.default_rng(seed)
    at = np.arange(rows)
    return 40.0 + 0.3 * at + 8.0 * np.sin(2.0 * np.pi * at / season) + rng.normal(0.0, 1.5, rows).cumsum() / 3


def simulated(rows: int, series: int, *, alpha: float, gamma: float = 0.0, season: int = 1) -> np.ndarray:
    """Local levels with seasons, additive errors of deviation 1, [time, series]."""
    rng = np.random.default_rng(5)
    level, seasonal = rng.normal(50.0, 5.0, series), rng.normal(0.0, 3.0 * (season > 1), (season, series))
    out = np.empty((rows, series))
    for row in range(rows):
        error = rng.normal(size=series)
        out[row] = level + seasonal[row % season] + error
        level = level + alpha * error
        seasonal[row % season] += gamma * error
    return out


def of_statsmodels(series: np.ndarray, fitted: dict[str, Any], *, season: int) -> Any:
    """The same model with the same parameters and first states, smoothed by statsmodels."""
    error, trend, seasonal, damped = fitted["components"]
    model = ETSModel(
        pd.Series(series),
        error=NAMES[error],
        trend=NAMES[trend],
        damped_trend=damped == "D",
        seasonal=NAMES[seasonal],
        seasonal_periods=season if seasonal != "N" else None,
    )
    alpha, beta, gamma, phi = fitted["par"][:4]
    first = np.asarray(fitted["states"])[0]
    given = {
        "smoothing_level": alpha,
        "smoothing_trend": beta,
        "smoothing_seasonal": gamma,
        "damping_trend": phi,
        "initial_level": first[0],
    }
    if trend != "N":
        given["initial_trend"] = first[1]
    for k in range(season if seasonal != "N" else 0):
        given[f"initial_seasonal.{k}"] = first[1 + (trend != "N") + k]
    return model.smooth(np.array([given[name] for name in model.param_names]))


@pytest.mark.parametrize("form", ["ANN", "AAN", "AAdN", "ANA", "AAA", "AAdA"])
def test_additive_forms_say_what_statsmodels_says(form: str) -> None:
    series, season = monthly(), 4
    model = AutoETS(season_length=season, model=form.replace("d", ""), damped="d" in form)
    fitted = model.fit(series).model_
    theirs = of_statsmodels(series, fitted, season=season)
    mean, variance = Smoothing.of(fitted).moments(10)
    np.testing.assert_allclose(mean, theirs.forecast(10), rtol=1e-6)
    frame = theirs.get_prediction(60, 69).summary_frame(alpha=0.2)
    width = (frame["pi_upper"] - frame["pi_lower"]).to_numpy() / (2 * 1.2815515655446004)
    np.testing.assert_allclose(np.sqrt(variance / variance[0]), width / width[0], rtol=1e-6)


@pytest.mark.parametrize("form", ["MNN", "MAN", "MNA", "MAM", "MNM"])
def test_multiplicative_forms_are_distributed_as_paths_of_statsmodels(form: str) -> None:
    series, season = monthly(), 4
    fitted = AutoETS(season_length=season, model=form, damped=False).fit(series).model_
    theirs = of_statsmodels(series, fitted, season=season)
    noise = np.random.default_rng(0).normal(0.0, fitted["sigma2"] ** 0.5, (10, 4000))
    paths = theirs.simulate(10, anchor="end", repetitions=4000, random_errors=noise)
    expected = np.quantile(np.asarray(paths), LEVELS, axis=1).T
    quantiles = Smoothing.of(fitted).quantiles(LEVELS, steps=10)
    spread = expected[:, 2] - expected[:, 0]
    assert (np.abs(quantiles - expected) < 0.04 * spread[:, None]).all()


@pytest.mark.parametrize("form", ["ANN", "AAA", "MAM"])
def test_the_model_smooths_as_its_library_does(form: str) -> None:
    series = monthly(80)
    model = fc.create_model("timeseries/ets", form=form, damped=False, seasonality=4)
    said = model.predict(panel_of(series[:, None]), horizon=8).median()[0, :, 0]
    library = AutoETS(season_length=4 if form[2] != "N" else 1, model=form, damped=False)
    mean = library.forecast(series, h=8)["mean"]
    np.testing.assert_allclose(said, mean, atol=0.02 * series.std())


@pytest.mark.parametrize("errors", ["A", "M"])
def test_the_first_steps_are_the_same_whatever_is_asked(errors: str) -> None:
    panel = panel_of(monthly()[:, None])
    model = fc.create_model("timeseries/ets", seasonality=4, form=f"{errors}AA", damped=True)
    np.testing.assert_array_equal(
        model.predict(panel, horizon=3).values, model.predict(panel, horizon=12).values[:, :3]
    )


@pytest.mark.parametrize(
    ("options", "season", "alpha", "gamma"),
    [
        ({"form": "ANN"}, 1, 0.5, 0.0),
        ({"form": "ZZZ"}, 1, 0.5, 0.0),
        ({"form": "ANA"}, 4, 0.3, 0.2),
        ({"form": "ANZ", "context_length": 360}, 30, 0.3, 0.0),
    ],
)
def test_intervals_cover_what_they_promise_on_simulated_series(
    options: dict[str, Any], season: int, alpha: float, gamma: float
) -> None:
    rows, steps = 360, 8
    series = simulated(rows + steps, 300, alpha=alpha, gamma=gamma, season=season)
    model = fc.create_model("timeseries/ets", seasonality=season, **options)
    lower, upper = model.predict(panel_of(series[:rows]), horizon=steps).interval(0.8)
    truth = series[rows:].T[..., None]
    covered = ((truth >= lower) & (truth <= upper)).mean()
    assert abs(covered - 0.8) < 0.03, covered


@given(
    seed=st.integers(0, 50),
    shift=st.floats(-1e3, 1e3),
    scale=st.floats(1e-3, 1e3),
    form=st.sampled_from(["ANN", "AAA"]),
)
@settings(max_examples=25, deadline=None)
def test_additive_forms_follow_a_shift_and_a_scale(seed: int, shift: float, scale: float, form: str) -> None:
    series = monthly(40, seed=seed)[:, None]
    model = fc.create_model("timeseries/ets", form=form, seasonality=4, damped=False, horizon=5)
    plain, moved = model.predict(panel_of(series)), model.predict(panel_of(series * scale + shift))
    size = scale * series.std()
    np.testing.assert_allclose(moved.values, plain.values * scale + shift, atol=0.01 * size)


@given(seed=st.integers(0, 50), scale=st.floats(1e-3, 1e3))
@settings(max_examples=8, deadline=None)
def test_forms_chosen_for_positive_series_follow_a_scale(seed: int, scale: float) -> None:
    series = monthly(40, seed=seed)[:, None]
    model = fc.create_model("timeseries/ets", seasonality=4, horizon=5)
    plain, scaled = model.predict(panel_of(series)), model.predict(panel_of(series * scale))
    np.testing.assert_allclose(scaled.values, plain.values * scale, atol=0.01 * scale * series.std())


def test_a_long_season_is_repeated() -> None:
    at = np.arange(48 * 8)
    rng = np.random.default_rng(0)
    cycle = 10.0 * np.sin(2 * np.pi * at / 48) + 4.0 * ((at % 48) < 8)
    series = 100.0 + cycle + rng.normal(0.0, 0.5, len(at))
    panel = panel_of(series[:-48, None])
    p = fc.create_model("timeseries/ets", seasonality=48).predict(panel, horizon=48)
    assert np.abs(p.median()[0, :, 0] - (100.0 + cycle[-48:])).max() < 1.5
    short = fc.create_model("timeseries/ets", seasonality=48, context_length=90).predict(panel, horizon=2)
    without = fc.create_model("timeseries/ets", seasonality=1, context_length=90).predict(panel, horizon=2)
    np.testing.assert_array_equal(short.values, without.values)


@settings(max_examples=60, deadline=None)
@given(st.integers(25, 80), st.integers(0, 100), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1e3, -1e9]))
def test_what_repeats_is_told_from_a_straight_line(season: int, more: int, seed: int, level: float) -> None:
    rng = np.random.default_rng(seed)
    cycle = rng.normal(size=season)
    at = np.arange(2 * season + more)
    series = level + 0.1 * at + cycle[at % season]
    size = max(abs(level), 1.0)
    np.testing.assert_allclose(ets._pattern(series, season), cycle - cycle.mean(), atol=1e-10 * size)


def test_a_season_of_thousands_of_steps_is_repeated_within_seconds() -> None:
    at, season = np.arange(3 * 8640), 8640
    cycle = 30.0 * np.sin(2 * np.pi * at / season)
    series = 100.0 + cycle + np.random.default_rng(0).normal(0.0, 1.0, len(at))
    began = time.perf_counter()
    p = fc.create_model("timeseries/ets", seasonality=season).predict(
        panel_of(series[:-700, None]), horizon=700
    )
    assert time.perf_counter() - began < 20
    assert np.abs(p.median()[0, :, 0] - (100.0 + cycle[-700:])).mean() < 1.0


def test_the_season_is_the_frequencys_unless_said() -> None:
    panel = sample_panel(items=1)
    told = fc.create_model("timeseries/ets", form="ANA", seasonality=24).predict(panel, horizon=24)
    np.testing.assert_array_equal(
        told.values, fc.create_model("timeseries/ets", form="ANA").predict(panel, horizon=24).values
    )


def test_only_the_context_is_read() -> None:
    series = monthly(80)[:, None]
    other = series.copy()
    other[:30] = 1e4
    model = fc.create_model("timeseries/ets", seasonality=4, context_length=50, form="AAA", horizon=3)
    assert model.predict(panel_of(series)) == model.predict(panel_of(other))


def test_gaps_are_filled_along_a_line_and_the_end_counts_as_steps_ahead() -> None:
    series = monthly(60)
    holes = series.copy()
    holes[[20, 21, 40]] = np.nan
    filled = holes.copy()
    filled[20:22] = np.interp([20, 21], [19, 22], series[[19, 22]])
    filled[40] = (series[39] + series[41]) / 2
    holes[:3] = np.nan
    holes[-2:] = np.nan
    model = fc.create_model("timeseries/ets", seasonality=4, form="AAA")
    late = model.predict(panel_of(holes[:, None]), horizon=3)
    early = model.predict(panel_of(filled[3:-2, None]), horizon=5)
    np.testing.assert_allclose(late.values, early.values[:, 2:])


def test_series_too_short_to_smooth_are_answered_as_the_naive_baseline_does() -> None:
    values = np.column_stack([monthly(30), monthly(30, seed=1), monthly(30, seed=2)])
    values[:-5, 1] = np.nan
    values[:, 2] = np.nan
    panel = panel_of(values)
    naive = fc.create_model("series/naive")
    p = fc.create_model("timeseries/ets", form="ANN").predict(panel, horizon=4)
    expected = naive.predict(panel, horizon=4).quantile(p.levels)
    np.testing.assert_array_equal(p.values[1:], expected[1:])
    assert not np.array_equal(p.values[0], expected[0])
    windows = panel.windows(horizon=4, context_length=None, origins=panel.timestamps[[8, 25]])
    rolled = fc.create_model("timeseries/ets", form="ANN").predict_windows(windows)
    early = naive.predict_windows(windows).quantile(p.levels)
    np.testing.assert_array_equal(rolled.values[[0, 2, 4, 5]], early[[0, 2, 4, 5]])


def test_constant_and_far_off_series_are_answered() -> None:
    rng = np.random.default_rng(0)
    values = np.column_stack([np.full(40, 7.0), np.zeros(40), 1e9 + rng.normal(size=40)])
    p = fc.create_model("timeseries/ets", seasonality=1).predict(panel_of(values), horizon=3)
    np.testing.assert_allclose(p.median()[:2, :, 0], [[7.0] * 3, [0.0] * 3], atol=1e-6)
    lower, upper = p.interval(0.9)
    assert ((upper - lower)[2] > 1.0).all()
    assert ((upper - lower)[2] < 20.0).all()
    assert (upper > lower).all()


def test_what_it_cannot_use_is_refused() -> None:
    panel = panel_of(monthly()[:, None] - 50.0)
    for options in ({"form": "AAM"}, {"form": "XYZ"}, {"form": "ANN", "damped": True}):
        with pytest.raises(ConfigError, match="form"):
            fc.create_model("timeseries/ets", **options)
    with pytest.raises(ConfigError, match="seasonality"):
        fc.create_model("timeseries/ets", form="ANA", seasonality=1)
    with pytest.raises(InvalidInputError, match="horizon"):
        fc.create_model("timeseries/ets").predict(panel)
    with pytest.raises(DataError, match=r"'item-0' up to .*not positive"):
        fc.create_model("timeseries/ets", form="MNN").predict(panel, horizon=1)
    with pytest.raises(InvalidInputError, match="no multiplicative season of more than 24"):
        fc.create_model("timeseries/ets", form="MNM", seasonality=48).predict(panel, horizon=1)
    with pytest.raises(DataError, match="observed"):
        fc.create_model("timeseries/ets").predict(panel_of(np.full((30, 1), np.nan)), horizon=1)


def test_conformance() -> None:
    report = fc.check_predictor("timeseries/ets")
    assert report.ok, report.summary()
