"""Evaluation: predictions scored against what happened, beside the task's naive baseline."""

from forecast_core.evaluation.backtesting import Backtest as Backtest, backtest as backtest
from forecast_core.evaluation.evaluating import Evaluation as Evaluation, evaluate as evaluate
from forecast_core.evaluation.scores import Scores as Scores
