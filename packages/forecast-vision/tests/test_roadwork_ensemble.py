"""`vision/roadwork-ensemble`: networks of their own thresholds make one decision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import forecast_core as fc
from forecast_core import registry
from forecast_core.errors import ConfigError, NotFittedError
from forecast_vision.testing import sample_photos

MEMBER: dict[str, Any] = registry.model_spec("vision/roadwork-ensemble").test_configs[0]["members"][0]


def test_a_photo_is_decided_by_how_far_probabilities_lie_above_thresholds_on_average() -> None:
    photos = sample_photos(photos=20)
    weights = np.array([0.25, 0.75])
    model: Any = fc.create_model("vision/roadwork-ensemble", members=[MEMBER, MEMBER], weights=(1.0, 3.0))
    model.fit(photos, seed=0)
    p, parts = model.predict(photos), [member.predict(photos) for member in model.members]
    thresholds = np.array([part.metadata["threshold"] for part in parts])
    assert thresholds[0] != thresholds[1]
    assert p.metadata["threshold"] == pytest.approx(weights @ thresholds)
    above = np.stack([part.probability("roadwork") for part in parts], -1) - thresholds
    np.testing.assert_array_equal(p.aux["decision"], above @ weights >= 0)
    views = np.stack([part.aux["view_weights"] for part in parts], -1) @ weights
    np.testing.assert_allclose(p.aux["view_weights"], views, rtol=1e-12)
    assert model.seen == {photo.content_hash for photo in photos.photos}


def test_models_without_a_threshold_are_no_members() -> None:
    with pytest.raises(ConfigError, match=r"members\.1\.id: is vision/roadwork.*got 'vision/prior'"):
        fc.create_model("vision/roadwork-ensemble", members=[MEMBER, {"id": "vision/prior"}])
    model: Any = fc.create_model("vision/roadwork-ensemble", members=[MEMBER])
    with pytest.raises(NotFittedError):
        model.answer(sample_photos())
