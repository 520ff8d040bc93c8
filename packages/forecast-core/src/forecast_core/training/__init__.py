"""Training networks (torch): a lean loop over index windows that survives being killed.

`fit_network` is the whole of it: a batch is one gather from a `BatchSource`; order and dropout of an epoch
follow from (seed, epoch) alone, so that a run resumed from its last checkpoint ends with the very weights
of one that was never interrupted. Nothing here imports torch before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forecast_core.training.averaging import WeightAverage as WeightAverage
    from forecast_core.training.checkpoints import (
        Checkpoint as Checkpoint,
        read_checkpoint as read_checkpoint,
        write_checkpoint as write_checkpoint,
    )
    from forecast_core.training.contract import (
        BatchSource as BatchSource,
        EpochRecord as EpochRecord,
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
    "contract": ("BatchSource", "EpochRecord", "TrainingResult"),
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
_HOME = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
