"""KITTI cars (relative motion, 10 Hz): closed-form models tuned and scored 1, 3 and 5 s ahead, with budgets.

Cars are split by vehicle: 60 % to fit, 20 % to tune on, 20 % to score once. Budgets: fitting under 30
minutes, 100 trials of tuning under 2 hours, a prediction under 100 ms, under 4 GB of memory.

    python benchmarks/public_data/kitti_tracks.py DATA/trajectories/kitti_tracking/data/label
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path
from typing import Any

import forecast_core as fc
from forecast_traffic.trajectory import Tracks

HORIZON, LONGEST = 50, 24
METRICS = ("ade@1,3,5", "fde", "ellipse_coverage@0.9")
MODELS = ("constant-velocity", "constant-acceleration", "constant-turn", "gaussian-process", "kalman")


def scored(name: str, model: Any, windows: Any) -> None:
    began = time.perf_counter()
    found = fc.evaluate(model, windows, metrics=METRICS).metrics
    told = "  ".join(f"{key} {value:.3f}" for key, value in found.items())
    print(f"{name:22} {told}  ({time.perf_counter() - began:.1f} s)", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--trials", type=int, default=100)
    given = parser.parse_args()
    cars = Tracks.read_kitti(given.labels, classes=("Car",))
    windows = cars.windows(context_length=LONGEST, min_context=5, horizon=HORIZON)
    train, valid, test = fc.splits.group_split(windows, (0.6, 0.2, 0.2), seed=0)
    print(f"{cars}; windows {len(train)} + {len(valid)} + {len(test)}")
    fit_seconds = 0.0
    for name in MODELS:
        began = time.perf_counter()
        model = fc.create_model(f"trajectory/{name}", context_length=10, horizon=HORIZON).fit(train)
        fit_seconds = max(fit_seconds, time.perf_counter() - began)
        scored(name, model, test)
    began = time.perf_counter()
    study = fc.tune(
        "trajectory/polynomial",
        train,
        validation=valid,
        objective="ade",
        n_trials=given.trials,
        base={"horizon": HORIZON},
        seed=0,
    )
    tuning = time.perf_counter() - began
    default = fc.create_model("trajectory/polynomial", horizon=HORIZON).fit(train)
    best = fc.create_model("trajectory/polynomial", **{"horizon": HORIZON, **study.best_params}).fit(train)
    scored("polynomial, default", default, test)
    scored("polynomial, tuned", best, test)
    print(f"best of {given.trials} trials: {study.best_params}, {study.best_value:.3f} m on validation")
    one = cars.of_groups(windows.tracks[:1])
    best.predict(one)
    began = time.perf_counter()
    best.predict(one)
    single = (time.perf_counter() - began) * 1e3
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"slowest fit {fit_seconds:.1f} s (budget 1800), tuning {tuning:.0f} s (budget 7200)")
    print(f"one prediction {single:.2f} ms (budget 100), memory {memory:.2f} GB (budget 4)")
    return 0 if fit_seconds < 1800 and tuning < 7200 and single < 100 and memory < 4 else 1


if __name__ == "__main__":
    sys.exit(main())
