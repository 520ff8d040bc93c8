"""Readers: tables and arrays as public sets ship them, and graphs from distances."""

from __future__ import annotations

import gzip
import io
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from forecast_core.errors import DataError, InvalidInputError, ShapeError
from forecast_traffic import (
    distance_matrix,
    edges_of,
    from_tables,
    gaussian_kernel,
    position_distances,
    read_adjacency,
    read_network,
    read_tables,
)
from forecast_traffic.graph.edges import adjacency_matrix


@given(hnp.arrays(np.float64, (5, 5), elements=st.sampled_from([0.0, 0.25, 1.0, 3.0])))
@settings(deadline=None)
def test_edges_and_adjacency_are_each_others_inverse(matrix: np.ndarray) -> None:
    index, weight = edges_of(matrix)
    np.testing.assert_array_equal(adjacency_matrix(index, weight, nodes=5), matrix)


def test_the_kernel_falls_with_distance_and_drops_what_is_weak() -> None:
    distances = np.array([[0.0, 1.0, 3.0], [2.0, 0.0, np.inf], [np.inf, 1.0, 0.0]])
    kernel = gaussian_kernel(distances, sigma=1.0, threshold=0.1)
    np.testing.assert_allclose(kernel[0], [1.0, np.exp(-1), 0.0])
    assert kernel[1, 2] == kernel[1, 0] == 0.0
    finite = distances[np.isfinite(distances)]
    np.testing.assert_allclose(
        gaussian_kernel(distances, threshold=0.0)[0, 1], np.exp(-((1.0 / finite.std()) ** 2))
    )


@pytest.mark.parametrize(
    ("distances", "options", "told"),
    [
        (np.ones((2, 3)), {}, "distances: is a square matrix"),
        (-np.ones((2, 2)), {}, "distances at entry (0, 0)"),
        (np.full((2, 2), np.nan), {}, "distances at entry (0, 0)"),
        (np.ones((2, 2)), {"sigma": 0.0}, "sigma"),
        (np.ones((2, 2)), {"threshold": 1.0}, "threshold"),
    ],
)
def test_a_kernel_of_no_distances_is_refused(distances: np.ndarray, options: Any, told: str) -> None:
    with pytest.raises(InvalidInputError) as error:
        gaussian_kernel(distances, **options)
    assert told in str(error.value)


def test_distances_on_earth_are_metres() -> None:
    matrix = position_distances(np.array([0.0, 0.0, -36.8485]), np.array([0.0, 1.0, 174.7633]))
    assert matrix[0, 1] == pytest.approx(111_195, rel=1e-3)  # a degree of longitude at the equator
    np.testing.assert_allclose(matrix, matrix.T)
    assert not matrix.diagonal().any()
    with pytest.raises(DataError, match="latitude at node 1"):
        position_distances(np.array([0.0, 95.0]), np.zeros(2))
    with pytest.raises(ShapeError, match="longitude"):
        position_distances(np.zeros(2), np.zeros(3))


def tables() -> tuple[Any, Any]:
    pl = pytest.importorskip("polars")
    times = np.datetime64("2024-01-01", "us") + np.arange(4) * np.timedelta64(5, "m")
    values = pl.DataFrame(
        {
            "timestamp": np.tile(times, 2),
            "node": ["n1"] * 4 + ["n0"] * 4,
            "speed": [60.0, 0, 58, 57, 40, 41, 42, 0],
        }
    )
    return values, pl.DataFrame({"source": ["n0", "n1"], "target": ["n1", "n0"], "miles": [1.0, 2.0]})


def test_long_tables_and_edge_tables_become_a_panel(tmp_path: Path) -> None:
    values, edges = tables()
    gp = from_tables(values, edges, weight="miles", missing_value=0)
    assert gp.node_ids == ("n1", "n0")
    assert str(gp.freq) == "5min"
    np.testing.assert_array_equal(gp.adjacency(), [[0, 2], [1, 0]])
    assert gp.mask.sum() == 6
    values.write_csv(tmp_path / "values.csv")
    edges.write_csv(tmp_path / "edges.csv")
    read = read_tables(tmp_path / "values.csv", tmp_path / "edges.csv", weight="miles", missing_value=0)
    assert read == gp


def test_an_edge_of_an_unknown_node_is_named() -> None:
    values, edges = tables()
    with pytest.raises(DataError, match=r"edges.target at row 1.*'n9'"):
        from_tables(values, _renamed(edges))
    with pytest.raises(DataError, match="edges"):
        from_tables(values, edges, weight="length")


def _renamed(edges: Any) -> Any:
    pl = pytest.importorskip("polars")
    return edges.with_columns(pl.Series("target", ["n1", "n9"]))


def test_npz_csv_and_h5_give_the_same_panel(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    speeds, adj = rng.uniform(20, 60, (10, 3)).round(2), np.array([[1, 0.5, 0], [0, 1, 0], [0, 0.25, 1]])
    times = np.datetime64("2012-03-01", "us") + np.arange(10) * np.timedelta64(5, "m")
    ids = np.array(["7", "8", "9"])
    np.savez(tmp_path / "net.npz", speed=speeds, timestamps=times.astype("M8[m]"), sensor_ids=ids, adj=adj)
    with gzip.open(tmp_path / "net.csv.gz", "wt") as file:
        np.savetxt(file, speeds, delimiter=",", header="7,8,9", comments="", fmt="%.2f")
    np.savetxt(tmp_path / "adj.csv", adj, delimiter=",")
    of_npz = read_network(tmp_path / "net.npz", adjacency=tmp_path / "net.npz")
    of_csv = read_network(tmp_path / "net.csv.gz", adjacency=tmp_path / "adj.csv", start="2012-03-01")
    assert of_npz == of_csv
    np.testing.assert_array_equal(of_npz.adjacency(), adj)
    pd, h5py = pytest.importorskip("pandas"), pytest.importorskip("h5py")
    frame = pd.DataFrame(speeds, columns=ids, index=times.astype("M8[ns]"))
    with h5py.File(tmp_path / "net.h5", "w") as store:  # as pandas lays a fixed frame out
        group = store.create_group("df")
        group["block0_values"], group["block0_items"] = frame.to_numpy(), ids.astype("S")
        group["axis1"] = frame.index.asi8
    assert read_network(tmp_path / "net.h5", adjacency=adj) == of_npz


def test_flows_of_several_channels_and_distances_in_a_table(tmp_path: Path) -> None:
    np.savez(tmp_path / "pems.npz", data=np.ones((6, 2, 3), dtype=np.float32))
    (tmp_path / "distance.csv").write_text("from,to,cost\n0,1,100.0\n5,1,3.0\n")
    gp = read_network(
        tmp_path / "pems.npz",
        distances=tmp_path / "distance.csv",
        start="2018-01-01",
        channels=("flow", "occupancy", "speed"),
    )
    assert gp.values.shape == (6, 2, 3)
    assert gp.values.dtype == np.float32
    assert gp.channel_names == ("flow", "occupancy", "speed")
    assert gp.edge_index.tolist() == [[], []] or gp.edge_weight.max() <= 1.0


def test_distances_without_a_header_lose_no_row() -> None:
    pl = pytest.importorskip("polars")
    headless = pl.DataFrame({"a1": ["a2", "a1"], "a2_": ["a1", "a1"], "3.5": [4.0, 0.0]})
    matrix = distance_matrix(headless.rename({"a2_": "a2"}), ("a1", "a2"))
    np.testing.assert_array_equal(matrix, [[0.0, 3.5], [4.0, np.inf]])
    with pytest.raises(DataError, match="three columns"):
        distance_matrix(headless.select("a1"), ("a1",))


BAY = "400001,400001,0.0\n400017,400017,0.0\n400001,400017,50.0\n\n400017,9,1.0\n"


@pytest.mark.parametrize("header", ["", "from,to,cost\n"])
@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
def test_a_file_of_distances_counts_every_row_with_or_without_a_header(
    tmp_path: Path, header: str, ending: str
) -> None:
    text = (header + BAY).encode()
    file = tmp_path / f"distances{ending}"
    file.write_bytes(gzip.compress(text) if ending == ".csv.gz" else text)
    np.savez(tmp_path / "net.npz", data=np.ones((5, 2)))
    options: dict[str, Any] = {"start": "2017-01-01", "node_ids": (400001, "400017"), "threshold": 0.0}
    gp = read_network(tmp_path / "net.npz", distances=file, **options)
    between = np.array([[0.0, 50.0], [np.inf, 0.0]])
    assert gp == read_network(tmp_path / "net.npz", distances=between, **options)
    np.testing.assert_array_equal(gp.adjacency().diagonal(), 1.0)


@pytest.mark.parametrize("library", ["polars", "pandas", "pandas, header=None"])
def test_a_frame_whose_reader_renamed_a_repeated_id_counts_that_row(library: str) -> None:
    name, *headless = library.split(", ")
    read = pytest.importorskip(name).read_csv
    frame = read(io.StringIO(BAY), **({"header": None} if headless else {}))
    matrix = distance_matrix(frame, ("400001", "400017"))
    np.testing.assert_array_equal(matrix, [[0.0, 50.0], [np.inf, 0.0]])
    inside = distance_matrix(frame, (0, 1))  # pandas counts columns without a name so
    assert np.isinf(inside).all()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("from,to,cost\n0,1,3.0\n1,0,\n", "distances at line 3: are numbers, got ''"),
        ("0,1,far\n", "distances at line 1: are numbers, got 'far'"),
        ("0,1,nan\n", "distances at line 1: are numbers"),
        ("0,1,2.0\n0,1\n", "distances at line 2: has three columns"),
        ("\xe9,1,2.0\n", "distances: is a readable csv table"),
    ],
)
def test_a_distance_that_is_none_is_named(tmp_path: Path, text: str, told: str) -> None:
    np.savez(tmp_path / "net.npz", data=np.ones((5, 2)))
    (tmp_path / "distances.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError) as error:
        read_network(tmp_path / "net.npz", distances=tmp_path / "distances.csv", start="2017-01-01")
    assert told in str(error.value)


def test_a_missing_distance_in_a_frame_is_named() -> None:
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"from": ["a", "b"], "to": ["b", "a"], "miles": [1.0, None]})
    with pytest.raises(DataError, match="distances at row 1: are numbers, got None"):
        distance_matrix(frame, ("a", "b"))


def test_an_adjacency_is_a_matrix_or_a_file_of_one(tmp_path: Path) -> None:
    np.savez(tmp_path / "net.npz", data=np.ones((5, 2)))
    read = partial(read_network, tmp_path / "net.npz", start="2024-01-01")
    np.testing.assert_array_equal(read(adjacency=[[0, 1], [2, 0]]).adjacency(), [[0, 1], [2, 0]])
    pd = pytest.importorskip("pandas")
    with pytest.raises(InvalidInputError, match=r"adjacency: is a matrix.*DataFrame; .*to_numpy"):
        read(adjacency=pd.DataFrame(np.eye(2)))
    with pytest.raises(InvalidInputError, match=r"distances: is a matrix.*dict"):
        read(distances={})
    with pytest.raises(DataError, match="adjacency: holds numbers"):
        read(adjacency=np.array([["0", "a"], ["b", "0"]]))
    with pytest.raises(DataError, match="distances: holds numbers"):
        read(distances=[[0.0, 1.0], [1.0]])
    with pytest.raises(ShapeError, match=r"distances: has a row a node \(2\)"):
        read(distances=np.zeros((3, 3)))


def test_broken_files_are_data_errors(tmp_path: Path) -> None:
    packed = gzip.compress(b"0,1\n1,0\n" * 2000)
    broken = {"cut.csv.gz": packed[: len(packed) // 2], "plain.csv.gz": b"0,1\n1,0\n", "empty.csv": b""}
    broken |= {"torn.csv.gz": packed[:30] + b"\xff" * 8 + packed[38:]}
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match="adjacency: is a table of numbers"):
            read_adjacency(tmp_path / name)
    np.savez_compressed(tmp_path / "net.npz", data=np.random.default_rng(0).random((50, 3)))
    content = bytearray((tmp_path / "net.npz").read_bytes())
    content[80:120] = bytes(40)
    (tmp_path / "net.npz").write_bytes(content)
    with pytest.raises(DataError, match="path: is an npz archive"):
        read_network(tmp_path / "net.npz", start="2024-01-01")


def test_an_h5_file_of_something_else_is_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    (tmp_path / "text.h5").write_text("nothing")
    with h5py.File(tmp_path / "other.h5", "w") as store:
        store["values"] = np.ones(3)
    with h5py.File(tmp_path / "half.h5", "w") as store:
        store.create_group("df")["block0_values"] = np.ones((3, 2))
    for name in ("text.h5", "other.h5", "half.h5"):
        with pytest.raises(DataError, match="path: holds a pandas frame of numbers"):
            read_network(tmp_path / name)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "start"),
        ({"start": "2024-01-01", "adjacency": np.ones((2, 2))}, "adjacency: has a row a node (3)"),
        ({"start": "2024-01-01", "adjacency": -np.ones((3, 3))}, "adjacency at entry (0, 0)"),
        ({"start": "2024-01-01", "adjacency": np.ones((3, 3)), "distances": np.ones((3, 3))}, "distances"),
        ({"start": "2024-01-01", "key": "speed"}, "key"),
        ({"start": "2024-01-01", "adjacency": "nowhere.csv"}, "path"),
    ],
)
def test_what_a_file_lacks_is_said(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    np.savez(tmp_path / "net.npz", data=np.ones((5, 3)))
    with pytest.raises((DataError, InvalidInputError, ShapeError)) as error:
        read_network(tmp_path / "net.npz", **options)
    assert told in str(error.value)


def test_an_archive_of_objects_is_refused_and_not_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "net.npz", data=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="plain arrays"):
        read_network(tmp_path / "net.npz", start="2024-01-01")
    (tmp_path / "text.npz").write_text("nothing")
    with pytest.raises(DataError, match="npz archive"):
        read_network(tmp_path / "text.npz", start="2024-01-01")
