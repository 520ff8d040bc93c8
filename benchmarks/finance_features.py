"""How long the 29 features of many symbols take, beside smartmoneyconcepts and ta on some of the same bars.

The claim: 500 symbols over 10 years (1.26 million bars) in under 5 s on two cores. The peers are timed on
fewer symbols, a bar's time is what is compared; they compute some of the columns only, which are named.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version

os.environ.setdefault("SMC_CREDIT", "0")
warnings.simplefilter("ignore")

import pandas as pd  # noqa: E402
import ta  # noqa: E402
from smartmoneyconcepts import smc  # noqa: E402

from forecast_finance import features, random_walk  # noqa: E402

YEARS = 2520
SYMBOLS = 500
PEER_SYMBOLS = 3


def seconds(action: Callable[[], object], *, repeats: int = 1) -> float:
    best = float("inf")
    for _ in range(repeats):
        begin = time.perf_counter()
        action()
        best = min(best, time.perf_counter() - begin)
    return best


def smart_money(table: pd.DataFrame) -> None:
    swings = smc.swing_highs_lows(table, swing_length=5)
    smc.fvg(table)
    smc.ob(table, swings)
    smc.bos_choch(table, swings)
    smc.liquidity(table, swings)


def technical(table: pd.DataFrame) -> None:
    high, low, close, volume = (table[name] for name in ("high", "low", "close", "volume"))
    ta.momentum.RSIIndicator(close, 14).rsi()
    macd = ta.trend.MACD(close)
    macd.macd(), macd.macd_signal(), macd.macd_diff()
    ta.volatility.BollingerBands(close, 20, 2).bollinger_pband()
    ta.volatility.AverageTrueRange(high, low, close, 14).average_true_range()
    ta.trend.ADXIndicator(high, low, close, 14).adx()
    ta.volume.OnBalanceVolumeIndicator(close, volume).on_balance_volume()
    ta.volume.VolumeWeightedAveragePrice(high, low, close, volume, 20).volume_weighted_average_price()
    ta.trend.EMAIndicator(close, 9).ema_indicator(), ta.trend.EMAIndicator(close, 21).ema_indicator()


def main() -> None:
    features.table(random_walk(symbols=1, rows=100))  # compiles, or loads what was compiled
    bars = random_walk(symbols=SYMBOLS, rows=YEARS)
    ours = seconds(lambda: features.table(bars), repeats=3)
    framed = seconds(lambda: features.compute(bars))
    some = bars.select_items(bars.symbols[:PEER_SYMBOLS])
    tables = [
        pd.DataFrame(some.values[begin : begin + YEARS], columns=["open", "high", "low", "close", "volume"])
        for begin in some.offsets[:-1]
    ]
    scale = SYMBOLS / PEER_SYMBOLS
    theirs = scale * seconds(lambda: [smart_money(table) for table in tables])
    classic = scale * seconds(lambda: [technical(table) for table in tables])
    print(f"{len(bars):,} bars ({SYMBOLS} symbols x {YEARS})")
    print(f"29 features: {ours:.2f} s as an array, {framed:.2f} s as a frame (target: 5 s)")
    print(
        f"smartmoneyconcepts {version('smartmoneyconcepts')}, swings, gaps, blocks, breaks and liquidity: "
        f"{theirs:.0f} s, {theirs / ours:.0f} times as long"
    )
    print(f"ta {version('ta')}, technical columns: {classic:.0f} s, {classic / ours:.0f} times as long")


if __name__ == "__main__":
    main()
