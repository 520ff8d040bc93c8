"""Models saved by earlier versions load and predict what they did; these files are never rewritten."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import forecast_core as fc
from forecast_vision.testing import sample_photos

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", ["roadwork", "logistic", "roadwork-ensemble"])
def test_the_first_models_still_load_and_predict_the_same(name: str) -> None:
    model = fc.load_model(GOLDEN / f"{name}-1")
    found = model.predict(sample_photos())
    expected = fc.Prediction.from_json((GOLDEN / f"{name}-1.json").read_text())
    assert isinstance(found, fc.ClassPrediction)
    assert isinstance(expected, fc.ClassPrediction)
    assert found.model == expected.model
    # another processor may round otherwise
    np.testing.assert_allclose(found.probabilities, expected.probabilities, rtol=1e-4)
    assert set(found.aux) == set(expected.aux)
    for key in expected.aux:
        np.testing.assert_allclose(found.aux[key], expected.aux[key], rtol=1e-4)


def test_saving_and_loading_never_touch_pickle(tmp_path: Path) -> None:
    code = f"""
import sys
events = []
sys.addaudithook(lambda name, args: events.append(name) if name.startswith("pickle.") else None)
import forecast_core as fc
from forecast_vision.testing import sample_photos
small = dict(view_size=32, hidden_size=8, num_layers=1, num_heads=2, max_epochs=1, augmentations=1,
             calibration_folds=0)
photos = sample_photos(photos=6)
model = fc.create_model("vision/roadwork", **small).fit(photos, seed=0)
events.clear()
model.save({str(tmp_path / "m")!r})
from forecast_vision.backbones.registry import _load
_load.cache_clear()  # the backbone is read from its file again
assert fc.load_model({str(tmp_path / "m")!r}).predict(photos) == model.predict(photos)
assert not events, events
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
