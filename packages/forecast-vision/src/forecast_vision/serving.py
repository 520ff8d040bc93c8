"""Bodies of REST requests for models of task `photo`."""

from __future__ import annotations

import base64
import binascii
import io
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field, JsonValue

from forecast_core.errors import DataError, InvalidInputError, ShapeError
from forecast_core.serving.request import ModelRequest, Name, TensorSpec
from forecast_vision.metadata import Metadata, parse_metadata
from forecast_vision.photos import Photo, PhotoSet
from forecast_vision.views.decoding import image_size

if TYPE_CHECKING:
    from forecast_core.predictor import ModelInfo

__all__ = ["PhotoRequest"]

_MOST = 16  # photos
_CHARACTERS = 2**26  # of one photo in base64: 48 MiB of it
_PIXELS = 120_000_000  # of one photo: a PNG of them takes 360 MB while it is decoded
_ALL_PIXELS = 4 * _PIXELS
_BEGINNINGS = {"JPEG": (b"\xff\xd8\xff",), "PNG": (b"\x89PNG\r\n\x1a\n",), "WebP": (b"RIFF", b"WEBP")}

_Image = Annotated[str, Field(min_length=1, max_length=_CHARACTERS)]
_Record = Annotated[dict[str, JsonValue], Field(max_length=100)]


class PhotoRequest(ModelRequest):
    """Some photos, and what came with them.

    images: each a whole JPEG, PNG or WebP file in base64, of up to 120 million pixels; metadata: a record a
    photo, as `parse_metadata` reads it, null where there is none; names: of photos in the answer, default
    "photo-0", "photo-1", ...
    """

    images: Annotated[list[_Image], Field(min_length=1, max_length=_MOST)]
    metadata: Annotated[list[_Record | None], Field(min_length=1, max_length=_MOST)] | None = None
    names: Annotated[list[Name], Field(min_length=1, max_length=_MOST)] | None = None

    def to_data(self, info: ModelInfo) -> PhotoSet:
        """The photos of this request; InvalidInputError, or one of its kinds, naming the field that is wrong.

        Only headers are read here: what is too large is refused before a pixel is decoded.
        """
        count = len(self.images)
        for name in ("metadata", "names"):
            given = getattr(self, name)
            if given is not None and len(given) != count:
                raise ShapeError(name, f"has an entry a photo ({count})", got=len(given))
        names = tuple(f"photo-{k}" for k in range(count)) if self.names is None else tuple(self.names)
        if len(set(names)) < count:
            raise DataError("names", "differ", got=next(n for n in names if names.count(n) > 1))
        records = [None] * count if self.metadata is None else self.metadata
        photos, pixels = [], 0
        for k, (text, record, name) in enumerate(zip(self.images, records, names, strict=True)):
            content = _content(text, f"images.{k}")
            pixels += _area(content, f"images.{k}")
            if pixels > _ALL_PIXELS:
                raise DataError("images", f"have at most {_ALL_PIXELS:,} pixels together", place=k)
            photos.append(Photo(content, metadata=_metadata(record, f"metadata.{k}"), name=name))
        return PhotoSet(photos)

    @classmethod
    def tensors(cls, info: ModelInfo) -> tuple[TensorSpec, ...]:
        """Photos in base64, and their names."""
        return (TensorSpec("images", "BYTES", (-1,)), TensorSpec("names", "BYTES", (-1,)))

    @classmethod
    def example(cls, info: ModelInfo, *, rows: int) -> dict[str, Any] | None:
        """A photo of a grey sky over a darker road, 96 x 64."""
        from PIL import Image

        shades = np.linspace(200, 60, 64).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(np.repeat(shades[:, None], 96, axis=1)).save(file, "PNG")
        return {"images": [base64.b64encode(file.getvalue()).decode()], "names": ["example"]}


def _content(text: str, field: str) -> bytes:
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        hint = "leave out a beginning such as data:image/jpeg;base64,"
        raise DataError(field, f"is base64 ({error})", hint=hint) from error
    if not any(content.startswith(first) and rest in content[:16] for first, rest in _signatures()):
        raise DataError(field, f"is the file of a photo: {', '.join(_BEGINNINGS)}", got=repr(content[:8]))
    return content


def _signatures() -> list[tuple[bytes, bytes]]:
    return [(parts[0], parts[-1]) for parts in _BEGINNINGS.values()]


def _area(content: bytes, field: str) -> int:
    try:
        height, width = image_size(content)
    except InvalidInputError as error:
        raise DataError(field, error.rule, got=error.got) from error
    if height * width > _PIXELS:
        raise DataError(field, f"has at most {_PIXELS:,} pixels", got=f"{width} x {height}")
    return height * width


def _metadata(record: dict[str, JsonValue] | None, field: str) -> Metadata:
    try:
        return Metadata() if record is None else parse_metadata(record)
    except InvalidInputError as error:
        raise DataError(f"{field}.{error.argument}", error.rule, got=error.got) from error
