"""From a file, its bytes or an array to upright RGB pixels; what is no image gives a clear error."""

from __future__ import annotations

import io
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from forecast_core.errors import DataError, InvalidInputError, ShapeError

__all__ = ["ImageSource", "Picture", "decode", "image_size", "read_bytes"]

ImageSource = str | os.PathLike[str] | bytes | np.ndarray

_PIXELS = 178_956_970  # more in one image is refused before a pixel is decoded, by Pillow as well
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
_ORIENTATION = 0x0112  # the EXIF tag
_UPRIGHT: dict[int, tuple[Image.Transpose, bool, bool]] = {
    # value: how to turn the image upright, and whether that reverses its columns and its rows
    2: (Image.Transpose.FLIP_LEFT_RIGHT, True, False),
    3: (Image.Transpose.ROTATE_180, True, True),
    4: (Image.Transpose.FLIP_TOP_BOTTOM, False, True),
    5: (Image.Transpose.TRANSPOSE, False, False),
    6: (Image.Transpose.ROTATE_270, True, False),
    7: (Image.Transpose.TRANSVERSE, True, True),
    8: (Image.Transpose.ROTATE_90, False, True),
}
_TURNED = (5, 6, 7, 8)  # rows become columns


@dataclass(frozen=True)
class Picture:
    """Upright RGB pixels of an image of height x width, kept at 1 / scale of its size.

    A pixel (row, column) of the image lies at ((row + pad_top) / scale, (column + pad_left) / scale) here:
    a decoder that halves an odd length pads it, and turning the image may bring the padding to the front.
    """

    pixels: Image.Image
    height: int
    width: int
    scale: int = 1
    pad_top: int = 0
    pad_left: int = 0


def read_bytes(image: str | os.PathLike[str] | bytes) -> bytes:
    """The encoded image; DataError where the file cannot be read or is empty."""
    if isinstance(image, bytes):
        content, name = image, "image"
    else:
        name = f"image {os.fspath(image)!r}"
        try:
            content = Path(image).read_bytes()
        except OSError as error:
            raise DataError(name, f"can be read ({error.strerror or error})") from error
    if not content:
        raise DataError(name, "holds an image", got="0 bytes")
    return content


def image_size(image: ImageSource) -> tuple[int, int]:
    """Height and width of the upright image; of a file, no pixel is decoded. DataError if it is none."""
    if isinstance(image, np.ndarray):
        pixels = _from_array(image)
        return pixels.height, pixels.width
    with _opened(image) as opened:
        return _upright_size(opened)


def decode(image: ImageSource, *, least: Any = None) -> Picture:
    """The upright RGB picture, its EXIF orientation honoured, transparency laid on white.

    image: path, encoded bytes, or uint8/uint16 [h, w], [h, w, 1], [h, w, 3] or [h, w, 4]. least(height,
    width): the scale 1, 2, 4 or 8 at which the picture may be kept; a JPEG is then decoded at that scale
    in a fraction of the time. 16-bit values are rounded to 8 bit. Raises DataError for a file that is
    missing, empty, truncated, no image, of an unknown format or above 178 million pixels; ShapeError or
    InvalidInputError for an array of another shape or type.
    """
    if isinstance(image, np.ndarray):
        pixels = _from_array(image)
        return Picture(pixels, pixels.height, pixels.width)
    with _opened(image) as opened:
        height, width = _upright_size(opened)
        scale = 1 if least is None else least(height, width)
        orientation = 1 if opened.format == "TIFF" else _orientation(opened)  # Pillow loads a TIFF upright
        if scale > 1:
            opened.draft(None, (max(opened.width // scale, 1), max(opened.height // scale, 1)))
        stored = opened.size
        try:
            opened.load()
            pixels = _as_rgb(opened)
        except Exception as error:  # what a decoder raises on damage is anybody's guess
            raise DataError(_name(image), f"can be decoded ({_told(error)})") from error
    turn, reversed_columns, reversed_rows = _UPRIGHT.get(orientation, (None, False, False))
    if turn is not None:
        pixels = pixels.transpose(turn)
        if orientation in _TURNED:
            stored = (stored[1], stored[0])
    if max(stored) == max(height, width):
        scale = 1  # a format that cannot be decoded at a fraction
    return Picture(
        pixels,
        height,
        width,
        scale=scale,
        pad_top=stored[1] * scale - height if reversed_rows else 0,
        pad_left=stored[0] * scale - width if reversed_columns else 0,
    )


def _opened(image: str | os.PathLike[str] | bytes) -> Image.Image:
    if not isinstance(image, str | os.PathLike | bytes):
        raise InvalidInputError("image", "is a path, bytes or a uint8 array", got=type(image).__name__)
    content = read_bytes(image)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the bound below is stricter
            opened = Image.open(io.BytesIO(content), formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise DataError(_name(image), f"has at most {_PIXELS:,} pixels") from error
    except Exception as error:
        raise DataError(_name(image), f"is an image of a known format ({_told(error)})") from error
    if opened.width * opened.height > _PIXELS or not opened.width * opened.height:
        got = f"{opened.width} x {opened.height}"
        raise DataError(_name(image), f"has at least 1 and at most {_PIXELS:,} pixels", got=got)
    return opened


def _upright_size(opened: Image.Image) -> tuple[int, int]:
    told_upright = _ORIENTATION in getattr(opened, "tag_v2", ())  # by a TIFF that has the tag, not by its XMP
    if _orientation(opened) in _TURNED and not told_upright:
        return opened.width, opened.height
    return opened.height, opened.width


def _orientation(opened: Image.Image) -> int:
    try:
        if opened.format == "PNG":
            _find_exif(opened)
            value = Image.Image.getexif(opened).get(_ORIENTATION, 1)
        else:
            value = opened.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF says nothing about the pixels
        return 1
    return value if isinstance(value, int) else 1


def _find_exif(png: Image.Image) -> None:
    """Let a PNG know of EXIF that follows its pixels, which Pillow would decode them for."""
    file: Any = png.fp  # type: ignore[attr-defined]
    if file is None or "exif" in png.info:
        return
    place = file.tell()
    try:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length = int.from_bytes(head[:4], "big")
            if head[4:] == b"eXIf":
                png.info["exif"] = b"Exif\x00\x00" + file.read(length)
                return
            file.seek(length + 4, io.SEEK_CUR)  # and its checksum
    finally:
        file.seek(place)


def _as_rgb(opened: Image.Image) -> Image.Image:
    mode, clear = opened.mode, opened.info.get("transparency")
    if mode.startswith("I"):
        values = np.asarray(opened)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(f"grey values {values.min()}..{values.max()} are not of 16 bit")
        return _grey16(values if clear is None else np.where(values == clear, 65535, values))
    if mode == "F":
        raise ValueError("grey values as floats have no known range")
    if (
        mode == "RGB" and clear is not None and max(clear) > 255
    ):  # of 16 bit, of which Pillow keeps the upper 8
        opened.info["transparency"] = tuple(value >> 8 for value in clear)
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or clear is not None:
        layers = opened.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers).convert("RGB")
    return opened if mode == "RGB" and not opened.readonly else opened.convert("RGB")


def _from_array(image: np.ndarray) -> Image.Image:
    if image.dtype not in (np.uint8, np.uint16):
        hint = "scale 0..1 by 255 and round" if image.dtype.kind == "f" else None
        raise InvalidInputError("image", "is an array of uint8 or uint16", got=image.dtype, hint=hint)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (3, 4)) or not image.size:
        raise ShapeError("image", "has the shape [h, w], [h, w, 3] or [h, w, 4]", got=image.shape)
    if image.shape[0] * image.shape[1] > _PIXELS:
        raise DataError("image", f"has at most {_PIXELS:,} pixels", got=image.shape)
    if image.dtype == np.uint16:
        image = _eight_bit(image)
    return _as_rgb(Image.fromarray(np.ascontiguousarray(image)))


def _grey16(values: np.ndarray) -> Image.Image:
    return Image.fromarray(_eight_bit(values)).convert("RGB")


def _eight_bit(values: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return scaled


def _name(image: Any) -> str:
    return "image" if isinstance(image, bytes) else f"image {os.fspath(image)!r}"


def _told(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text.partition(" <")[0] or type(error).__name__
