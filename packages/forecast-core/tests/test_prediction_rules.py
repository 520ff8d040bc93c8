"""What predictions refuse, keep and show: rows by position, storage to the bit, frames, sums over periods."""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from typing import Any, ClassVar

import narwhals as nw
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import forecast_core as fc
from forecast_core.errors import DuplicateIdError, InvalidInputError, ShapeError
from forecast_core.prediction import ModelRef, prediction_kinds
from forecast_core.strategies import predictions

HOUR = np.timedelta64(1, "h")
START = np.datetime64("2024-01-01T00", "us")
VALUES = np.arange(12.0).reshape(2, 3, 2)


def point(**changes: Any) -> fc.PointPrediction:
    given_fields: dict[str, Any] = {"item_ids": ("a", "b"), "values": VALUES, "target_names": ("x", "y")}
    return fc.PointPrediction(**{**given_fields, **changes})


def samples(values: np.ndarray, stamps: np.ndarray, **changes: Any) -> fc.SamplePrediction:
    ids = tuple(range(values.shape[1]))
    return fc.SamplePrediction(item_ids=ids, values=values, timestamps=stamps, **{"joint": True, **changes})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"steps": (1, np.nan, 3)}, "steps: are finite and increase"),
        ({"steps": (1, 2, np.inf)}, "steps"),
        ({"steps": (1, 1, 2)}, "steps"),
        ({"timestamps": START + np.array([0, 2, 1]) * HOUR}, "timestamps: increase"),
        ({"timestamps": START + np.array([0, 1, 1]) * HOUR}, "timestamps: increase"),
        ({"timestamps": np.array([START, "NaT", START + HOUR])}, "timestamps"),
        ({"timestamps": START + np.arange(2) * HOUR}, r"timestamps: are \[3\] or \[2, 3\]"),
        ({"confidence": [0.5]}, "confidence: needs 2 rows"),
        ({"confidence": [0.5, np.nan]}, r"confidence: lies in \[0, 1\]"),
        ({"confidence": np.ones((2, 3))}, r"confidence: is \[2\] or \(2, 3, 2\)"),
        ({"importance": {"x": np.nan}}, r"importance\['x'\]: is finite"),
        ({"metadata": {"a": [1, {"b": np.inf}]}}, r"metadata\['a'\]\[1\]\['b'\]: is finite"),
        ({"metadata": {"a": object()}}, "PointPrediction.metadata"),
        ({"aux": {"a": ["text"]}}, "PointPrediction.aux.a"),
        ({"model": {"idd": "x/y"}}, "PointPrediction.model.id"),
        ({"item_ids": ("a", 1.5)}, "PointPrediction.item_ids"),
        ({"valuse": 1}, "did you mean 'values'"),
        ({"self": 1}, "PointPrediction.self: is not a field"),
    ],
)
def test_every_broken_rule_is_named(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        point(**changes)


def test_class_predictions_have_one_confidence_a_row() -> None:
    with pytest.raises(ShapeError, match="confidence"):
        fc.ClassPrediction(
            item_ids=("a",), probabilities=[[0.5, 0.5]], classes=("n", "y"), confidence=np.ones((1, 2))
        )


def test_rows_and_steps_may_be_chosen_by_mask() -> None:
    p = point(timestamps=START + np.arange(3) * HOUR, steps=(1, 2, 5), confidence=np.full(VALUES.shape, 0.5))
    cut = p.at_steps(np.array([True, False, True]))
    assert cut.steps == (1.0, 5.0)
    np.testing.assert_array_equal(cut.values, VALUES[:, [0, 2]])
    assert cut.timestamps is not None
    assert cut.timestamps.tolist() == [START.item(), (START + 2 * HOUR).item()]
    assert cut.confidence is not None
    assert cut.confidence.shape == (2, 2, 2)
    assert p.take(np.array([False, True])).item_ids == ("b",)
    assert p.take([-1]) == p.take([1])
    assert len(p.take([])) == 0
    assert p.at_steps([-1]).steps == (5.0,)


@pytest.mark.parametrize("index", [[True], np.zeros(9, bool), [0.5], [7], [-4], [[0]], 0, ["a"]])
def test_positions_that_are_not_there_are_refused(index: Any) -> None:
    with pytest.raises(InvalidInputError, match="rows"):
        point().take(index)
    with pytest.raises(InvalidInputError, match="index"):
        point().at_steps(index)


def test_steps_keep_their_order() -> None:
    for p in (point(steps=(1, 2, 3)), point(timestamps=START + np.arange(3) * HOUR)):
        with pytest.raises(InvalidInputError, match="increase"):
            p.at_steps([2, 0])
    with pytest.raises(ShapeError, match="values"):
        point().at_steps([])


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        ({}, {"values": VALUES[:, :2]}, "parts.values: differ in rows only"),
        ({}, {"values": VALUES[:, :, :1], "target_names": ("x",)}, "parts"),
        ({}, {"steps": (1, 2, 3)}, "parts.steps"),
        ({}, {"confidence": [1, 1]}, "parts.confidence"),
        ({"confidence": [1, 1]}, {}, "parts.confidence"),
        ({"confidence": [1, 1]}, {"confidence": np.ones(VALUES.shape)}, "parts.confidence: differ in rows"),
        (
            {"timestamps": np.tile(START + np.arange(3) * HOUR, (2, 1))},
            {"timestamps": START + np.arange(3) * HOUR},
            "parts.timestamps",
        ),
        (
            {"timestamps": START + np.arange(3) * HOUR},
            {"timestamps": START + np.arange(1, 4) * HOUR},
            "parts",
        ),
        ({"aux": {"a": np.ones(2)}}, {}, "parts.aux: holds the same names"),
        (
            {"aux": {"a": np.ones((2, 1))}},
            {"aux": {"a": np.ones((2, 2))}},
            r"parts.aux\['a'\]: differ in rows",
        ),
        ({"aux": {"a": np.ones(3)}}, {"aux": {"a": np.zeros(3)}}, r"parts.aux\['a'\]: has a row for each"),
        ({"aux": {"a": np.ones(2)}}, {"aux": {"a": np.array([START] * 2)}}, r"parts.aux\['a'\]"),
        ({"model": ModelRef(id="a/b")}, {"model": ModelRef(id="a/c")}, "parts.model"),
    ],
)
def test_parts_that_do_not_fit_are_refused_by_name(
    one: dict[str, Any], other: dict[str, Any], says: str
) -> None:
    with pytest.raises(ShapeError, match=says):
        fc.PointPrediction.concat([point(**one), point(**other)])


def test_aux_goes_with_its_rows_and_shared_aux_stays() -> None:
    p = point(aux={"row": np.arange(2), "shared": np.arange(5)})
    assert p.take([1]).aux["row"].tolist() == [1]
    assert p.take([1]).aux["shared"].tolist() == [0, 1, 2, 3, 4]
    both = fc.PointPrediction.concat([p, p])
    assert both.aux["row"].tolist() == [0, 1, 0, 1]
    assert both.aux["shared"].tolist() == [0, 1, 2, 3, 4]


def test_whatever_the_caller_still_holds_cannot_change_a_prediction() -> None:
    mine, extra, notes = np.zeros((2, 1, 2)), np.zeros(3), {"a": [1]}
    p = point(values=np.broadcast_to(mine, (2, 3, 2)), aux={"x": extra[:2]}, metadata=notes)
    q = p.replace()
    mine[:], extra[:] = 7.0, 7.0
    notes["a"].append(2)
    assert (p.values == 0).all()
    assert (p.aux["x"] == 0).all()
    assert p.metadata == {"a": [1]}
    assert p == q
    with pytest.raises(TypeError, match="unhashable"):
        hash(p)


def test_equality_tells_numbers_from_truths_inside_metadata() -> None:
    assert point(metadata={"a": [1]}) == point(metadata={"a": [1]})
    for other in ([1.0], [True], [1, 1], {"b": 1}, [[1]]):
        assert point(metadata={"a": [1]}) != point(metadata={"a": other})


@settings(max_examples=60, deadline=None)
@given(predictions(), st.data())
def test_any_changed_number_makes_a_prediction_unequal(p: fc.Prediction, data: st.DataObject) -> None:
    dump = p.model_dump()
    name = data.draw(st.sampled_from(sorted(n for n, v in dump.items() if isinstance(v, np.ndarray))))
    array = dump[name].copy()
    at = data.draw(st.integers(0, array.size - 1))
    flat = array.reshape(-1)
    flat[at] = (
        np.nextafter(flat[at], np.inf) if array.dtype.kind == "f" else flat[at] + np.timedelta64(1, "us")
    )
    other = p.model_copy(update={name: array})
    assert other != p
    assert p.model_copy(update={name: dump[name].copy()}) == p
    if array.dtype == np.float32:
        assert p.model_copy(update={name: dump[name].astype(np.float64)}) != p


@settings(max_examples=60, deadline=None)
@given(predictions())
def test_both_storages_agree_to_the_bit(p: fc.Prediction) -> None:
    text, blob = p.to_json(), p.to_bytes()
    assert fc.Prediction.from_bytes(blob).to_json() == text
    assert fc.Prediction.from_json(text).to_bytes() == blob
    assert fc.Prediction.from_json(text.encode()) == p


def test_a_number_in_aux_keeps_its_shape_in_both_storages() -> None:
    p = point(aux={"scalar": np.float32(2.5), "order": np.asfortranarray(np.arange(6).reshape(2, 3))})
    for back in (fc.Prediction.from_json(p.to_json()), fc.Prediction.from_bytes(p.to_bytes())):
        assert back == p
        assert back.aux["scalar"].shape == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(predictions(), JSON, st.data())
def test_altered_texts_are_another_prediction_or_refused(
    p: fc.Prediction, value: Any, data: st.DataObject
) -> None:
    fields = json.loads(p.to_json())
    name = data.draw(st.sampled_from([*fields, "self", "extra"]))
    fields[name] = value
    with suppress(InvalidInputError):
        assert isinstance(fc.Prediction.from_json(json.dumps(fields)), fc.Prediction)


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_any_json_is_a_prediction_or_refused(value: Any) -> None:
    with pytest.raises(InvalidInputError):
        fc.Prediction.from_json(json.dumps(value))


@settings(max_examples=100, deadline=None)
@given(JSON, JSON)
def test_any_header_of_a_blob_is_refused(fields: Any, times: Any) -> None:
    note = json.dumps({"fields": fields, "times": times})
    header = json.dumps({"__metadata__": {"prediction": note}}).encode()
    with pytest.raises(InvalidInputError):
        fc.Prediction.from_bytes(struct.pack("<Q", len(header)) + header)


@pytest.mark.parametrize("dtype", ["O", "float64", "S8", "datetime64[ns]", "nonsense", ["x"]])
def test_stored_numbers_are_viewed_as_times_alone(dtype: Any) -> None:
    blob = point(aux={"when": np.array([START])}).to_bytes()
    was = b'\\"datetime64[us]\\"'
    now = json.dumps(json.dumps(dtype))[1:-1].encode()
    assert blob.count(was) == 1
    size = struct.unpack("<Q", blob[:8])[0] + len(now) - len(was)
    with pytest.raises(InvalidInputError, match="blob"):
        fc.Prediction.from_bytes(struct.pack("<Q", size) + blob[8:].replace(was, now))


def test_a_broken_kind_is_not_registered() -> None:
    with pytest.raises(Exception, match="annotat"):
        type(
            "Broken",
            (fc.Prediction,),
            {
                "kind": "test-broken",
                "__annotations__": {"kind": ClassVar[str]},
                "value": 3,
                "__module__": "x",
            },
        )
    assert "test-broken" not in prediction_kinds()
    with pytest.raises(DuplicateIdError, match="'point' is taken by forecast_core"):
        type(
            "Mine",
            (fc.Prediction,),
            {"kind": "point", "__annotations__": {"kind": ClassVar[str]}, "__module__": "x"},
        )
    assert prediction_kinds()["point"] is fc.PointPrediction


@pytest.mark.parametrize("backend", ["pandas", "polars", "pyarrow"])
def test_frames_lose_no_column_to_another_of_its_name(backend: str) -> None:
    p = fc.ClassPrediction(item_ids=(1, "a"), probabilities=[[0.4, 0.6]] * 2, classes=("label", "item_id"))
    frame = nw.from_native(p.to_frame(backend=backend), eager_only=True)
    assert frame.columns == ["item_id", "label", "p(label)", "p(item_id)"]
    assert frame["item_id"].to_list() == ["1", "a"]
    levels = np.array([0.1, 0.1000001, 0.9], dtype=np.float32)
    q = fc.QuantilePrediction(item_ids=("a",), levels=levels, values=np.zeros((1, 1, 1, 3)))
    frame = nw.from_native(q.to_frame(backend=backend), eager_only=True)
    assert frame.columns[-3:] == ["0.1", "0.1000001", "0.9"]


@settings(max_examples=60, deadline=None)
@given(predictions())
def test_every_prediction_has_a_frame_and_a_table_for_notebooks(p: fc.Prediction) -> None:
    frame = nw.from_native(p.to_frame(backend="polars"), eager_only=True)
    rows = len(p) * (p.horizon * p.shape[2] if isinstance(p, fc.ForecastPrediction) else 1)
    assert len(frame) == rows
    shown = p._repr_html_()
    assert shown.count("<tr>") == 1 + min(rows, 12)
    assert (f"<p>{rows - 12} more rows</p>" in shown) == (rows > 12)


def test_notebook_tables_escape_every_text() -> None:
    bad = "<b onclick='x'>&\""
    p = fc.ClassPrediction(item_ids=(bad,), probabilities=[[0.4, 0.6]], classes=(bad, "ok"))
    for shown in (p._repr_html_(), point(item_ids=(bad, "b"), target_names=(bad, "y"))._repr_html_()):
        assert "<b onclick" not in shown
        assert "&lt;b onclick=&#x27;x&#x27;&gt;&amp;&quot;" in shown


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(2, 70), st.sampled_from(["2h", "3h", "6h", "12h", "D"]), st.booleans())
def test_sums_over_periods_are_those_made_by_hand(shift: int, hours: int, freq: str, mean: bool) -> None:
    stamps = START + (shift + np.arange(hours)) * HOUR
    values = np.random.default_rng(0).normal(size=(3, 2, hours, 1))
    p = samples(values, stamps)
    size = int(fc.Freq.parse(freq).delta / HOUR)
    whole = [k for k in range(hours - size + 1) if (shift + k) % size == 0]
    if not whole:
        with pytest.raises(InvalidInputError, match="whole period"):
            p.aggregate(freq)
        return
    got = p.aggregate(freq, how="mean" if mean else "sum")
    by_hand = np.stack([values[:, :, k : k + size].sum(2) for k in whole], 2) / (size if mean else 1)
    np.testing.assert_allclose(got.values, by_hand)
    assert got.timestamps is not None
    assert got.timestamps.tolist() == stamps[whole].tolist()
    assert got.steps == tuple(range(1, len(whole) + 1))
    assert got.joint


def test_months_add_up_to_quarters_and_days_to_months() -> None:
    months = np.arange("2023-11", "2024-08", dtype="datetime64[M]").astype("datetime64[us]")
    got = samples(np.ones((1, 1, 9, 1)), months).aggregate("QS")
    assert got.values.reshape(-1).tolist() == [3.0, 3.0]
    assert got.timestamps is not None
    assert [str(t)[:7] for t in got.timestamps] == ["2024-01", "2024-04"]
    days = np.arange("2024-01-20", "2024-04-02", dtype="datetime64[D]").astype("datetime64[us]")
    got = samples(np.ones((1, 1, len(days), 1)), days).aggregate("MS")
    assert got.values.reshape(-1).tolist() == [29.0, 31.0]


@pytest.mark.parametrize(
    ("stamps", "freq", "says"),
    [
        (START + np.array([0, 1, 2, 4, 5, 6]) * HOUR, "3h", "one step of h apart"),
        (START + np.arange(6) * HOUR, "90min", "whole period"),
        (START + np.arange(6) * HOUR, "30min", "whole period"),
        (START + np.arange(6) * HOUR, "D", "whole period"),
        (np.tile(START + np.arange(6) * HOUR, (1, 1)), "2h", "one a step"),
        (None, "2h", "are needed"),
    ],
)
def test_periods_that_are_not_whole_are_refused(stamps: Any, freq: str, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        samples(np.ones((1, 1, 6, 1)), stamps).aggregate(freq)
    with pytest.raises(InvalidInputError, match="how"):
        samples(np.ones((1, 1, 6, 1)), START + np.arange(6) * HOUR).aggregate("2h", how="max")  # type: ignore[arg-type]
