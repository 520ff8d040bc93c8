"""Readers: small files in each format, and files that are something else."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forecast_core.errors import DataError, InvalidInputError
from forecast_traffic.trajectory import Tracks


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


ETH = "780\t1.0\t8.0\t3.0\n790\t1.0\t8.5\t3.0\n790\t2.0\t0.0\t1.0\n800\t2.0\t0.0\t1.5\n"


def test_eth_ucy_numbers_frames_from_its_own_step(tmp_path: Path) -> None:
    written(tmp_path / "a.txt", ETH)
    written(tmp_path / "b.txt", ETH.replace("\t8.", "\t9."))
    tracks = Tracks.read_eth_ucy(tmp_path)
    assert tracks.item_ids == ("a/1", "a/2", "b/1", "b/2")
    assert tracks.scene_ids == ("a", "b")
    np.testing.assert_array_equal(tracks.frames[:4], [0, 1, 1, 2])
    assert tracks.dt == 0.4
    assert Tracks.read_eth_ucy(tmp_path / "a.txt").item_ids == ("a/1", "a/2")
    assert len(Tracks.read_eth_ucy([tmp_path / "a.txt", tmp_path / "b.txt"])) == 4


NAMES = {
    "folders": {"a/train.txt": "a/train", "b/train.txt": "b/train"},
    "dots": {"x.v1.txt": "x.v1", "x.v2.txt": "x.v2", "x.txt": "x"},
    "some": {"a/train.txt": "a/train", "b/train.txt": "b/train", "b/val.txt": "val"},
    "deep": {
        "a/one/train.txt": "a/one/train",
        "b/one/train.txt": "b/one/train",
        "two/train.txt": "two/train",
    },
    "a name that is taken": {"a/x.y.txt": "a/x.y", "b/x.y.txt": "b/x.y", "c/x.txt": "x"},
    "one": {"x.v1.txt": "x"},
}


@pytest.mark.parametrize("case", NAMES)
def test_each_file_is_a_scene_of_its_own(tmp_path: Path, case: str) -> None:
    scenes = NAMES[case]
    for k, name in enumerate(scenes):
        written(tmp_path / name, ETH.replace("\t8.", f"\t{k}."))
    tracks = Tracks.read_eth_ucy([tmp_path / name for name in scenes])
    assert tracks.scene_ids == tuple(scenes.values())
    assert tracks.item_ids == tuple(f"{scene}/{k}" for scene in scenes.values() for k in (1, 2))
    assert len(set(np.asarray(tracks.scenes).tolist())) == len(scenes)


def test_sequences_of_two_folders_are_scenes_of_their_own(tmp_path: Path) -> None:
    files = [tmp_path / "training" / "0007.txt.gz", tmp_path / "testing" / "0007.txt"]
    for file in files:
        written(file, "".join(kitti(k, 3, "Car", 1.0 * k, 20.0 + k) for k in range(3)))
    assert Tracks.read_kitti(files).item_ids == ("training/0007/3", "testing/0007/3")
    assert Tracks.read_kitti(files[0]).item_ids == ("0007/3",)


def test_a_recording_given_twice_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path / "a.txt", ETH)
    with pytest.raises(DataError, match=r"names each recording once, got .*a.txt and .*a.txt"):
        Tracks.read_eth_ucy([file, tmp_path / ".." / tmp_path.name / "a.txt"])
    labels = "".join(kitti(k, 3, "Car", 1.0 * k, 20.0 + k) for k in range(3))
    for name in ("0007.txt", "0007.txt.gz"):
        written(tmp_path / "labels" / name, labels)
    with pytest.raises(DataError, match=r"names each recording once, got .*0007.txt and .*0007.txt.gz"):
        Tracks.read_kitti(tmp_path / "labels")


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    labels = "".join(kitti(k, 3, "Car", 1.0 * k, 20.0 + k) for k in range(300))
    whole = gzip.compress(labels.encode())
    for content in (whole[: len(whole) // 2], whole[:40] + b"\xff" * 8 + whole[48:], b"1 2 3"):
        (tmp_path / "0007.txt.gz").write_bytes(content)
        with pytest.raises(DataError, match="path"):
            Tracks.read_kitti(tmp_path / "0007.txt.gz")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3\n4 5 6\n", "has 4 columns"),
        ("1 1 0 0\n2 1 0\n", "rows of one length"),
        ("", "rows of one length"),
        ("a b c d\n", "rows of one length"),
        ("0 1 0 0\n10 1 0 0\n25 1 1 1\n", "frames in steps of 10"),
    ],
)
def test_other_text_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Tracks.read_eth_ucy(written(tmp_path / "a.txt", text))


FAULTS = {
    "duplicate": ([(0, 0.0), (10, 1.0), (10, 1.0)], "frame 1.*hold each track once"),
    "backwards": ([(0, 0.0), (20, 2.0), (10, 1.0)], "frame 1.*do not go back"),
    "alone": ([(0, 0.0)], "at least two points"),
    "gap": ([(0, 0.0), (10, 1.0), (40, 4.0)], "2 missing after frame 1"),
    "NaN": ([(0, 0.0), (10, float("nan")), (20, 2.0)], "frame 1.*finite"),
    "feet or pixels": ([(0, 0.0), (10, 400.0)], "100 m/s"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_in_a_file_are_told_with_the_track(tmp_path: Path, fault: str) -> None:
    points, message = FAULTS[fault]
    good = [(frame, 4, 0.1 * frame, 0.0) for frame in (0, 10, 20, 30, 40)]
    rows = good + [(frame, 7, x, 3.0) for frame, x in points]
    text = "".join(f"{frame}\t{track}\t{x}\t{y}\n" for frame, track, x, y in rows)
    with pytest.raises(DataError, match=f"(?s)track 'a/7'.*{message}|{message}.*track 'a/7'"):
        Tracks.read_eth_ucy(written(tmp_path / "a.txt", text))
    lines = "".join(f"{frame // 10},{track},{x},{y}\n" for frame, track, x, y in rows)
    csv = written(tmp_path / "a.csv", "frame,id,px,py\n" + lines.replace("nan", ""))
    with pytest.raises(DataError, match=f"(?s)track 7.*{message}|{message}.*track 7"):
        Tracks.read_table(csv, track_id="id", frame_number="frame", x="px", y="py", dt=0.4)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        Tracks.read_eth_ucy(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"end in .txt"):
        Tracks.read_eth_ucy(tmp_path)


def kitti(frame: int, track: int, kind: str, x: float, z: float) -> str:
    return f"{frame} {track} {kind} 0 0 -1.5 1 2 3 4 1.5 1.6 4.0 {x} 1.8 {z} 0.5\n"


def test_kitti_takes_x_and_z_of_the_camera(tmp_path: Path) -> None:
    text = kitti(0, -1, "DontCare", -1000, -1000)
    text += "".join(kitti(k, 3, "Car", 1.0 * k, 20.0 + k) for k in (0, 1, 4)) + kitti(2, 5, "Van", 0, 9)
    tracks = Tracks.read_kitti(written(tmp_path / "0007.txt.gz", text))
    assert tracks.item_ids == ("0007/3",)  # the van was seen once
    assert tracks.classes == ("Car",)
    np.testing.assert_array_equal(tracks.xy, [[0, 20], [1, 21], [4, 24]])
    np.testing.assert_array_equal(tracks.columns["heading"], -0.5)
    with pytest.raises(DataError, match="follow one another"):
        Tracks.read_kitti(tmp_path / "0007.txt.gz", gaps="refuse")
    with pytest.raises(DataError, match="objects of the classes"):
        Tracks.read_kitti(tmp_path / "0007.txt.gz", classes=("Tram",))


NGSIM = "Vehicle_ID,Frame_ID,Local_X,Local_Y,v_Vel,v_Class,Lane_ID\n"


def test_ngsim_turns_feet_into_metres(tmp_path: Path) -> None:
    rows = "".join(f"2,{k},10.0,{100 + 4 * k},40.0,2,{1 + k // 2}\n" for k in range(4))
    tracks = Tracks.read_ngsim(written(tmp_path / "us101.csv", NGSIM + rows))
    np.testing.assert_allclose(tracks.xy[0], [3.048, 30.48])
    np.testing.assert_allclose(tracks.columns["speed"], 12.192)
    np.testing.assert_array_equal(tracks.columns["lane"], [1, 1, 2, 2])
    assert tracks.classes == ("car",)
    assert tracks.item_ids == (2,)
    with pytest.raises(DataError, match="Local_X"):
        Tracks.read_ngsim(written(tmp_path / "bad.csv", NGSIM.replace("Local_X", "local_x") + rows))


def table(**changes: Any) -> Any:
    polars = pytest.importorskip("polars")
    columns = {
        "id": ["a", "a", "a", "b", "b"],
        "t": [0.0, 0.1, 0.2, 0.1, 0.2],
        "px": [0.0, 1.0, 2.0, 5.0, 5.0],
        "py": [0.0, 0.0, 0.0, 1.0, 2.0],
        "lane": [1, 1, 2, 3, 3],
        "kind": ["car", "car", "car", "van", "van"],
    }
    return polars.DataFrame({**columns, **changes})


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet"])
def test_tables_of_seconds_get_their_commonest_step(tmp_path: Path, ending: str) -> None:
    frame, path = table(), tmp_path / f"tracks{ending}"
    if ending == ".parquet":
        frame.write_parquet(path)
    else:
        written(path, frame.write_csv())
    tracks = Tracks.read_table(
        path, track_id="id", timestamp="t", x="px", y="py", columns={"lane": "lane"}, category="kind"
    )
    assert tracks.dt == pytest.approx(0.1)
    assert tracks.classes == ("car", "van")
    np.testing.assert_array_equal(tracks.frames, [0, 1, 2, 1, 2])
    np.testing.assert_array_equal(tracks.columns["lane"], [1, 1, 2, 3, 3])


def test_times_of_the_clock_give_a_clock() -> None:
    start = np.datetime64("2024-05-01T10:00:00", "us")
    stamps = start + (np.array([0, 1, 2, 1, 2]) * 40_000).astype("timedelta64[us]")
    tracks = Tracks.from_frame(table(t=stamps), track_id="id", timestamp="t", x="px", y="py")
    assert tracks.dt == 0.04
    assert tracks.start == start
    np.testing.assert_array_equal(tracks.timeline, np.unique(stamps))


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"t": [0.0, 0.1, 0.25, 0.1, 0.2]}, {"dt": 0.1}, "grid of 0.1 s"),
        ({"t": [0.0, 0.1, float("nan"), 0.1, 0.2]}, {}, "t at row 2 .track 'a'.*finite"),
        ({"t": [0.3] * 5}, {}, "two times"),
        ({"id": ["a", None, "a", "b", "b"]}, {}, "no missing entry"),
        ({}, {"x": "pz"}, "px"),
        ({}, {"dt": 0.0}, "dt"),
        ({}, {"dt": "0.1"}, "dt: is a number of seconds above 0, got '0.1'"),
        ({"frame": [0.0] * 5}, {"columns": ("frame",)}, "columns: have names.*got 'frame'"),
    ],
)
def test_bad_tables_are_refused(changes: dict[str, Any], options: dict[str, Any], message: str) -> None:
    given = {"track_id": "id", "timestamp": "t", "x": "px", "y": "py", **options}
    with pytest.raises(DataError, match=message):
        Tracks.from_frame(table(**changes), **given)


def test_time_is_given_in_one_way() -> None:
    with pytest.raises(InvalidInputError, match="frame_number"):
        Tracks.from_frame(table(), track_id="id", x="px", y="py")
    with pytest.raises(InvalidInputError, match="seconds a frame"):
        Tracks.from_frame(table(f=[0, 1, 2, 1, 2]), track_id="id", frame_number="f", x="px", y="py")
