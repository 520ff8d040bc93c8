"""What each part of `traffic/stmgt` is worth: it without one part at a time, on held-back rows.

By default on a simulated network with rain (`simulate_network(10, 21, seed=0)`), whose true distribution has
the least error that there can be; --speeds and --adjacency name files of a network of your own. Rows are cut
70 / 10 / 20 in time, the middle part chooses the epoch, errors are of the last part. Every variant is trained
with the same seeds; seconds are processor time of training, one thread. DM is the Diebold-Mariano statistic
of the CRPS by origin, averaged over seeds, against the first variant (above 0: worse than it), p is corrected
by Holm.

    python benchmarks/traffic_ablation.py [--seeds 3] [--epochs 6] [--speeds FILE --adjacency FILE ...]
"""

from __future__ import annotations

import argparse
import platform
import time
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch

import forecast_core as fc
from forecast_core.evaluation.losses import origin_losses
from forecast_core.evaluation.significance import diebold_mariano, holm
from forecast_core.metrics import score_metrics
from forecast_traffic import GraphPanel, GraphWindows, read_network, simulate_network

SHARES = (0.7, 0.1, 0.2)
STRIDE = 3  # rows from one test origin to the next
METRICS = ["mae", "rmse", "crps", "coverage@0.9"]
VARIANTS: dict[str, dict[str, Any]] = {
    "parallel, all parts but dense": {},
    "sequential": {"block": "sequential"},
    "no roads": {"road": False},
    "dense attention too": {"dense": True},
    "no weather": {"weather": False},
    "no adaptive embedding": {"adaptive": False},
    "one Gaussian": {"components": 1},
    "likelihood as loss": {"loss": {"crps": 0.0, "nll": 1.0}},
    "no residual head": {"residual": False},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--windows", type=int, default=1024, help="windows an epoch")
    parser.add_argument("--speeds", type=Path)
    parser.add_argument("--adjacency", type=Path)
    parser.add_argument("--start", help="time of the first row, where the file has none")
    options = parser.parse_args()
    torch.set_num_threads(1)
    network = None
    if options.speeds is None:
        network = simulate_network(10, 21, seed=0)
        panel = network.panel
    else:
        panel = read_network(options.speeds, adjacency=options.adjacency, start=options.start)
    print(f"{panel}\ntorch {torch.__version__}, Python {platform.python_version()}, {options.seeds} seeds\n")
    shared = {
        "max_epochs": options.epochs,
        "windows_per_epoch": options.windows,
        "batch_size": 32,
        "learning_rate": 4e-3,
        "num_layers": 1,
        "calendar": ("day", "week") if len(panel) > 14 * 288 else ("day",),
    }
    variants = {k: v for k, v in VARIANTS.items() if panel.weather is not None or "weather" not in v}
    runs = {name: trained(panel, {**shared, **v}, seeds=options.seeds) for name, v in variants.items()}
    table(runs)
    windows = held_back(panel)
    naive = windows.without(frozenset({"future_covariates"}))
    told = {"last value": fc.create_model("traffic/last-value").predict_windows(naive)}
    if network is not None:
        told["the truth"] = network.conditional(windows)
    for name, prediction in told.items():
        found = score_metrics(prediction, *windows.targets(), METRICS).overall
        print(f"| {name} | {' | '.join(f'{value:.3f}' for value in found.values())} | | | |")


def held_back(panel: GraphPanel) -> GraphWindows:
    """Those of the last fifth of the rows."""
    *_, test = fc.splits.time_split(panel, SHARES)
    return panel.windows(horizon=12, origins=test.timestamps[:-11:STRIDE] - panel.freq.delta)


def trained(panel: GraphPanel, options: dict[str, Any], *, seeds: int) -> dict[str, np.ndarray]:
    """Metrics [seed, metric], seconds [seed], and mean losses by origin, on held-back rows."""
    if not options.pop("weather", True):
        panel = panel.without(frozenset({"future_covariates"}))
    train, valid, _ = fc.splits.time_split(panel, SHARES)
    windows = held_back(panel)
    targets, observed = windows.targets()
    metrics, seconds, losses = [], [], []
    for seed in range(seeds):
        model = fc.create_model("traffic/stmgt", **options)
        began = time.process_time()
        model.fit(train, validation=valid, seed=seed)
        seconds.append(time.process_time() - began)
        prediction = model.predict_windows(windows)
        metrics.append(list(score_metrics(prediction, targets, observed, METRICS).overall.values()))
        losses.append(origin_losses(prediction, windows, "crps"))
    return {"metrics": np.array(metrics), "seconds": np.array(seconds), "losses": np.mean(losses, axis=0)}


def table(runs: dict[str, dict[str, np.ndarray]]) -> None:
    """A row a variant, in markdown."""
    first = next(iter(runs.values()))
    tests = [
        diebold_mariano(run["losses"], first["losses"], horizon=ceil(12 / STRIDE))
        for run in list(runs.values())[1:]
    ]
    corrected = holm([test.p_value for test in tests])
    print("| variant | MAE | RMSE | CRPS | coverage 90 % | seconds | DM | p |")
    print("|---|---|---|---|---|---|---|---|")
    for k, (name, run) in enumerate(runs.items()):
        mean, spread = run["metrics"].mean(0), run["metrics"].std(0, ddof=min(1, len(run["metrics"]) - 1))
        cells = [f"{m:.3f} ± {s:.3f}" for m, s in zip(mean, spread, strict=True)]
        test = ["", ""] if k == 0 else [f"{tests[k - 1].statistic:+.1f}", f"{corrected[k - 1]:.2g}"]
        print(f"| {name} | {' | '.join(cells)} | {run['seconds'].mean():.0f} | {' | '.join(test)} |")


if __name__ == "__main__":
    main()
