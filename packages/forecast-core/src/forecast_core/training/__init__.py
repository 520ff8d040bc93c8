"""Training networks (torch): a lean loop over index windows that survives being killed.

`fit_network` is the whole of it: a batch is one gather from a `BatchSource`; order and dropout of an epoch
follow from (seed, epoch) alone, so that a run resumed from its last checkpoint ends with the very weights
of one that was never interrupted. Nothing here imports torch before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast_core.lazy import lazy_exports

if TYPE_CHECKING:
    from forecast_core.training.averaging import WeightAverage as WeightAverage
    from forecast_core.training.checkpoints import (
        Checkpoint as Checkpoint,
        read_checkpoint as read_checkpoint,
        write_checkpoint as write_checkpoint,
    )
    from forecast_core.training.compiling import CompileWarning as CompileWarning
    from forecast_core.training.contract import (
        BatchSource as BatchSource,
        EpochRecord as EpochRecord,
        LossTerms as LossTerms,
        TrainingResult as TrainingResult,
    )
    from forecast_core.training.divergence import DivergenceError as DivergenceError
    from forecast_core.training.engine import training_device as training_device
    from forecast_core.training.history import HistoryWriter as HistoryWriter
    from forecast_core.training.loop import fit_network as fit_network
    from forecast_core.training.options import TrainingOptions as TrainingOptions
    from forecast_core.training.progress import ProgressBar as ProgressBar
    from forecast_core.training.randomness import epoch_order as epoch_order
    from forecast_core.training.schedules import rate_factor as rate_factor
    from forecast_core.training.stopping import EarlyStopping as EarlyStopping

_EXPORTS = {
    "averaging": ("WeightAverage",),
    "checkpoints": ("Checkpoint", "read_checkpoint", "write_checkpoint"),
    "compiling": ("CompileWarning",),
    "contract": ("BatchSource", "EpochRecord", "LossTerms", "TrainingResult"),
    "divergence": ("DivergenceError",),
    "engine": ("training_device",),
    "history": ("HistoryWriter",),
    "loop": ("fit_network",),
    "options": ("TrainingOptions",),
    "progress": ("ProgressBar",),
    "randomness": ("epoch_order",),
    "schedules": ("rate_factor",),
    "stopping": ("EarlyStopping",),
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
