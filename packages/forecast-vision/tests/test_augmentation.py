"""Changed copies of a photo: drawn from its content, never outside it, and each view for itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from forecast_vision import extract_views, view_boxes
from forecast_vision.augmentation import CAMERA, Augmented, Camera, Plain
from forecast_vision.backbones import EmbeddingCache
from forecast_vision.configs import AugmentationConfig
from forecast_vision.photos import Photo
from forecast_vision.skipping import striking_views, view_scores
from forecast_vision.views.decoding import decode

STILL = {
    "horizontal_flip": 0.0,
    "vertical_flip": 0.0,
    "rotation": 0.0,
    "crop": 1.0,
    "brightness": 0.0,
    "contrast": 0.0,
    "saturation": 0.0,
    "hue": 0.0,
    "operations": 0,
    "cutout": 0,
}


def scene() -> np.ndarray:
    y, x = np.mgrid[0:1:90j, 0:1:120j]
    waves = np.stack([np.sin(9 * x) * y, np.cos(7 * y + x), x - y * y], -1)
    grain = np.random.default_rng(0).normal(0, 12, (90, 120, 1))
    return (127 + 90 * waves + grain).clip(0, 255).astype(np.uint8)


def views(transform: Any, image: np.ndarray, *, name: str = "a") -> np.ndarray:
    boxes = view_boxes(*image.shape[:2])
    return np.asarray(transform.views(decode(image), boxes, size=32, image=name))


def augmented(number: int = 1, **options: Any) -> Augmented:
    return Augmented(AugmentationConfig(**{**STILL, **options}), number)


def test_no_change_is_the_photo_itself() -> None:
    plain = views(Plain(), scene())
    np.testing.assert_array_equal(plain, extract_views(scene(), 32))
    still = views(augmented(), scene()).astype(int)
    # a view stretched by at most 4 : 3 within itself where the crop is whole
    assert np.abs(still - plain).mean() < 20


def test_draws_follow_from_content_number_and_options() -> None:
    one = Augmented(AugmentationConfig(), 1)
    np.testing.assert_array_equal(views(one, scene()), views(one, scene()))
    for other, name in ((Augmented(AugmentationConfig(), 2), "a"), (one, "b")):
        assert not np.array_equal(views(one, scene()), views(other, scene(), name=name))
    keys = {Plain().key, one.key, Augmented(AugmentationConfig(crop=0.5), 1).key, Camera("blur").key}
    assert len(keys) == 4


def test_a_view_does_not_depend_on_which_others_are_asked_for() -> None:
    one, picture, boxes = Augmented(AugmentationConfig(), 3), decode(scene()), view_boxes(90, 120)
    together = one.views(picture, boxes, size=32, image="a")
    alone = one.views(picture, boxes[4:5], size=32, image="a")
    np.testing.assert_array_equal(alone[0], together[4])


@pytest.mark.parametrize(("name", "axis"), [("horizontal-flip", 1), ("vertical-flip", 0)])
def test_flips_mirror_the_whole_photo(name: str, axis: int) -> None:
    np.testing.assert_array_equal(views(Camera(name), scene()), views(Plain(), np.flip(scene(), axis)))
    always = {"horizontal_flip": float(axis == 1), "vertical_flip": float(axis == 0)}
    same = np.flip(scene(), axis) // 2 + scene() // 2  # its own mirror image
    picture, mirrored = (views(augmented(number, **always), same).mean() for number in (1, 2))
    assert abs(float(picture) - float(mirrored)) < 5


def test_the_hole_is_cut_into_each_view_elsewhere() -> None:
    white = np.full((90, 120, 3), 255, dtype=np.uint8)
    cut = views(augmented(cutout=112), white) == 127
    assert cut.any((1, 2, 3)).all()
    assert (cut.mean((1, 2, 3)) <= 0.25).all()
    assert len({view.tobytes() for view in cut}) > 6


@pytest.mark.parametrize("name", list(CAMERA))
def test_each_camera_change_changes_the_photo_but_not_beyond_itself(name: str) -> None:
    plain, changed = views(Plain(), scene()), views(Camera(name), scene())
    assert changed.shape == plain.shape
    assert not np.array_equal(changed, plain)
    grey = np.full((90, 120, 3), 90, dtype=np.uint8)
    assert abs(float(views(Camera(name), grey).mean()) - 90) < 1.5


def test_striking_views_hold_what_stands_out() -> None:
    image = np.full((300, 400, 3), 120, dtype=np.uint8)
    image[10:40, 10:60] = (250, 120, 10)
    photo = Photo(image)
    scores = view_scores(photo)
    assert scores.shape == (12,)
    names = [box.name for box in view_boxes(300, 400)]
    assert names[int(scores[1:].argmax()) + 1] == "tile-0-0"
    kept = striking_views([photo], 3, cache=EmbeddingCache())
    assert kept.sum() == 3
    assert kept[0, 0]
    assert kept[0, names.index("tile-0-0")]
    assert np.isfinite(view_scores(Photo(np.zeros((1, 1, 3), dtype=np.uint8)))).all()
