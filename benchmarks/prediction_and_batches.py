"""Batch assembly and single prediction of `timeseries/lstm`, beside the bare torch call.

Budgets: 32 windows are assembled in at most 0.05 ms; a single prediction takes at most twice the bare
call of the network plus 0.3 ms. One thread; best of several rounds, the two sides taken in turn.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import torch

import forecast_core as fc
from forecast_core.series.sample import sample_panel
from forecast_timeseries.nn.scaling import PanelScaling
from forecast_timeseries.nn.tensors import SeriesTensors

ROUNDS, CALLS = 15, 100


def best_in_turn(*calls: Callable[[], object]) -> list[float]:
    """Milliseconds a call of each, best of rounds in which they take turns."""
    best = [float("inf")] * len(calls)
    for _ in range(ROUNDS):
        for k, call in enumerate(calls):
            began = time.perf_counter()
            for _ in range(CALLS):
                call()
            best[k] = min(best[k], (time.perf_counter() - began) / CALLS * 1e3)
    return best


def main() -> int:
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, numpy {np.__version__}, one thread")
    panel = sample_panel(rows=60_000, items=21)
    scaling = PanelScaling.fit(panel, rows=len(panel))
    calendar = ("hour_sin", "hour_cos", "is_weekend")
    tensors = SeriesTensors(panel, scaling=scaling, lags=(168, 336), calendar=calendar, extra=0)
    rng = np.random.default_rng(0)
    ok = True
    for context in (48, 168):
        source = tensors.source(
            rng.integers(200, 59_000, 10_000), rng.integers(0, 21, 10_000), context=context, horizon=24
        )
        index = torch.randint(0, 10_000, (32,))
        (assembly,) = best_in_turn(lambda s=source, i=index: s.batch(i))  # type: ignore[misc]
        print(f"batch of 32 windows, context {context:3}: {assembly:.4f} ms (budget 0.05)")
        ok &= assembly <= 0.05

    for context in (12, 168):
        one = sample_panel(rows=400, items=1)
        model = fc.create_model(
            "timeseries/lstm", context_length=context, horizon=12, max_epochs=1, windows_per_epoch=256
        ).fit(one, seed=0)
        network = model._network
        source = model._tensors(one, extra=12).source(
            np.array([len(one) - 1]), np.array([0]), context=context, horizon=12
        )
        batch = source.batch(torch.arange(1))
        with torch.inference_mode():
            single, bare = best_in_turn(lambda m=model, p=one: m.predict(p), lambda n=network, b=batch: n(b))  # type: ignore[misc]
        budget = 2 * bare + 0.3
        print(
            f"single predict, context {context:3}: {single:.3f} ms, bare network {bare:.3f} ms, "
            f"ratio {single / bare:.2f}, budget {budget:.3f} ms"
        )
        ok &= single <= budget
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
