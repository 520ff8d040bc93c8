"""Trajectories: constant motion, a Gaussian process, a Kalman filter and a trained transformer, side by side.

    python examples/trajectories.py
    python examples/trajectories.py --eth-ucy DATA/trajectories/eth_ucy/zara1

Without data, cars on a simulated motorway: the first 36 of 60 fit, 12 calibrate, 12 are scored. With
--eth-ucy, a folder of train, val and test of one scene left out, by the protocol eth-ucy/sgan.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import forecast_core as fc
from forecast_traffic.trajectory import (
    Tracks,
    calibrate_ellipses,
    event_scores,
    protocol,
    simulate_road,
    write_track_report,
)

DEALT = ((0, 36), (36, 48), (48, 60))  # cars to fit, calibrate and score on
METRICS = ["ade", "fde", "minade@6", "missrate", "path_nll", "ellipse_coverage@0.9", "collision_rate"]


def simulated() -> tuple[Any, Any, Any, dict[str, Any]]:
    """Windows to fit, calibrate and score on, and options that suit them."""
    road = simulate_road(seed=0, vehicles=60, seconds=120.0).thinned(5)  # 2 Hz
    windows = road.windows(context_length=6, horizon=6)
    train, valid, test = (
        windows.take((windows.tracks >= low) & (windows.tracks < high)) for low, high in DEALT
    )
    return train, valid, test, {"context_length": 6, "horizon": 6}


def recorded(folder: Path) -> tuple[Any, Any, Any, dict[str, Any]]:
    """The same of a scene of ETH/UCY that is left out of training."""
    names = {"train": "eth-ucy/full-tracks", "val": "eth-ucy/full-tracks", "test": "eth-ucy/sgan"}
    train, valid, test = (
        protocol(name).windows(Tracks.read_eth_ucy(folder / part, singles="drop", gaps="keep"))
        for part, name in names.items()
    )
    return train, valid, test, {"context_length": 8, "horizon": 12}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--eth-ucy", type=Path, help="folder of one scene, with train, val and test")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/trajectories"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    train, valid, test, shape = simulated() if options.eth_ucy is None else recorded(options.eth_ucy)
    print(f"{len(train):,} windows to fit, {len(valid):,} to calibrate, {len(test):,} to score")

    models = {
        name: fc.create_model(f"trajectory/{name}", **shape) for name in ("constant-velocity", "kalman")
    }
    models["gaussian-process"] = fc.create_model("trajectory/gaussian-process", **shape)
    models["interaction-transformer"] = fc.create_model(
        "trajectory/interaction-transformer",
        **shape,
        modes=6,
        max_epochs=options.epochs,
        windows_per_epoch=4096,
        radius=6.0 if options.eth_ucy else 60.0,
    )
    found = {}
    for name, model in models.items():
        began = time.perf_counter()
        model.fit(train, seed=options.seed)
        fitted = time.perf_counter() - began
        calibrated = calibrate_ellipses(model, valid, seed=options.seed)
        found[name] = fc.evaluate(calibrated, test, metrics=METRICS)
        told = "  ".join(f"{k} {v:.3f}" for k, v in found[name].metrics.items() if v is not None)
        print(f"{name:24} {told}  (fitted in {fitted:.1f} s)")

    learned = models["interaction-transformer"]
    for event, score in event_scores(learned.predict_windows(test), test).items():
        print(
            f"{event:12} happens in {score.rate:.1%} of {score.windows:,}; Brier {score.brier:.4f} "
            f"(rate alone {score.base_brier:.4f}), AUC {score.auc:.2f}"
        )
    learned.save(options.out / "model")
    again = fc.load_model(options.out / "model")
    assert np.array_equal(again.predict_windows(test).mean(), learned.predict_windows(test).mean())
    note = "Cars of a simulated motorway, split by vehicle." if options.eth_ucy is None else "eth-ucy/sgan."
    print(f"report: {write_track_report(found, options.out / 'report.html', note=note)}")


if __name__ == "__main__":
    main()
