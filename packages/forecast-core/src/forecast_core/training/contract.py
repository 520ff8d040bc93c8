"""What training takes and gives: batches, a loss, and a record of every epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

__all__ = ["BatchSource", "EpochRecord", "Loss", "TrainingResult"]

Loss = Callable[[nn.Module, Any], Tensor]


class BatchSource(Protocol):
    """Windows by position; a batch is one gather, with no work for each sample."""

    def __len__(self) -> int:
        """How many windows there are."""
        ...

    def batch(self, index: Tensor) -> Any:
        """What network and loss take for the windows at `index`, int64 [n], on the training device."""
        ...


@dataclass(frozen=True)
class EpochRecord:
    """What came of an epoch: mean losses, the last step's learning rate, and how long it took."""

    epoch: int
    train_loss: float
    valid_loss: float | None
    learning_rate: float
    seconds: float


@dataclass(frozen=True)
class TrainingResult:
    """How training went: a record an epoch, and the epoch (from 1) whose weights were kept."""

    history: tuple[EpochRecord, ...]
    best_epoch: int
    epochs_run: int
    stopped_early: bool
