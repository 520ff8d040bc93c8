"""The table trees see: each column against a loop by hand, and only from what was known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings, strategies as st

import forecast_core as fc
from forecast_core.data.calendar import calendar_features
from forecast_core.series.sample import sample_panel
from forecast_timeseries.channels import ChannelScaling
from forecast_timeseries.lagged import LaggedSeries, LagPlan

plans = st.builds(
    LagPlan,
    lags=st.integers(1, 6),
    means=st.sampled_from([(), (3,), (2, 9)]),
    seasons=st.sampled_from([(), (5,), (4, 7)]),
    repeats=st.integers(1, 3),
    radius=st.integers(0, 3),
    calendar=st.sampled_from([(), ("hour_sin", "is_weekend")]),
)


def panel_of(seed: int, *, rows: int = 60, gaps: float = 0.3) -> fc.Panel:
    panel = sample_panel(rows=rows, items=2, past_covariates=1, future_covariates=1, static_covariates=2)
    values = np.random.default_rng(seed).normal(5.0, 2.0, (rows, 2, 2))
    values[np.random.default_rng(seed + 1).random(values.shape) < gaps] = np.nan
    return replace(panel, values=values, target_names=("up", "down"))


def series_of(panel: fc.Panel, plan: LagPlan) -> LaggedSeries:
    codes = np.array([(0, 0), (0, 1), (1, 0), (1, 1)])
    scaling = ChannelScaling(mean=np.full(4, 5.0), scale=np.full(4, 2.0))
    return LaggedSeries(panel, plan, scaling=scaling, codes=codes)


def by_hand(panel: fc.Panel, plan: LagPlan, row: int, channel: int, step: int) -> list[float]:
    item, target = divmod(channel, 2)
    values = (panel.values[:, item, target] - 5.0) / 2.0

    def mean(begin: int, end: int) -> float:
        some = values[max(begin, 0) : max(end, 0)]
        return float(np.nanmean(some)) if (~np.isnan(some)).any() else np.nan

    def at(k: int) -> float:
        return float(values[k]) if k >= 0 else np.nan

    def level_at(k: int) -> float:
        k = max(k, 0)
        found = mean(k - plan.lags + 1, k + 1)
        if not np.isnan(found):
            return found
        seen = values[: k + 1][~np.isnan(values[: k + 1])]
        return float(seen[-1]) if len(seen) else 0.0

    level = level_at(row)
    out = [float(step), level, *(at(row - k) - level for k in range(plan.lags))]
    out += [mean(row + 1 - n, row + 1) - level for n in plan.means]
    for season in plan.seasons:
        first = -(-step // season)
        backs = [season * (first + k) for k in range(plan.repeats)]
        out += [at(row + step - back) - level for back in backs]
        then = [max(row - back, 0) for back in backs]
        out += [
            at(row + step - back) - mean(k - plan.lags + 1, k + 1)
            for back, k in zip(backs, then, strict=True)
        ]
        phase = row + step - backs[0]
        out += [mean(phase - plan.radius, min(phase + plan.radius, row) + 1) - level]
    time = panel.freq.shift(panel.timestamps[row], step)
    out += calendar_features(time, plan.calendar, tz=panel.tz).tolist()
    out += [float(item), float(target)]
    assert panel.past_covariates is not None
    assert panel.future_covariates is not None
    assert panel.static_covariates is not None
    out += panel.past_covariates[row, item].tolist()
    out += panel.future_covariates[row + step, item].tolist()
    return out + panel.static_covariates[item].tolist()


@settings(max_examples=60, deadline=None)
@given(
    plan=plans,
    seed=st.integers(0, 99),
    where=st.lists(
        st.tuples(st.integers(0, 49), st.integers(0, 3), st.integers(1, 9)), min_size=1, max_size=8
    ),
)
def test_each_column_is_what_a_loop_by_hand_finds(
    plan: LagPlan, seed: int, where: list[tuple[int, int, int]]
) -> None:
    panel = panel_of(seed)
    rows, channels, steps = (np.array(each) for each in zip(*where, strict=True))
    table = series_of(panel, plan).table(rows, channels, steps)
    expected = [by_hand(panel, plan, *each) for each in where]
    np.testing.assert_allclose(table, expected, rtol=1e-5, atol=5e-6)
    assert table.shape[1] == len(plan.names()) + 4


@settings(max_examples=40, deadline=None)
@given(plan=plans, seed=st.integers(0, 99), row=st.integers(0, 49), step=st.integers(1, 9))
def test_targets_after_the_origin_change_nothing(plan: LagPlan, seed: int, row: int, step: int) -> None:
    panel = panel_of(seed)
    changed = panel.values.copy()
    changed[row + 1 :] += np.random.default_rng(seed).normal(0.0, 100.0, changed[row + 1 :].shape)
    where = np.full(4, row), np.arange(4), np.full(4, step)
    before = series_of(panel, plan).table(*where)
    np.testing.assert_array_equal(series_of(replace(panel, values=changed), plan).table(*where), before)


@settings(max_examples=40, deadline=None)
@given(plan=plans, seed=st.integers(0, 99), horizon=st.integers(1, 9), gaps=st.sampled_from([0.0, 0.5, 0.9]))
def test_rows_within_reach_are_all_that_counts_to_the_bit(
    plan: LagPlan, seed: int, horizon: int, gaps: float
) -> None:
    panel, row = panel_of(seed, rows=120, gaps=gaps), 100
    values = panel.values.copy()
    values[row] = np.nan_to_num(values[row])  # else the level is the last value before, wherever that lies
    panel = replace(panel, values=values)
    begin = row + 1 - plan.reach(horizon)
    channels, steps = np.repeat(np.arange(4), horizon), np.tile(np.arange(1, horizon + 1), 4)
    whole = series_of(panel, plan).table(np.full(len(steps), row), channels, steps)
    cut = series_of(panel.rows(begin, 120), plan).table(np.full(len(steps), row - begin), channels, steps)
    np.testing.assert_array_equal(cut, whole)


def test_a_steady_series_shows_exactly_no_change() -> None:
    plan = LagPlan(lags=7, means=(3,), seasons=(5,), repeats=1, radius=2, calendar=())
    panel = panel_of(0, gaps=0.0)
    panel = replace(panel, values=np.full_like(panel.values, 0.1))
    table = series_of(panel, plan).table(np.array([50]), np.array([0]), np.array([3]))
    assert (table[0, 2 : plan.names().index("item")] == 0.0).all()


def test_the_level_is_as_far_away_as_the_values_are() -> None:
    plan = LagPlan(lags=3, means=(7,), seasons=(5,), repeats=1, radius=2, calendar=())
    panel = panel_of(0, gaps=0.0)
    values = panel.values.copy()
    values[30:, 0] = 5e12
    series = series_of(replace(panel, values=values), plan)
    rows, channels, steps = np.array([50]), np.array([0]), np.array([3])
    np.testing.assert_allclose(series.level(rows, channels), (5e12 - 5.0) / 2.0)
    assert (series.table(rows, channels, steps)[0, 2 : plan.names().index("item")] == 0.0).all()
    assert series.change(rows - 21, channels, steps)[0] == 1e6  # into what trees tell apart
