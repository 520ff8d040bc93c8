"""The loss of several paths of which one came true."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from forecast_traffic.trajectory.nn.paths import Paths
from forecast_traffic.trajectory.nn.tensors import PathBatch

__all__ = ["path_loss"]

_END = 0.3  # weight of the last step beside the average
_OTHERS = 0.02  # weight of modes that were not the best, which keeps them from going astray
_CHOICE, _SPREAD, _EVENTS = 0.3, 0.05, 0.1


def path_loss(paths: Paths, batch: PathBatch, *, temperature: float) -> Tensor:
    """A scalar, the mean over windows of four parts.

    Displacement in metres of the mode that came nearest (winner takes all; Rupprecht et al. 2017), average
    and final; cross entropy of the modes' probabilities with softmax(-displacement / temperature); negative
    log likelihood of each step's mixture, which shapes ellipses and probabilities and leaves paths alone;
    cross entropy of the events that are known.
    """
    apart = torch.linalg.vector_norm(paths.means - batch.future[:, None], dim=-1)  # [n, k, h]
    average = apart.mean(-1)
    best = average.argmin(1, keepdim=True)
    nearest = average.gather(1, best)[:, 0] + _END * apart[..., -1].gather(1, best)[:, 0]
    share = torch.softmax(-average.detach() / temperature, -1)
    chosen = torch.log_softmax(paths.logits, -1)
    choice = -(share * chosen).sum(1)
    terms = _log_densities(paths, batch.future) + chosen[..., None]  # [n, k, h]
    spread = -torch.logsumexp(terms, 1).mean(1)
    loss = (nearest + _OTHERS * average.mean(1) + _CHOICE * choice + _SPREAD * spread).mean()
    known = ~torch.isnan(batch.events)
    if known.any():
        each = nn.functional.binary_cross_entropy_with_logits(
            paths.events, torch.nan_to_num(batch.events), reduction="none"
        )
        loss = loss + _EVENTS * each[known].mean()
    result: Tensor = loss
    return result


def _log_densities(paths: Paths, future: Tensor) -> Tensor:
    """Log density [n, k, h] of the truth under each mode's ellipse, up to a constant; means held fixed."""
    z = (future[:, None] - paths.means.detach()) / paths.log_scales.exp()
    r = paths.correlation
    rest = 1.0 - r * r
    squared = (z[..., 0] ** 2 - 2.0 * r * z[..., 0] * z[..., 1] + z[..., 1] ** 2) / rest
    return -0.5 * squared - paths.log_scales.sum(-1) - 0.5 * torch.log(rest)
