"""forecast-finance: causal features, models and honest backtests of OHLCV bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast_core.lazy import lazy_exports

if TYPE_CHECKING:
    from forecast_finance import embeddings as embeddings, features as features
    from forecast_finance.bar_rules import DroppedRow as DroppedRow, DropReport as DropReport
    from forecast_finance.bar_windows import BarWindows as BarWindows
    from forecast_finance.bars import Bars as Bars
    from forecast_finance.dataset import (
        Dataset as Dataset,
        build_dataset as build_dataset,
        open_dataset as open_dataset,
    )
    from forecast_finance.evaluation.backtesting import (
        BacktestResult as BacktestResult,
        backtest_signals as backtest_signals,
    )
    from forecast_finance.evaluation.directions import score_directions as score_directions
    from forecast_finance.evaluation.overfitting import (
        deflated_sharpe_ratio as deflated_sharpe_ratio,
        probability_of_overfitting as probability_of_overfitting,
    )
    from forecast_finance.evaluation.walk_forward import (
        WalkForward as WalkForward,
        walk_forward as walk_forward,
    )
    from forecast_finance.feature_bars import FeatureBars as FeatureBars
    from forecast_finance.readers import read_bars as read_bars
    from forecast_finance.signals import Action as Action, Signal as Signal
    from forecast_finance.simulated import random_walk as random_walk
    from forecast_finance.splitting import CombinatorialPurgedSplit as CombinatorialPurgedSplit

_EXPORTS = {
    "bar_rules": ("DropReport", "DroppedRow"),
    "bar_windows": ("BarWindows",),
    "bars": ("Bars",),
    "dataset": ("Dataset", "build_dataset", "open_dataset"),
    "evaluation.backtesting": ("BacktestResult", "backtest_signals"),
    "evaluation.directions": ("score_directions",),
    "evaluation.overfitting": ("deflated_sharpe_ratio", "probability_of_overfitting"),
    "evaluation.walk_forward": ("WalkForward", "walk_forward"),
    "feature_bars": ("FeatureBars",),
    "readers": ("read_bars",),
    "signals": ("Action", "Signal"),
    "simulated": ("random_walk",),
    "splitting": ("CombinatorialPurgedSplit",),
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS, modules=("embeddings", "features"))
__version__ = "0.1.0"
