"""Published photos of roads with and without traffic cones.

The data is not part of the repository: FORECAST_DATA, or `shared/data` beside the repository, holds it. The
configuration was chosen in 5 folds inside the training photos; see benchmarks/public_data/tracon.py.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import forecast_core as fc
from forecast_vision import PhotoSet, robustness

ROOT = (
    Path(os.environ.get("FORECAST_DATA", Path(__file__).parents[4] / "shared" / "data")) / "images" / "tracon"
)
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not ROOT.is_dir(), reason="set FORECAST_DATA to the folder of public data sets"),
]
CHOSEN: dict[str, Any] = {
    "hidden_size": 64,
    "num_layers": 2,
    "learning_rate": 1e-3,
    "max_epochs": 10,
    "patience": None,
    "mixup": 0.0,
    "augmentations": 2,
    "use_metadata": False,
    "calibration_folds": 0,
}


def test_photos_labels_and_copies_are_those_of_the_data_set() -> None:
    train, test = (PhotoSet.from_folder(ROOT, split=name) for name in ("train", "val"))
    assert (len(train), len(test)) == (399, 98)
    assert len(np.unique(train.groups)) == 398  # two photos are byte for byte the same
    assert not {p.content_hash for p in train.photos} & {p.content_hash for p in test.photos}
    small = 0
    for photo in train.photos:
        assert photo.name is not None
        rows = (ROOT / "labels" / "train" / f"{Path(photo.name).stem}.txt").read_text().split("\n")
        areas = [float(row.split()[3]) * float(row.split()[4]) for row in rows if row.strip()]
        assert bool(areas) == photo.label
        small += bool(areas) and max(areas) < 0.05
    assert small == 41


@pytest.mark.slow
def test_photos_held_back_are_told_apart_with_every_seed_and_under_changes_of_the_camera(
    tmp_path: Path,
) -> None:
    train, test = (PhotoSet.from_folder(ROOT, split=name) for name in ("train", "val"))
    cache = {"cache": str(tmp_path)}
    peer = fc.create_model("vision/logistic", **cache).fit(train, seed=0)
    scores = fc.evaluate(peer, test, metrics=["mcc", "auc"]).metrics
    print("logistic", scores)
    for seed in range(3):
        model: Any = fc.create_model("vision/roadwork", **CHOSEN, **cache).fit(train, seed=seed)
        found = robustness(model, test)
        print(seed, found)
        assert found["plain"]["mcc"] >= max(0.93, scores["mcc"])  # type: ignore[type-var]
        assert found["plain"]["auc"] >= 0.98
        assert min(each["mcc"] for each in found.values()) >= 0.9
