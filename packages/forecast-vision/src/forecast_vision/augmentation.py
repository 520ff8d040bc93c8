"""Changes to a photo and its views that leave the truth as it is, drawn from a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from forecast_core.errors import InvalidInputError, near_misses
from forecast_vision.configs import AugmentationConfig
from forecast_vision.views.boxes import Box
from forecast_vision.views.decoding import Picture
from forecast_vision.views.extraction import cut_views

__all__ = ["CAMERA", "Augmented", "Camera", "Plain", "Transform"]

Edges = tuple[float, float, float, float]


class Transform(Protocol):
    """How a photo becomes views; `key` tells apart what gives other pixels."""

    @property
    def key(self) -> str:
        """Name of the transform with all its options."""
        ...

    def views(self, picture: Picture, boxes: Sequence[Box], *, size: int, image: str) -> np.ndarray:
        """uint8 [box, 3, size, size]; image: content hash of the photo, from which draws follow."""
        ...


@dataclass(frozen=True)
class Plain:
    """The photo as it is."""

    key: str = "plain"

    def views(self, picture: Picture, boxes: Sequence[Box], *, size: int, image: str) -> np.ndarray:
        """The views as they are."""
        return cut_views(picture, [_edges(box) for box in boxes], size)


@dataclass(frozen=True)
class Augmented:
    """Draw number `number` of the training augmentations: colours, flips and rotation alike for all views of
    a photo, as another camera would have it; resized crops and cut-outs for each view apart.

    Sources: Cubuk et al. (2020), RandAugment; DeVries & Taylor (2017), Cutout.
    """

    options: AugmentationConfig
    number: int

    @property
    def key(self) -> str:
        """Options and number."""
        return f"augmented {self.number} {self.options.model_dump_json()}"

    def views(self, picture: Picture, boxes: Sequence[Box], *, size: int, image: str) -> np.ndarray:
        """The views of one draw; a view's own draws do not depend on which other views are asked for."""
        o, key = self.options, f"{image} {self.key}"
        rng = _generator(key)
        pixels = _jittered(picture.pixels, o, rng)
        for k in rng.choice(len(_OPERATIONS), size=o.operations, replace=False).tolist():
            pixels = _OPERATIONS[k](pixels, o.magnitude / 30 * rng.choice((-1.0, 1.0)))
        angle = rng.uniform(-o.rotation, o.rotation)
        mirror, turn = rng.random() < o.horizontal_flip, rng.random() < o.vertical_flip
        picture = _flipped(_rotated(replace(picture, pixels=pixels), angle), mirror=mirror, turn=turn)
        own = [_generator(f"{key} {box.name}") for box in boxes]
        edges = [_cropped(box, o.crop, each) for box, each in zip(boxes, own, strict=True)]
        views = cut_views(picture, edges, size)
        hole = round(o.cutout * size / 224)
        if hole:
            for view, each in zip(views, own, strict=True):
                top, left = each.integers(0, size, 2)
                view[
                    :, max(top - hole // 2, 0) : top + hole // 2, max(left - hole // 2, 0) : left + hole // 2
                ] = 127
        return views


@dataclass(frozen=True)
class Camera:
    """One of the `CAMERA` transforms, applied to the whole photo, with its draws from the photo's content."""

    name: str

    def __post_init__(self) -> None:
        if self.name not in CAMERA:
            raise InvalidInputError("name", near_misses(self.name, CAMERA), got=repr(self.name))

    @property
    def key(self) -> str:
        """The transform's name."""
        return f"camera {self.name}"

    def views(self, picture: Picture, boxes: Sequence[Box], *, size: int, image: str) -> np.ndarray:
        """The views of the transformed photo."""
        rng = _generator(f"{image} {self.key}")
        changed, window = CAMERA[self.name](picture, rng)
        top, left, bottom, right = window
        rows, columns = (bottom - top) / picture.height, (right - left) / picture.width
        edges = [
            (top + b.top * rows, left + b.left * columns, top + b.bottom * rows, left + b.right * columns)
            for b in boxes
        ]
        return cut_views(changed, edges, size)


# of whole photos


def _whole(picture: Picture) -> Edges:
    return 0.0, 0.0, float(picture.height), float(picture.width)


def _turned(picture: Picture, rng: np.random.Generator) -> tuple[Picture, Edges]:
    return _rotated(picture, 20.0 * rng.choice((-1.0, 1.0))), _whole(picture)


def _zoomed(picture: Picture, rng: np.random.Generator) -> tuple[Picture, Edges]:
    whole = Box("", 0, 0, picture.height, picture.width)
    return picture, _cropped(whole, 0.5, rng)


def _mirrored(picture: Picture, rng: np.random.Generator) -> tuple[Picture, Edges]:
    return _flipped(picture, mirror=True, turn=False), _whole(picture)


def _upside_down(picture: Picture, rng: np.random.Generator) -> tuple[Picture, Edges]:
    return _flipped(picture, mirror=False, turn=True), _whole(picture)


def _blurred(picture: Picture, rng: np.random.Generator) -> tuple[Picture, Edges]:
    radius = max(picture.height, picture.width) / picture.scale / 200
    return replace(picture, pixels=picture.pixels.filter(ImageFilter.GaussianBlur(radius))), _whole(picture)


def _noisy(picture: Picture, rng: np.random.Generator) -> tuple[Picture, Edges]:
    pixels = np.asarray(picture.pixels, dtype=np.float32)
    noisy = np.clip(pixels + rng.normal(0, 20, pixels.shape).astype(np.float32), 0, 255)
    return replace(picture, pixels=Image.fromarray(noisy.astype(np.uint8))), _whole(picture)


CAMERA: dict[str, Callable[[Picture, np.random.Generator], tuple[Picture, Edges]]] = {
    "rotation-20": _turned,  # degrees, either way
    "resized-crop": _zoomed,  # half to all of the area
    "horizontal-flip": _mirrored,
    "vertical-flip": _upside_down,
    "blur": _blurred,  # Gaussian, 1/200 of the longer side
    "noise": _noisy,  # Gaussian, 20 grey levels
}


def _rotated(picture: Picture, angle: float) -> Picture:
    mean = tuple(int(c) for c in np.asarray(picture.pixels.resize((1, 1), Image.Resampling.BOX))[0, 0])
    turned = picture.pixels.rotate(angle, Image.Resampling.BILINEAR, fillcolor=mean)
    return replace(picture, pixels=turned)


def _flipped(picture: Picture, *, mirror: bool, turn: bool) -> Picture:
    pixels, scale = picture.pixels, picture.scale
    pad_left, pad_top = picture.pad_left, picture.pad_top
    if mirror:
        pixels = pixels.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pad_left = pixels.width * scale - picture.width - pad_left
    if turn:
        pixels = pixels.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        pad_top = pixels.height * scale - picture.height - pad_top
    return replace(picture, pixels=pixels, pad_left=pad_left, pad_top=pad_top)


def _cropped(box: Box, least: float, rng: np.random.Generator) -> Edges:
    """A part of a box of at least some share of its area, its sides stretched by up to 4 : 3."""
    area, stretch = rng.uniform(least, 1.0), np.exp(rng.uniform(-1, 1) * np.log(4 / 3))
    height = min(np.sqrt(area * stretch), 1.0) * box.height
    width = min(np.sqrt(area / stretch), 1.0) * box.width
    top, left = box.top + rng.random() * (box.height - height), box.left + rng.random() * (box.width - width)
    return float(top), float(left), float(top + height), float(left + width)


# of colours


def _jittered(pixels: Image.Image, o: AugmentationConfig, rng: np.random.Generator) -> Image.Image:
    pixels = ImageEnhance.Brightness(pixels).enhance(1 + rng.uniform(-o.brightness, o.brightness))
    pixels = ImageEnhance.Contrast(pixels).enhance(1 + rng.uniform(-o.contrast, o.contrast))
    pixels = ImageEnhance.Color(pixels).enhance(1 + rng.uniform(-o.saturation, o.saturation))
    shift = round(256 * rng.uniform(-o.hue, o.hue))
    if shift:
        hue, saturation, value = pixels.convert("HSV").split()
        hue = hue.point([(level + shift) % 256 for level in range(256)])
        pixels = Image.merge("HSV", (hue, saturation, value)).convert("RGB")
    return pixels


# strength: -1 .. 1, of which 0 changes little
_OPERATIONS: tuple[Callable[[Image.Image, float], Image.Image], ...] = (
    lambda image, strength: image,
    lambda image, strength: ImageOps.autocontrast(image),
    lambda image, strength: ImageOps.equalize(image),
    lambda image, strength: ImageOps.posterize(image, 8 - round(4 * abs(strength))),
    lambda image, strength: ImageOps.solarize(image, 256 - round(256 * abs(strength))),
    lambda image, strength: ImageEnhance.Brightness(image).enhance(1 + 0.9 * strength),
    lambda image, strength: ImageEnhance.Contrast(image).enhance(1 + 0.9 * strength),
    lambda image, strength: ImageEnhance.Color(image).enhance(1 + 0.9 * strength),
    lambda image, strength: ImageEnhance.Sharpness(image).enhance(1 + 0.9 * strength),
)


def _edges(box: Box) -> Edges:
    return box.top, box.left, box.bottom, box.right


def _generator(key: str) -> np.random.Generator:
    return np.random.default_rng(np.frombuffer(hashlib.sha256(key.encode()).digest(), dtype=np.uint32))
