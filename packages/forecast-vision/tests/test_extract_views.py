"""Pixels of views: like cropping and resizing, for every kind of image, with clear errors for the others."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image, PngImagePlugin

from forecast_core.errors import DataError, InvalidInputError, ShapeError
from forecast_vision import Box, extract_views, extract_views_batch, plot_views, view_boxes
from forecast_vision.views import image_size
from forecast_vision.views.decoding import decode
from forecast_vision.views.extraction import sufficient_scale


def scene(height: int, width: int) -> Image.Image:
    """A smooth picture without any symmetry."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    colours = [np.sin(5 * x + 2 * y), np.cos(7 * y * x + 1), x * x - y]
    pixels = np.stack([127 + 120 * np.clip(c, -1, 1) for c in colours], -1)
    return Image.fromarray(pixels.astype(np.uint8))


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 95} if kind == "JPEG" else {}), **options)
    return buffer.getvalue()


def crops(image: Image.Image, size: int) -> np.ndarray:
    views = [
        np.asarray(
            image.crop((b.left, b.top, b.right, b.bottom)).resize((size, size), Image.Resampling.BILINEAR)
        )
        for b in view_boxes(image.height, image.width)
    ]
    return np.stack(views).transpose(0, 3, 1, 2)


def psnr(found: np.ndarray, expected: np.ndarray) -> float:
    """Of the worst view, in dB."""
    error = ((found.astype(float) - expected) ** 2).mean((1, 2, 3)).max()
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


@settings(max_examples=25, deadline=None)
@given(height=st.integers(1, 500), width=st.integers(1, 500), size=st.integers(1, 64))
def test_exact_views_are_what_cropping_and_resizing_gives(height: int, width: int, size: int) -> None:
    image = scene(height, width)
    found = extract_views(np.asarray(image), size, exact=True)
    assert found.shape == (12, 3, size, size)
    assert found.dtype == np.uint8
    # Pillow rounds between its two passes, whose order depends on the shape.
    assert np.abs(found.astype(int) - crops(image, size)).max() <= 1


@settings(max_examples=20, deadline=None)
@given(height=st.integers(300, 1300), width=st.integers(300, 1300), orientation=st.integers(1, 8))
def test_views_of_a_draft_stay_near_the_exact_ones_however_it_is_turned(
    height: int, width: int, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(scene(height, width), exif=exif)
    exact = extract_views(content, 48, exact=True)
    assert psnr(extract_views(content, 48), exact) >= 35


def test_a_draft_is_used_only_where_no_view_loses_a_pixel() -> None:
    assert sufficient_scale(3024, 4032, 224) == 4
    assert sufficient_scale(3024, 4032, 518) == 2
    assert sufficient_scale(3024, 4032, 2000) == 1
    small = (Box("a", 0, 0, 300, 300), Box("b", 0, 0, 900, 900))
    assert sufficient_scale(3024, 4032, 224, small) == 1


@pytest.mark.parametrize("late", [False, True])
def test_the_size_of_a_png_is_told_without_its_pixels(late: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(scene(30, 40), "PNG", exif=exif)
    if late:  # EXIF may follow the pixels
        begin = content.index(b"eXIf") - 4
        length = 12 + int.from_bytes(content[begin : begin + 4], "big")
        end = content.index(b"IEND") - 4
        content = (
            content[:begin] + content[begin + length : end] + content[begin : begin + length] + content[end:]
        )
    upright = np.asarray(scene(30, 40).transpose(Image.Transpose.ROTATE_270))
    np.testing.assert_array_equal(extract_views(content, 16), extract_views(upright, 16))

    def load(self: Image.Image) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", load)
    assert image_size(content) == (40, 30)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(orientation: int, kind: str) -> None:
    upright = scene(90, 130)
    undo: dict[int, Image.Transpose] = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(stored, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    assert image_size(content) == (90, 130)
    np.testing.assert_array_equal(extract_views(content, 32), crops(upright, 32))


def test_a_tiff_turned_by_its_xmp_alone_is_upright() -> None:
    upright = scene(90, 130)
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    content = encoded(upright.transpose(Image.Transpose.ROTATE_90), "TIFF", tiffinfo={700: xmp})
    assert image_size(content) == (90, 130)
    np.testing.assert_array_equal(extract_views(content, 32), crops(upright, 32))


def test_paths_bytes_and_arrays_give_the_same(tmp_path: Path) -> None:
    image = scene(120, 160)
    content = encoded(image, "PNG")
    (tmp_path / "a.png").write_bytes(content)
    expected = extract_views(np.asarray(image), 32)
    for given_as in (tmp_path / "a.png", str(tmp_path / "a.png"), content):
        np.testing.assert_array_equal(extract_views(given_as, 32), expected)
    batch = extract_views_batch([content, np.asarray(image)], 32)
    np.testing.assert_array_equal(batch, np.stack([expected, expected]))


def test_grey_transparent_cmyk_palette_and_sixteen_bit_images_are_read() -> None:
    image = scene(80, 100)
    grey = image.convert("L")
    expected = extract_views(np.asarray(grey.convert("RGB")), 32)
    np.testing.assert_array_equal(extract_views(encoded(grey, "PNG"), 32), expected)
    np.testing.assert_array_equal(extract_views(np.asarray(grey), 32), expected)
    np.testing.assert_array_equal(extract_views(np.asarray(grey)[..., None], 32), expected)
    deep = np.asarray(grey).astype(np.uint16) * 257
    np.testing.assert_array_equal(extract_views(deep, 32), expected)
    for kind in ("PNG", "TIFF"):
        np.testing.assert_array_equal(extract_views(encoded(Image.fromarray(deep), kind), 32), expected)
    opaque, see_through = image.copy(), image.copy()
    opaque.putalpha(255)
    see_through.putalpha(0)
    colours = extract_views(np.asarray(image), 32)
    np.testing.assert_array_equal(extract_views(encoded(opaque, "PNG"), 32), colours)
    assert (extract_views(encoded(see_through, "PNG"), 32) == 255).all()
    assert psnr(extract_views(encoded(image.convert("CMYK")), 32, exact=True), colours) > 35
    assert psnr(extract_views(encoded(image.quantize(256), "PNG"), 32), colours) > 25
    assert psnr(extract_views(encoded(image, "WEBP", quality=95), 32), colours) > 30


@pytest.mark.parametrize(
    ("depth", "kind", "pixels", "clear", "expected"),
    [
        (8, 0, (10, 20), (10,), ((255, 255, 255), (20, 20, 20))),
        (8, 2, (10, 20, 30, 40, 50, 60), (10, 20, 30), ((255, 255, 255), (40, 50, 60))),
        (16, 0, (0x1234, 0x1235), (0x1234,), ((255, 255, 255), (18, 18, 18))),
        (16, 2, (0x1234, 0, 0, 0, 0, 0xFF00), (0x1234, 0, 0), ((255, 255, 255), (0, 0, 255))),
    ],
    ids=["grey", "colour", "grey of 16 bit", "colour of 16 bit"],
)
def test_a_transparent_colour_is_laid_on_white(
    depth: int, kind: int, pixels: Any, clear: Any, expected: Any
) -> None:
    header = struct.pack(">IIBBBBB", 2, 1, depth, kind, 0, 0, 0)
    row = b"\0" + np.array(pixels, dtype=f">u{depth // 8}").tobytes()
    found = decode(png(header, row, clear=np.array(clear, dtype=">u2").tobytes())).pixels
    assert np.asarray(found).tolist() == [[list(colour) for colour in expected]]


def png(header: bytes, rows: bytes, *, clear: bytes = b"") -> bytes:
    parts = [(b"IHDR", header), (b"tRNS", clear), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
        if data or name != b"tRNS"
    )


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header claims a size."""
    return png(struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"\0" * 1000)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "0 bytes"),
        (b"GIF89a", "can be|known format"),
        (b"no image at all", "known format"),
        (encoded(scene(200, 200))[:-600], "can be decoded"),
        (encoded(scene(200, 200), "PNG")[:500], "can be decoded"),
        (bomb(60_000, 60_000), "at most"),
        (bomb(17_000, 17_000), "at most"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "known format"),
    ],
)
def test_what_is_no_whole_image_is_refused(content: bytes, says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=says):
        extract_views(content)
    (tmp_path / "photo.jpg").write_bytes(content)
    with pytest.raises(DataError, match=r"photo\.jpg"):
        extract_views(tmp_path / "photo.jpg")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_files_give_typed_errors_or_views(data: st.DataObject) -> None:
    content = bytearray(encoded(scene(64, 64), data.draw(st.sampled_from(["JPEG", "PNG", "TIFF", "WEBP"]))))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = extract_views(bytes(content), 16)
    except DataError:
        return
    assert found.shape == (12, 3, 16, 16)


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        extract_views(tmp_path / "nowhere.jpg")
    with pytest.raises(InvalidInputError, match="255"):
        extract_views(np.zeros((10, 10, 3)))
    for shape in ((10,), (10, 10, 2), (0, 10, 3), (1, 10, 10, 3)):
        with pytest.raises(ShapeError, match="shape"):
            extract_views(np.zeros(shape, dtype=np.uint8))
    with pytest.raises(InvalidInputError, match="image"):
        extract_views(None)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="size"):
        extract_views(encoded(scene(50, 50)), 0)
    with pytest.raises(DataError, match="photo 1"):
        extract_views_batch([encoded(scene(50, 50)), b"no"], 16)
    with pytest.raises(InvalidInputError, match="at least one"):
        extract_views_batch([])


def test_plot_views_draws_every_box_and_its_weight() -> None:
    image = np.asarray(scene(120, 160))
    assert len(plot_views(image).axes[0].patches) == 12
    weights = np.arange(12) / 66
    labels = [text.get_text() for text in plot_views(image, weights=weights).axes[0].texts]
    assert labels[0] == "global 0 %"
    assert labels[11] == "right 17 %"
    with pytest.raises(ShapeError, match="12"):
        plot_views(image, weights=[1.0])
