"""What goes into an artifact comes out of it bit for bit, and what cannot be stored is said before saving."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from forecast_core.artifacts import Limits, Manifest, State, read_artifact, read_manifest, write_artifact
from forecast_core.errors import ArtifactError, InvalidInputError

DTYPES = ["f2", "<f4", ">f4", "<f8", ">f8", "i1", ">i2", "i4", "<i8", "u1", "u2", ">u4", "u8", "?"]
OWN_FILES = ("manifest.json", "manifest.sha256", "weights.safetensors")
ARRAY_NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_./\-]{0,12}", fullmatch=True)
TEXT_NAMES = st.from_regex(r"[a-z0-9_][a-z0-9_.\-]{0,12}", fullmatch=True).filter(
    lambda n: n not in OWN_FILES
)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
ARRAYS = st.sampled_from(DTYPES).flatmap(lambda d: hnp.arrays(np.dtype(d), SHAPES))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def write(path: Path, state: State | None = None, **fields: Any) -> Manifest:
    state = state if state is not None else State({"w": np.arange(3.0)}, {"note.txt": "hello"})
    return write_artifact(path, state, **{"spec_id": "series/dummy", "spec_version": 1, **fields})


@settings(max_examples=60, deadline=None)
@given(
    arrays=st.dictionaries(ARRAY_NAMES, ARRAYS, max_size=3),
    texts=st.dictionaries(TEXT_NAMES, TEXTS, max_size=2),
    config=st.dictionaries(TEXTS, JSON, max_size=3),
)
def test_everything_comes_back_exactly(
    tmp_path_factory: pytest.TempPathFactory,
    arrays: dict[str, np.ndarray],
    texts: dict[str, str],
    config: dict[str, Any],
) -> None:
    path = tmp_path_factory.mktemp("artifact") / "m"
    written = write(path, State(arrays, texts), config=config, metrics={"mae": 0.1 + 0.2})
    manifest, back = read_artifact(path)
    assert manifest == written == read_manifest(path)
    assert repr(manifest.config) == repr(config)  # repr tells 0.0 from -0.0 and 1 from True
    assert manifest.metrics == {"mae": 0.1 + 0.2}
    assert back.texts == texts
    assert back.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        native = array.astype(array.dtype.newbyteorder("="))
        assert back.arrays[name].dtype == native.dtype
        assert back.arrays[name].shape == array.shape
        assert back.arrays[name].tobytes() == native.tobytes()


def test_every_nan_keeps_its_bits(tmp_path: Path) -> None:
    bits = np.array([0x7FF8000000000001, 0xFFF8000000000000, 0x7FF0000000000001], dtype=np.uint64)
    write(tmp_path / "m", State({"w": bits.view(np.float64)}))
    assert (read_artifact(tmp_path / "m")[1].arrays["w"].view(np.uint64) == bits).all()


def test_views_are_stored_as_they_look_and_loaded_arrays_can_be_written_to(tmp_path: Path) -> None:
    grid = np.arange(24.0).reshape(2, 3, 4)
    views = {"transposed": grid.T, "reversed": grid[:, ::-2], "scalar": np.array(grid[1, 2, 3])}
    write(tmp_path / "m", State(views))
    back = read_artifact(tmp_path / "m")[1].arrays
    for name, view in views.items():
        np.testing.assert_array_equal(back[name], view, strict=True)
        back[name][...] = 0.0


def test_a_state_does_not_change_with_the_arrays_it_was_made_from() -> None:
    array, arrays = np.zeros(3), {}
    arrays["w"] = array
    state = State(arrays)
    array[0] = 1.0
    arrays["more"] = array
    assert list(state.arrays) == ["w"]
    assert not state.arrays["w"].any()


def test_equal_states_give_equal_weight_files(tmp_path: Path) -> None:
    arrays = {"b": np.arange(3.0), "a": np.ones((2, 2), dtype=np.float32)}
    write(tmp_path / "m", State(arrays))
    write(tmp_path / "n", State(dict(reversed(arrays.items()))))
    first, second = (read_manifest(tmp_path / name).files for name in "mn")
    assert first == second


def test_the_directory_is_as_documented(tmp_path: Path) -> None:
    write(tmp_path / "m", State({"w": np.arange(3.0)}, {"note.txt": "hé"}))
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == [
        "manifest.json",
        "manifest.sha256",
        "note.txt",
        "weights.safetensors",
    ]
    assert (tmp_path / "m" / "note.txt").read_bytes() == "hé".encode()
    raw = (tmp_path / "m" / "manifest.json").read_bytes()
    assert (tmp_path / "m" / "manifest.sha256").read_text() == hashlib.sha256(raw).hexdigest()
    fields = json.loads(raw)
    assert fields["schema_version"] == 1
    assert fields["created"].endswith("+00:00")
    assert fields["files"]["note.txt"] == {"sha256": hashlib.sha256("hé".encode()).hexdigest(), "size": 3}


@pytest.mark.parametrize(
    ("arrays", "texts", "told"),
    [
        ({"no spaces": np.zeros(1)}, {}, "no spaces"),
        ({"": np.zeros(1)}, {}, "names"),
        ({"w\n": np.zeros(1)}, {}, "names"),
        ({"__metadata__": np.zeros(1)}, {}, "__metadata__"),
        ({"w": [1.0]}, {}, "numpy.asarray"),
        ({"w": np.array(["text"])}, {}, "texts"),
        ({"w": np.array([b"bytes"])}, {}, "texts"),
        ({"w": np.array([object()])}, {}, "object"),
        ({"w": np.array(["2024-01-01"], dtype="M8[us]")}, {}, "int64"),
        ({"w": np.zeros(2, dtype=complex)}, {}, "two arrays"),
        ({"w": np.zeros(2, dtype=np.longdouble)}, {}, "longdouble|float128"),
        ({"w": np.zeros(2, dtype=[("a", "f4")])}, {}, "numbers"),
        ({"w": np.ma.masked_array([1.0, 2.0], [True, False])}, {}, "mask"),
        ({}, {"UP.txt": "x"}, "UP.txt"),
        ({}, {"../up.txt": "x"}, "up.txt"),
        ({}, {"sub/a.txt": "x"}, "sub/a.txt"),
        ({}, {".hidden": "x"}, "hidden"),
        ({}, {"weights.safetensors": "x"}, "weights"),
        ({}, {"manifest.json": "x"}, "manifest"),
        ({}, {"a.txt": b"x"}, "bytes"),
        ({}, {"a.txt": "ab\ud800"}, "2"),
    ],
)
def test_what_cannot_be_stored_is_named_when_the_state_is_made(
    arrays: dict[str, Any], texts: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidInputError, match=told):
        State(arrays, texts)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "fields",
    [
        {"config": {"x": float("nan")}},
        {"config": {"x": object()}},
        {"config": {1: "x"}},
        {"config": {"x": 10**5000}},
        {"config": {"x": "\ud800"}},
        {"config": {"x": nested(120)}},
        {"config": {"x": nested(100_000)}},
        {"config": {"x": (1, 2)}},
        {"metrics": {"mae": float("inf")}},
        {"metrics": {"mae": "0.1"}},
        {"spec_version": 0},
        {"spec_id": ""},
        {"packages": {"numpy": 2}},
        {"limits": Limits(files=3)},
        {"limits": Limits(arrays=0)},
        {"limits": Limits(file=10)},
        {"limits": Limits(total=80)},
        {"limits": Limits(header=8)},
        {"limits": Limits(manifest=100)},
    ],
)
def test_what_could_not_be_read_back_is_not_written(tmp_path: Path, fields: dict[str, Any]) -> None:
    write(tmp_path / "m", State(texts={"note.txt": "first"}))
    with pytest.raises(ArtifactError):
        write(tmp_path / "m", **fields)
    assert read_artifact(tmp_path / "m")[1].texts == {"note.txt": "first"}
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_what_is_within_the_limits_of_writing_is_within_those_of_reading(tmp_path: Path) -> None:
    for depth in (96, 97, 98, 99, 100):
        try:
            write(tmp_path / "m", config={"x": nested(depth)})
        except ArtifactError:
            assert depth > 97
        else:
            assert read_manifest(tmp_path / "m").config == {"x": nested(depth)}
