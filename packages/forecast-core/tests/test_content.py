"""Equality and fingerprints by content: each tells records apart exactly where the other does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays

from forecast_core.data.content import fingerprint, same_content


@dataclass(frozen=True, eq=False)
class Record:
    values: np.ndarray
    times: np.ndarray | None = None
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    name: str = ""


FLOATS = arrays.arrays(
    np.float64,
    arrays.array_shapes(max_dims=2, max_side=3),
    elements=st.sampled_from([0.0, -0.0, 1.0, np.nan]),
)


@given(a=FLOATS, b=FLOATS)
def test_equal_content_is_equal_fingerprints_and_other_content_other_ones(
    a: np.ndarray, b: np.ndarray
) -> None:
    same = a.shape == b.shape and np.array_equal(a, b, equal_nan=True)
    assert same_content(Record(a), Record(b)) == same
    assert (fingerprint(Record(a)) == fingerprint(Record(b))) == same


BASE = Record(
    np.arange(4.0),
    np.array(["2024-01-01", "NaT"], dtype="datetime64[us]"),
    {"lane": np.array([1.0, 2.0]), "speed": np.array([3.0, np.nan])},
    "north",
)


@pytest.mark.parametrize(
    "changes",
    [
        {"values": np.arange(4)},
        {"values": np.arange(4.0, dtype=np.float32)},
        {"values": np.arange(4.0).reshape(2, 2)},
        {"times": None},
        {"times": np.array(["2024-01-01", "2024-01-02"], dtype="datetime64[us]")},
        {"columns": {}},
        {"columns": {"lane": np.array([1.0, 2.0])}},
        {"columns": {"lane": np.array([1.0, 2.0]), "sped": np.array([3.0, np.nan])}},
        {"columns": {"lane": np.array([1.0, 2.5]), "speed": np.array([3.0, np.nan])}},
        {"name": "south"},
    ],
)
def test_a_change_of_any_part_is_seen(changes: dict[str, Any]) -> None:
    other = replace(BASE, **changes)
    assert not same_content(BASE, other)
    assert not same_content(other, BASE)
    assert fingerprint(BASE) != fingerprint(other)
    again = replace(BASE, values=BASE.values.copy(), columns=dict(BASE.columns))
    assert same_content(BASE, again)
    assert fingerprint(BASE) == fingerprint(again)


def test_order_in_memory_says_nothing() -> None:
    table = np.arange(6.0).reshape(2, 3)
    assert fingerprint(Record(table)) == fingerprint(Record(np.asfortranarray(table)))
