"""State of the process that a model has to leave alone: random generators and numeric settings."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

__all__ = ["watched"]


@contextmanager
def watched() -> Iterator[list[str]]:
    """Names of what changes inside the block, told when it ends; generators are put back.

    Generators are moved on first, so that seeding one shows even if it was seeded alike before.
    """
    touched: list[str] = []
    torch = sys.modules.get("torch")
    kept = random.getstate(), np.random.get_state(), torch.get_rng_state() if torch else None  # noqa: NPY002
    random.random()
    np.random.random()  # noqa: NPY002
    if torch:
        torch.rand(1)
    before = _snapshot(torch)
    try:
        yield touched
    finally:
        after = _snapshot(torch)
        touched += [name for name in before if before[name] != after[name]]
        random.setstate(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002
        if torch:
            torch.set_rng_state(kept[2])


def _snapshot(torch: Any) -> dict[str, Any]:
    kind, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002
    state: dict[str, Any] = {
        "random": random.getstate(),
        "numpy.random": (kind, np.asarray(keys).tobytes(), rest),
        "numpy error handling": np.geterr(),
    }
    if torch:
        state |= {
            "torch's random generator": torch.get_rng_state().numpy().tobytes(),
            "torch's default dtype": torch.get_default_dtype(),
            "torch's gradient mode": torch.is_grad_enabled(),
            "torch's threads": torch.get_num_threads(),
        }
    return state
