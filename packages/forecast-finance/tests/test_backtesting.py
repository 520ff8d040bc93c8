"""Signals are filled a bar later, cost what they cost, and are marked to market every day."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from forecast_core.errors import DataError, InvalidInputError, ShapeError
from forecast_finance import (
    Bars,
    backtest_signals,
    deflated_sharpe_ratio,
    probability_of_overfitting,
    random_walk,
)
from forecast_finance.bar_windows import BarWindows
from forecast_finance.evaluation.overfitting import _deflated, expected_best_sharpe


def one_signal(bars: Any, *, row: int) -> tuple[BarWindows, np.ndarray]:
    windows = BarWindows(bars, np.arange(len(bars)), 3)
    actions = np.zeros(len(bars), dtype=int)
    actions[row] = 1
    return windows, actions


ROWS = [
    (10.0, 10.5, 9.5, 10.0),
    (10.0, 10.5, 9.5, 10.0),  # the signal, at its close
    (10.2, 10.9, 10.0, 10.8),  # filled at 10.2
    (10.8, 11.3, 10.7, 11.2),
    (11.0, 11.2, 10.5, 10.6),
    (10.5, 10.9, 10.2, 10.4),  # closed at 10.5, after three bars
    (10.4, 10.8, 10.1, 10.3),
    (10.4, 10.8, 10.1, 10.3),
]


def test_a_trade_by_hand(bars_of: Any) -> None:
    windows, actions = one_signal(bars_of.rows(ROWS), row=1)
    result = backtest_signals(windows, actions, hold=3, cost_bp=10)
    share, cost = 1 / 3, 0.001  # a third of the account, all of its date
    expected = np.array(
        [
            0.0,  # the first window could have been filled here
            (10.8 - 10.2) / 10.2 - cost,
            (11.2 - 10.8) / 10.2,
            (10.6 - 11.2) / 10.2,
            (10.5 - 10.6) / 10.2 - cost * 10.5 / 10.2,
        ]
    )
    np.testing.assert_allclose(result.returns[:5], share * expected, atol=1e-15)
    assert not result.returns[5:].any()
    np.testing.assert_allclose(result.trades, [10.5 / 10.2 - 1 - cost * (1 + 10.5 / 10.2)])
    assert result.metrics["trades"] == 1
    assert result.metrics["win_rate"] == 1
    assert result.metrics["max_drawdown"] == pytest.approx(result.equity()[4] / result.equity()[2] - 1)


def test_a_sale_mirrors_a_purchase_but_for_costs(bars_of: Any) -> None:
    windows, actions = one_signal(bars_of.rows(ROWS), row=1)
    bought = backtest_signals(windows, actions, cost_bp=0)
    sold = backtest_signals(windows, -actions, cost_bp=0)
    np.testing.assert_allclose(sold.returns, -bought.returns)
    refused = backtest_signals(windows, -actions, allow_short=False)
    assert not refused.returns.any()
    assert np.isnan(refused.metrics["win_rate"])


def test_the_close_of_the_signal_cannot_be_traded_at(bars_of: Any) -> None:
    rows = list(ROWS)
    gap = [(o + 5, h + 5, low + 5, c + 5) for o, h, low, c in rows[2:]]  # a jump right after the signal
    windows, actions = one_signal(bars_of.rows([*rows[:2], *gap]), row=1)
    result = backtest_signals(windows, actions, cost_bp=0)
    assert result.trades[0] == pytest.approx(15.5 / 15.2 - 1)  # none of the jump


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000), hold=st.integers(1, 10), cost=st.floats(0, 50))
def test_days_add_up_to_trades_and_nothing_is_invested_twice(seed: int, hold: int, cost: float) -> None:
    bars = random_walk(seed, rows=60)
    windows = bars.windows()
    rng = np.random.default_rng(seed)
    actions = rng.integers(-1, 2, len(windows))
    result = backtest_signals(windows, actions, hold=hold, cost_bp=cost)
    np.testing.assert_allclose(result.returns.sum(), result.trades.sum() / hold / 3, atol=1e-12)
    always = backtest_signals(windows, np.ones(len(windows), dtype=int), hold=hold, cost_bp=cost)
    assert always.metrics["exposure"] <= 1.0 + 1e-12
    free = backtest_signals(windows, actions, hold=hold, cost_bp=0)
    assert free.returns.sum() >= result.returns.sum()


def test_signals_too_late_to_finish_are_counted(bars_of: Any) -> None:
    bars = bars_of.rows(ROWS)
    windows, actions = one_signal(bars, row=6)
    result = backtest_signals(windows, actions)
    assert result.metrics["unfinished"] == 1
    assert result.metrics["trades"] == 0
    with pytest.raises(ShapeError, match="followed by 4 bars"):
        backtest_signals(windows.take([6, 7]), actions[6:])


def test_wrong_actions_and_costs_are_refused() -> None:
    windows = random_walk(rows=60).windows()
    actions = np.zeros(len(windows), dtype=int)
    with pytest.raises(ShapeError, match="actions"):
        backtest_signals(windows, actions[1:])
    with pytest.raises(InvalidInputError, match="1, 0 or -1"):
        backtest_signals(windows, actions + 2)
    with pytest.raises(InvalidInputError, match="cost_bp"):
        backtest_signals(windows, actions, cost_bp=-1)


def test_a_sharpe_ratio_of_noise_has_an_interval_around_zero() -> None:
    windows = random_walk(3, symbols=5, rows=800).windows()
    actions = np.random.default_rng(0).choice([-1, 1], len(windows))
    interval = backtest_signals(windows, actions, cost_bp=0).sharpe_interval()
    assert interval.lower < 0 < interval.upper


# a year


def spaced(times: np.ndarray, interval: np.timedelta64, *, seed: int = 0) -> Bars:
    """One symbol's random walk at some times."""
    walk = random_walk(seed, symbols=1, rows=len(times))
    return replace(walk, timestamps=times.astype("datetime64[us]"), interval=interval)


def at(start: str, count: int, step: np.timedelta64) -> np.ndarray:
    return np.datetime64(start) + np.arange(count) * step


HOUR, DAY, WEEK = np.timedelta64(1, "h"), np.timedelta64(1, "D"), np.timedelta64(7, "D")
WEEKDAYS = np.busday_offset(np.datetime64("2018-01-01"), np.arange(520))
YEARS = {
    "daily": (WEEKDAYS, DAY, 252.0),
    "hours, around the clock": (at("2018-01-01T00", 24 * 200, HOUR), HOUR, 24 * 365.25),
    "seven hours a weekday": (
        (WEEKDAYS[:, None].astype("datetime64[h]") + np.arange(14, 21)).ravel(),
        HOUR,
        7 * 5 * 365.25 / 7,
    ),
    "weekly": (at("2018-01-05", 150, WEEK), WEEK, 365.25 / 7),
    "monthly": (at("2010-01", 120, np.timedelta64(1, "M")), np.timedelta64(31, "D"), 12.0),
}


@pytest.mark.parametrize("kind", YEARS)
def test_annual_figures_are_of_as_many_bars_as_a_year_has(kind: str) -> None:
    times, interval, a_year = YEARS[kind]
    windows = spaced(times, interval).windows()
    result = backtest_signals(windows, np.ones(len(windows)), cost_bp=0)
    assert result.bars_a_year == pytest.approx(a_year, rel=0.01)
    r, root = result.returns, np.sqrt(result.bars_a_year)
    assert result.metrics["sharpe"] == pytest.approx(r.mean() / r.std(ddof=1) * root)
    assert result.metrics["annual_volatility"] == pytest.approx(r.std(ddof=1) * root)
    years = len(r) / result.bars_a_year
    assert result.metrics["annual_return"] == pytest.approx(result.equity()[-1] ** (1 / years) - 1)
    interval_of = result.sharpe_interval(n_resamples=200)
    assert interval_of.lower < interval_of.value < interval_of.upper
    given = backtest_signals(windows, np.ones(len(windows)), cost_bp=0, bars_a_year=4 * a_year)
    assert given.bars_a_year == 4 * a_year
    scale = np.sqrt(4 * a_year / result.bars_a_year)
    wider = given.sharpe_interval(n_resamples=200)
    assert wider.upper == pytest.approx(scale * interval_of.upper)


def test_a_good_day_of_minutes_is_no_number_a_year() -> None:
    minute = np.timedelta64(1, "m")
    bars = spaced(at("2018-01-01T00:00", 40, minute), minute)
    rising = replace(bars, values=np.full((40, 5), 1.0) * np.exp(0.02 * np.arange(40))[:, None])
    windows = rising.windows()
    metrics = backtest_signals(windows, np.ones(len(windows)), cost_bp=0).metrics
    assert metrics["total_return"] > 0.3
    assert np.isinf(metrics["annual_return"])


def test_a_year_without_bars_is_refused() -> None:
    windows = random_walk(rows=60).windows()
    for wrong in (0, -252, np.nan, np.inf):
        with pytest.raises(InvalidInputError, match="bars_a_year: is above 0"):
            backtest_signals(windows, np.ones(len(windows)), bars_a_year=wrong)


# tries


def test_deflated_sharpe_ratio_of_the_paper() -> None:
    # Bailey and Lopez de Prado (2014), section "A numerical example".
    annual = np.sqrt(250)
    benchmark = expected_best_sharpe(100, 0.5 / 250)
    assert benchmark == pytest.approx(0.1132, abs=1e-4)
    assert _deflated(2.5 / annual, 1250, -3, 10, benchmark) == pytest.approx(0.9004, abs=1e-4)
    assert _deflated(2.5 / annual, 1250, -3, 10, expected_best_sharpe(46, 0.5 / 250)) == pytest.approx(
        0.9505, abs=1e-4
    )


def test_the_best_of_many_noises_is_deflated() -> None:
    rng = np.random.default_rng(0)
    tries = 0.01 * rng.standard_normal((1000, 200))
    sharpes = tries.mean(0) / tries.std(0, ddof=1)
    best = tries[:, sharpes.argmax()]
    alone = deflated_sharpe_ratio(best, n_trials=1, variance=0.0)
    deflated = deflated_sharpe_ratio(best, n_trials=200, variance=float(sharpes.var()))
    assert alone > 0.98
    assert deflated < 0.8


def test_overfitting_of_noise_is_likely_and_of_skill_is_not() -> None:
    rng = np.random.default_rng(0)
    noise = 0.01 * rng.standard_normal((1600, 20))
    assert 0.2 < probability_of_overfitting(noise, n_blocks=10) < 0.9
    skill = noise + np.where(np.arange(20) == 7, 0.004, 0.0)
    assert probability_of_overfitting(skill, n_blocks=10) == 0.0
    alternating = np.where(np.arange(1600)[:, None] // 160 % 2 == np.arange(2), 0.01, -0.01)
    assert probability_of_overfitting(alternating + 0.1 * noise[:, :2], n_blocks=10) > 0.9
    with pytest.raises(InvalidInputError, match="even"):
        probability_of_overfitting(noise, n_blocks=5)
    with pytest.raises(ShapeError, match="two configurations"):
        probability_of_overfitting(noise[:, :1])
    with pytest.raises(ShapeError, match="at least 3"):
        deflated_sharpe_ratio(np.zeros(10), n_trials=1, variance=0.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_returns_that_are_not_finite_are_refused(value: float) -> None:
    returns = np.random.default_rng(0).standard_normal((64, 4))
    returns[5, 2] = value
    with pytest.raises(DataError, match=r"returns at \[5, 2\]: are finite"):
        probability_of_overfitting(returns)
    with pytest.raises(DataError, match=r"returns at \[5\]: are finite"):
        deflated_sharpe_ratio(returns[:, 2], n_trials=3, variance=0.1)
