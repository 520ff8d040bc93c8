"""REST requests of photos: the same answer as in Python, typed refusals of everything else."""

from __future__ import annotations

import asyncio
import base64
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image
from pydantic import ValidationError

import forecast_core as fc
from forecast_core.errors import DataError, InvalidInputError
from forecast_vision import Metadata, PhotoSet
from forecast_vision.serving import PhotoRequest
from forecast_vision.testing import sample_photos
from forecast_vision.views.decoding import image_size

INFO = fc.create_model("vision/prior").info
SMALL: dict[str, Any] = {"backbone": "histogram", "view_size": 32, "hidden_size": 16, "num_layers": 1}
SMALL |= {"num_heads": 4, "max_epochs": 2, "augmentations": 1, "calibration_folds": 2}


def encoded(pixels: Any, kind: str = "PNG") -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return base64.b64encode(buffer.getvalue()).decode()


def body(photos: PhotoSet) -> dict[str, Any]:
    return {"images": [encoded(p.image) for p in photos.photos], "names": list(photos.item_ids)}


def huge_png(side: int) -> str:
    """A file of a few bytes that says it is a picture of side x side."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    return base64.b64encode(content + chunk(b"IEND", b"")).decode()


GOOD = encoded(np.zeros((40, 40, 3), np.uint8))


def test_a_request_is_the_photos_and_metadata_it_tells_of() -> None:
    sample = sample_photos(photos=3)
    record = {"gps": "[39.77, -86.18]", "scene_level_tags.weather": "['Sunny']", "other": [1, {"a": None}]}
    given = {**body(sample), "metadata": [record, None, {}]}
    photos = PhotoRequest.model_validate(given).to_data(INFO)
    assert photos.item_ids == sample.item_ids
    assert photos.photos[0].metadata == Metadata(gps=(39.77, -86.18), weather="Sunny")
    assert photos.photos[1].metadata == photos.photos[2].metadata == Metadata()
    for one, other in zip(photos.photos, sample.photos, strict=True):
        assert isinstance(one.image, bytes)
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(one.image))), other.image)
    for kind in ("JPEG", "WEBP"):
        image = encoded(np.zeros((40, 40, 3), np.uint8), kind)
        assert PhotoRequest.model_validate({"images": [image]}).to_data(INFO).item_ids == ("photo-0",)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"images": ["data:image/png;base64," + GOOD]}, r"images\.0.*base64"),
        ({"images": [GOOD[:-3]]}, r"images\.0"),
        ({"images": [GOOD, base64.b64encode(b"%PDF-1.7 and so on").decode()]}, r"images\.1.*JPEG, PNG, WebP"),
        ({"images": [base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()]}, r"images\.0"),
        ({"images": [encoded(np.zeros((9, 9, 3), np.uint8), "GIF")]}, r"images\.0.*JPEG, PNG, WebP"),
        ({"images": [GOOD, huge_png(11_000)]}, r"images\.1: has at most 120,000,000 pixels.*11000 x 11000"),
        ({"images": [huge_png(200_000)]}, r"images\.0"),
        ({"images": [huge_png(10_000)] * 5}, "images at 4: have at most 480,000,000 pixels together"),
        ({"images": [GOOD, GOOD], "names": ["a"]}, "names: has an entry a photo"),
        ({"images": [GOOD, GOOD], "names": ["a", "a"]}, "names: differ"),
        ({"images": [GOOD], "metadata": [None, None]}, "metadata: has an entry a photo"),
        ({"images": [GOOD], "metadata": [{"gps": "[99, 0]"}]}, r"metadata\.0\..*gps"),
        ({"images": [GOOD], "metadata": [{"gps": [10**400, 0]}]}, r"metadata\.0\.gps"),
        ({"images": [GOOD], "metadata": [{"weather": {"a": 1}}]}, r"metadata\.0\.weather"),
        ({"images": [GOOD], "metadata": [{"gps": "__import__('os')"}]}, r"metadata\.0\.gps"),
    ],
)
def test_what_does_not_fit_names_its_field(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        PhotoRequest.model_validate(given).to_data(INFO)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"images": []},
        {"images": [GOOD] * 17},
        {"images": [""]},
        {"images": [1]},
        {"images": GOOD},
        {"images": [GOOD], "horizon": 1},
        {"images": [GOOD], "metadata": [[]]},
    ],
)
def test_bodies_of_another_form_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PhotoRequest.model_validate(given)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_files_are_refused_by_name_or_read(data: st.DataObject) -> None:
    content = bytearray(base64.b64decode(GOOD))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(content)))
    text = base64.b64encode(bytes(content[:cut])).decode()
    try:
        photos = PhotoRequest.model_validate({"images": [text]}).to_data(INFO)
    except DataError as error:
        assert error.argument == "images.0"  # noqa: PT017
    else:
        assert len(photos) == 1


def test_models_are_served_over_rest(tmp_path: Path) -> None:
    httpx = pytest.importorskip("httpx")
    pytest.importorskip("fastapi")
    from forecast_core.serving import DirectorySource, ModelPool, create_app

    photos = sample_photos(photos=3)
    model = fc.create_model("vision/roadwork", **SMALL).fit(sample_photos(seed=1), seed=0)
    model.save(tmp_path / "m")
    app = create_app(ModelPool({"roadwork": DirectorySource(tmp_path / "m")}))
    truncated = base64.b64encode(base64.b64decode(GOOD)[:60]).decode()
    inference = {"name": "images", "datatype": "BYTES", "shape": [1], "data": [body(photos)["images"][0]]}

    async def ask() -> list[Any]:
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                path = "/models/roadwork/predict"
                asked = (body(photos), {"images": [GOOD, truncated]}, {"images": [huge_png(60_000)]})
                found = [await client.post(path, json=each) for each in asked]
                found.append(
                    await client.post(
                        path,
                        content=b"{" + b" " * (8 * 2**20) + b"}",
                        headers={"content-type": "application/json"},
                    )
                )
                found.append(await client.post("/v2/models/roadwork/infer", json={"inputs": [inference]}))
                found.append(await client.get("/v2/models/roadwork"))
                return found

    answer, damaged, bomb, large, tensors, described = asyncio.run(ask())
    assert answer.status_code == 200, answer.text
    told, expected = (
        answer.json(),
        model.predict(PhotoRequest.model_validate(body(photos)).to_data(model.info)),
    )
    np.testing.assert_allclose(told["probabilities"], expected.probabilities)  # type: ignore[attr-defined]
    np.testing.assert_allclose(told["aux"]["view_weights"], expected.aux["view_weights"])
    assert told["aux"]["decision"] == expected.aux["decision"].tolist()
    assert told["item_ids"] == list(photos.item_ids)
    assert (damaged.status_code, bomb.status_code, large.status_code) == (422, 422, 413)
    assert "photo-1" in damaged.json()["error"]["message"]
    assert bomb.json()["error"]["fields"][0]["path"] == "images.0"
    assert tensors.status_code == 200, tensors.text
    np.testing.assert_allclose(tensors.json()["outputs"][0]["data"], told["probabilities"][0])
    assert [each["name"] for each in described.json()["inputs"]] == ["images", "names"]


def test_an_exported_model_brings_a_photo_that_it_answers(tmp_path: Path) -> None:
    model = fc.create_model("vision/roadwork", **SMALL).fit(sample_photos(photos=8))
    folder = fc.export(model, tmp_path / "made").path
    request = PhotoRequest.model_validate_json((folder / "request.json").read_text())
    photos = request.to_data(model.info)
    assert image_size(photos.photos[0].image) == (64, 96)
    assert fc.load_model(folder / "model").predict(photos).item_ids == ("example",)
