"""Token merging: alike patches of a view become one token on the way through a transformer.

Source: Bolya et al. (2023), Token merging: your ViT but faster, sections 3 and 4.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from forecast_core.errors import InvalidInputError

__all__ = ["Matching", "bipartite_matching", "merge_tokens"]


class Matching(NamedTuple):
    """Which tokens merge: after `protected` tokens come sources and targets in turn.

    kept [n, s - r]: sources that stay, in order; merged [n, r]: sources that go; into [n, r]: the target that
    each of them goes into. Positions count sources and targets apart.
    """

    protected: int
    kept: Tensor
    merged: Tensor
    into: Tensor


def bipartite_matching(keys: Tensor, *, count: int, protected: int) -> Matching:
    """Match `count` tokens with their most alike one of the other half, by the cosine of their keys.

    keys: [n, token, d], mean over heads. The first `protected` tokens (class, registers) take no part; of
    the rest every second one is a source, beginning with the first. Raises InvalidInputError where there are
    fewer sources than `count`, or no target.
    """
    patches = functional.normalize(keys[:, protected:].float(), dim=-1)
    sources, targets = patches[:, ::2], patches[:, 1::2]
    if not 0 < count <= sources.shape[1] or not targets.shape[1]:
        raise InvalidInputError("count", f"lies in 1..{sources.shape[1]}, with a target", got=count)
    likeness, nearest = (sources @ targets.transpose(1, 2)).max(-1)  # [n, source]
    order = likeness.argsort(dim=-1, descending=True, stable=True)
    merged, kept = order[:, :count], order[:, count:].sort(dim=-1).values
    return Matching(protected, kept, merged, nearest.gather(1, merged))


def merge_tokens(values: Tensor, sizes: Tensor, matching: Matching) -> tuple[Tensor, Tensor]:
    """Tokens [n, token, d] after merging, each the mean of its patches, and how many patches it stands for.

    sizes: [n, token]. Returns [n, token - r, d] and [n, token - r]: protected ones, kept sources, targets.
    """
    weighted = torch.cat([values * sizes[..., None], sizes[..., None]], -1)  # [n, token, d + 1]
    head, patches = weighted[:, : matching.protected], weighted[:, matching.protected :]
    sources, targets = patches[:, ::2], patches[:, 1::2]
    width = weighted.shape[-1]
    kept = sources.gather(1, matching.kept[..., None].expand(-1, -1, width))
    merged = sources.gather(1, matching.merged[..., None].expand(-1, -1, width))
    targets = targets.scatter_add(1, matching.into[..., None].expand(-1, -1, width), merged)
    total = torch.cat([head, kept, targets], 1)
    return total[..., :-1] / total[..., -1:], total[..., -1]
