"""Evaluation: predictions scored against what happened, beside the task's naive baseline."""

from forecast_core.evaluation.backtest import Backtest as Backtest, backtest as backtest
from forecast_core.evaluation.evaluate import Evaluation as Evaluation, evaluate as evaluate
from forecast_core.evaluation.scores import Scores as Scores
