"""Panels: what they refuse, what their parts and joins keep, what they say of themselves."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st

import forecast_core as fc
from forecast_core.data.protocols import Data, Described, Extendable, Restrictable
from forecast_core.errors import (
    DataError,
    ForecastError,
    FrequencyError,
    InvalidInputError,
    MissingFutureError,
    ShapeError,
)
from forecast_core.strategies import panels

HOUR = np.timedelta64(1, "h")
START = np.datetime64("2024-01-01T00", "us")
FIELDS = ("values", "past_covariates", "future_covariates", "static_covariates")


def small(**changes: Any) -> fc.Panel:
    """Four hours of two items, one target, a covariate of each sort."""
    given: dict[str, Any] = {
        "values": np.arange(8.0).reshape(4, 2, 1),
        "timestamps": START + np.arange(4) * HOUR,
        "item_ids": ("a", "b"),
        "freq": "h",
        "past_covariates": np.ones((4, 2, 1)),
        "future_covariates": np.full((4, 2, 1), 2.0),
        "static_covariates": np.zeros((2, 1)),
    }
    return fc.Panel(**{**given, **changes})


def with_value(name: str, index: tuple[int, ...], value: float) -> dict[str, np.ndarray]:
    array = np.array(getattr(small(), name))
    array[index] = value
    return {name: array}


BAD: list[tuple[dict[str, Any], type[ForecastError], str]] = [
    ({"values": np.zeros((4, 2))}, ShapeError, r"values: is \[time, item, target\]"),
    ({"values": np.zeros((0, 2, 1)), "timestamps": []}, ShapeError, "values: is not empty"),
    ({"values": np.zeros((4, 0, 1)), "item_ids": ()}, ShapeError, "values: is not empty"),
    ({"values": np.full((4, 2, 1), "x")}, DataError, "values: holds numbers"),
    (with_value("values", (2, 1, 0), np.inf), DataError, r"values at 2024-01-01T02.*item 'b', 'target'"),
    (with_value("values", (2, 1, 0), -np.inf), DataError, "finite, or NaN where missing, got -inf"),
    (with_value("past_covariates", (0, 0, 0), np.inf), DataError, "past_covariates at .*item 'a', 'past_0'"),
    (with_value("future_covariates", (3, 0, 0), np.inf), DataError, "future_covariates at .*T03.*item 'a'"),
    (with_value("future_covariates", (3, 1, 0), np.nan), DataError, "'future_0': is finite, with no missing"),
    (with_value("static_covariates", (1, 0), np.nan), DataError, "static_covariates at item 'b', 'static_0'"),
    ({"timestamps": START + np.arange(3) * HOUR}, ShapeError, "timestamps: has one entry a row"),
    ({"timestamps": START + np.array([0, 1, 1, 2]) * HOUR}, DataError, "at row 2: .*a duplicate"),
    ({"timestamps": START + np.array([0, 2, 1, 3]) * HOUR}, DataError, "at row 2: .*earlier than the row"),
    ({"timestamps": START + np.array([0, 1, 3, 4]) * HOUR}, DataError, "row 2: are one step of h apart"),
    ({"timestamps": START + np.arange(4) * np.timedelta64(90, "m")}, FrequencyError, "row 1"),
    ({"timestamps": ["2024-01-01T00", "soon", "x", "y"]}, DataError, "timestamps at row 1"),
    ({"timestamps": [START, None, START, START]}, DataError, "timestamps at row 1: has no missing time"),
    ({"timestamps": np.arange(4)}, DataError, "timestamps: are times"),
    ({"item_ids": ("a",)}, ShapeError, "item_ids: has one id an item"),
    ({"item_ids": ("a", "a")}, DataError, "'a' twice"),
    ({"item_ids": (1, "1")}, DataError, "'1' twice"),
    ({"item_ids": None}, DataError, "item_ids: is a list of ids"),
    ({"item_ids": "ab"}, DataError, "item_ids: is a list of ids"),
    ({"tz": 3}, InvalidInputError, "tz: is a time zone"),
    ({"timestamps": np.array(["300000-01-01"], "M8[s]")}, DataError, "years -290307 to 294246"),
    ({"item_ids": ("a", 1.5)}, DataError, "texts or whole numbers, got 1.5"),
    ({"item_ids": ("a", True)}, DataError, "texts or whole numbers, got True"),
    ({"target_names": ("x", "y")}, ShapeError, "one name a target"),
    ({"freq": "hourly"}, FrequencyError, "known unit"),
    ({"tz": "Mars/Base"}, InvalidInputError, "tz: is a time zone"),
    ({"past_covariates": np.ones((3, 2, 1))}, ShapeError, "past_covariates: begins"),
    ({"static_covariates": np.ones((3, 1))}, ShapeError, "static_covariates: has 2 rows"),
    ({"static_covariates": np.ones(2)}, ShapeError, "static_covariates: is"),
    ({"past_covariate_names": ("x", "y")}, ShapeError, "past_covariate_names: are distinct, one a column"),
    ({"past_covariates": None, "past_covariate_names": ("x",)}, ShapeError, "past_covariate_names"),
    ({"past_covariate_names": ("target",)}, DataError, "'target' twice"),
    ({"past_covariate_names": ("x",), "future_covariate_names": ("x",)}, DataError, "'x' twice"),
    ({"target_names": ("timestamp",)}, DataError, "'timestamp' twice"),
    ({"known": 3}, DataError, r"known: lies between .* 4\.\.4"),
    ({"known": -1}, InvalidInputError, "known: is a whole number"),
]


@pytest.mark.parametrize(("changes", "error", "says"), BAD)
def test_every_broken_rule_is_named_with_its_place(
    changes: dict[str, Any], error: type[ForecastError], says: str
) -> None:
    with pytest.raises(error, match=says):
        small(**changes)


def test_panels_cannot_be_changed_from_outside() -> None:
    mine = np.zeros((4, 2, 1))
    times = START + np.arange(4) * HOUR
    views = np.broadcast_to(mine[:, :1], (4, 2, 1))
    panel = small(values=mine, timestamps=times, past_covariates=views)
    mine[:], times[:] = 9.0, START
    assert (panel.values == 0).all()
    assert panel.past_covariates is not None
    assert (panel.past_covariates == 0).all()
    assert panel.timestamps[3] == START + 3 * HOUR
    for name in (*FIELDS, "timestamps"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(panel, name)[0] = 1
    with pytest.raises(AttributeError):
        panel.tz = "UTC"  # type: ignore[misc]


def test_parts_share_memory_with_the_whole() -> None:
    panel = small()
    assert np.shares_memory(panel.rows(1, 3).values, panel.values)
    assert small(values=panel.values).values is panel.values


def test_masked_values_are_missing_values() -> None:
    masked = np.ma.MaskedArray(np.arange(8.0).reshape(4, 2, 1), mask=np.arange(8).reshape(4, 2, 1) == 3)
    assert np.argwhere(np.isnan(small(values=masked).values)).tolist() == [[1, 1, 0]]


def test_precision_is_kept_and_other_numbers_become_float64() -> None:
    assert small(values=np.zeros((4, 2, 1), np.float32)).values.dtype == np.float32
    for dtype in ("int32", "bool", "float16", ">f4"):
        assert small(values=np.ones((4, 2, 1), dtype)).values.dtype == np.float64


def test_a_panel_follows_the_protocols_of_data() -> None:
    for protocol in (Data, Described, Extendable, Restrictable):
        assert isinstance(small(), protocol)


@given(panel=panels(), data=st.data())
def test_some_rows_are_the_panel_that_is_made_of_those_rows(panel: fc.Panel, data: st.DataObject) -> None:
    low = data.draw(st.integers(0, len(panel) - 1))
    high = data.draw(st.integers(low + 1, len(panel)))
    cut = {
        name: array[low:high]
        for name in ("values", "timestamps", "past_covariates", "future_covariates")
        if (array := getattr(panel, name)) is not None
    }
    part = panel.rows(low, high)
    known = min(max(panel.known_rows - low, 0), high - low)
    made = replace(panel, known=known if "future_covariates" in cut else None, **cut)
    assert part == made
    assert part.known_rows == made.known_rows
    assert repr(part) == repr(made)
    assert not part.values.flags.writeable
    assert not part.timestamps.flags.writeable


class Weighted(fc.Panel):
    """A panel that works something out of its rows, once."""

    @cached_property
    def total(self) -> float:
        return float(self.values.sum())


def test_rows_of_a_subclass_are_of_that_subclass_and_work_out_their_own() -> None:
    panel = small()
    given = {field.name: getattr(panel, field.name) for field in fields(panel)}
    weighted = Weighted(**given)
    assert weighted.total == 28.0
    part = weighted.rows(0, 2)
    assert isinstance(part, Weighted)
    assert part.total == 6.0
    assert panel.rows(0, 2) == fc.Panel(**{f.name: getattr(part, f.name) for f in fields(part)})


@pytest.mark.parametrize(("low", "high"), [(2, 2), (3, 1), (4, 6)])
def test_no_rows_are_no_panel(low: int, high: int) -> None:
    with pytest.raises(ShapeError, match=r"rows: are at least one of 0\.\.3"):
        small().rows(low, high)


@settings(max_examples=100, deadline=None)
@given(panels(), st.data())
def test_between_keeps_the_rows_in_between(panel: fc.Panel, data: st.DataObject) -> None:
    low, high = sorted((data.draw(st.integers(0, len(panel))), data.draw(st.integers(0, len(panel)))))
    assume(low < high)
    ends = [*panel.timestamps.tolist(), None]
    part = panel.between(ends[low] if low else None, ends[high])
    assert part == panel.rows(low, high)
    np.testing.assert_array_equal(part.timestamps, panel.timestamps[low:high])
    for name in ("values", "past_covariates", "future_covariates"):
        if getattr(panel, name) is not None:
            np.testing.assert_array_equal(getattr(part, name), getattr(panel, name)[low:high])
    assert part.static_covariates is panel.static_covariates
    assert part.known_rows == min(max(panel.known_rows - low, 0), high - low)


def test_between_takes_texts_datetimes_and_zones_and_refuses_the_rest() -> None:
    panel = small()
    assert panel.between("2024-01-01T02:00+01:00", "2024-01-01T03") == panel.rows(1, 3)
    assert panel.between(START.astype(object), None) == panel
    for start, stop in (("2025-01-01", None), (None, "2023-01-01"), ("2024-01-01T02", "2024-01-01T01")):
        with pytest.raises(ShapeError, match="at least one row of 2024"):
            panel.between(start, stop)
    for wrong in ("soon", 3, np.datetime64("NaT")):
        with pytest.raises(DataError, match="start"):
            panel.between(wrong, None)


@settings(max_examples=100, deadline=None)
@given(panels(rows=(2, 30)), st.data())
def test_a_panel_cut_in_two_is_whole_again(panel: fc.Panel, data: st.DataObject) -> None:
    assume(panel.known_rows >= 1)
    at = data.draw(st.integers(1, max(panel.known_rows, 1)))
    assume(at < len(panel))
    first, second = panel.rows(0, at), panel.rows(at, len(panel))
    assert first.extended(second) == panel
    lacking = second.without(frozenset({"past_covariates"}))
    joined = first.extended(lacking)
    if panel.past_covariates is not None:
        assert joined.past_covariates is not None
        assert np.isnan(joined.past_covariates[at:]).all()
        np.testing.assert_array_equal(joined.past_covariates[:at], panel.past_covariates[:at])


def test_later_rows_take_the_place_of_the_future() -> None:
    panel = small(**with_value("values", (slice(2, None),), np.nan))
    assert panel.known_rows == 2
    later = small().rows(2, 4)
    assert panel.extended(later) == small()
    assert panel.extended(later.rows(1, 2)).known_rows == 4  # begins after a row of pure future
    for start in (1, 5):
        off = replace(later, timestamps=START + (start + np.arange(2)) * HOUR)
        with pytest.raises(DataError, match=r"begins at 2024-01-01T02.*one step after the last known row"):
            panel.extended(off)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"item_ids": ("a", "c")}, "later.item_ids"),
        ({"target_names": ("other",)}, "later.target_names"),
        ({"future_covariate_names": ("other",)}, "later.future_covariate_names"),
        ({"past_covariate_names": ("other",)}, "later.past_covariate_names"),
    ],
)
def test_later_rows_of_another_panel_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ShapeError, match=says):
        small().rows(0, 2).extended(replace(small().rows(2, 4), **changes))
    bare = small().without(frozenset({"past_covariates"}))
    with pytest.raises(ShapeError, match=r"later\.past_covariate_names: is \(\)"):
        bare.rows(0, 2).extended(small().rows(2, 4))
    other = replace(small().rows(2, 3), freq=fc.Freq.parse("D"))
    with pytest.raises(ShapeError, match=r"later\.freq"):
        small().rows(0, 2).extended(other)


def test_known_rows_end_where_the_future_begins_even_without_targets() -> None:
    silent = small(**with_value("values", (slice(1, 3),), np.nan))
    assert silent.known_rows == 4
    cut = silent.rows(0, 3)  # the last two known rows miss their targets
    assert cut.known_rows == 3
    assert cut.rows(1, 3).known_rows == 2
    assert cut.select_items(["b"]).known_rows == 3
    assert cut.extended(silent.rows(3, 4)) == silent
    assert cut.future_timestamps(1)[0] == START + 3 * HOUR
    assert fc.Panel(**{n: getattr(cut, n) for n in cut.__dataclass_fields__}) == cut
    assert replace(cut, known=None).known_rows == 1
    assert replace(cut, known=None) != cut
    assert replace(cut, known=None).fingerprint() != cut.fingerprint()
    assert small(known=4) == small()
    assert cut.without(frozenset({"future_covariates"})).known_rows == 3
    plain = silent.without(frozenset({"future_covariates"}))
    assert plain.rows(0, 3).known_rows == 3


def test_future_covariates_come_from_trailing_rows() -> None:
    panel = small(**with_value("values", (slice(2, None),), np.nan))
    values = panel.future_values(2)
    assert values is not None
    assert values.shape == (2, 2, 1)
    assert panel.future_timestamps(3).tolist() == (START + np.arange(2, 5) * HOUR).tolist()
    with pytest.raises(MissingFutureError, match=r"3 rows of \['future_0'\] from 2024-01-01T02.*got 2 rows"):
        panel.future_values(3)
    assert panel.without(frozenset({"future_covariates"})).future_values(9) is None
    for wrong in (0, -1, 1.5):
        with pytest.raises(InvalidInputError, match="horizon"):
            panel.future_values(wrong)  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError, match="horizon"):
            panel.future_timestamps(wrong)  # type: ignore[arg-type]
    nothing = panel.rows(2, 4)
    assert nothing.known_rows == 0
    assert nothing.future_timestamps(1)[0] == START + 2 * HOUR


@settings(max_examples=60, deadline=None)
@given(panels(), st.sets(st.sampled_from(["past_covariates", "future_covariates", "static_covariates"])))
def test_what_is_left_out_is_gone_and_nothing_else(panel: fc.Panel, traits: set[str]) -> None:
    left = panel.without(frozenset(traits))
    gone = traits | ({"missing_values"} if "past_covariates" in traits else set())
    assert left.traits() | gone == panel.traits() | gone
    assert not left.traits() & traits
    assert left.without(frozenset(traits)) == left
    for name in set(FIELDS[1:]) - traits:
        assert (getattr(left, name) is None) == (getattr(panel, name) is None)
    assert panel.without(frozenset({"missing_values", "multi_item"})) == panel


@settings(max_examples=60, deadline=None)
@given(panels(items=(1, 5)), st.data())
def test_items_are_selected_in_the_order_given(panel: fc.Panel, data: st.DataObject) -> None:
    some = data.draw(st.permutations(panel.item_ids))[: data.draw(st.integers(1, len(panel.item_ids)))]
    part = panel.select_items(some)
    assert part.item_ids == tuple(some)
    assert part.known_rows == panel.known_rows
    for k, item in enumerate(some):
        at = panel.item_ids.index(item)
        np.testing.assert_array_equal(part.values[:, k], panel.values[:, at])
        for name in ("past_covariates", "future_covariates"):
            if getattr(panel, name) is not None:
                np.testing.assert_array_equal(getattr(part, name)[:, k], getattr(panel, name)[:, at])
        if panel.static_covariates is not None and part.static_covariates is not None:
            np.testing.assert_array_equal(part.static_covariates[k], panel.static_covariates[at])
    assert part.select_items(part.item_ids) == part


def test_unknown_items_are_met_with_near_ones() -> None:
    panel = small(item_ids=("north", "south"))
    with pytest.raises(InvalidInputError, match="got 'nort'; did you mean 'north'"):
        panel.select_items(["nort"])
    with pytest.raises(DataError, match="twice"):
        panel.select_items(["north", "north"])
    with pytest.raises(ShapeError, match="empty"):
        panel.select_items([])


@settings(max_examples=100, deadline=None)
@given(panels(), st.data())
def test_any_change_changes_equality_and_fingerprint(panel: fc.Panel, data: st.DataObject) -> None:
    again = fc.Panel(**{n: getattr(panel, n) for n in panel.__dataclass_fields__})
    assert again == panel
    assert again.fingerprint() == panel.fingerprint()
    assert panel != "a panel"
    changes: list[dict[str, Any]] = [
        {"tz": "Asia/Tokyo"},
        {"target_names": tuple(f"x{n}" for n in panel.target_names)},
        {"item_ids": (*panel.item_ids[:-1], "another")},
        {"values": panel.values.astype("f4" if panel.values.dtype == np.float64 else "f8")},
    ]
    for name in FIELDS:
        array = getattr(panel, name)
        if array is not None:
            array, at = array.copy(), data.draw(st.integers(0, array.size - 1))
            array.reshape(-1)[at] = (
                0.5 if np.isnan(array.reshape(-1)[at]) else array.reshape(-1)[at] * 2 + 1e9
            )
            changes.append({name: array, "known": None})
    names = [f"{kind}_covariate_names" for kind in ("past", "future", "static")]
    changes += [{n: tuple(f"x{k}" for k in old)} for n in names if (old := getattr(panel, n))]
    for change in changes:
        other = replace(panel, **change)
        assert other != panel
        assert other.fingerprint() != panel.fingerprint()


def test_equal_panels_have_equal_fingerprints_whatever_their_bits() -> None:
    other_nan = np.array([0xFFF8000000000001], dtype=np.uint64).view(np.float64)[0]
    a = small(**with_value("values", (0, 0, 0), np.nan))
    b = small(**with_value("values", (0, 0, 0), other_nan))
    assert a == b
    assert a.fingerprint() == b.fingerprint()
    a, b = (small(**with_value("values", (0, 0, 0), zero)) for zero in (0.0, -0.0))
    assert a == b
    assert a.fingerprint() == b.fingerprint()
    assert small().fingerprint() == "d5d25aaf46a55a9448eb1f23a1b30edd3b1c57217c3dca2d0e06ea362024e6d2"


@settings(max_examples=60, deadline=None)
@given(panels())
def test_traits_tell_what_a_model_must_take(panel: fc.Panel) -> None:
    traits, known = panel.traits(), panel.known_rows
    for name in FIELDS[1:]:
        assert (name in traits) == (getattr(panel, name) is not None)
    assert ("multi_item" in traits) == (len(panel.item_ids) > 1)
    gaps = np.isnan(panel.values[:known]).any()
    if panel.past_covariates is not None:
        gaps = gaps or np.isnan(panel.past_covariates[:known]).any()
    assert ("missing_values" in traits) == gaps


def test_signature_and_repr_say_what_is_in_a_panel() -> None:
    assert repr(small()).startswith("Panel(4 rows x 2 items x 1 targets, h, 2024-01-01T00")
    signature = small(tz="Asia/Tokyo").signature()
    assert signature["rows"] == 4
    assert signature["tz"] == "Asia/Tokyo"
    assert signature["end"].startswith("2024-01-01T03")
    assert fc.Panel.__hash__ is None
