"""Batches of windows hold exactly what a loop over windows would gather, and nothing later."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given, settings, strategies as st

from forecast_core.data import Panel
from forecast_core.data.calendar import calendar_features
from forecast_core.series.sample import sample_panel
from forecast_timeseries.nn.scaling import PanelScaling
from forecast_timeseries.nn.tensors import SeriesTensors

CALENDAR = ("hour_sin", "is_weekend")
PARTS = ("targets", "past", "future", "static")
UNIT = PanelScaling(dict.fromkeys(PARTS, np.zeros(1)), dict.fromkeys(PARTS, np.ones(1)))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Panel, tuple[int, ...], int, int, np.ndarray, np.ndarray]:
    items = draw(st.integers(1, 3))
    panel = sample_panel(
        draw(st.integers(0, 99)),
        rows=60,
        items=items,
        missing=draw(st.sampled_from([0.0, 0.3])),
        past_covariates=draw(st.integers(0, 2)),
        future_covariates=draw(st.integers(0, 2)),
        static_covariates=draw(st.integers(0, 2)),
    )
    horizon = draw(st.integers(1, 5))
    lags = tuple(sorted(draw(st.sets(st.integers(horizon, 30), max_size=2))))
    context = draw(st.integers(1, 12))
    n = draw(st.integers(1, 6))
    rows = np.array(draw(st.lists(st.integers(context - 1, 59 - horizon), min_size=n, max_size=n)))
    which = np.array(draw(st.lists(st.integers(0, items - 1), min_size=n, max_size=n)))
    return panel, lags, context, horizon, rows, which


def filled(values: np.ndarray) -> np.ndarray:
    observed = ~np.isnan(values)
    return np.concatenate([np.where(observed, values, 0.0), observed], axis=-1)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_a_batch_equals_a_loop_over_windows(
    case: tuple[Panel, tuple[int, ...], int, int, np.ndarray, np.ndarray],
) -> None:
    panel, lags, context, horizon, rows, items = case
    tensors = SeriesTensors(panel, scaling=UNIT, lags=lags, calendar=CALENDAR, extra=0)
    batch = tensors.source(rows, items, context=context, horizon=horizon).batch(torch.arange(len(rows)))
    for n, (row, item) in enumerate(zip(rows.tolist(), items.tolist(), strict=True)):
        at = np.arange(row - context + 1, row + horizon + 1)
        columns = [filled(panel.values[at, item])]
        if lags:
            lagged = [
                np.where((at - lag >= 0)[:, None], panel.values[np.maximum(at - lag, 0), item], np.nan)
                for lag in lags
            ]
            columns.append(filled(np.concatenate(lagged, axis=-1)))
        if panel.past_covariates is not None:
            columns.append(filled(panel.past_covariates[at, item]))
        if panel.future_covariates is not None:
            columns.append(panel.future_covariates[at, item])
        np.testing.assert_allclose(batch.series[n].numpy(), np.concatenate(columns, -1), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(
            batch.clock[n].numpy(), calendar_features(panel.timestamps[at], CALENDAR), rtol=1e-6, atol=1e-6
        )
        if panel.static_covariates is not None:
            np.testing.assert_allclose(batch.static[n].numpy(), panel.static_covariates[item], rtol=1e-6)


def test_rows_past_the_end_are_unobserved_and_the_clock_goes_on() -> None:
    panel = sample_panel(rows=50, items=2)
    tensors = SeriesTensors(panel, scaling=UNIT, lags=(24,), calendar=CALENDAR, extra=6)
    batch = tensors.source(np.array([49]), np.array([1]), context=4, horizon=6).batch(torch.arange(1))
    series = batch.series[0].numpy()
    assert (series[4:, :2] == 0).all()
    np.testing.assert_allclose(series[4:, 2], panel.values[26:32, 1, 0], rtol=1e-6)
    later = panel.freq.range(panel.timestamps[46], 10)
    np.testing.assert_allclose(batch.clock[0].numpy(), calendar_features(later, CALENDAR), atol=1e-6)


def test_windows_are_views_of_the_panel_not_copies() -> None:
    tensors = SeriesTensors(sample_panel(rows=500, items=3), scaling=UNIT, lags=(), calendar=(), extra=0)
    source = tensors.source(np.arange(100, 200), np.zeros(100, dtype=int), context=50, horizon=10)
    assert source.series.untyped_storage().data_ptr() == tensors.series.untyped_storage().data_ptr()
    assert source.batch(torch.arange(3)).clock.shape == (3, 60, 0)


def test_values_after_the_window_do_not_enter_it() -> None:
    panel = sample_panel(rows=80, items=2)
    changed = panel.values.copy()
    changed[60:] += 100.0
    later = replace(panel, values=changed)
    batches = [
        SeriesTensors(p, scaling=UNIT, lags=(5,), calendar=(), extra=0)
        .source(np.array([54]), np.array([0]), context=8, horizon=5)
        .batch(torch.arange(1))
        for p in (panel, later)
    ]
    assert torch.equal(batches[0].series, batches[1].series)
