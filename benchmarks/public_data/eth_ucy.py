"""ETH/UCY, leave one scene out: a trained model beside constant velocity, by the protocol eth-ucy/sgan.

Each model is fitted on the training part of the other scenes, keeps the weights of the best epoch on their
validation part, and is scored once on the scene left out, with each seed. Bars: minADE/minFDE of 20 averaged
over scenes at most 0.30/0.55; the most probable path's ADE at most constant velocity's; collisions shown.

    python benchmarks/public_data/eth_ucy.py DATA/trajectories/eth_ucy --seeds 0 1 2 --models models/
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import forecast_core as fc
from forecast_traffic.trajectory import Tracks, protocol

SCENES = ("eth", "hotel", "univ", "zara1", "zara2")
METRICS = ("minade@20", "minfde@20", "minade@1", "minfde@1", "collision_rate", "ellipse_coverage@0.9")


def windows_of(folder: Path, name: str) -> Any:
    return protocol(name).windows(Tracks.read_eth_ucy(folder, singles="drop", gaps="keep"))


def trained(model_id: str, folder: Path, kept: Path | None, *, seed: int, params: dict[str, Any]) -> Any:
    """The model of a scene left out: found among those kept, or fitted."""
    place = None if kept is None else kept / f"{model_id.rpartition('/')[2]}-{folder.name}-{seed}"
    if place is not None and place.is_dir():
        return fc.load_model(place)
    train, valid = (windows_of(folder / part, "eth-ucy/full-tracks") for part in ("train", "val"))
    model = fc.create_model(model_id, **params).fit(train, validation=valid, seed=seed)
    if place is not None:
        place.parent.mkdir(parents=True, exist_ok=True)
        model.save(place)
    return model


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path, help="folder with a folder of train, val and test a scene")
    parser.add_argument("--model", default="trajectory/interaction-transformer")
    parser.add_argument("--scenes", nargs="+", default=list(SCENES), choices=SCENES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--models", type=Path, help="where trained models are kept, and found again")
    given = parser.parse_args()
    found: dict[tuple[str, int], np.ndarray] = {}
    naive: dict[str, np.ndarray] = {}
    for seed in given.seeds:
        for scene in given.scenes:
            began = time.perf_counter()
            folder = given.data / scene
            model = trained(given.model, folder, given.models, seed=seed, params={"max_epochs": given.epochs})
            result = fc.evaluate(model, windows_of(folder / "test", "eth-ucy/sgan"), metrics=METRICS)
            found[scene, seed] = np.array([result.metrics[m] for m in METRICS], dtype=float)
            naive[scene] = np.array([result.baseline.metrics[m] for m in METRICS], dtype=float)
            told = "  ".join(f"{m} {v:.3f}" for m, v in zip(METRICS, found[scene, seed], strict=True))
            print(f"{scene:6} seed {seed}  {told}  ({time.perf_counter() - began:.0f} s)", flush=True)
    means = np.stack([np.mean([found[s, k] for s in given.scenes], axis=0) for k in given.seeds])
    still = np.mean([naive[s] for s in given.scenes], axis=0)
    print(f"\n{given.model}, {given.epochs} epochs, mean over {len(given.scenes)} scenes")
    for k, metric in enumerate(METRICS):
        spread = f" +- {means[:, k].std(ddof=1):.3f}" if len(means) > 1 else ""
        print(f"{metric:22} {means[:, k].mean():.3f}{spread}   constant velocity {still[k]:.3f}")
    good = means[:, 0].mean() <= 0.30 and means[:, 1].mean() <= 0.55 and means[:, 2].mean() <= still[2]
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
