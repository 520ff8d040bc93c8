"""What photos may cost: memory of a training, and time to a decision. All of it takes minutes."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

import forecast_core as fc
from forecast_vision import Photo, PhotoSet
from forecast_vision.testing import sample_photos

pytestmark = pytest.mark.slow


def large_photo() -> bytes:
    """A sample photo of scikit-learn's at 4032x3024, as a JPEG."""
    image = Image.fromarray(load_sample_image("china.jpg")).resize((4032, 3024), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def test_training_on_five_hundred_large_photos_takes_less_than_four_gigabytes(tmp_path: Path) -> None:
    """Photos differ in what follows the picture, so that each is read, cut and embedded on its own."""
    content = large_photo()
    for k in range(500):
        (tmp_path / f"{k}.jpg").write_bytes(content + k.to_bytes(2))
    code = f"""
import resource
import forecast_core as fc
from forecast_vision import Photo, PhotoSet
photos = PhotoSet([Photo({str(tmp_path)!r} + f"/{{k}}.jpg", label=bool(k % 2)) for k in range(500)])
options = dict(augmentations=1, max_epochs=1, calibration_folds=2)
model = fc.create_model("vision/roadwork", **options).fit(photos, seed=0)
model.predict(photos)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    used = 1024 * int(done.stdout)
    further = 3 * 500 * 12 * 1280 * 4 * 2  # features of the other three augmentations, and of a fold of them
    print(f"{used / 1e9:.2f} GB, with four augmentations at most {(used + further) / 1e9:.2f}")
    assert used + further < 4e9


def test_one_large_photo_is_decided_on_within_a_second_of_two_cores() -> None:
    options: dict[str, Any] = {"augmentations": 0, "max_epochs": 1, "calibration_folds": 0}
    model = fc.create_model("vision/roadwork", **options).fit(sample_photos(photos=4), seed=0)
    content, seconds = large_photo(), []
    for k in range(5):
        photos = PhotoSet([Photo(content + bytes([k]))])  # bytes not seen before, so that nothing is cached
        began = time.process_time()
        model.predict(photos)
        seconds.append(time.process_time() - began)
    print(f"{np.median(seconds):.2f} s of a core")
    assert np.median(seconds) < 2.0
