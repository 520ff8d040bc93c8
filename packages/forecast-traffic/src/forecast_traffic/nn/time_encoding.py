"""When: cyclic and learnt encodings of the time of day, the day of the week and the week of the year."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["HierarchicalTime", "cyclic"]

_PART = 16  # size of each projection and table
_COLUMN = {"day": 0, "week": 1, "year": 2}


def cyclic(clock: Tensor, slots: int) -> Tensor:
    """Sine and cosine [..., 3, 2] of clocks [..., 4] round a day of `slots`, a week of 7 and a year of 53.

    The last slot of a day and its first are as near as any two that follow each other.
    """
    periods = torch.tensor([float(slots), 7.0, 53.0], device=clock.device)
    angle = 2.0 * math.pi * clock[..., :3] / periods
    return torch.stack([torch.sin(angle), torch.cos(angle)], -1)


class HierarchicalTime(nn.Module):
    """Clocks [..., 4] (slot of the day, weekday, week of the year, event) -> [..., size].

    calendar: which cycles are read, of "day", "week" and "year": for each a projection of sine and cosine;
    for day and week a learnt table too. events: how many kinds of event there are, none included; 0 or 1: no
    table.
    """

    def __init__(self, size: int, *, slots: int, calendar: Sequence[str], events: int) -> None:
        super().__init__()
        self.slots, self.columns = slots, [_COLUMN[name] for name in calendar]
        self.cycles = nn.ModuleList([nn.Linear(2, _PART) for _ in calendar])
        rows = {0: slots, 1: 7} | ({3: events} if events > 1 else {})
        tabled = [c for c in (0, 1, 3) if c in rows and (c == 3 or c in self.columns)]
        tables = {str(c): nn.Embedding(rows[c], _PART) for c in tabled}
        for table in tables.values():
            nn.init.normal_(table.weight, std=0.1)
        self.tables = nn.ModuleDict(tables)
        width = _PART * (len(self.cycles) + len(self.tables))
        self.size, self.fuse = size, nn.Linear(width, size) if width else None

    def forward(self, clock: Tensor) -> Tensor:
        """[..., 4] -> [..., size]."""
        if self.fuse is None:
            return torch.zeros((*clock.shape[:-1], self.size), device=clock.device)
        waves = cyclic(clock, self.slots)  # [..., 3, 2]
        parts = [layer(waves[..., c, :]) for layer, c in zip(self.cycles, self.columns, strict=True)]
        parts += [table(clock[..., int(c)]) for c, table in self.tables.items()]
        fused: Tensor = self.fuse(torch.cat(parts, -1))
        return fused
