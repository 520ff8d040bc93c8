"""Predictions: one algebra whose answers agree with each other, exact storage, typed refusals."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

import forecast_core as fc
from forecast_core.errors import (
    CapabilityError,
    DuplicateIdError,
    ForecastError,
    InvalidInputError,
    ShapeError,
)
from forecast_core.prediction import ModelRef, prediction_kinds
from forecast_core.strategies import predictions

CONTINUOUS = ["quantile", "mixture", "path-mixture"]
FORECASTS = ["point", "sample", *CONTINUOUS]
KINDS = [*FORECASTS, "class"]
LEVELS = st.lists(st.floats(0.001, 0.999), min_size=1, max_size=6, unique=True).map(sorted)


@settings(max_examples=60, deadline=None)
@given(predictions(kinds=CONTINUOUS), LEVELS)
def test_cdf_undoes_quantile(p: fc.ForecastPrediction, levels: list[float]) -> None:
    quantiles = p.quantile(levels)
    assert quantiles.shape == (*p.shape, len(levels))
    for k, level in enumerate(levels):
        at = p.cdf(quantiles[..., k])
        strictly = p.quantile(min(level + 1e-4, 0.9999)) > p.quantile(max(level - 1e-4, 1e-4))
        assert (np.abs(at - level)[strictly] < 2e-4).all()


@settings(max_examples=60, deadline=None)
@given(predictions(kinds=["sample", *CONTINUOUS]), LEVELS)
def test_quantiles_never_cross_and_intervals_are_two_of_them(
    p: fc.ForecastPrediction, levels: list[float]
) -> None:
    quantiles = p.quantile(levels)
    spread = np.abs(quantiles).max() * 1e-12
    assert (np.diff(quantiles, axis=-1) >= -spread).all()
    np.testing.assert_array_equal(p.quantile(levels[0]), quantiles[..., 0])
    lower, upper = p.interval(0.8)
    np.testing.assert_allclose(lower, p.quantile(0.1), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(upper, p.quantile(0.9), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(p.median(), p.quantile(0.5), rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(predictions(kinds=["sample", *CONTINUOUS]), st.integers(0, 2**32 - 1))
def test_samples_have_the_mean_variance_and_cdf_they_should(p: fc.ForecastPrediction, seed: int) -> None:
    n = 4000
    draws = p.sample(n, seed)
    assert draws.shape == (n, *p.shape)
    np.testing.assert_array_equal(draws, p.sample(n, seed))
    deviation = np.sqrt(p.variance())
    assert (
        np.abs(draws.mean(0, dtype=np.float64) - p.mean())
        <= 8 * deviation / np.sqrt(n) + 1e-9 * np.abs(p.mean())
    ).all()
    below = (draws <= p.quantile(0.3)).mean(0)
    if p.kind != "sample":
        flat = p.quantile(0.31) <= p.quantile(0.29)  # an atom may lie there
        assert (np.abs(below - 0.3)[~flat] < 0.06).all()


@settings(max_examples=40, deadline=None)
@given(predictions(kinds=["quantile"]))
def test_moments_of_quantile_forecasts_are_those_of_their_quantile_function(p: fc.QuantilePrediction) -> None:
    u = (np.arange(200_000) + 0.5) / 200_000
    quantiles = p.take([0]).at_steps([0]).quantile(u)[0, 0, 0]
    size = np.abs(quantiles).max() + 1e-12
    assert abs(p.mean()[0, 0, 0] - quantiles.mean()) < 1e-4 * size
    assert abs(p.variance()[0, 0, 0] - quantiles.var()) < 1e-3 * size**2
    knots = p.quantile(p.levels.tolist())
    np.testing.assert_allclose(knots, p.values, rtol=1e-6, atol=1e-6 * np.abs(p.values).max())


@settings(max_examples=40, deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), LEVELS)
def test_one_component_is_the_normal_distribution(mean: float, sigma: float, levels: list[float]) -> None:
    p = gaussian(mean, sigma)
    normal = stats.norm(mean, sigma)
    np.testing.assert_allclose(p.quantile(levels)[0, 0, 0], normal.ppf(levels), rtol=1e-9, atol=1e-9 * sigma)
    x = mean + sigma * 1.3
    assert p.cdf(x)[0, 0, 0] == pytest.approx(normal.cdf(x), abs=1e-12)
    assert p.mean()[0, 0, 0] == pytest.approx(mean)
    assert p.variance()[0, 0, 0] == pytest.approx(sigma**2)


@pytest.mark.parametrize("size", [1e-30, 1e-8, 1e8, 1e30])
def test_extreme_sizes_give_finite_answers(size: float) -> None:
    rng = np.random.default_rng(0)
    values = np.sort(rng.normal(size=(2, 3, 1, 5)), -1) * size
    for p in (
        fc.QuantilePrediction(item_ids=(1, 2), levels=[0.1, 0.3, 0.5, 0.7, 0.9], values=values),
        fc.MixturePrediction(
            item_ids=(1, 2),
            weights=np.full((2, 1, 1, 5), 0.2),
            means=values,
            sigmas=np.full(values.shape, size / 10),
        ),
    ):
        for answer in (p.mean(), p.variance(), p.quantile([1e-4, 0.5, 0.9999]), p.cdf(0.0), p.sample(10, 0)):
            assert np.isfinite(answer).all()


@settings(max_examples=80, deadline=None)
@given(predictions(kinds=KINDS))
def test_json_and_bytes_round_trips_are_exact(p: fc.Prediction) -> None:
    for back in (fc.Prediction.from_json(p.to_json()), fc.Prediction.from_bytes(p.to_bytes())):
        assert type(back) is type(p)
        assert back == p
    json.loads(p.to_json(), parse_constant=lambda c: pytest.fail(f"{c} is no JSON"))


def test_every_sort_of_content_survives_storage() -> None:
    p = gaussian(1.0, 2.0, rows=2).replace(
        item_ids=("ä\n", 7),
        model=ModelRef(id="a/b", version=3, trained_on="00"),
        steps=(0.5,),
        timestamps=np.array([["2024-01-01T00:00:00.000001"], ["1960-01-01"]], dtype="datetime64[us]"),
        confidence=np.array([0.0, 1.0], dtype=np.float32),
        importance={"x": 0.25},
        aux={
            "nan": np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324]),
            "flag": np.array([True, False]),
            "count": np.array([[1], [2**62]]),
            "when": np.array(["2024-01-01", "NaT"], dtype="datetime64[us]"),
            "wait": np.array([3], dtype="timedelta64[us]"),
            "empty": np.zeros((2, 0)),
        },
        metadata={"a": [1, {"b": None}]},
    )
    for back in (fc.Prediction.from_json(p.to_json()), fc.Prediction.from_bytes(p.to_bytes())):
        assert back == p
        assert np.signbit(back.aux["nan"][3])
        assert back.item_ids == ("ä\n", 7)
        assert back.confidence is not None
        assert back.confidence.dtype == np.float32


@settings(max_examples=60, deadline=None)
@given(predictions(kinds=KINDS), st.data())
def test_any_change_of_a_field_makes_a_prediction_unequal(p: fc.Prediction, data: st.DataObject) -> None:
    changes: list[dict[str, Any]] = [
        {"metadata": {"changed": 1}},
        {"importance": {"changed": 1.0}},
        {"aux": {**p.aux, "changed": np.zeros(1)}},
        {"model": ModelRef(id="x/y")},
        {"item_ids": tuple(f"other-{k}" for k in range(len(p)))},
    ]
    assert p != p.replace(**data.draw(st.sampled_from(changes)))
    assert p == p.replace()
    assert p != "something else"


@settings(max_examples=80, deadline=None)
@given(predictions(kinds=KINDS), st.data())
def test_rows_can_be_taken_and_joined(p: fc.Prediction, data: st.DataObject) -> None:
    n = len(p)
    rows = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=6))
    some = p.take(rows)
    assert some.item_ids == tuple(p.item_ids[r] for r in rows)
    again = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=4))
    assert some.take(again) == p.take([rows[k] for k in again])
    cut = data.draw(st.integers(1, n)) if n > 1 else 1
    if cut < n:
        assert type(p).concat([p.take(range(cut)), p.take(range(cut, n))]) == p
    assert type(p).concat([p]) == p
    if isinstance(p, fc.ForecastPrediction):
        steps = data.draw(
            st.lists(st.integers(0, p.horizon - 1), min_size=1, max_size=3, unique=True).map(sorted)
        )
        mean = p.mean()
        atol = 1e-9 * np.abs(mean).max()  # sums may run in another order
        np.testing.assert_allclose(p.at_steps(steps).mean(), mean[:, steps], atol=atol)


def test_parts_that_do_not_fit_are_refused() -> None:
    p = gaussian(0.0, 1.0)
    with pytest.raises(ShapeError, match="metadata"):
        fc.MixturePrediction.concat([p, p.replace(metadata={"x": 1})])
    with pytest.raises(ShapeError, match="one kind"):
        fc.ForecastPrediction.concat([p, fc.PointPrediction(item_ids=("a",), values=np.zeros((1, 1, 1)))])
    with pytest.raises(InvalidInputError):
        fc.MixturePrediction.concat([])


def test_predictions_cannot_be_changed_from_outside() -> None:
    mine = np.zeros((1, 2, 1))
    p = fc.PointPrediction(item_ids=("a",), values=mine)
    mine[:] = 9.0
    assert (p.values == 0).all()
    with pytest.raises(ValueError, match="read-only"):
        p.values[0, 0, 0] = 1.0
    with pytest.raises(Exception, match="frozen"):
        p.item_ids = ("b",)  # type: ignore[misc]


BAD: list[tuple[type[fc.Prediction], dict[str, Any], str]] = [
    (fc.PointPrediction, {"values": [[[np.nan]]]}, r"values at index \(0, 0, 0\)"),
    (fc.PointPrediction, {"values": [[[np.inf]]]}, "finite"),
    (fc.PointPrediction, {"values": [[1.0]]}, "item, horizon, target"),
    (fc.PointPrediction, {"values": [[["a"]]]}, "numbers"),
    (fc.PointPrediction, {"values": [[[1.0], [2.0, 3.0]]]}, "rectangular"),
    (fc.PointPrediction, {"values": np.zeros((2, 1, 1))}, "item_ids"),
    (fc.PointPrediction, {"values": np.zeros((1, 1, 2))}, "target_names"),
    (fc.PointPrediction, {"values": np.zeros((1, 2, 1)), "steps": (2, 1)}, "increase"),
    (fc.PointPrediction, {"values": np.zeros((1, 2, 1)), "steps": (1,)}, "steps"),
    (fc.PointPrediction, {"values": np.zeros((1, 1, 1)), "timestamps": np.zeros(1)}, "datetime64"),
    (fc.PointPrediction, {"values": np.zeros((1, 1, 1)), "confidence": [2.0]}, r"\[0, 1\]"),
    (
        fc.PointPrediction,
        {"value": np.zeros((1, 1, 1)), "values": np.zeros((1, 1, 1))},
        "did you mean 'values'",
    ),
    (fc.PointPrediction, {}, "required"),
    (fc.QuantilePrediction, {"levels": [0.1, 0.9], "values": [[[[2.0, 1.0]]]]}, "do not fall"),
    (fc.QuantilePrediction, {"levels": [0.9, 0.1], "values": [[[[1.0, 2.0]]]]}, "increase"),
    (fc.QuantilePrediction, {"levels": [0.0, 0.5], "values": [[[[1.0, 2.0]]]]}, "within"),
    (fc.QuantilePrediction, {"levels": [0.5], "values": [[[[1.0]]]]}, "at least two"),
    (fc.QuantilePrediction, {"levels": [0.1, 0.9], "values": [[[[1.0, 2.0, 3.0]]]]}, "one entry a level"),
    (
        fc.MixturePrediction,
        {"weights": [[[[0.5]]]], "means": [[[[0.0]]]], "sigmas": [[[[1.0]]]]},
        "sums to 1",
    ),
    (fc.MixturePrediction, {"weights": [[[[1.0]]]], "means": [[[[0.0]]]], "sigmas": [[[[0.0]]]]}, "positive"),
    (
        fc.MixturePrediction,
        {"weights": [[[[2.0, -1.0]]]], "means": [[[[0.0] * 2]]], "sigmas": [[[[1.0] * 2]]]},
        "negative",
    ),
    (fc.MixturePrediction, {"weights": [[[[1.0]]]], "means": [[[[0.0]]]], "sigmas": [[[1.0]]]}, "sigmas"),
    (fc.SamplePrediction, {"values": np.zeros((0, 1, 1, 1))}, "sample, item"),
    (fc.ClassPrediction, {"probabilities": [[0.5, 0.4]], "classes": ("a", "b")}, "sums to 1"),
    (fc.ClassPrediction, {"probabilities": [[0.5, 0.5]], "classes": ("a", "a")}, "distinct"),
    (
        fc.PathMixturePrediction,
        {"weights": [[1.0]], "means": np.zeros((1, 1, 2, 1)), "covariances": np.zeros((1, 1, 2, 2, 1))},
        "positive definite",
    ),
]


@pytest.mark.parametrize(("kind", "fields", "says"), BAD)
def test_every_broken_rule_is_named(kind: type[fc.Prediction], fields: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        kind(item_ids=("a",), **fields)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text(max_size=40).map(str.encode)))
def test_foreign_bytes_are_refused_with_typed_errors(blob: bytes) -> None:
    for read in (fc.Prediction.from_json, fc.Prediction.from_bytes):
        with pytest.raises(ForecastError):
            read(blob)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 255))
def test_damaged_predictions_are_refused_or_another_valid_one(at: int, byte: int) -> None:
    p = gaussian(0.0, 1.0)
    for good, read in (
        (p.to_json().encode(), fc.Prediction.from_json),
        (p.to_bytes(), fc.Prediction.from_bytes),
    ):
        where = at % len(good)
        damaged = good[:where] + bytes([byte]) + good[where + 1 :]
        with suppress(InvalidInputError):
            assert isinstance(read(damaged), fc.Prediction)


def test_unknown_kinds_are_refused_with_near_misses() -> None:
    text = gaussian(0.0, 1.0).to_json().replace('"mixture"', '"mixtur"')
    with pytest.raises(InvalidInputError, match="did you mean 'mixture'"):
        fc.Prediction.from_json(text)


def test_point_predictions_claim_no_distribution() -> None:
    p = fc.PointPrediction(item_ids=("a",), values=np.ones((1, 2, 1)))
    np.testing.assert_array_equal(p.mean(), p.median())
    for ask in (
        p.variance,
        lambda: p.quantile(0.5),
        lambda: p.interval(),
        lambda: p.cdf(0.0),
        lambda: p.sample(1, 0),
    ):
        with pytest.raises(CapabilityError):
            ask()


@pytest.mark.parametrize(
    "ask",
    [
        lambda p: p.quantile(0.0),
        lambda p: p.quantile([0.5, 1.0]),
        lambda p: p.quantile([[0.5]]),
        lambda p: p.interval(1.0),
        lambda p: p.sample(0, 0),
        lambda p: p.cdf(np.zeros((7, 7, 7))),
        lambda p: p.to_frame(backend="excel"),
    ],
)
def test_wrong_questions_are_refused(ask: Any) -> None:
    with pytest.raises(InvalidInputError):
        ask(gaussian(0.0, 1.0))


@pytest.mark.parametrize("backend", ["pandas", "polars", "pyarrow"])
def test_frames_have_a_row_a_step_and_item(backend: str) -> None:
    stamps = np.datetime64("2024-01-01", "us") + np.arange(3) * np.timedelta64(1, "h")
    p = fc.QuantilePrediction(
        item_ids=("a", "b"),
        levels=[0.1, 0.9],
        values=np.arange(12.0).reshape(2, 3, 1, 2),
        timestamps=stamps,
        target_names=("count",),
    )
    import narwhals as nw

    frame = nw.from_native(p.to_frame(backend=backend), eager_only=True)
    assert frame.columns == ["item_id", "timestamp", "step", "target", "mean", "0.1", "0.9"]
    assert len(frame) == 6
    assert frame["item_id"].to_list() == ["a"] * 3 + ["b"] * 3
    assert frame["0.9"].to_list() == [1.0, 3.0, 5.0, 7.0, 9.0, 11.0]
    assert frame["step"].to_list() == [1, 2, 3, 1, 2, 3]


def test_notebooks_see_an_escaped_table() -> None:
    p = fc.PointPrediction(item_ids=("<script>",), values=np.zeros((1, 20, 1)))
    shown = p._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert "8 more rows" in shown


def test_joint_paths_add_up_over_whole_periods() -> None:
    stamps = np.datetime64("2024-01-01T22", "us") + np.arange(30) * np.timedelta64(1, "h")
    values = np.random.default_rng(0).normal(size=(50, 2, 30, 1))
    p = fc.SamplePrediction(item_ids=("a", "b"), values=values, timestamps=stamps, joint=True)
    days = p.aggregate("D")
    assert days.timestamps.tolist() == [np.datetime64("2024-01-02", "us").item()]  # type: ignore[union-attr]
    np.testing.assert_allclose(days.mean()[:, 0], values[:, :, 2:26].sum(2).mean(0))
    np.testing.assert_allclose(p.aggregate("2h", how="mean").mean()[0, 0], values[:, 0, :2].mean((0, 1)))
    for other in (p.replace(joint=False), gaussian(0.0, 1.0)):
        with pytest.raises(CapabilityError, match="joint"):
            other.aggregate("D")
    with pytest.raises(InvalidInputError, match="whole period"):
        p.aggregate("W")


def test_joint_samples_keep_paths_together() -> None:
    values = np.arange(5.0)[:, None, None, None] * np.ones((1, 2, 3, 1))
    p = fc.SamplePrediction(item_ids=("a", "b"), values=values, joint=True)
    draws = p.sample(40, seed=1)
    assert (draws == draws[:, :1, :1]).all()
    apart = p.replace(joint=False).sample(40, seed=1)
    assert not (apart == apart[:, :1, :1]).all()


def test_modes_of_paths_come_by_falling_probability() -> None:
    means = np.zeros((1, 2, 2, 3))
    means[..., 1] = 5.0
    p = fc.PathMixturePrediction(
        item_ids=("car",),
        weights=[[0.2, 0.5, 0.3]],
        means=means,
        covariances=np.broadcast_to(np.eye(2)[:, :, None], (1, 2, 2, 2, 3)),
    )
    probabilities, paths = p.modes()
    np.testing.assert_allclose(probabilities, [[0.5, 0.3, 0.2]])
    assert (paths[0, 0] == 5.0).all()
    draws = p.sample(500, seed=0)[:, 0]  # [s, step, 2]
    near = draws.mean((1, 2)) > 2.5
    assert abs(near.mean() - 0.5) < 0.1
    np.testing.assert_allclose(np.cov(draws[near, 0].T), np.eye(2), atol=0.3)


def test_class_predictions_answer_labels_probabilities_and_entropy() -> None:
    p = fc.ClassPrediction(item_ids=(1, 2), probabilities=[[0.9, 0.1], [0.0, 1.0]], classes=("no", "yes"))
    assert p.labels() == ["no", "yes"]
    np.testing.assert_array_equal(p.probability("yes"), [0.1, 1.0])
    assert p.entropy()[1] == 0.0
    with pytest.raises(InvalidInputError, match="maybe"):
        p.probability("maybe")


def test_plugins_add_kinds_but_cannot_take_one() -> None:
    class Signal(fc.Prediction):
        """A third party's kind."""

        kind: ClassVar[str] = "test-signal"
        axes: ClassVar[dict[str, tuple[int | None, int | None]]] = {**fc.Prediction.axes}
        action: str

    p = Signal(item_ids=("a",), action="hold")
    assert fc.Prediction.from_json(p.to_json()) == p
    assert prediction_kinds()["test-signal"] is Signal
    with pytest.raises(DuplicateIdError, match="mixture"):
        type("Mine", (fc.Prediction,), {"kind": "mixture", "__module__": "other"})


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float64, (3, 4), elements=st.floats(-50, 50)), st.floats(0.5, 20))
def test_mixture_quantiles_lie_within_those_of_their_components(means: np.ndarray, sigma: float) -> None:
    assume(sigma > 0)
    p = fc.MixturePrediction(
        item_ids=(0, 1, 2),
        weights=np.full((3, 1, 1, 4), 0.25),
        means=means[:, None, None],
        sigmas=np.full((3, 1, 1, 4), sigma),
    )
    for level in (0.01, 0.5, 0.99):
        component = means + sigma * stats.norm.ppf(level)
        q = p.quantile(level)[:, 0, 0]
        assert (q >= component.min(-1) - 1e-9).all()
        assert (q <= component.max(-1) + 1e-9).all()


def gaussian(mean: float, sigma: float, rows: int = 1) -> fc.MixturePrediction:
    return fc.MixturePrediction(
        item_ids=tuple(f"item-{k}" for k in range(rows)),
        weights=np.ones((rows, 1, 1, 1)),
        means=np.full((rows, 1, 1, 1), mean),
        sigmas=np.full((rows, 1, 1, 1), sigma),
    )
