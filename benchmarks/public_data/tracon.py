"""`vision/roadwork` on photos of roads with and without traffic cones, beside logistic regression.

    FORECAST_DATA=DATA python benchmarks/public_data/tracon.py --cache CACHE

Configurations are compared in 5 folds inside the training photos (identical photos stay together). The
best one is then fitted on all of them and tested once on the validation photos, with 3 seeds. What the views
are worth is told by the recall of out-of-fold photos whose largest cone covers less than 5 % of the photo, at
a specificity of 95 %, with all views and with the global one alone.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import forecast_core as fc
from forecast_core.metrics import score_metrics
from forecast_vision import PhotoSet
from forecast_vision.samples import stratified_folds

DATA = Path(os.environ.get("FORECAST_DATA", Path(__file__).parents[3] / "shared" / "data"))
METRICS = ["mcc", "auc", "accuracy", "recall", "ece"]
SMALL = {
    "hidden_size": 64,
    "num_layers": 2,
    "learning_rate": 1e-3,
    "max_epochs": 10,
    "patience": None,
    "calibration_folds": 0,
}
CANDIDATES: dict[str, dict[str, Any]] = {
    "64 wide": SMALL,
    "64 wide, no mixup": {**SMALL, "mixup": 0.0},
    "64 wide, 5 epochs": {**SMALL, "max_epochs": 5},
}
SPECIFICITY, SMALLEST, SEEDS, FOLDS = 0.95, 0.05, 3, 5


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path, nargs="?", default=DATA / "images" / "tracon")
    parser.add_argument("--cache", type=Path, default=Path(".tracon-cache"))
    parser.add_argument("--augmentations", type=int, default=2)
    options = parser.parse_args()
    if not options.root.is_dir():
        print(f"skipped: there is no {options.root}; FORECAST_DATA names the folder of public data sets")
        return
    torch.set_num_threads(1)
    common = {"cache": str(options.cache)}
    train, test = (PhotoSet.from_folder(options.root, split=name) for name in ("train", "val"))
    print(f"train {train}\ntest {test}", flush=True)
    small = largest_box(options.root, train) < SMALLEST
    print(f"{int((small & (train.labels == 1)).sum())} training photos with small cones only", flush=True)

    fold = stratified_folds(train, FOLDS, seed=0)
    found = {}
    naive = out_of_fold("vision/logistic", common, train, fold)
    tell("5 folds: logistic, global view", train.labels, naive, small)
    for name, params in CANDIDATES.items():
        wanted = {**common, "use_metadata": False, "augmentations": options.augmentations, **params}
        began = time.perf_counter()
        told = out_of_fold("vision/roadwork", wanted, train, fold)
        tell(f"5 folds: roadwork, {name}", train.labels, told, small, seconds=time.perf_counter() - began)
        found[name] = (metrics(train.labels, told)["mcc"], wanted)
    best = max(found, key=lambda name: found[name][0])
    wanted = found[best][1]
    alone = out_of_fold("vision/roadwork", {**wanted, "keep_views": 1}, train, fold)
    tell(f"5 folds: roadwork, {best}, global view alone", train.labels, alone, small)

    print(f"chosen: {best}; now the validation photos, once", flush=True)
    peer = fc.create_model("vision/logistic", **common).fit(train, seed=0)
    tell("test: logistic, global view", test.labels, probability(peer, test))
    chosen = {**wanted, "calibration_folds": FOLDS}
    results = []
    for seed in range(SEEDS):
        model = fc.create_model("vision/roadwork", **chosen).fit(train, seed=seed)
        told = probability(model, test)
        tell(f"test: roadwork, seed {seed}", test.labels, told)
        results.append(metrics(test.labels, told))
    for name in METRICS:
        values = np.array([each[name] for each in results])
        print(f"  {name}: mean {values.mean():.3f}, spread {values.std(ddof=1):.3f}", flush=True)


def out_of_fold(model: str, params: dict[str, Any], photos: PhotoSet, fold: np.ndarray) -> np.ndarray:
    """Probability of each photo by a model that was not fitted on it nor on a copy of it."""
    told = np.empty(len(photos))
    for k in range(FOLDS):
        fitted = fc.create_model(model, **params).fit(photos.take(fold != k), seed=k)
        told[fold == k] = probability(fitted, photos.take(fold == k))
    return told


def probability(model: Any, photos: PhotoSet) -> np.ndarray:
    return np.asarray(model.predict(photos).probability("roadwork"))


def metrics(labels: np.ndarray, told: np.ndarray) -> dict[str, float]:
    prediction = fc.ClassPrediction(
        item_ids=tuple(range(len(labels))),
        probabilities=np.stack([1 - told, told], 1),
        classes=("no-roadwork", "roadwork"),
    )
    known = np.ones(len(labels), dtype=bool)
    return {k: float(v) for k, v in score_metrics(prediction, labels, known, METRICS).overall.items()}


def tell(
    what: str,
    labels: np.ndarray,
    told: np.ndarray,
    small: np.ndarray | None = None,
    *,
    seconds: float | None = None,
) -> None:
    line = ", ".join(f"{k} {v:.3f}" for k, v in metrics(labels, told).items())
    if small is not None:
        cut = np.quantile(told[labels == 0], SPECIFICITY)
        line += f", recall of small cones {(told[small & (labels == 1)] > cut).mean():.3f}"
    print(f"{what}: {line}" + ("" if seconds is None else f" ({seconds:.0f} s)"), flush=True)


def largest_box(root: Path, photos: PhotoSet) -> np.ndarray:
    """Share of the photo that its largest box covers; 0 where there is none."""
    shares = []
    for name in photos.item_ids:
        rows = (root / "labels" / "train" / f"{Path(name).stem}.txt").read_text().split("\n")
        boxes = [list(map(float, row.split()[1:5])) for row in rows if row.strip()]
        shares.append(max((box[2] * box[3] for box in boxes), default=0.0))
    return np.array(shares)


if __name__ == "__main__":
    main()
