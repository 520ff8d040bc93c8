"""Pairs of rows that share a group: who is in one scene at one moment."""

from __future__ import annotations

import numpy as np

__all__ = ["pairs_within"]


def pairs_within(group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All unordered pairs of rows of one group, as positions [p] of the one and of the other.

    group [n]: whole numbers. Built without a loop over groups.
    """
    order = np.argsort(group, kind="stable")
    _, begins, counts = np.unique(group[order], return_index=True, return_counts=True)
    ends = np.repeat(begins + counts, counts)  # of each row's group, in sorted order
    place = np.arange(len(group))
    partners = ends - place - 1  # rows of the group that follow
    one = np.repeat(place, partners)
    first = np.repeat(np.cumsum(partners) - partners, partners)
    other = one + 1 + np.arange(len(one)) - first
    return order[one], order[other]
