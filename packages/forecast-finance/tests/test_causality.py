"""Every feature depends on bars up to its own row alone; what reads the future is found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from forecast_core.errors import InvalidInputError, LeakError, ShapeError
from forecast_finance import Bars, features, random_walk


def rough_bars(seed: int, rows: int, *, hours: int, grid: float) -> Bars:
    """Bars on a coarse grid of prices and volumes: ties, gaps, flat stretches and empty sessions abound."""
    rng = np.random.default_rng(seed)
    steps = rng.standard_normal(rows) * rng.choice([0.0, 0.02, 0.3], rows, p=[0.2, 0.7, 0.1])
    close = np.maximum(np.round(50 * np.exp(np.cumsum(0.2 * steps)) / grid), 1) * grid
    opened = np.maximum(np.round(close * np.exp(0.02 * rng.standard_normal(rows)) / grid), 1) * grid
    high = np.maximum(opened, close) + grid * rng.integers(0, 3, rows)
    low = np.maximum(np.minimum(opened, close) - grid * rng.integers(0, 3, rows), 0.5 * grid)
    low = np.minimum(low, np.minimum(opened, close))
    volume = np.round(rng.random(rows) * 100) * (rng.random(rows) > 0.1)
    skipped = np.cumsum(rng.integers(1, 3, rows))
    return Bars(
        symbols=("X",),
        offsets=np.array([0, rows]),
        timestamps=np.datetime64("2020-01-01", "us") + skipped * np.timedelta64(hours, "h"),
        values=np.column_stack([opened, high, low, close, volume]),
        interval=np.timedelta64(hours * 3_600_000_000, "us"),
    )


def prefix_differs(bars: Bars, cut: int) -> np.ndarray:
    """Which columns of the first `cut` rows differ between these bars and the first `cut` of them."""
    whole = features.table(bars).values[:cut]
    part = features.table(bars.between(None, bars.timestamps[cut])).values
    return np.flatnonzero(~((part == whole) | (np.isnan(part) & np.isnan(whole))).all(axis=0))


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    rows=st.integers(40, 400),
    hours=st.sampled_from([1, 4, 24]),
    grid=st.sampled_from([0.25, 1.0, 5.0]),
    share=st.floats(0.1, 0.99),
)
def test_features_of_random_bars_are_causal(
    seed: int, rows: int, hours: int, grid: float, share: float
) -> None:
    bars = rough_bars(seed, rows, hours=hours, grid=grid)
    assert not prefix_differs(bars, int(share * rows)).size
    report = features.check_causality(
        lambda b: features.table(b).values, bars, names=features.names(), cuts=3, seed=seed
    )
    assert report.clean, report.leaks
    assert not np.isinf(features.table(bars).values).any()


@pytest.mark.data
@settings(max_examples=200, deadline=None)
@given(symbol=st.integers(0, 30), seed=st.integers(0, 2**31))
def test_features_of_dow_names_are_causal(dow: Bars, symbol: int, seed: int) -> None:
    bars = dow.select_items([dow.symbols[symbol]])
    report = features.check_causality(
        lambda b: features.table(b).values, bars, names=features.names(), cuts=2, seed=seed
    )
    assert report.clean, report.leaks


def test_a_planted_future_feature_is_caught() -> None:
    bars = random_walk(rows=120)

    def planted(b: Bars) -> np.ndarray:
        tomorrow = np.append(b.close[1:], b.close[-1:])
        return np.column_stack([features.table(b).values, tomorrow / b.close - 1.0])

    report = features.check_causality(planted, bars, names=[*features.names(), "tomorrow"])
    assert set(report.leaks) == {"tomorrow"}
    with pytest.raises(LeakError, match=r"read the future: tomorrow \(S"):
        report.raise_if_any()


def test_a_mean_over_all_bars_is_caught() -> None:
    bars = random_walk(symbols=1, rows=60)
    report = features.check_causality(lambda b: (b.close - b.close.mean())[:, None], bars)
    assert not report.clean


@pytest.mark.filterwarnings("ignore")
def test_the_look_ahead_of_smartmoneyconcepts_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMC_CREDIT", "0")
    pytest.importorskip("smartmoneyconcepts")
    import pandas as pd
    from smartmoneyconcepts import smc

    def theirs(b: Bars) -> np.ndarray:
        table = pd.DataFrame(b.values, columns=["open", "high", "low", "close", "volume"])
        swings = smc.swing_highs_lows(table, swing_length=5)
        return np.column_stack([smc.fvg(table)["FVG"], swings["HighLow"], smc.ob(table, swings)["OB"]])

    bars = random_walk(symbols=1, rows=200)
    report = features.check_causality(theirs, bars, names=["gap", "swing", "block"])
    assert {"gap", "swing"} <= set(report.leaks)


def test_what_cannot_be_checked_is_refused() -> None:
    bars = random_walk(symbols=1, rows=30)
    with pytest.raises(ShapeError, match="a row a bar"):
        features.check_causality(lambda b: b.values[1:], bars)
    with pytest.raises(ShapeError, match="one name a column"):
        features.check_causality(lambda b: b.values, bars, names=["a"])
    with pytest.raises(InvalidInputError, match="two times"):
        features.check_causality(lambda b: b.values, bars.between(None, bars.timeline[1]))
