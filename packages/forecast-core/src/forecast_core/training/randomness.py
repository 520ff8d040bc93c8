"""Everything random in training, as a function of (seed, epoch): resuming needs no generator's state."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from forecast_core.errors import ConfigError

__all__ = ["Stream", "deterministic_algorithms", "epoch_order", "seeded"]


class Stream(IntEnum):
    """What random numbers are for; each use has a stream of its own."""

    ORDER = 0
    TRAINING = 1
    VALIDATION = 2


def epoch_order(length: int, count: int, *, seed: int, epoch: int) -> Tensor:
    """`count` distinct positions out of `length`, in random order; int64 [count].

    A fresh subset each epoch; count == length is a permutation. Time and memory grow with `count` where it
    is a small part of `length`.
    """
    generator = np.random.default_rng([seed, epoch, Stream.ORDER])
    return torch.from_numpy(generator.choice(length, size=count, replace=False))


@contextmanager
def seeded(device: torch.device, stream: Stream, *, seed: int, epoch: int, rank: int = 0) -> Iterator[None]:
    """Within, torch's generators of the CPU and of `device` start from (seed, epoch, stream, rank).

    Afterwards they are as they were.
    """
    key = np.random.SeedSequence([seed, epoch, stream, rank])
    value = int(key.generate_state(1, np.uint64)[0] >> np.uint64(1))  # fits a signed 64-bit seed
    cuda = device.type == "cuda"
    index = (torch.cuda.current_device() if device.index is None else device.index) if cuda else None
    with torch.random.fork_rng(devices=[] if index is None else [index], device_type="cuda"):
        # Seeding every device, as torch.manual_seed does, would touch generators that nobody restores.
        torch.default_generator.manual_seed(value)
        if index is not None:
            with torch.cuda.device(index):
                torch.cuda.manual_seed(value)
        yield


@contextmanager
def deterministic_algorithms(enabled: bool, device: torch.device) -> Iterator[None]:
    """Within, torch raises RuntimeError at operations without a repeatable implementation.

    Raises ConfigError on CUDA unless CUBLAS_WORKSPACE_CONFIG makes matrix products repeatable.
    """
    if not enabled:
        yield
        return
    if device.type == "cuda" and os.environ.get("CUBLAS_WORKSPACE_CONFIG") not in (":4096:8", ":16:8"):
        raise ConfigError(
            "TrainingOptions.deterministic",
            "needs the environment variable CUBLAS_WORKSPACE_CONFIG=:4096:8 on CUDA, set before torch starts",
        )
    algorithms = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(algorithms, warn_only=warn_only)
        torch.backends.cudnn.benchmark = benchmark
