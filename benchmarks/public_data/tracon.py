"""`vision/roadwork` on photos of roads with and without traffic cones, beside logistic regression.

    FORECAST_DATA=DATA python benchmarks/public_data/tracon.py --cache CACHE

Configurations are compared in 5 folds inside the training photos (identical photos stay together). What the
views are worth is told for the best of them, with 3 seeds, by the recall of out-of-fold photos whose largest
cone covers less than 5 % of the photo, at two specificities: with all views, with the four most striking,
with the global one alone; beside what these cost the backbone. The best configuration is then fitted on all
training photos and tested on the validation photos, with 3 seeds: as they are, and under changes of the
camera. Last comes how long the fitted model takes from the bytes of one 4032x3024 JPEG to a decision.
"""

from __future__ import annotations

import argparse
import io
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

import forecast_core as fc
from forecast_core.metrics import score_metrics
from forecast_vision import Photo, PhotoSet, backbones, robustness
from forecast_vision.backbones import EmbeddingCache
from forecast_vision.embedding import embed_photos
from forecast_vision.samples import stratified_folds
from forecast_vision.skipping import striking_views

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
SPECIFICITIES, SMALLEST, SEEDS, FOLDS, TIMED = (0.95, 0.99), 0.05, 3, 5, 24
KEPT = {"all views": None, "four views": 4, "global view alone": 1}


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
    print(f"chosen: {best}; what its views are worth", flush=True)
    for name, keep in KEPT.items():
        runs = [
            out_of_fold("vision/roadwork", {**wanted, "keep_views": keep}, train, fold, seed=seed)
            for seed in range(SEEDS)
        ]
        for seed, told in enumerate(runs):
            tell(f"  5 folds: {name}, seed {seed}", train.labels, told, small)
        tell_spread([metrics(train.labels, told, small) for told in runs])
    tell_backbone(train.take(np.arange(TIMED)))

    print("now the validation photos", flush=True)
    peer = fc.create_model("vision/logistic", **common).fit(train, seed=0)
    tell("test: logistic, global view", test.labels, probability(peer, test))
    chosen = {**wanted, "calibration_folds": FOLDS}
    results, changed, model = [], [], None
    for seed in range(SEEDS):
        model = fc.create_model("vision/roadwork", **chosen).fit(train, seed=seed)
        told = probability(model, test)
        tell(f"test: roadwork, seed {seed}", test.labels, told)
        results.append(metrics(test.labels, told))
        changed.append(robustness(model, test))  # type: ignore[arg-type]
    tell_spread(results)
    for change in changed[0]:
        print(f"test, {change}", flush=True)
        tell_spread([each[change] for each in changed])
    tell_decision(model)


def out_of_fold(
    model: str, params: dict[str, Any], photos: PhotoSet, fold: np.ndarray, *, seed: int = 0
) -> np.ndarray:
    """Probability of each photo by a model that was not fitted on it nor on a copy of it."""
    told = np.empty(len(photos))
    for k in range(FOLDS):
        fitted = fc.create_model(model, **params).fit(photos.take(fold != k), seed=FOLDS * seed + k)
        told[fold == k] = probability(fitted, photos.take(fold == k))
    return told


def probability(model: Any, photos: PhotoSet) -> np.ndarray:
    return np.asarray(model.predict(photos).probability("roadwork"))


def metrics(labels: np.ndarray, told: np.ndarray, small: np.ndarray | None = None) -> dict[str, float]:
    """The metrics, and for photos out of folds the recall of small cones at each specificity."""
    prediction = fc.ClassPrediction(
        item_ids=tuple(range(len(labels))),
        probabilities=np.stack([1 - told, told], 1),
        classes=("no-roadwork", "roadwork"),
    )
    known = np.ones(len(labels), dtype=bool)
    found = {k: float(v) for k, v in score_metrics(prediction, labels, known, METRICS).overall.items()}
    if small is not None:
        for specificity in SPECIFICITIES:
            cut = np.quantile(told[labels == 0], specificity)
            found[f"small at {specificity:g}"] = float((told[small & (labels == 1)] > cut).mean())
    return found


def tell(
    what: str,
    labels: np.ndarray,
    told: np.ndarray,
    small: np.ndarray | None = None,
    *,
    seconds: float | None = None,
) -> None:
    line = ", ".join(f"{k} {v:.3f}" for k, v in metrics(labels, told, small).items())
    print(f"{what}: {line}" + ("" if seconds is None else f" ({seconds:.0f} s)"), flush=True)


def tell_spread(results: list[dict[str, float]]) -> None:
    for name in results[0]:
        values = np.array([each[name] for each in results])
        spread = f"spread {values.std(ddof=1):.3f}, lowest {values.min():.3f}"
        print(f"    {name}: mean {values.mean():.3f}, {spread}", flush=True)


def tell_backbone(photos: PhotoSet) -> None:
    """Processor time from a photo to features, cache empty, in turn."""
    backbone = backbones.load_backbone("efficientnet-lite0")
    seconds = dict.fromkeys(KEPT, 0.0)
    for photo in photos.photos:
        for name, keep in KEPT.items():
            cache = EmbeddingCache()
            began = time.process_time()
            views = None if keep is None else striking_views([photo], keep, cache=cache)
            embed_photos([photo], backbone, size=backbone.size, cache=cache, views=views)
            seconds[name] += time.process_time() - began
    each = ", ".join(f"{name} {1e3 * s / len(photos):.0f} ms" for name, s in seconds.items())
    print(f"from photo to features, a core: {each}", flush=True)


def tell_decision(model: Any) -> None:
    """Time from the bytes of a large JPEG, each a photo never seen before, to a decision."""
    large = Image.fromarray(load_sample_image("china.jpg")).resize((4032, 3024), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    large.save(buffer, "JPEG", quality=92)
    wall, core = [], []
    for k in range(7):
        photos = PhotoSet([Photo(buffer.getvalue() + bytes([k]))])
        began = (time.perf_counter(), time.process_time())
        model.predict(photos)
        wall.append(time.perf_counter() - began[0])
        core.append(time.process_time() - began[1])
    times = f"median {np.median(wall):.2f} s, of a core {np.median(core):.2f} s"
    print(f"from the bytes of a 4032x3024 JPEG to a decision: {times}", flush=True)


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
