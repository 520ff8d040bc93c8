"""What predictions and decisions are worth, with intervals that respect overlapping returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast_core.lazy import lazy_exports

if TYPE_CHECKING:
    from forecast_finance.evaluation.backtesting import (
        BacktestResult as BacktestResult,
        backtest_signals as backtest_signals,
    )
    from forecast_finance.evaluation.dates import DateBootstrap as DateBootstrap
    from forecast_finance.evaluation.directions import (
        DirectionScores as DirectionScores,
        Estimate as Estimate,
        score_directions as score_directions,
    )
    from forecast_finance.evaluation.overfitting import (
        deflated_sharpe_ratio as deflated_sharpe_ratio,
        probability_of_overfitting as probability_of_overfitting,
    )
    from forecast_finance.evaluation.walk_forward import (
        ModelResult as ModelResult,
        WalkForward as WalkForward,
        walk_forward as walk_forward,
    )

_EXPORTS = {
    "backtesting": ("BacktestResult", "backtest_signals"),
    "dates": ("DateBootstrap",),
    "directions": ("DirectionScores", "Estimate", "score_directions"),
    "overfitting": ("deflated_sharpe_ratio", "probability_of_overfitting"),
    "walk_forward": ("ModelResult", "WalkForward", "walk_forward"),
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
