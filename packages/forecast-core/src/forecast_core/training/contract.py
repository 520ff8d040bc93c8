"""What training takes and gives: batches, a loss, and a record of every epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor, nn

from forecast_core.errors import InvalidInputError

__all__ = ["BatchSource", "EpochRecord", "Loss", "LossTerms", "TrainingResult"]


@dataclass(frozen=True)
class LossTerms:
    """A loss and what it is made of: scalars by name, told each epoch as `train_<name>` and `valid_<name>`.

    Every batch has the same terms; InvalidInputError for one named "loss", which `total` is told as.
    """

    total: Tensor
    terms: Mapping[str, Tensor]

    def __post_init__(self) -> None:
        if "loss" in self.terms:
            raise InvalidInputError("terms", "have names other than that of their sum", got="'loss'")


Loss = Callable[[nn.Module, Any], Tensor | LossTerms]


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
    """What came of an epoch: mean losses, the last step's learning rate, how long it took, and the means of
    the losses' terms by name (`train_nll`, `valid_nll`), where they have any.
    """

    epoch: int
    train_loss: float
    valid_loss: float | None
    learning_rate: float
    seconds: float
    terms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingResult:
    """How training went: a record an epoch, and the epoch (from 1) whose weights were kept."""

    history: tuple[EpochRecord, ...]
    best_epoch: int
    epochs_run: int
    stopped_early: bool
