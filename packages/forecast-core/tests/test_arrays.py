"""Arrays in models: kept exactly, never changed from outside, refused by rule."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import BaseModel, ConfigDict, ValidationError

from forecast_core.arrays import Array, FloatArray, arrays_equal, covered, frozen, positions
from forecast_core.errors import InvalidInputError, ShapeError

DTYPES = st.sampled_from(["float64", "float32", "int64", "bool", "datetime64[us]", "timedelta64[us]"])
ARRAYS = DTYPES.flatmap(lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0)))


class Holder(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    any: Array | None = None
    number: FloatArray | None = None


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal to the last bit, but that one NaN is as good as another."""
    if a.dtype.kind == "f":
        a, b = (np.where(np.isnan(x), np.nan, x).astype(x.dtype) for x in (a, b))
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@settings(max_examples=200, deadline=None)
@given(ARRAYS)
def test_json_keeps_every_bit(array: np.ndarray) -> None:
    text = Holder(any=array).model_dump_json()
    json.loads(text, parse_constant=lambda c: pytest.fail(f"{c} is no JSON"))
    back = Holder.model_validate_json(text).any
    assert back is not None
    assert same_bits(back, array)
    assert arrays_equal(back, array)


@pytest.mark.parametrize("value", [-0.0, 5e-324, -1.8e308, np.inf, -np.inf, np.nan, 0.1])
def test_json_keeps_special_numbers(value: float) -> None:
    for dtype in (np.float64, np.float32):
        array = np.array([value]).astype(dtype) if abs(value) < 1e38 else np.array([value])
        assert same_bits(Holder.model_validate_json(Holder(any=array).model_dump_json()).any, array)


@pytest.mark.parametrize(
    ("given_dtype", "kept"),
    [
        ("float16", "float64"),
        (">f8", "float64"),
        ("int8", "int64"),
        ("uint64", "int64"),
        ("datetime64[ns]", "datetime64[us]"),
        ("datetime64[D]", "datetime64[us]"),
        ("timedelta64[h]", "timedelta64[us]"),
    ],
)
def test_dtypes_become_one_of_a_few(given_dtype: str, kept: str) -> None:
    array = np.array([1000, 2000] if given_dtype == "datetime64[ns]" else [1, 2]).astype(given_dtype)
    held = Holder(any=array).any
    assert held is not None
    assert held.dtype == np.dtype(kept)
    assert (held == array).all()


@pytest.mark.parametrize(
    "value",
    [
        ["a"],
        [[1.0], [1.0, 2.0]],
        [1j],
        [None],
        np.array([2**64 - 1], dtype=np.uint64),
        {"dtype": "float64", "shape": [1]},
        {"dtype": "object", "shape": [1], "data": [1]},
        {"dtype": "float64", "shape": [2], "data": [1]},
        {"dtype": "int64", "shape": [1], "data": [0.5]},
        {"dtype": "int64", "shape": [1], "data": [True]},
        {"dtype": "int64", "shape": [1], "data": [10**30]},
        {"dtype": "bool", "shape": [1], "data": ["no"]},
        {"dtype": "datetime64[us]", "shape": [1], "data": ["yesterday or so"]},
        {"dtype": "float64", "shape": "x", "data": [1]},
        {"dtype": "float64", "shape": [1], "data": {}},
    ],
)
def test_what_is_no_array_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError):
        Holder(any=value)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["float64", "float32", "int64", "bool", "datetime64[us]", "x"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
        max_leaves=6,
    ),
    st.lists(st.integers(-2, 4) | st.floats(), max_size=2),
)
def test_any_json_is_an_array_or_refused(dtype: str, data: Any, shape: list[float]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # numpy, of a zone in a text
        try:
            held = Holder(any={"dtype": dtype, "shape": shape, "data": data}).any
        except ValidationError:
            return
    assert isinstance(held, np.ndarray)
    assert held.dtype == np.dtype(dtype)


def test_a_float_array_takes_numbers_alone() -> None:
    held = Holder(number=[True, False]).number
    assert held is not None
    assert held.dtype == np.float64
    assert Holder(number=np.zeros(2, np.float32)).number.dtype == np.float32  # type: ignore[union-attr]
    with pytest.raises(ValidationError, match="must hold numbers"):
        Holder(number=np.array(["2024-01-01"], dtype="datetime64[us]"))


@pytest.mark.parametrize("view", ["itself", "slice", "read-only view", "broadcast"])
def test_nobody_can_write_to_a_frozen_array(view: str) -> None:
    mine = np.zeros(4)
    given_array = {
        "itself": mine,
        "slice": mine[:2],
        "read-only view": mine.view(),
        "broadcast": np.broadcast_to(mine, (3, 4)),
    }[view]
    given_array.flags.writeable = view in ("itself", "slice")
    held = frozen(given_array)
    mine[:] = 7.0
    assert (held == 0.0).all()
    with pytest.raises(ValueError, match="read-only"):
        held[0] = 1.0


def test_read_only_memory_is_shared_and_writeable_memory_is_not() -> None:
    held = frozen(np.arange(6.0))
    assert frozen(held) is held
    assert np.shares_memory(frozen(held[2:4]), held)
    text = np.arange(3.0).tobytes()
    assert np.shares_memory(frozen(np.frombuffer(text)), np.frombuffer(text))
    memory = bytearray(text)
    view = np.frombuffer(memory)
    view.flags.writeable = False
    held = frozen(view)
    memory[:8] = b"\x01" * 8
    assert held[0] == 0.0


@settings(max_examples=100, deadline=None)
@given(ARRAYS, ARRAYS)
def test_arrays_are_equal_where_dtype_shape_and_content_are(a: np.ndarray, b: np.ndarray) -> None:
    assert arrays_equal(a, a.copy())
    assert arrays_equal(a, b) == arrays_equal(b, a)
    if a.dtype != b.dtype or a.shape != b.shape:
        assert not arrays_equal(a, b)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 6).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(-8, 8), max_size=6))))
def test_positions_are_those_numpy_would_take(case: tuple[int, list[int]]) -> None:
    length, index = case
    base = np.arange(length)
    if all(-length <= k < length for k in index):
        assert base[positions("rows", index, length=length)].tolist() == [base[k] for k in index]
    else:
        with pytest.raises(InvalidInputError, match="rows at entry"):
            positions("rows", index, length=length)


def test_masks_are_positions_only_at_full_length() -> None:
    assert positions("rows", np.array([True, False, True]), length=3).tolist() == [0, 2]
    for wrong in (np.array([True]), np.zeros((3, 1), dtype=bool), 1):
        with pytest.raises(ShapeError):
            positions("rows", wrong, length=3)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="whole numbers"):
        positions("rows", [0.5], length=3)  # type: ignore[list-item]


@settings(max_examples=100, deadline=None)
@given(length=st.integers(1, 30), data=st.data())
def test_covered_are_the_positions_within_some_span(length: int, data: st.DataObject) -> None:
    spans = data.draw(st.lists(st.tuples(st.integers(-5, length - 1), st.integers(0, 8)), max_size=6))
    begins = np.array([begin for begin, _ in spans], dtype=np.int64)
    ends = np.array([min(max(begin, 0) + more, length - 1) for begin, more in spans], dtype=np.int64)
    expected = [any(b <= k <= e for b, e in zip(begins, ends, strict=True)) for k in range(length)]
    np.testing.assert_array_equal(covered(begins, ends, length=length), expected)
