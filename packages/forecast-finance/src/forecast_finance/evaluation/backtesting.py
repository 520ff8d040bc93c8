"""What signals would have earned, filled a bar later and after costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecast_core.errors import InvalidInputError, ShapeError
from forecast_core.validation import whole
from forecast_finance.bar_windows import BarWindows
from forecast_finance.evaluation.dates import DateBootstrap, Estimate

__all__ = ["BARS_A_YEAR", "BacktestResult", "backtest_signals"]

BARS_A_YEAR = 252
"""Of daily bars, as exchanges trade; other intervals tell theirs by their times."""

_DAY, _YEAR = np.timedelta64(1, "D"), np.timedelta64(31_557_600, "s")  # of 365.25 days


@dataclass(frozen=True, eq=False)
class BacktestResult:
    """The account's return over each bar (a day, of daily bars), its trades, and what follows from them.

    times, returns [bar]: from the first fill to the last exit, bars without a position included. trades [k]:
    net return of each, on what was put in; trade_rows [k]: the window each comes from. metrics: sharpe
    (annual, ddof 1), annual_return, annual_volatility, total_return, max_drawdown (a negative share),
    win_rate, average_trade (net), turnover (bought and sold a year, in multiples of the account), exposure
    (mean gross share invested), trades, unfinished (signals the data ends too early for). bars_a_year: what
    annual figures take a year to have.
    """

    times: np.ndarray
    returns: np.ndarray
    trades: np.ndarray
    trade_rows: np.ndarray
    metrics: dict[str, float]
    hold: int
    cost_bp: float
    bars_a_year: float = BARS_A_YEAR

    def equity(self) -> np.ndarray:
        """The account's worth after each bar [bar], in multiples of the start."""
        worth: np.ndarray = np.cumprod(1.0 + self.returns)
        return worth

    def drawdown(self) -> np.ndarray:
        """Share below the highest worth so far [bar], 0 or negative."""
        worth = np.concatenate([[1.0], self.equity()])
        below: np.ndarray = (worth / np.maximum.accumulate(worth) - 1.0)[1:]
        return below

    def sharpe_interval(self, *, n_resamples: int = 1000, seed: int = 0) -> Estimate:
        """The annual Sharpe ratio with its 95 % interval, by drawing bars in blocks."""
        if len(self.returns) < 8:
            return Estimate(self.metrics["sharpe"], float("nan"), float("nan"))
        drawn = DateBootstrap.draw(self.returns, least=self.hold, n_resamples=n_resamples, seed=seed)
        n = len(self.returns)
        mean = drawn.counts @ self.returns / n
        square = drawn.counts @ self.returns**2 / n
        spread = np.sqrt(np.maximum(square - mean**2, 0.0) * n / (n - 1))
        with np.errstate(invalid="ignore", divide="ignore"):
            resampled = np.where(spread > 0, mean / spread, np.nan) * np.sqrt(self.bars_a_year)
        return drawn.estimate(self.metrics["sharpe"], resampled)


def backtest_signals(
    windows: BarWindows,
    actions: np.ndarray,
    *,
    hold: int = 3,
    cost_bp: float = 5.0,
    allow_short: bool = True,
    bars_a_year: float | None = None,
) -> BacktestResult:
    """Trade signals of windows: actions [n] are 1 (buy), -1 (sell) or 0 (hold).

    A signal at the close of bar t is filled at the open of t + 1 and closed at the open of t + 1 + hold, both
    at `cost_bp` basis points of what changes hands. Each date's signals get 1 / hold of the account, in equal
    parts for all its windows, those that hold included, so what is invested never exceeds the account but for
    drift. Positions keep their number of shares and are marked at every close. allow_short False takes a
    sale for holding. bars_a_year: for annual figures; default 252 of daily bars (give 365 where they know no
    weekend), else as many as a year of the account's own span has. Raises ShapeError for another number of
    actions or where nothing could be filled, InvalidInputError for other actions, negative costs or a year
    without bars.
    """
    taken = np.asarray(actions)
    if taken.shape != (len(windows),):
        raise ShapeError("actions", f"are [{len(windows)}]", got=taken.shape)
    if not np.isin(taken, (-1, 0, 1)).all():
        raise InvalidInputError("actions", "are 1, 0 or -1", got=np.unique(taken).tolist())
    if not 0 <= cost_bp < np.inf:
        raise InvalidInputError("cost_bp", "is at least 0", got=cost_bp)
    if bars_a_year is not None and not 0 < bars_a_year < np.inf:
        raise InvalidInputError("bars_a_year", "is above 0", got=bars_a_year)
    hold, cost, bars = whole("hold", hold), cost_bp / 1e4, windows.data
    side = taken.astype(np.float64)
    if not allow_short:
        side = np.maximum(side, 0.0)
    finished = bars.remaining[windows.rows] >= hold + 1
    if not finished.any():
        raise ShapeError("windows", f"are followed by {hold + 1} bars")
    share = (1.0 / hold / np.unique(windows.origins, return_counts=True)[1])[
        np.unique(windows.origins, return_inverse=True)[1]
    ]
    calendar = bars.timeline
    used = windows.rows[finished]
    first = int(np.searchsorted(calendar, bars.timestamps[used + 1].min()))
    last = int(np.searchsorted(calendar, bars.timestamps[used + hold + 1].max()))
    at = np.flatnonzero(finished & (side != 0))
    rows, side, share = windows.rows[at], side[at], share[at]
    fills = rows[:, None] + np.arange(1, hold + 2)  # bars of the position, the exit's included: [k, hold + 1]
    entry, leave = bars.values[rows + 1, 0], bars.values[rows + 1 + hold, 0]
    marks = np.concatenate([entry[:, None], bars.close[fills[:, :-1]], leave[:, None]], axis=1)
    gains = side[:, None] * np.diff(marks, axis=1) / entry[:, None]  # [k, hold + 1], of what was put in
    gains[:, 0] -= cost
    gains[:, -1] -= cost * leave / entry
    day = np.searchsorted(calendar, bars.timestamps[fills]) - first
    returns = np.bincount(day.ravel(), (share[:, None] * gains).ravel(), minlength=last - first + 1)
    traded = float((share * (1.0 + leave / entry)).sum())
    trades = gains.sum(axis=1)
    held = float(share.sum()) * hold
    times = calendar[first : last + 1]
    result = BacktestResult(
        times=times,
        returns=returns,
        trades=trades,
        trade_rows=at,
        metrics={},
        hold=hold,
        cost_bp=float(cost_bp),
        bars_a_year=float(_bars_a_year(times, bars.interval) if bars_a_year is None else bars_a_year),
    )
    result.metrics.update(
        _metrics(result, traded=traded, held=held, unfinished=int((~finished & (taken != 0)).sum()))
    )
    return result


def _bars_a_year(times: np.ndarray, interval: np.timedelta64) -> float:
    """252 of daily bars, else how many of the account's bars [bar] a year of its own span holds."""
    if interval == _DAY:
        return BARS_A_YEAR
    return float(len(times) / ((times[-1] - times[0] + interval) / _YEAR))


def _metrics(result: BacktestResult, *, traded: float, held: float, unfinished: int) -> dict[str, float]:
    returns, trades = result.returns, result.trades
    bars, a_year = len(returns), result.bars_a_year
    years = bars / a_year
    spread = float(returns.std(ddof=1)) if bars > 1 else 0.0
    total = float(result.equity()[-1])
    with np.errstate(over="ignore"):  # minutes of a good day make a year without bound
        annual = float(np.float64(max(total, 0.0)) ** (1.0 / years)) - 1.0
    return {
        "sharpe": float(returns.mean() / spread * np.sqrt(a_year)) if spread > 0 else 0.0,
        "annual_return": annual,
        "annual_volatility": spread * float(np.sqrt(a_year)),
        "total_return": total - 1.0,
        "max_drawdown": float(result.drawdown().min()),
        "win_rate": float((trades > 0).mean()) if len(trades) else float("nan"),
        "average_trade": float(trades.mean()) if len(trades) else float("nan"),
        "turnover": traded / years,
        "exposure": held / bars,
        "trades": float(len(trades)),
        "unfinished": float(unfinished),
    }
