"""When to stop: the best epoch so far, and how long nothing has become better."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from pydantic import JsonValue

__all__ = ["EarlyStopping"]


@dataclass
class EarlyStopping:
    """Follows the validation loss, epoch by epoch.

    The best epoch is that of the lowest loss (the earliest of equals). Training should stop once
    `patience` epochs in a row gained no more than `min_delta` on the loss that last counted as better.
    """

    patience: int | None = None
    min_delta: float = 0.0
    best_epoch: int = 0
    best_loss: float | None = None
    reference: float | None = None
    waited: int = 0

    def observe(self, epoch: int, loss: float) -> bool:
        """Take note of an epoch's loss; whether it is the best so far."""
        if self.reference is None or loss < self.reference - self.min_delta:
            self.reference, self.waited = loss, 0
        else:
            self.waited += 1
        best = self.best_loss is None or loss < self.best_loss
        if best:
            self.best_epoch, self.best_loss = epoch, loss
        return best

    @property
    def should_stop(self) -> bool:
        """Whether patience is used up."""
        return self.patience is not None and self.waited >= self.patience

    def state(self) -> dict[str, JsonValue]:
        """What `restore` needs."""
        return {name: value for name, value in asdict(self).items() if name not in ("patience", "min_delta")}

    def restore(self, state: dict[str, JsonValue]) -> None:
        """Go on from an earlier state."""
        for name, value in state.items():
            setattr(self, name, value)
