"""Weights of several tasks' losses, learnt with the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from forecast_core.errors import InvalidInputError, ShapeError, near_misses
from forecast_core.losses.bounds import clamp_inward

__all__ = ["HomoscedasticWeighting", "TaskKind"]

TaskKind = Literal["regression", "classification"]


class HomoscedasticWeighting(nn.Module):
    """Sum of task losses, each weighted by a learnt noise level s = ln sigma^2 of its task.

    regression: e^-s L / 2 + s / 2 with L a squared error; classification: e^-s L + s / 2 with L a cross
    entropy. At the optimum e^s is the task's mean loss (twice that for classification), so tasks of
    any unit share the network fairly. s is clamped to `bounds`, and can come back from them; without them a
    task with loss near 0 takes an unbounded weight. `log_variances` [task] are trained with the network:
    give them no weight decay.
    tasks: names and kinds; initial: the first s of all of them.
    Raises InvalidInputError for no tasks, an unknown kind, or bounds that do not hold `initial`.
    Source: Kendall, Gal and Cipolla (2018), Multi-task learning using uncertainty, eqs. 7 and 10.
    """

    def __init__(
        self,
        tasks: Mapping[str, TaskKind],
        *,
        initial: float = 0.0,
        bounds: tuple[float, float] = (-10.0, 10.0),
    ) -> None:
        super().__init__()
        if not tasks:
            raise InvalidInputError("tasks", "names at least one task")
        kinds = get_args(TaskKind)
        for name, kind in tasks.items():
            if kind not in kinds:
                raise InvalidInputError("tasks", f"is one of {kinds}", place=name, got=repr(kind))
        if not bounds[0] <= initial <= bounds[1]:
            raise InvalidInputError("initial", f"lies within the bounds {bounds}", got=initial)
        self.tasks = dict(tasks)
        self.bounds = bounds
        self.log_variances = nn.Parameter(torch.full((len(tasks),), float(initial)))
        self.factors: Tensor
        factors = [0.5 if kind == "regression" else 1.0 for kind in tasks.values()]
        self.register_buffer("factors", torch.tensor(factors), persistent=False)

    def forward(
        self, losses: Mapping[str, Tensor], *, observed: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """The weighted sum of scalar losses by task name, a scalar.

        A task left out of `losses` takes no part. `observed`: by task name a boolean scalar, False where no
        target of the task was observed in the batch: its loss of 0 is then no evidence that the task is
        easy, and leaves its weight alone. Raises InvalidInputError for unknown names or no losses,
        ShapeError for losses that are not scalars.
        """
        observed = observed or {}
        for name in (*losses, *observed):
            if name not in self.tasks:
                rule = f"has only known tasks; {near_misses(name, self.tasks)}"
                raise InvalidInputError("losses", rule, got=name)
        if not losses:
            raise InvalidInputError("losses", "has the loss of at least one task")
        noise = self._noise()
        terms = []
        for name, s, factor in zip(self.tasks, noise, self.factors, strict=True):
            if name not in losses:
                continue
            loss, penalty = losses[name], 0.5 * s
            if loss.ndim != 0:
                raise ShapeError("losses", "are scalars", place=name, got=tuple(loss.shape))
            if name in observed:
                loss, penalty = (torch.where(observed[name], part, 0.0) for part in (loss, penalty))
            terms.append(factor * torch.exp(-s) * loss + penalty)
        return torch.stack(terms).sum()

    def weights(self) -> dict[str, Tensor]:
        """The factor of each task's loss, a detached scalar by task name (to be logged)."""
        weights = self.factors * torch.exp(-self._noise().detach())
        return dict(zip(self.tasks, weights, strict=True))

    def _noise(self) -> Tensor:
        return clamp_inward(self.log_variances, low=self.bounds[0], high=self.bounds[1])
