"""Significance: whether one model's losses are lower than another's by more than chance.

All tests take losses in order of time, one value an origin, already averaged over items and steps.
`diebold_mariano` and `block_bootstrap` compare two models, `compare_losses` every pair of several with
Holm's correction, `model_confidence_set` tells which of several may be the best. They need the extra
`evaluate` (scipy, arch).
"""

from forecast_core.evaluation.significance.bootstrap import (
    BlockBootstrap as BlockBootstrap,
    block_bootstrap as block_bootstrap,
)
from forecast_core.evaluation.significance.confidence_set import (
    ConfidenceSet as ConfidenceSet,
    model_confidence_set as model_confidence_set,
)
from forecast_core.evaluation.significance.diebold_mariano import (
    DieboldMariano as DieboldMariano,
    diebold_mariano as diebold_mariano,
)
from forecast_core.evaluation.significance.holm import holm as holm
from forecast_core.evaluation.significance.pairwise import (
    PairTest as PairTest,
    Significance as Significance,
    compare_losses as compare_losses,
)
