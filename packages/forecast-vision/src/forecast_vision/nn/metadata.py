"""The metadata of a photo as one vector, whatever of it is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from forecast_vision.metadata.encoding import NULL, UNKNOWN

__all__ = ["MetadataBatch", "MetadataEncoder"]

_GPS, _TEXT = 128, 384


class MetadataBatch(NamedTuple):
    """The arrays of `metadata.encoding.MetadataArrays` as tensors."""

    waves: Tensor
    located: Tensor
    codes: Tensor
    texts: Tensor
    told: Tensor

    def take(self, index: Tensor) -> MetadataBatch:
        """The rows at some positions."""
        return MetadataBatch(*(each[index] for each in self))


class MetadataEncoder(nn.Module):
    """[n, 704] by default: 128 waves of the position, 64 for each of three categories, 384 of the text.

    A missing position or text is a vector that is learnt, as is NULL, and UNKNOWN for a value not seen in
    training. In training each field of each photo is dropped at a rate, as if it were missing; a known
    category turns into UNKNOWN at half that rate, so that UNKNOWN is learnt too.
    """

    def __init__(self, sizes: Sequence[int], *, category: int = 64, dropout: float = 0.1) -> None:
        super().__init__()
        self.dropout = dropout
        self.size = _GPS + category * len(sizes) + _TEXT
        self.no_place = nn.Parameter(0.02 * torch.randn(_GPS))
        self.no_text = nn.Parameter(0.02 * torch.randn(_TEXT))
        self.categories = nn.ModuleList(nn.Embedding(size, category) for size in sizes)

    def forward(self, batch: MetadataBatch) -> Tensor:
        """The vectors [n, size]."""
        located, codes, told = batch.located, batch.codes, batch.told
        if self.training and self.dropout:
            draw = torch.rand(len(codes), codes.shape[1] + 2, device=codes.device)
            located, told = located & (draw[:, 0] >= self.dropout), told & (draw[:, 1] >= self.dropout)
            chance = draw[:, 2:]
            unknown = (codes != NULL) & (chance < 1.5 * self.dropout)
            codes = torch.where(unknown, UNKNOWN, codes).masked_fill(chance < self.dropout, NULL)
        parts = [torch.where(located[:, None], batch.waves, self.no_place)]
        parts += [table(codes[:, k]) for k, table in enumerate(self.categories)]
        parts.append(torch.where(told[:, None], batch.texts, self.no_text))
        return torch.cat(parts, -1)
