"""Photo sets: read from folders, cut without tearing groups apart, refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from forecast_core.data.protocols import Data, Grouped, Windows
from forecast_core.errors import DataError, InvalidInputError, ShapeError
from forecast_core.splits import StratifiedGroupSplit, check_leaks
from forecast_vision import Metadata, Photo, PhotoSet, describe_dataset


def picture(shade: int) -> np.ndarray:
    return np.full((40, 50, 3), shade, dtype=np.uint8)


def write(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(shade)).save(path)


def test_it_follows_the_protocols_and_keeps_groups_together() -> None:
    photos = PhotoSet(
        [
            Photo(picture(1), True, Metadata(video_id="a")),
            Photo(picture(2), False),
            Photo(picture(1), True, Metadata(video_id="b")),  # the same pixels as the first
            Photo(picture(3), None, Metadata(video_id="b")),
            Photo(picture(4), False),
        ]
    )
    assert isinstance(photos, Data)
    assert isinstance(photos, Grouped)
    windows = photos.windows()
    assert isinstance(windows, Windows)
    assert photos.groups.tolist() == [0, 1, 0, 0, 4]
    values, known = windows.targets()
    assert values.tolist() == [1, 0, 1, 0, 0]
    assert known.tolist() == [True, True, True, False, True]
    assert photos.item_ids == tuple(f"photo-{k}" for k in range(5))
    assert photos.between(1, 3).labels.tolist() == [0, 1]
    assert len(photos.of_groups(np.array([0]))) == 3
    assert photos.fingerprint() == photos.between(None, None).fingerprint()
    assert photos.fingerprint() != photos.take([1, 0, 2, 3, 4]).fingerprint()
    assert windows.take(np.array([3, 0])).item_ids == ("photo-3", "photo-0")
    assert photos.select_items(["photo-2", "photo-0"]).item_ids == ("photo-2", "photo-0")


def test_folds_never_share_a_video_or_a_copy() -> None:
    photos = PhotoSet(
        [Photo(picture(k // 2), bool(k // 2 % 2), Metadata(video_id=f"v{k // 5}")) for k in range(60)]
    )
    windows = photos.windows()
    for train, test in StratifiedGroupSplit(n_splits=3).split(windows):
        check_leaks(windows, train, test, over="groups").raise_if_any()


def test_folders_with_yolo_labels(tmp_path: Path) -> None:
    write(tmp_path / "images" / "train" / "a.jpg", 10)
    write(tmp_path / "images" / "train" / "b.JPG", 20)
    (tmp_path / "labels" / "train").mkdir(parents=True)
    (tmp_path / "labels" / "train" / "a.txt").write_text("0 .5 .5 .1 .1\n")
    (tmp_path / "labels" / "train" / "b.txt").write_text("\n")
    photos = PhotoSet.from_folder(tmp_path, split="train")
    assert dict(zip(photos.item_ids, photos.labels.tolist(), strict=True)) == {"a.jpg": 1, "b.JPG": 0}
    (tmp_path / "labels" / "train" / "b.txt").unlink()
    with pytest.raises(DataError, match=r"b\.JPG"):
        PhotoSet.from_folder(tmp_path, split="train")
    with pytest.raises(DataError, match="split"):
        PhotoSet.from_folder(tmp_path, split="test")


def test_folders_with_a_table(tmp_path: Path) -> None:
    for name, shade in (("a.png", 1), ("b.png", 2), ("c.png", 3)):
        write(tmp_path / name, shade)
    rows = [
        {
            "file_name": "a.png",
            "label": 1,
            "gps": [39.77, -86.18],
            "scene_level_tags": {"weather": "['Sunny']"},
        },
        {"file_name": "b.png", "label": "no", "time": "Dark"},
        {"file_name": "c.png", "label": None},
    ]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    photos = PhotoSet.from_folder(tmp_path)
    assert photos.labels.tolist() == [1, 0, -1]
    assert photos.photos[0].metadata == Metadata(gps=(39.77, -86.18), weather="Sunny")
    assert photos.photos[1].metadata.daytime == "Dark"
    (tmp_path / "metadata.jsonl").unlink()
    (tmp_path / "metadata.csv").write_text('file_name,label,gps\na.png,true,"[1.0, 2.0]"\nb.png,,\n')
    photos = PhotoSet.from_folder(tmp_path)
    assert photos.labels.tolist() == [1, -1]
    assert photos.photos[0].metadata.gps == (1.0, 2.0)


def test_folders_of_classes_and_plain_ones(tmp_path: Path) -> None:
    write(tmp_path / "one" / "yes" / "a.png", 1)
    write(tmp_path / "one" / "no" / "b.png", 2)
    photos = PhotoSet.from_folder(tmp_path / "one")
    assert dict(zip(photos.item_ids, photos.labels.tolist(), strict=True)) == {"no/b.png": 0, "yes/a.png": 1}
    write(tmp_path / "two" / "a.png", 1)
    (tmp_path / "two" / "notes.txt").write_text("")
    assert PhotoSet.from_folder(tmp_path / "two").labels.tolist() == [-1]


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("file_name,label\nnowhere.png,1\n", r"line 2.*nowhere\.png"),
        ("file_name,label\n../a.png,1\n", "in the folder"),
        ("file_name,label\na.png,perhaps\n", "label at line 2"),
        ('file_name,gps\na.png,"[99, 0]"\n', r"gps at line 2 \(a\.png\)"),
        ("name,label\na.png,1\n", "file_name"),
        ("file_name,label\na.png,1,2\n", "as many values"),
        ("file_name,label\n", "photos"),
    ],
)
def test_tables_that_cannot_be_read_name_the_row(table: str, says: str, tmp_path: Path) -> None:
    write(tmp_path / "set" / "a.png", 1)
    write(tmp_path / "a.png", 1)
    (tmp_path / "set" / "metadata.csv").write_text(table)
    with pytest.raises(DataError, match=says):
        PhotoSet.from_folder(tmp_path / "set")


@pytest.mark.parametrize("layout", ["metadata.csv", "metadata.jsonl", "classes", "plain"])
def test_a_split_is_refused_where_a_folder_has_none(layout: str, tmp_path: Path) -> None:
    for name in ("yes/a.png", "no/b.png") if layout == "classes" else ("a.png", "train/b.png"):
        write(tmp_path / name, 1)
    if layout.startswith("metadata"):
        table = "file_name\na.png\n" if layout.endswith("csv") else '{"file_name": "a.png"}\n'
        (tmp_path / layout).write_text(table)
    with pytest.raises(DataError, match=r"split: is told only of .* got 'train'"):
        PhotoSet.from_folder(tmp_path, split="train")


CP1252 = "file_name,city\na.png,M\u00fcnchen\n".encode("cp1252")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("metadata.csv", CP1252, r"metadata\.csv at line 2: is a text in UTF-8, got byte 0xfc"),
        ("metadata.jsonl", b'{"file_name": "a.png", "city": "M\xfcnchen"}', r"metadata\.jsonl at line 1"),
        ("metadata.jsonl", "{}".encode("utf-16"), r"metadata\.jsonl at line 1: is a text in UTF-8"),
        ("metadata.jsonl", b"[" * 100_000, r"metadata\.jsonl at line 1: holds one JSON object a line"),
        ("labels/a.txt", b"# M\xfcnchen\n", r"a\.txt at line 1: is a text in UTF-8"),
    ],
)
def test_tables_and_labels_that_are_no_text_name_the_line(
    name: str, content: bytes, says: str, tmp_path: Path
) -> None:
    write(tmp_path / "a.png", 1)
    write(tmp_path / "images" / "a.png", 1)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=says):
        PhotoSet.from_folder(tmp_path)


def test_byte_order_marks_and_any_line_separators_in_texts_are_read(tmp_path: Path) -> None:
    write(tmp_path / "a.png", 1)
    lines = [{"file_name": "a.png", "city": "Roma\u2028Norte"}, {"file_name": "a.png", "city": "Roma\x85Sur"}]
    text = "\r\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    (tmp_path / "metadata.jsonl").write_bytes(text.encode("utf-8-sig"))
    cities = [photo.metadata.city for photo in PhotoSet.from_folder(tmp_path).photos]
    assert cities == ["Roma Norte", "Roma Sur"]
    (tmp_path / "metadata.jsonl").unlink()
    table = 'file_name,city,label\r\na.png,"Roma\r\nNorte",1\r\na.png,Roma\u2028Sur,0\r\n'
    (tmp_path / "metadata.csv").write_bytes(table.encode("utf-8-sig"))
    photos = PhotoSet.from_folder(tmp_path)
    assert [photo.metadata.city for photo in photos.photos] == ["Roma Norte", "Roma Sur"]
    assert photos.labels.tolist() == [1, 0]


@pytest.mark.parametrize("name", ["a\0.png", "\ud800.png", "a" * 5000 + ".png"])
def test_names_that_no_file_can_have_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": name}))
    with pytest.raises(DataError, match="file_name at line 1: is a file of the folder"):
        PhotoSet.from_folder(tmp_path)


def test_what_are_no_photos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="folder"):
        PhotoSet.from_folder(tmp_path / "nowhere")
    with pytest.raises(DataError, match="photos"):
        PhotoSet.from_folder(tmp_path)
    for name in ("spring", "autumn"):
        write(tmp_path / name / "a.png", 1)
    with pytest.raises(DataError, match="yes"):
        PhotoSet.from_folder(tmp_path)
    with pytest.raises(ShapeError):
        PhotoSet([])
    wrong: Any = [picture(1)]
    with pytest.raises(InvalidInputError, match="photos at 0"):
        PhotoSet(wrong)
    for options in ({"label": 2}, {"label": "yes"}, {"metadata": {}}, {"image": None}):
        with pytest.raises(InvalidInputError, match=next(iter(options))):
            Photo(**{"image": picture(1), **options})  # type: ignore[arg-type]
    with pytest.raises(DataError, match="can be read"):
        PhotoSet([Photo(tmp_path / "gone.jpg")]).fingerprint()
    with pytest.raises(DataError, match="each name one"):
        PhotoSet([Photo(picture(1), name="a"), Photo(picture(2), name="a")]).select_items(["a"])


def test_positions_that_are_none_are_refused() -> None:
    photos = PhotoSet([Photo(picture(k)) for k in range(4)])
    assert photos.windows(stride=3).item_ids == ("photo-0", "photo-3")
    assert len(photos.between(np.int64(1), -1)) == 2
    for stride in (0, -1, 1.5):
        with pytest.raises(InvalidInputError, match="stride: is a whole number"):
            photos.windows(stride=stride)  # type: ignore[arg-type]
    for ends, argument in (((0.5, 2), "start"), ((0, "b"), "stop")):
        with pytest.raises(InvalidInputError, match=f"{argument}: is a position"):
            photos.between(*ends)
    for index in ([4], [0.5]):
        with pytest.raises(InvalidInputError, match="index"):
            photos.windows().take(np.array(index))


def test_a_description_tells_what_is_there() -> None:
    photos = PhotoSet(
        [Photo(picture(k), k < 2, Metadata(gps=(48.1, 11.5 + 0.01 * k), weather="Rain")) for k in range(4)]
        + [Photo(picture(9), None)]
    )
    found = describe_dataset(photos)
    assert found.photos == 5
    assert found.labels == {"roadwork": 2, "no-roadwork": 2, "unknown": 1}
    assert found.present["gps"] == 0.8
    assert found.present["city"] == 0.0
    (cluster,) = found.clusters
    assert cluster.photos == 4
    assert cluster.radius_km < 2
    assert "weather" in str(found)
    assert describe_dataset([{"time": "Dark"}, Metadata()]).present["daytime"] == 0.5
    with pytest.raises(InvalidInputError, match="at least one"):
        describe_dataset([])
