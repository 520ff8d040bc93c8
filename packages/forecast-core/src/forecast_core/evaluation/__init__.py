"""Evaluation: predictions scored against what happened, beside the task's naive baseline."""

from forecast_core.evaluation.backtesting import Backtest as Backtest, backtest as backtest
from forecast_core.evaluation.comparing import Comparison as Comparison, compare as compare
from forecast_core.evaluation.cross_validating import (
    CrossValidation as CrossValidation,
    cross_validate as cross_validate,
)
from forecast_core.evaluation.evaluating import Evaluation as Evaluation, evaluate as evaluate
from forecast_core.evaluation.refitting import RefitPolicy as RefitPolicy
from forecast_core.evaluation.scores import ScaleWarning as ScaleWarning, Scores as Scores
from forecast_core.evaluation.significance import (
    block_bootstrap as block_bootstrap,
    compare_losses as compare_losses,
    diebold_mariano as diebold_mariano,
    holm as holm,
    model_confidence_set as model_confidence_set,
)
