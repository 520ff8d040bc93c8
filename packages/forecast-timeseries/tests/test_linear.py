"""`timeseries/linear`: its algebra, what it learns, its intervals, and published errors."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import forecast_core as fc
from forecast_core.errors import (
    ConfigError,
    DataError,
    FrequencyError,
    InvalidInputError,
    LeakError,
    NotFittedError,
    ShapeError,
)
from forecast_core.series.sample import sample_panel
from forecast_timeseries import read_wide
from forecast_timeseries.models import linear
from forecast_timeseries.ridge import (
    RidgePath,
    apply_ridge,
    moving_average,
    ridge_error,
    ridge_weights,
    second_moments,
)

DATA = Path(os.environ.get("FORECAST_DATA", Path(__file__).parents[4] / "shared" / "data")) / "timeseries"
SMALL = {"context_length": 24, "horizon": 6}
NORMALISATIONS = ("last", "none", "decompose")


def fitted(panel: fc.Panel, **options: Any) -> Any:
    return fc.create_model("timeseries/linear", **{**SMALL, **options}).fit(panel, seed=0)


def moments_of(*parts: np.ndarray) -> np.ndarray:
    return second_moments(parts, columns=parts[0].shape[1])


@given(
    seed=st.integers(0, 2**16),
    rows=st.integers(2, 40),
    inputs=st.integers(1, 6),
    outputs=st.integers(1, 4),
    strength=st.floats(1e-4, 1e2),
)
@settings(max_examples=60, deadline=None)
def test_ridge_weights_solve_the_penalised_problem(
    seed: int, rows: int, inputs: int, outputs: int, strength: float
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, inputs)) + rng.normal(size=inputs)
    y = rng.normal(size=(rows, outputs)) + x[:, :1]
    weights = RidgePath(moments_of(np.hstack([x, y])), inputs=inputs).weights(strength)
    apart = x - x.mean(0)
    penalty = strength * (apart**2).mean()
    slopes = np.linalg.solve(apart.T @ apart / rows + penalty * np.eye(inputs), apart.T @ y / rows)
    np.testing.assert_allclose(weights[1:], slopes, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(apply_ridge(weights, x).mean(0), y.mean(0), atol=1e-8)


@given(seed=st.integers(0, 2**16), cut=st.integers(0, 20))
@settings(max_examples=30, deadline=None)
def test_moments_add_up_and_tell_the_error(seed: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    x, y, weights = rng.normal(size=(20, 3)), rng.normal(size=(20, 2)), rng.normal(size=(4, 2))
    both = np.hstack([x, y])
    whole = moments_of(both)
    np.testing.assert_allclose(moments_of(both[:cut], both[cut:]), whole, atol=1e-10)
    np.testing.assert_allclose(moments_of(both[:cut]) + moments_of(both[cut:]), whole, atol=1e-10)
    assert ridge_error(whole, weights) == pytest.approx(((apply_ridge(weights, x) - y) ** 2).mean())


@pytest.mark.parametrize(("length", "width"), [(10, 5), (10, 4), (3, 9), (1, 1)])
def test_moving_averages_repeat_the_ends(length: int, width: int) -> None:
    values = np.random.default_rng(0).normal(size=length)
    padded = np.pad(values, ((width - 1) // 2, width // 2), mode="edge")
    expected = np.convolve(padded, np.full(width, 1 / width), mode="valid")
    np.testing.assert_allclose(moving_average(length, width=width) @ values, expected)


def test_a_basis_is_ridge_on_the_combined_inputs() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 8)), rng.normal(size=(50, 2))
    trend = moving_average(8, width=3)
    basis = np.hstack([trend.T, (np.eye(8) - trend).T])
    moments = moments_of(np.hstack([x, y]))
    combined = RidgePath(moments, inputs=8, basis=basis).weights(0.3)
    apart = RidgePath(moments_of(np.hstack([x @ basis, y])), inputs=16).weights(0.3)
    np.testing.assert_allclose(apply_ridge(combined, x), apply_ridge(apart, x @ basis), atol=1e-10)
    np.testing.assert_allclose(ridge_weights(moments, 0.3, inputs=8, basis=basis), combined, atol=1e-10)
    plain = RidgePath(moments, inputs=8).weights(0.3)
    np.testing.assert_allclose(ridge_weights(moments, 0.3, inputs=8), plain, atol=1e-10)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@given(factor=st.floats(1e-3, 1e6), shift=st.floats(-1e6, 1e6))
@settings(max_examples=8, deadline=None)
def test_units_do_not_matter(normalisation: str, factor: float, shift: float) -> None:
    panel = sample_panel(rows=120, items=2, missing=0.02)
    other = replace(panel, values=panel.values * factor + shift)
    one, two = (
        fitted(p, normalisation=normalisation, ridge=0.1).predict(p).quantile([0.1, 0.5])
        for p in (panel, other)
    )
    scale = factor * np.nanstd(panel.values)
    np.testing.assert_allclose((two - (one * factor + shift)) / scale, 0.0, atol=1e-5)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_a_linear_recurrence_is_learnt_exactly(normalisation: str) -> None:
    panel = sample_panel(rows=400, items=1)
    hours = np.arange(430)
    curve = 50.0 + np.sin(hours / 5.0) + 2.0 * np.cos(hours / 11.0)
    known = replace(panel, values=curve[:400, None, None])
    p = fitted(known, normalisation=normalisation, horizon=30, ridge=1e-10).predict(known)
    np.testing.assert_allclose(p.mean()[0, :, 0], curve[400:], atol=1e-2)


def test_several_targets_and_items_in_any_order() -> None:
    panel = sample_panel(rows=150, items=3)
    both = replace(
        panel, values=np.concatenate([panel.values, -panel.values], axis=2), target_names=("up", "down")
    )
    model = fitted(both)
    mean = model.predict(both).mean()
    assert mean.shape == (3, 6, 2)
    np.testing.assert_allclose(mean[..., 0], -mean[..., 1], atol=1.0)
    picked = model.predict(both.select_items(("item-2", "item-0")))
    np.testing.assert_allclose(picked.mean(), mean[[2, 0]])
    np.testing.assert_allclose(picked.variance(), model.predict(both).variance()[[2, 0]])


def test_a_shorter_horizon_is_the_beginning_of_the_full_one() -> None:
    panel = sample_panel(rows=150)
    model = fitted(panel)
    np.testing.assert_array_equal(model.predict(panel, horizon=2).mean(), model.predict(panel).mean()[:, :2])
    with pytest.raises(InvalidInputError, match="at most 6"):
        model.predict(panel, horizon=7)


def test_gaps_of_a_context_are_the_last_value_before_them() -> None:
    panel = sample_panel(rows=200, items=2)
    model = fitted(panel)
    gaps, filled = panel.values.copy(), panel.values.copy()
    gaps[170:180, 0], gaps[-9:-3, 1] = np.nan, np.nan
    filled[170:180, 0], filled[-9:-3, 1] = filled[169, 0], filled[-10, 1]
    missing, known = (replace(panel, values=values) for values in (gaps, filled))
    np.testing.assert_allclose(model.predict(missing).mean(), model.predict(known).mean())


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("context", [1, 2, 24])
def test_moments_after_a_gap_are_those_of_windows_that_end_in_it(normalisation: str, context: int) -> None:
    panel = sample_panel(rows=120, items=2)
    model = fitted(panel, normalisation=normalisation, context_length=context, calendar=("hour_sin",))
    series = model._channels(panel)
    windows = np.arange(30, 110), np.arange(80) % 2
    inputs = model._inputs
    moments = model._moments(series, windows)
    for gap in range(1, context):
        model._inputs = partial(inputs, gap=gap)
        np.testing.assert_allclose(model._blanked(moments, gap), model._moments(series, windows), atol=1e-9)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_intervals_hold_however_long_ago_the_last_value_was(normalisation: str) -> None:
    rng = np.random.default_rng(0)
    cycle = 30.0 * np.sin(2.0 * np.pi * np.arange(2000) / 24)
    walk = np.cumsum(rng.normal(size=2000))
    values = np.stack([100.0 + cycle + rng.normal(0.0, 5.0, 2000), walk], axis=1)[..., None]
    panel = replace(sample_panel(rows=2000, items=2), values=values)
    model = fitted(panel.rows(0, 1400), normalisation=normalisation, context_length=48)
    origins = panel.timestamps[1500:1990:7]
    windows = panel.windows(context_length=48, horizon=6, origins=origins)
    truth, _ = windows.targets()
    widths = []
    for gap in (0, 1, 5, 12, 30, 80):
        told = []
        for row in windows.rows[::2]:
            known = values[: row + 1].copy()
            known[row + 1 - gap :] = np.nan
            told.append(model.predict(replace(panel.rows(0, row + 1), values=known)).interval(0.9))
        lower, upper = (np.concatenate(each) for each in zip(*told, strict=True))
        inside = (truth >= lower) & (truth <= upper)
        assert inside[::2].mean() > 0.7
        assert inside[1::2].mean() > 0.7
        widths.append([(upper - lower)[::2].mean(), (upper - lower)[1::2].mean()])
    assert (np.diff(widths, axis=0) >= 0.0).all()
    assert widths[3][0] < 1.3 * widths[0][0]  # a cycle is still known


def test_a_gap_at_the_end_of_one_window_changes_no_bit_of_another() -> None:
    panel = sample_panel(rows=200, items=3)
    model = fitted(panel)
    values = panel.values.copy()
    values[-5:, 1] = np.nan
    plain, gappy = model.predict(panel), model.predict(replace(panel, values=values))
    for part in ("means", "sigmas"):
        np.testing.assert_array_equal(getattr(plain, part)[[0, 2]], getattr(gappy, part)[[0, 2]])
    assert (gappy.sigmas[1] > plain.sigmas[1]).all()


def test_an_item_not_begun_yet_is_expected_at_its_mean_and_leaks_nothing() -> None:
    panel = sample_panel(rows=200, items=2)
    model = fitted(panel)
    late = panel.values.copy()
    late[:150, 0] = np.nan
    windows = replace(panel, values=late).windows(context_length=24, horizon=6)
    early = windows.take(np.flatnonzero((windows.rows == 140) & (windows.items == 0)))
    base = model.predict_windows(early).mean()
    late[150:, 0] += 100.0
    moved = replace(panel, values=late).windows(context_length=24, horizon=6)
    np.testing.assert_array_equal(base, model.predict_windows(replace(early, panel=moved.panel)).mean())
    assert np.abs(base - panel.values[:, 0].mean()).max() < 15.0


def test_windows_with_missing_targets_are_left_out_of_fitting() -> None:
    panel = sample_panel(rows=300, items=2)
    wild = panel.values.copy()
    wild[100:130] = np.nan
    assert np.isfinite(fitted(replace(panel, values=wild)).predict(panel).mean()).all()
    only = panel.values.copy()
    only[::5] = np.nan
    with pytest.raises(DataError, match="every target"):
        fitted(replace(panel, values=only))


def test_it_needs_nothing_but_a_horizon() -> None:
    panel = sample_panel(rows=900)
    model = fc.create_model("timeseries/linear", horizon=6).fit(panel)
    assert linear.default_context(panel, horizon=6) == 216  # nine days: a quarter of the rows
    assert np.isfinite(model.predict(panel.rows(900 - 216, 900)).mean()).all()
    with pytest.raises(ShapeError, match="216"):
        model.predict(panel.rows(900 - 215, 900))
    assert linear.default_context(sample_panel(rows=9000), horizon=96) == 336
    assert linear.default_context(sample_panel(rows=30), horizon=6) == 6


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = sample_panel(rows=200, missing=0.01)
    one = fitted(panel).predict(panel).quantile([0.1, 0.9])
    monkeypatch.setattr(linear, "_CHUNK", 7)
    np.testing.assert_allclose(fitted(panel).predict(panel).quantile([0.1, 0.9]), one, rtol=1e-8)


def test_intervals_hold_out_of_sample_where_errors_in_sample_are_far_too_small() -> None:
    rng = np.random.default_rng(3)
    shape = (700, 2, 1)
    panel = sample_panel(rows=700, items=2)
    noise = replace(panel, values=rng.normal(size=shape) * np.array([1.0, 10.0])[:, None])
    train = noise.rows(0, 220)
    model = fitted(train, context_length=100, ridge=1e-4)  # nearly as many inputs as windows
    windows = noise.windows(context_length=100, horizon=6)
    later = windows.take(np.flatnonzero(windows.rows >= 219))
    earlier = windows.take(np.flatnonzero(windows.rows < 213))
    p, (truth, _) = model.predict_windows(later), later.targets()
    lower, upper = p.interval(0.9)
    for item in (0, 1):
        own = later.items == item
        assert 0.82 < ((truth >= lower) & (truth <= upper))[own].mean() < 0.99
    fit_error = np.abs(model.predict_windows(earlier).mean() - earlier.targets()[0]).mean()
    assert np.abs(p.mean() - truth).mean() > 1.5 * fit_error


def test_validation_tells_spread_and_penalty_and_its_items_may_come_in_any_order() -> None:
    panel = sample_panel(rows=300, items=3)
    train, valid = panel.rows(0, 200), panel.rows(200, 300)
    new = fc.create_model("timeseries/linear", **SMALL)
    base = new.fit(train, validation=valid).predict(panel)
    loud = valid.values.copy()
    loud[:, 1] = loud[:, 1].mean() + 5.0 * (loud[:, 1] - loud[:, 1].mean())
    noisy = new.fit(train, validation=replace(valid, values=loud)).predict(panel)
    assert (noisy.variance()[1] > 2.0 * base.variance()[1]).all()
    apart = panel.rows(201, 300)  # does not follow: stands alone
    turned = [
        new.fit(train, validation=apart.select_items(ids)).predict(panel).variance()
        for ids in (panel.item_ids, panel.item_ids[::-1])
    ]
    np.testing.assert_allclose(*turned)
    with pytest.raises(LeakError):
        fc.evaluate(new, panel, metrics=["mae"])


@pytest.mark.parametrize("first", [200, 201])
def test_validation_holds_some_items_of_training_in_any_order(first: int) -> None:
    panel = sample_panel(rows=300, items=3)
    train, valid = panel.rows(0, 200), panel.rows(first, 300)
    new = fc.create_model("timeseries/linear", **SMALL)
    straight, turned = (
        new.fit(train, validation=valid.select_items(ids)).predict(panel).variance()
        for ids in (panel.item_ids[:2], panel.item_ids[1::-1])
    )
    np.testing.assert_allclose(straight, turned)
    with pytest.raises(DataError, match=r"validation\.item_ids.* were all seen in training"):
        new.fit(train, validation=replace(valid, item_ids=("item-0", "item-1", "item-3")))
    with pytest.raises((DataError, ShapeError), match=r"validation\.target_names"):
        new.fit(train, validation=replace(valid, target_names=("other",)))


def test_windows_that_are_fitted_on_are_not_validated_on() -> None:
    panel = sample_panel(rows=200, items=2)
    windows, new = panel.windows(context_length=24, horizon=6), fc.create_model("timeseries/linear", **SMALL)
    early, late = windows.take(windows.rows < 150), windows.take(windows.rows >= 150)
    for fitted, held in ((windows, windows), (panel.rows(0, 160), late), (early, windows)):
        with pytest.raises(LeakError, match="validation: all targets of window 0, of 'item-0' after"):
            new.fit(fitted, validation=held)
    assert new.fit(early, validation=late).is_fitted  # some targets of its first windows are fitted on


def test_calendar_features_are_used() -> None:
    panel = sample_panel(rows=600, items=2)
    options = {"context_length": 3, "normalisation": "none"}
    errors = []
    for calendar in ((), ("hour_sin", "hour_cos")):
        model = fitted(panel.rows(0, 400), calendar=calendar, **options)
        windows = panel.windows(context_length=3, horizon=6)
        later = windows.take(np.flatnonzero(windows.rows >= 400))
        errors.append(np.abs(model.predict_windows(later).mean() - later.targets()[0]).mean())
    assert errors[1] < 0.8 * errors[0]


def test_it_beats_the_naive_on_a_cycle() -> None:
    panel = sample_panel(rows=900, items=3)
    model = fc.create_model("timeseries/linear", horizon=6).fit(panel.rows(0, 700))
    naive = fc.create_model("series/seasonal-naive", seasonality=24)
    result = fc.backtest(
        [model, naive], panel, start=panel.timestamps[700], horizon=6, metrics=["mae", "coverage@0.9"]
    )
    assert result["timeseries/linear"].skill["mae"] > 0.2
    assert 0.84 < result["timeseries/linear"].metrics["coverage@0.9"] < 0.96


def test_fitting_on_windows_is_fitting_on_the_rows_they_cover(tmp_path: Path) -> None:
    panel = sample_panel(rows=150, missing=0.02)
    by_windows = fc.create_model("timeseries/linear", **SMALL).fit(
        panel.windows(context_length=24, horizon=6)
    )
    by_panel = fitted(panel)
    np.testing.assert_array_equal(by_windows.predict(panel).mean(), by_panel.predict(panel).mean())
    by_panel.save(tmp_path / "m")
    assert fc.load_model(tmp_path / "m").predict(panel) == by_panel.predict(panel)


def test_bad_input_is_refused_with_typed_errors() -> None:
    panel = sample_panel(rows=150)
    model = fitted(panel)
    stamps = panel.freq.shift(panel.timestamps[0], 2 * np.arange(150))
    two_hourly = replace(panel, freq=fc.Freq.parse("2h"), timestamps=stamps)
    with pytest.raises(ShapeError, match="context_length"):
        model.predict(panel.rows(0, 20))
    with pytest.raises(ShapeError, match="held out"):
        fitted(panel.rows(0, 31))
    with pytest.raises(ShapeError, match="at least horizon"):
        fc.create_model("timeseries/linear", **SMALL).fit(panel.rows(0, 140), validation=panel.rows(140, 143))
    with pytest.raises(DataError, match="item-x"):
        model.predict(replace(panel, item_ids=("item-0", "item-1", "item-x")))
    with pytest.raises(DataError, match="target_names"):
        model.predict(replace(panel, target_names=("other",)))
    with pytest.raises(FrequencyError, match="as in training"):
        model.predict(two_hourly)
    with pytest.raises(DataError, match="observation of every target"):
        fitted(replace(panel, values=np.full_like(panel.values, np.nan)))
    with pytest.raises(InvalidInputError, match="windows of the horizon 6"):
        fc.create_model("timeseries/linear", **SMALL).fit(panel.windows(context_length=24, horizon=5))
    with pytest.raises(NotFittedError):
        fc.create_model("timeseries/linear", **SMALL).predict(panel)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"calendar": ("hour_sine",)}, "hour_sin"),
        ({"ridge": 0.0}, "ridge"),
        ({"horizon": 0}, "horizon"),
        ({"normalisation": "first"}, "normalisation"),
    ],
)
def test_wrong_options_name_the_field(options: dict[str, Any], names: str) -> None:
    with pytest.raises(ConfigError, match=names):
        fc.create_model("timeseries/linear", **{**SMALL, **options})


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="set FORECAST_DATA to the folder of public data sets")
def test_transformer_temperatures_reproduce_published_errors_of_linear_models() -> None:
    panel = read_wide(DATA / "ett" / "ETTh1.csv.gz", timestamp="date", freq="h")
    train = panel.values[:8640]
    used = replace(panel.rows(0, 14400), values=((panel.values - train.mean(0)) / train.std(0))[:14400])
    windows = used.windows(context_length=336, horizon=96)
    valid = windows.take(np.flatnonzero((windows.rows >= 8639) & (windows.rows + 96 < 11520)))
    models = [
        fc.create_model("timeseries/linear", horizon=96, context_length=336, normalisation=name).fit(
            used.rows(0, 8640), validation=used.rows(8640, 11520)
        )
        for name in NORMALISATIONS
    ]
    on_valid = [float(np.mean((m.predict_windows(valid).mean() - valid.targets()[0]) ** 2)) for m in models]
    chosen = models[int(np.argmin(on_valid))]
    naive = fc.create_model("series/seasonal-naive", seasonality=24)
    metrics = ["mse", "coverage@0.9"]
    result = fc.backtest(
        [chosen, naive], used, start=used.timestamps[11520], horizon=96, stride=1, metrics=metrics
    )
    assert result["series/seasonal-naive"].metrics["mse"] == pytest.approx(0.512, abs=0.002)
    assert result["timeseries/linear"].metrics["mse"] <= 0.376  # DLinear, as published: about 0.375
    assert 0.88 < result["timeseries/linear"].metrics["coverage@0.9"] < 0.97
