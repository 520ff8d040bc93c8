"""The optimizer that options name."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

import torch
from torch import Tensor
from torch.optim import Optimizer

from forecast_core.errors import MissingDependencyError
from forecast_core.training.options import TrainingOptions

__all__ = ["make_optimizer"]


def make_optimizer(options: TrainingOptions, parameters: Sequence[Tensor]) -> Optimizer:
    """Adam, AdamW or Lion over some parameters; MissingDependencyError for Lion without lion-pytorch.

    Sources: Kingma & Ba (2015), Adam; Loshchilov & Hutter (2019), Decoupled weight decay regularization;
    Chen et al. (2023), Symbolic discovery of optimization algorithms (Lion).
    """
    rate, decay = options.learning_rate, options.weight_decay
    if options.optimizer == "lion":
        if find_spec("lion_pytorch") is None:
            install = "pip install 'forecast-core[lion]'"
            raise MissingDependencyError("lion_pytorch", purpose="optimizer='lion'", install=install)
        from lion_pytorch import Lion

        lion: Optimizer = Lion(parameters, lr=rate, weight_decay=decay)
        return lion
    kind = torch.optim.AdamW if options.optimizer == "adamw" else torch.optim.Adam
    return kind(parameters, lr=rate, weight_decay=decay)
