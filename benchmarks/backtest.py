"""A backtest of `timeseries/lstm`, 200 origins of 21 items, beside its network on the same windows alone.

Budget: at most 1.2 times the batched forward passes plus 0.5 s. One thread; best of three, taken in turn.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch

import forecast_core as fc
from forecast_core.series.sample import sample_panel

ORIGINS, ITEMS, HORIZON, ROUNDS, BATCH = 200, 21, 24, 3, 1024


def main() -> int:
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, numpy {np.__version__}, one thread")
    panel = sample_panel(rows=2000, items=ITEMS)
    start = panel.timestamps[len(panel) - ORIGINS - HORIZON + 1]
    model = fc.create_model(
        "timeseries/lstm", context_length=168, horizon=HORIZON, max_epochs=1, windows_per_epoch=256
    ).fit(panel.between(None, start), seed=0)
    windows = fc.backtest([model], panel, start=start, horizon=HORIZON).windows
    source = model._tensors(panel, extra=0).source(windows.rows, windows.items, context=168, horizon=HORIZON)
    batches = [source.batch(index) for index in torch.arange(len(windows)).split(BATCH)]
    whole, bare = float("inf"), float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        fc.backtest([model], panel, start=start, horizon=HORIZON)
        whole = min(whole, time.perf_counter() - began)
        began = time.perf_counter()
        with torch.inference_mode():
            for batch in batches:
                model._network(batch)
        bare = min(bare, time.perf_counter() - began)
    budget = 1.2 * bare + 0.5
    print(
        f"{len(windows)} windows: backtest with baseline {whole:.2f} s, forward passes {bare:.2f} s, "
        f"ratio {whole / bare:.2f}, budget {budget:.2f} s"
    )
    return 0 if whole <= budget else 1


if __name__ == "__main__":
    sys.exit(main())
