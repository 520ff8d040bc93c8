"""Small photos made up for checks: street scenes in which an orange barrier stands, or does not."""

from __future__ import annotations

import numpy as np

from forecast_vision.metadata.record import Metadata
from forecast_vision.photos import Photo, PhotoSet

__all__ = ["sample_photos"]

_WEATHER = ("Sunny", "Partly Cloudy", "Rain")
_HEIGHT, _WIDTH = 48, 64


def sample_photos(seed: int = 0, *, photos: int = 16) -> PhotoSet:
    """Photos of 48 x 64 pixels, every second one with a striped barrier somewhere on the road.

    Metadata is drawn without regard to the label, and some of it is missing.
    """
    rng = np.random.default_rng(seed)
    return PhotoSet([_photo(rng, label=bool(k % 2), name=f"street-{k}") for k in range(photos)])


def _photo(rng: np.random.Generator, *, label: bool, name: str) -> Photo:
    rows = np.linspace(0, 1, _HEIGHT)[:, None, None]
    sky, road = rng.uniform(120, 230, 3), rng.uniform(60, 120) * np.ones(3)
    pixels = np.where(rows < rng.uniform(0.3, 0.6), sky, road) + rng.normal(0, 8, (_HEIGHT, _WIDTH, 3))
    height, width = rng.integers(10, 20), rng.integers(14, 28)
    top, left = rng.integers(_HEIGHT // 3, _HEIGHT - height), rng.integers(0, _WIDTH - width)
    stripes = (np.arange(width) // 3) % 2 == 0
    colour = np.where(stripes[:, None], (240, 110, 20), (235, 235, 235)) if label else rng.uniform(40, 120, 3)
    pixels[top : top + height, left : left + width] = colour
    known = rng.random(3) < 0.7
    place = np.round(rng.normal((48.1, 11.5), 0.2), 4).tolist()
    metadata = Metadata(
        gps=(place[0], place[1]) if known[0] else None,
        weather=str(rng.choice(_WEATHER)) if known[1] else None,
        daytime=str(rng.choice(["Light", "Dark"])) if known[2] else None,
    )
    return Photo(np.clip(pixels, 0, 255).astype(np.uint8), label=label, name=name, metadata=metadata)
