"""Features equal their definitions, TA-Lib, and, once shifted to when it is known, smartmoneyconcepts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import talib
from hypothesis import given, settings, strategies as st

from forecast_core.errors import CapabilityError
from forecast_finance import Bars, features, random_walk
from forecast_finance.features.structure import confirmed_swings
from forecast_finance.features.zones import fair_value_gaps


def column(bars: Bars, name: str, **options: Any) -> np.ndarray:
    table = features.table(bars, config=features.FeatureConfig(**options))
    return table.values[:, table.names.index(name)]


def test_there_are_29_documented_features_in_three_groups() -> None:
    groups = [feature.group for feature in features.FEATURES]
    assert [groups.count(g) for g in ("technical", "timeframe", "smart-money")] == [12, 5, 12]
    assert len(set(features.names())) == 29
    assert all(feature.meaning for feature in features.FEATURES)


def test_the_frame_has_a_row_a_bar_and_a_mask_for_each_feature() -> None:
    bars = random_walk(rows=80)
    frame = features.compute(bars)
    assert len(frame) == len(bars)
    assert list(frame.columns[2:31]) == list(features.names())
    assert frame["rsi_14_known"].tolist() == frame["rsi_14"].notna().tolist()
    assert not frame["trend_1h_known"].any()
    with pytest.raises(CapabilityError, match="Bars"):
        features.compute(frame)


# technical


def test_technical_columns_equal_ta_lib() -> None:
    bars = random_walk(symbols=1, rows=400)
    _, high, low, close, volume = np.ascontiguousarray(bars.values.T)
    upper, _, lower = talib.BBANDS(close, 20, 2.0, 2.0)
    macd, signal, histogram = talib.MACD(close, 12, 26, 9)
    typical, obv = talib.TYPPRICE(high, low, close), talib.OBV(close, volume)
    expected = {
        "rsi_14": talib.RSI(close, 14),
        "macd": macd / close,
        "macd_signal": signal / close,
        "macd_histogram": histogram / close,
        "bollinger": (close - lower) / (upper - lower),
        "atr_14": talib.NATR(high, low, close, 14) / 100,
        "adx_14": talib.ADX(high, low, close, 14),
        "obv_trend": talib.MOM(obv, 10) / talib.SMA(volume, 20),
        "vwap_distance": close * talib.SUM(volume, 20) / talib.SUM(typical * volume, 20) - 1,
        "ema_9": close / talib.EMA(close, 9) - 1,
        "ema_21": close / talib.EMA(close, 21) - 1,
        "relative_volume": volume / talib.SMA(volume, 20),
    }
    table = features.table(bars)
    assert tuple(expected) == table.names[:12]
    for k, (name, theirs) in enumerate(expected.items()):
        assert np.isnan(table.values[:40, k]).any(), name
        np.testing.assert_allclose(table.values[40:, k], theirs[40:], atol=1e-9, rtol=1e-9, err_msg=name)


def test_rsi_and_adx_follow_wilders_definition() -> None:
    bars = random_walk(symbols=1, rows=120)
    _, high, low, close, _ = bars.values.T
    change = np.diff(close)
    gain, loss = np.maximum(change[:14], 0).mean(), np.maximum(-change[:14], 0).mean()
    rsi = np.full(len(close), np.nan)
    for t in range(15, len(close)):
        gain = (13 * gain + max(change[t - 1], 0)) / 14
        loss = (13 * loss + max(-change[t - 1], 0)) / 14
        rsi[t] = 100 * gain / (gain + loss)
    np.testing.assert_allclose(column(bars, "rsi_14")[15:], rsi[15:], rtol=1e-9)

    up, down = np.diff(high), -np.diff(low)
    plus = np.where((up > down) & (up > 0), up, 0.0)
    minus = np.where((down > up) & (down > 0), down, 0.0)
    true = np.maximum(high[1:], close[:-1]) - np.minimum(low[1:], close[:-1])
    sums = np.array([plus[:13].sum(), minus[:13].sum(), true[:13].sum()])
    index = []
    for t in range(13, len(plus)):
        sums = sums * 13 / 14 + np.array([plus[t], minus[t], true[t]])
        index.append(100 * abs(sums[0] - sums[1]) / (sums[0] + sums[1]))
    adx = [float(np.mean(index[:14]))]
    for dx in index[14:]:
        adx.append((13 * adx[-1] + dx) / 14)
    np.testing.assert_allclose(column(bars, "adx_14")[27:], adx, rtol=1e-9)


def test_the_level_of_on_balance_volume_does_not_matter() -> None:
    bars = random_walk(symbols=1, rows=120)
    later = Bars(
        symbols=bars.symbols,
        offsets=np.array([0, 80]),
        timestamps=bars.timestamps[40:],
        values=bars.values[40:],
        interval=bars.interval,
    )
    for name in ("obv_trend", "vwap_distance", "relative_volume"):
        assert np.array_equal(column(bars, name)[60:], column(later, name)[20:]), name


def test_flat_prices_and_empty_sessions_are_unknown_not_infinite(bars_of: Any) -> None:
    flat = features.table(bars_of.closes([5.0] * 60))
    assert not np.isinf(flat.values).any()
    assert np.isnan(flat.values[:, flat.names.index("bollinger")]).all()
    quiet = features.table(bars_of.rows([(5.0, 6.0, 4.0, 5.5)] * 60, volume=0.0))
    for name in ("obv_trend", "vwap_distance", "relative_volume"):
        assert np.isnan(quiet.values[:, quiet.names.index(name)]).all()


def test_what_never_moved_has_no_strength_and_no_direction(bars_of: Any) -> None:
    still = bars_of.closes([50.1] * 80)
    aimless = bars_of.rows([(5.0, 6.0, 4.0, 5.5)] * 80)  # a range, but no change and no direction
    for bars in (still, aimless):
        assert np.isnan(column(bars, "rsi_14")).all()
        assert np.isnan(column(bars, "adx_14")).all()


def test_strength_and_direction_are_known_once_prices_move(bars_of: Any) -> None:
    closes = [50.0] * 40 + [50.0 - 0.5 * k for k in range(1, 30)]
    bars = bars_of.closes(closes)
    rsi, adx = column(bars, "rsi_14"), column(bars, "adx_14")
    assert np.isnan(rsi[:40]).all()
    assert (rsi[40:] == 0.0).all()  # losses alone: an index of 0 that is one
    assert np.isnan(adx[:53]).all()  # 14 bars of direction, as at the beginning of any bars
    theirs = talib.ADX(*(np.ascontiguousarray(bars.values[:, k]) for k in (1, 2, 3)), 14)
    np.testing.assert_allclose(adx[53:], theirs[53:], rtol=1e-9)


def test_strength_that_has_died_away_is_unknown(bars_of: Any) -> None:
    for scale in (1e-3, 1.0, 1e5):
        rsi = column(bars_of.closes([50.0 * scale, 51.0 * scale, *[50.5 * scale] * 600]), "rsi_14")
        assert rsi[14:200] == pytest.approx(200 / 3)
        assert np.isnan(rsi[400:]).all()
        assert set(np.isnan(rsi[14:]).astype(int)) == {0, 1}


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), still=st.integers(0, 60))
def test_after_a_still_beginning_columns_equal_ta_lib(seed: int, still: int) -> None:
    walk = random_walk(seed, symbols=1, rows=150)
    values = np.concatenate([np.full((still, 5), 50.0), walk.values])
    n = len(values)
    days = walk.timestamps[0] + np.arange(n) * np.timedelta64(1, "D")
    bars = Bars(("X",), np.array([0, n]), days, values, walk.interval)
    _, high, low, close, _ = np.ascontiguousarray(values.T)
    for name, theirs in (("rsi_14", talib.RSI(close, 14)), ("adx_14", talib.ADX(high, low, close, 14))):
        ours = column(bars, name)
        known = np.isfinite(ours)
        assert known[still + 30 :].all()
        np.testing.assert_allclose(ours[known], theirs[known], atol=1e-9, rtol=1e-9)


# timeframes


def test_a_higher_timeframe_counts_closed_bars_only(bars_of: Any) -> None:
    bars = bars_of.closes([100.0 + 0.1 * k for k in range(7 * 30)])  # from a Monday, every day
    trend = column(bars, "trend_week")
    assert np.isnan(trend[: 7 * 21]).all()  # 21 weeks are closed when the 22nd begins
    assert (trend[7 * 21 :] == 1.0).all()
    falling = bars_of.closes([100.0 - 0.1 * k for k in range(7 * 30)])
    assert (column(falling, "trend_week")[7 * 21 :] == -1.0).all()


def test_the_bar_still_open_does_not_count(bars_of: Any) -> None:
    closes = [100.0 + 0.1 * k for k in range(7 * 26)]
    crash = [*closes[: 7 * 24 + 3], *[1.0] * 20]  # in the middle of week 25
    trend = column(bars_of.closes(crash), "trend_week")
    assert (trend[7 * 24 + 3 : 7 * 25] == 1.0).all()
    assert trend[7 * 25] == -1.0


def test_trends_equal_averages_of_ta_lib(bars_of: Any) -> None:
    rng = np.random.default_rng(1)
    bars = bars_of.closes(list(100 * np.exp(np.cumsum(0.02 * rng.standard_normal(24 * 40)))), hours=1)
    days = bars.close[23::24]
    fast, slow = talib.EMA(days, 9), talib.EMA(days, 21)
    told = np.where((days > fast) & (fast > slow), 1.0, np.where((days < fast) & (fast < slow), -1.0, 0.0))
    told[:20] = np.nan
    expected = np.repeat(np.concatenate([[np.nan], told[:-1]]), 24)
    np.testing.assert_array_equal(column(bars, "trend_day"), expected)
    hours = bars.close
    fast, slow = talib.EMA(hours, 9), talib.EMA(hours, 21)
    told = np.where((hours > fast) & (fast > slow), 1.0, np.where((hours < fast) & (fast < slow), -1.0, 0.0))
    np.testing.assert_array_equal(column(bars, "trend_1h")[20:], told[20:])


def test_a_timeframe_that_bars_cannot_give_is_unknown(bars_of: Any) -> None:
    daily = random_walk(symbols=1, rows=400)  # 18 months
    for name in ("trend_4h", "trend_1h", "trend_month"):
        assert np.isnan(column(daily, name)).all(), name
    assert np.isfinite(column(daily, "trend_day")[20:]).all()
    four_hours = bars_of.closes([float(k) for k in range(1, 200)], hours=4)
    assert np.isnan(column(four_hours, "trend_1h")).all()
    assert (column(four_hours, "trend_4h")[20:] == 1.0).all()


def paced(closes: list[float], times: np.ndarray) -> Bars:
    """Bars of one price each at some times, with their usual step."""
    table = dict.fromkeys(("open", "high", "low", "close"), closes)
    return Bars.from_frame(pd.DataFrame({"timestamp": times, **table, "volume": 1.0}), symbol=None)


PACES = {
    "first of the month": (pd.date_range("2000-01-01", periods=60, freq="MS"), "trend_month"),
    "last of the month": (pd.date_range("2000-01-01", periods=60, freq="ME"), "trend_month"),
    "last weekday of the month": (pd.date_range("2020-01-01", periods=24, freq="BME"), "trend_month"),
    "Fridays": (pd.date_range("2000-01-07", periods=60, freq="7D"), "trend_week"),
}


@pytest.mark.parametrize("pace", PACES)
def test_bars_of_a_timeframe_count_as_they_stand(pace: str) -> None:
    times, name = PACES[pace]
    bars = paced([50.0 * 1.01**k for k in range(len(times))], times.to_numpy())
    trend = column(bars, name)
    assert np.isnan(trend[:20]).all()
    assert (trend[20:] == 1.0).all()
    finer = features.names()[features.names().index(name) + 1 : 17]
    for shorter in finer:
        assert np.isnan(column(bars, shorter)).all(), shorter


def test_quarters_tell_no_months() -> None:
    quarters = pd.date_range("1980-01-01", periods=60, freq="QS").to_numpy()
    assert np.isnan(column(paced([50.0 + k for k in range(60)], quarters), "trend_month")).all()


def test_weeks_make_months() -> None:
    fridays = pd.date_range("2000-01-07", periods=150, freq="7D")
    trend = column(paced([50.0 + k for k in range(150)], fridays.to_numpy()), "trend_month")
    begins = np.flatnonzero(np.diff(fridays.month)) + 1  # bars that begin a month close the one before
    assert np.isnan(trend[: begins[20]]).all()
    assert (trend[begins[20] :] == 1.0).all()


# smart money


def candles(closes: list[float], *, wick: float = 0.2) -> list[tuple[float, float, float, float]]:
    """Candles from each close to the next, with wicks."""
    before = [closes[0], *closes[:-1]]
    return [(o, max(o, c) + wick, min(o, c) - wick, c) for o, c in zip(before, closes, strict=True)]


def test_a_gap_is_known_at_its_third_bar_and_closed_when_traded_through(bars_of: Any) -> None:
    run_in = [(10.0, 10.5, 9.5, 10.0)] * 20
    bars = bars_of.rows(
        [
            *run_in,
            (10.2, 11.9, 10.1, 11.8),
            (11.9, 12.5, 11.5, 12.2),  # its low 11.5 is above the high 10.5 two bars before: a gap
            (12.0, 12.4, 10.9, 11.9),  # into the gap, not through it
            (11.9, 12.3, 10.5, 12.1),  # to its far edge: closed
            (12.1, 12.4, 11.9, 12.2),
        ]
    )
    assert column(bars, "bullish_gaps")[19:].tolist() == [0, 0, 1, 1, 0, 0]
    assert column(bars, "bearish_gaps").sum() == 0
    atr = talib.ATR(bars.values[:, 1].copy(), bars.values[:, 2].copy(), bars.close.copy(), 14)
    distance = column(bars, "gap_distance")
    assert distance[21] == pytest.approx((11.5 - 12.2) / atr[21])  # below the close
    assert np.isnan(distance[20])
    assert np.isnan(distance[23])


def test_a_bearish_gap_mirrors_a_bullish_one(bars_of: Any) -> None:
    rows = [(10.0, 10.5, 9.5, 10.0)] * 20
    rows += [(9.8, 9.9, 8.1, 8.2), (8.1, 8.5, 7.5, 7.8), (8.0, 9.2, 7.6, 8.1), (8.1, 9.5, 7.7, 7.9)]
    bars = bars_of.rows(rows)
    assert column(bars, "bearish_gaps")[20:].tolist() == [0, 1, 1, 0]
    assert column(bars, "gap_distance")[21] > 0  # above the close


def test_gaps_and_blocks_expire(bars_of: Any) -> None:
    rows = [(10.0, 10.5, 9.5, 10.0)] * 20
    rows += [(10.2, 11.9, 10.1, 11.8), *[(12.0, 12.4, 11.6, 12.1)] * 8]
    gaps = column(bars_of.rows(rows), "bullish_gaps", expiry=3)
    assert gaps[20:27].tolist() == [0, 1, 1, 1, 1, 0, 0]


def test_an_order_block_is_the_last_opposite_candle_before_a_displacement(bars_of: Any) -> None:
    run_in = [(10.0, 10.2, 9.8, 10.0)] * 20
    bars = bars_of.rows(
        [
            *run_in,
            (10.1, 10.3, 9.7, 9.9),  # bearish
            (9.9, 10.4, 9.8, 10.2),  # bullish, not beyond 10.3 * 1.02
            (10.2, 10.9, 10.1, 10.8),  # beyond: the bearish candle is a block from here on
            (10.8, 11.5, 10.7, 11.4),  # beyond again, but the candle is a block already
            (11.4, 11.5, 9.8, 10.9),  # into the block
            (10.9, 11.0, 9.7, 10.0),  # to its far edge: gone (and itself bearish)
        ]
    )
    assert column(bars, "bullish_blocks")[20:].tolist() == [0, 0, 1, 1, 1, 0]
    distance = column(bars, "block_distance")
    assert np.isnan(distance[21])
    assert distance[22] < 0  # the block, 9.7 to 10.3, lies below the close
    assert column(bars, "bullish_blocks", displacement=0.06)[20:].tolist() == [0, 0, 0, 1, 1, 0]


def test_a_bearish_order_block_mirrors_a_bullish_one(bars_of: Any) -> None:
    rows = [(10.0, 10.2, 9.8, 10.0)] * 20
    rows += [(9.9, 10.3, 9.7, 10.1), (10.1, 10.2, 9.1, 9.2), (9.2, 10.0, 9.0, 9.3), (9.3, 10.3, 9.2, 9.6)]
    bars = bars_of.rows(rows)
    assert column(bars, "bearish_blocks")[20:].tolist() == [0, 1, 1, 0]
    assert column(bars, "block_distance")[21] > 0


def test_a_distance_inside_a_zone_is_zero(bars_of: Any) -> None:
    rows = [(10.0, 10.2, 9.8, 10.0)] * 20
    rows += [(10.1, 10.3, 9.7, 9.9), (10.2, 10.9, 10.1, 10.8), (10.8, 10.9, 9.8, 10.2)]
    assert column(bars_of.rows(rows), "block_distance")[22] == 0.0


def test_a_swing_is_known_only_when_bars_on_both_sides_are(bars_of: Any) -> None:
    closes = [10.0] * 16 + [11.0, 12.0, 13.0, 12.0, 11.0, 10.5, 10.4, 10.6, 10.8]
    bars = bars_of.closes(closes)
    atr = talib.ATR(*(np.ascontiguousarray(bars.values[:, k]) for k in (1, 2, 3)), 14)
    high = column(bars, "swing_high_distance", swing_length=2)
    assert high[19] == pytest.approx((10.0 - 12.0) / atr[19])  # bar 18 is the top, but not known to be
    assert high[20] == pytest.approx((13.0 - 11.0) / atr[20])
    low = column(bars, "swing_low_distance", swing_length=2)
    assert low[23] == pytest.approx((10.6 - 10.0) / atr[23])
    assert low[24] == pytest.approx((10.8 - 10.4) / atr[24])


def zigzag(turns: list[float], *, step: float = 1.0) -> list[float]:
    """Closes that go from turn to turn in equal steps."""
    out = [turns[0]]
    for turn in turns[1:]:
        while abs(out[-1] - turn) > 1e-9:
            out.append(out[-1] + np.sign(turn - out[-1]) * min(step, abs(turn - out[-1])))
    return out


def events(bars: Bars) -> list[tuple[int, str]]:
    kinds = ("bullish_break", "bearish_break", "bullish_change", "bearish_change")
    found = [
        (int(t), kind) for kind in kinds for t in np.flatnonzero(column(bars, kind, swing_length=2) == 1.0)
    ]
    return sorted(found)


def test_breaks_are_with_the_trend_and_changes_against_it(bars_of: Any) -> None:
    turns = [20.0, 26.0, 22.0, 30.0, 25.0, 34.0, 28.0, 36.0, 20.0, 26.0, 14.0, 40.0]
    kinds = [kind for _, kind in events(bars_of.rows(candles(zigzag(turns))))]
    assert kinds == [
        "bullish_break",  # over 26: the first break sets the trend
        "bullish_break",  # over 30
        "bullish_break",  # over 34
        "bearish_change",  # under 28, against it
        "bearish_break",  # under 20, with it now
        "bullish_change",  # over 26
    ]


def test_a_level_breaks_once_and_on_the_bar_that_breaks_it(bars_of: Any) -> None:
    closes = zigzag([20.0, 26.0, 22.0, 32.0])
    found = events(bars_of.rows(candles(closes)))
    assert len(found) == 1
    at, kind = found[0]
    assert kind == "bullish_break"
    assert closes[at - 1] <= 26.2 < closes[at]


def test_a_wick_alone_breaks_nothing(bars_of: Any) -> None:
    rows = candles(zigzag([20.0, 26.0, 22.0, 25.0]))
    rows.append((25.0, 40.0, 24.0, 25.0))
    assert not events(bars_of.rows(rows))


# smartmoneyconcepts


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("SMC_CREDIT", "0")
    pytest.importorskip("smartmoneyconcepts")
    from smartmoneyconcepts import smc

    return smc


def as_table(bars: Bars) -> Any:
    import pandas as pd

    return pd.DataFrame(bars.values, columns=["open", "high", "low", "close", "volume"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(5))
def test_gaps_equal_smartmoneyconcepts_a_bar_later(theirs: Any, seed: int) -> None:
    bars = random_walk(seed, symbols=1, rows=600)
    opened, high, low, close, _ = np.ascontiguousarray(bars.values.T)
    ours = fair_value_gaps(high, low, np.asarray(bars.offsets))
    candle = np.sign(close - opened)  # theirs also asks for the middle candle's direction
    bullish = ~np.isnan(ours[0, 0, 1:]) & (candle[:-1] > 0)
    bearish = ~np.isnan(ours[1, 0, 1:]) & (candle[:-1] < 0)
    found = theirs.fvg(as_table(bars))
    assert np.array_equal(bullish, found["FVG"].to_numpy()[:-1] == 1)
    assert np.array_equal(bearish, found["FVG"].to_numpy()[:-1] == -1)
    assert bullish.sum() > 5
    np.testing.assert_array_equal(ours[0, 1, 1:][bullish], found["Top"].to_numpy()[:-1][bullish])
    np.testing.assert_array_equal(ours[0, 0, 1:][bullish], found["Bottom"].to_numpy()[:-1][bullish])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(5))
def test_swings_equal_smartmoneyconcepts_shifted_to_when_they_are_known(theirs: Any, seed: int) -> None:
    length = 5
    bars = random_walk(seed, symbols=1, rows=600)
    _, high, low, _, _ = np.ascontiguousarray(bars.values.T)
    highs, lows = confirmed_swings(high, low, np.asarray(bars.offsets), length)
    found = theirs.swing_highs_lows(as_table(bars), swing_length=length)["HighLow"].to_numpy().copy()
    found[[0, -1]] = np.nan  # theirs marks the ends, whatever they are
    # Theirs compares with one bar less on the left, and of one kind in a row keeps the most extreme.
    wider = {1: np.zeros(len(high), dtype=bool), -1: np.zeros(len(high), dtype=bool)}
    for p in range(2 * length - 1, len(high) - length):
        around = slice(p - length + 1, p + length + 1)
        wider[1][p] = high[p] == high[around].max()
        wider[-1][p] = low[p] == low[around].min()
    alternating = drop_consecutive(np.where(wider[1], 1, np.where(wider[-1], -1, 0)), high, low)
    assert np.array_equal(np.nan_to_num(found), alternating)
    # With the bar that theirs leaves out, each of ours is one of theirs, and the other way round.
    at = np.arange(2 * length - 1, len(high) - length)
    assert np.array_equal(highs[at + length], wider[1][at] & (high[at - length] <= high[at]))
    assert np.array_equal(lows[at + length], wider[-1][at] & (low[at - length] >= low[at]))
    assert highs.sum() > 20


def drop_consecutive(swings: np.ndarray, high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Of swings of one kind in a row, the most extreme alone (the first of equals)."""
    kept: list[int] = []
    for p in np.flatnonzero(swings).tolist():
        if kept and swings[kept[-1]] == swings[p]:
            better = high[p] > high[kept[-1]] if swings[p] == 1 else low[p] < low[kept[-1]]
            if better:
                kept[-1] = p
        else:
            kept.append(p)
    out = np.zeros(len(swings))
    out[kept] = swings[kept]
    return out
