"""Metric names, horizon steps, items, masks, merging, and metrics of plugins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from forecast_core import hookspecs, plugins
from forecast_core.errors import InvalidInputError, MetricError, PluginError, ShapeError
from forecast_core.metrics import (
    METRICS,
    Case,
    ClassMetric,
    ForecastMetric,
    Metric,
    MetricContext,
    Parameter,
    available_metrics,
    by_horizon,
    by_item,
    evaluate_metrics,
    metric_direction,
    parse_metric,
    score_metrics,
)
from forecast_core.prediction import MixturePrediction, PointPrediction

SEEDS = st.integers(0, 2**31)
FEW = settings(max_examples=20, deadline=None)
N, H = 7, 6
CONTEXT = MetricContext(scale=lambda season: np.ones((N, 1)), squared_scale=lambda season: np.ones((N, 1)))
FORECAST = sorted(name for name, metric in METRICS.items() if isinstance(metric, ForecastMetric))
ADDITIVE = [name for name in FORECAST if name not in ("mase", "rmsse")]  # those that need no scale


def _case(seed: int) -> tuple[MixturePrediction, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = MixturePrediction(
        weights=rng.dirichlet(np.ones(2), (N, 1, 1)),
        means=3.0 * rng.standard_normal((N, H, 1, 2)),
        sigmas=rng.lognormal(0.0, 0.5, (N, H, 1, 2)),
        item_ids=("a", 1, "b", "a", 1, "a", "c"),
    )
    targets = 4.0 * rng.standard_normal((N, H, 1))
    targets[rng.random(targets.shape) < 0.1] = np.nan
    return p, targets, rng.random(targets.shape) < 0.9


@FEW
@given(seed=SEEDS)
def test_what_is_not_observed_changes_no_metric(seed: int) -> None:
    p, targets, mask = _case(seed)
    expected = evaluate_metrics(p, targets, mask, FORECAST, context=CONTEXT)
    rng = np.random.default_rng(seed)
    spoiled = np.where(mask, targets, 1e9 * rng.standard_normal(targets.shape))
    assert evaluate_metrics(p, spoiled, mask, FORECAST, context=CONTEXT) == expected
    gaps = np.where(mask, targets, np.nan)
    assert evaluate_metrics(p, gaps, None, FORECAST, context=CONTEXT) == expected


@FEW
@given(seed=SEEDS)
def test_steps_select_what_slicing_by_hand_selects(seed: int) -> None:
    p, targets, mask = _case(seed)
    plain = [name for name in ADDITIVE if METRICS[name].parameter is None]
    names = [f"{name}@2,5,2-4" for name in plain]
    got = evaluate_metrics(p, targets, mask, names)
    assert list(got) == [f"{name}@{at}" for name in plain for at in ("2", "5", "2-4")]
    for at, columns in (("2", [1]), ("5", [4]), ("2-4", [1, 2, 3])):
        alone = evaluate_metrics(p.at_steps(columns), targets[:, columns], mask[:, columns], plain)
        for name in plain:
            assert got[f"{name}@{at}"] == pytest.approx(alone[name], rel=1e-9, abs=1e-12, nan_ok=True)


@FEW
@given(seed=SEEDS)
def test_values_by_horizon_and_by_item_are_those_of_the_slices(seed: int) -> None:
    p, targets, mask = _case(seed)
    steps = by_horizon(p, targets, mask, ADDITIVE)
    items = by_item(p, targets, mask, ADDITIVE)
    for k in range(H):
        alone = evaluate_metrics(p.at_steps([k]), targets[:, [k]], mask[:, [k]], ADDITIVE)
        for name in ADDITIVE:
            assert steps[name][k] == pytest.approx(alone[name], rel=1e-7, abs=1e-9, nan_ok=True)
    assert list(items["mae"]) == ["a", 1, "b", "c"]
    for item in items["mae"]:
        rows = np.array([i == item for i in p.item_ids])
        alone = evaluate_metrics(p.take(rows), targets[rows], mask[rows], ADDITIVE)
        for name in ADDITIVE:
            assert items[name][item] == pytest.approx(alone[name], rel=1e-7, abs=1e-9, nan_ok=True)


@FEW
@given(seed=SEEDS)
def test_one_pass_gives_what_the_three_functions_give(seed: int) -> None:
    p, targets, mask = _case(seed)
    names = [*FORECAST, "mae@3", "coverage@0.5"]
    scores = score_metrics(p, targets, mask, names, context=CONTEXT)
    assert scores.overall == evaluate_metrics(p, targets, mask, names, context=CONTEXT)
    np.testing.assert_equal(scores.by_item, by_item(p, targets, mask, names, context=CONTEXT))
    whole = [name for name in names if name != "mae@3"]
    np.testing.assert_equal(scores.by_horizon, by_horizon(p, targets, mask, whole, context=CONTEXT))


@FEW
@given(seed=SEEDS, cut=st.integers(1, N - 1))
def test_metrics_of_a_concatenation_pool_those_of_its_parts(seed: int, cut: int) -> None:
    p, targets, _ = _case(seed)
    targets = np.nan_to_num(targets, nan=1.0)
    parts = [slice(0, cut), slice(cut, None)]
    rows = np.arange(N)
    names = ["mae", "mse", "crps", "nll", "coverage@0.8", "me", "interval_score"]
    pieces = [evaluate_metrics(p.take(rows[part]), targets[part], None, names) for part in parts]
    whole = evaluate_metrics(
        MixturePrediction.concat([p.take(rows[part]) for part in parts]), targets, None, [*names, "rmse"]
    )
    share = cut / N
    for name in names:
        pooled = share * pieces[0][name] + (1 - share) * pieces[1][name]
        assert whole[name] == pytest.approx(pooled, rel=1e-9, abs=1e-12)
    assert whole["rmse"] == pytest.approx(np.sqrt(share * pieces[0]["mse"] + (1 - share) * pieces[1]["mse"]))


def test_nothing_observed_is_nan_everywhere() -> None:
    p, targets, mask = _case(0)
    for gone in (np.full_like(targets, np.nan), targets):
        hidden = np.zeros_like(mask)
        scores = score_metrics(p, gone, hidden, FORECAST, context=CONTEXT)
        assert np.isnan(list(scores.overall.values())).all()
        assert all(np.isnan(v).all() and v.shape == (H,) for v in scores.by_horizon.values())
        assert all(np.isnan(list(v.values())).all() for v in scores.by_item.values())


def test_a_prediction_without_rows_scores_nan() -> None:
    p = PointPrediction(values=np.zeros((0, 3, 1)), item_ids=())
    scores = score_metrics(p, np.zeros((0, 3, 1)), None, ["mae", "r2", "crps"])
    assert np.isnan(list(scores.overall.values())).all()
    assert scores.by_item == {"mae": {}, "r2": {}, "crps": {}}


def test_names_are_read_by_the_grammar() -> None:
    plain = parse_metric("mae")
    assert (plain.keys, plain.arguments, plain.steps) == (("mae",), (None,), None)
    assert parse_metric("coverage").arguments == (0.9,)
    levels = parse_metric("coverage@0.5, 0.90")
    assert (levels.keys, levels.arguments) == (("coverage@0.5", "coverage@0.90"), (0.5, 0.9))
    assert levels.steps is None
    steps = parse_metric("mae@3,6-12")
    assert steps.keys == ("mae@3", "mae@6-12")
    assert steps.steps is not None
    assert [(s.first, s.last) for s in steps.steps] == [(3, 3), (6, 12)]
    assert parse_metric("mase@24").steps is None


def test_steps_are_named_as_the_prediction_names_them() -> None:
    values = np.array([[[1.0], [2.0], [3.0]]])
    p = PointPrediction(values=values, steps=(0.5, 3, 10), item_ids=("a",))
    got = evaluate_metrics(p, np.zeros((1, 3, 1)), None, ["mae@3", "mae@0.5", "mae@3-10"])
    assert got == {"mae@3": 2.0, "mae@0.5": 1.0, "mae@3-10": 2.5}
    with pytest.raises(MetricError, match=r"0.5, 3, 10"):
        evaluate_metrics(p, np.zeros((1, 3, 1)), None, ["mae@2"])


@pytest.mark.parametrize(
    "name",
    [
        *("mea", "", "@3", "mae@", "mae@0", "mae@x", "mae@3,,4", "mae@4-2", "mae@-1", "mae@1e3", "mae@3@4"),
        *("coverage@", "coverage@0", "coverage@1", "coverage@nan", "coverage@x", "pinball@-0.1"),
        *("mase@0", "mase@1.5", "ece@0", "accuracy@2", "MAE"),
    ],
)
def test_names_outside_the_grammar_are_refused(name: str) -> None:
    with pytest.raises(MetricError):
        parse_metric(name)


def test_errors_of_names_say_what_was_meant() -> None:
    with pytest.raises(MetricError, match="did you mean 'coverage'"):
        parse_metric("covrage@0.9")
    with pytest.raises(MetricError, match=r"'coverage@90': lies strictly between 0 and 1, got '90'"):
        parse_metric("coverage@90")


@pytest.mark.parametrize("name", ["mae@7", "rmse@5-9", "mae@2.5"])
def test_steps_past_the_horizon_are_refused_also_where_values_may_be_missing(name: str) -> None:
    p, targets, mask = _case(0)
    with pytest.raises(MetricError, match="1 to 6"):
        evaluate_metrics(p, targets, mask, [name], missing="nan")


def test_by_horizon_takes_no_name_with_steps() -> None:
    p, targets, mask = _case(0)
    with pytest.raises(MetricError, match="mae@3"):
        by_horizon(p, targets, mask, ["mae@3"])


def test_directions_are_known_by_name_and_by_key() -> None:
    assert metric_direction("mae") == metric_direction("mae@3") == metric_direction("crps") == "lower"
    assert metric_direction("r2") == metric_direction("f1") == "higher"
    assert metric_direction("coverage@0.9") is metric_direction("me") is None


def test_scaled_metrics_without_a_scale_are_an_error_or_a_dash() -> None:
    p, targets, mask = _case(0)
    with pytest.raises(MetricError, match="naive scale"):
        evaluate_metrics(p, targets, mask, ["mase"])
    assert np.isnan(by_horizon(p, targets, mask, ["mase"], missing="nan")["mase"]).all()
    with pytest.raises(ShapeError, match="scale"):
        evaluate_metrics(p, targets, mask, ["mase"], context=MetricContext(scale=lambda season: np.ones(N)))


def test_targets_and_masks_that_do_not_fit_are_refused() -> None:
    p, targets, mask = _case(0)
    with pytest.raises(ShapeError, match="targets"):
        evaluate_metrics(p, targets[:, :, 0], None, ["mae"])
    with pytest.raises(ShapeError, match="mask"):
        evaluate_metrics(p, targets, mask[:-1], ["mae"])
    with pytest.raises(ShapeError, match="mask"):
        evaluate_metrics(p, targets, mask.astype(float), ["mae"])
    assert evaluate_metrics(p, targets, mask.tolist(), ["mae"]) == evaluate_metrics(p, targets, mask, ["mae"])
    with pytest.raises(InvalidInputError, match="numbers"):
        evaluate_metrics(p, targets.astype(str), None, ["mae"])
    targets[2, 3, 0] = np.inf
    with pytest.raises(InvalidInputError, match=r"\(2, 3, 0\)"):
        evaluate_metrics(p, targets, None, ["mae"])


def test_integer_targets_and_float32_predictions_are_scored_in_float64() -> None:
    p = PointPrediction(values=np.full((1, 2, 1), 0.1, dtype=np.float32), item_ids=("a",))
    assert evaluate_metrics(p, np.ones((1, 2, 1), dtype=np.int64), None, ["mae"])["mae"] == 1.0 - np.float32(
        0.1
    )


def _path_error(case: Case, argument: float | None) -> Iterator[np.ndarray]:
    yield np.abs(case.median() - case.targets).max((1, 2), keepdims=True)


WORST = ForecastMetric(
    name="worst_step", summary="largest error of a path", needs="median", statistics=_path_error
)
TWICE = ForecastMetric(
    name="offset_mae",
    summary="mean |error| + offset",
    needs="median",
    unit="target",
    parameter=Parameter(name="offset", default=2.0),
    statistics=lambda case, offset: [np.abs(case.median() - case.targets) + (offset or 0.0)],
)
ROWS = ClassMetric(
    name="row_count", summary="rows", compute=lambda labels, probabilities, _: float(len(labels))
)


class _Plugin:
    def __init__(self, *metrics: object) -> None:
        self.metrics = metrics

    @hookspecs.hookimpl
    def forecast_metrics(self) -> Iterable[object]:
        return self.metrics


@pytest.fixture
def _clean() -> Iterator[None]:
    yield
    for name in ("metrics-one", "metrics-two"):
        plugins.unregister_plugin(name)


@pytest.mark.usefixtures("_clean")
def test_metrics_of_plugins_join_and_leave() -> None:
    assert available_metrics().keys() >= METRICS.keys()
    assert list(available_metrics()) == sorted(available_metrics())
    plugins.register_plugin(_Plugin(WORST, TWICE, ROWS), name="metrics-one")
    assert available_metrics()["worst_step"] is WORST
    p = PointPrediction(values=np.zeros((2, 2, 1)), item_ids=("a", "b"))
    y = np.array([[[1.0], [3.0]], [[0.0], [1.0]]])
    got = evaluate_metrics(p, y, None, ["worst_step", "offset_mae", "offset_mae@0.5"])
    assert got == {"worst_step": 2.0, "offset_mae": 3.25, "offset_mae@0.5": 1.75}
    plugins.unregister_plugin("metrics-one")
    assert "worst_step" not in available_metrics()


@pytest.mark.usefixtures("_clean")
def test_a_metric_of_whole_paths_has_no_value_a_step() -> None:
    plugins.register_plugin(_Plugin(WORST), name="metrics-one")
    p = PointPrediction(values=np.zeros((2, 2, 1)), item_ids=("a", "b"))
    y = np.ones((2, 2, 1))
    for ask in (
        lambda: evaluate_metrics(p, y, None, ["worst_step@2"]),
        lambda: by_horizon(p, y, None, ["worst_step"]),
    ):
        with pytest.raises(MetricError, match="path"):
            ask()
    assert np.isnan(by_horizon(p, y, None, ["worst_step"], missing="nan")["worst_step"]).all()
    scores = score_metrics(p, y, None, ["worst_step"])
    assert (scores.overall, scores.by_horizon) == ({"worst_step": 1.0}, {})


@pytest.mark.usefixtures("_clean")
@pytest.mark.parametrize(
    ("metric", "owner"), [(WORST, "metrics-one"), (METRICS["mae"], "forecast-core"), ("mae", "str")]
)
def test_a_taken_name_names_both_owners_and_harms_nobody_else(metric: object, owner: str) -> None:
    plugins.register_plugin(_Plugin(WORST), name="metrics-one")
    plugins.register_plugin(_Plugin(metric, TWICE), name="metrics-two")
    with pytest.warns(plugins.PluginWarning, match="metrics-two") as caught:
        known = available_metrics()
    assert owner in str(caught[0].message)
    assert known["mae"] is METRICS["mae"]
    assert known["worst_step"] is WORST
    assert known["offset_mae"] is TWICE


@pytest.mark.usefixtures("_clean")
def test_a_taken_name_is_an_error_where_plugins_are_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    plugins.register_plugin(_Plugin(METRICS["mae"]), name="metrics-two")
    monkeypatch.setenv("FORECAST_STRICT_PLUGINS", "1")
    with pytest.raises(PluginError, match=r"'mae' of plugin 'metrics-two'.* taken by forecast-core"):
        available_metrics()


@pytest.mark.usefixtures("_clean")
def test_statistics_of_a_wrong_shape_are_refused() -> None:
    def flat(case: Case, argument: float | None) -> Iterator[np.ndarray]:
        yield case.targets.ravel()

    def uneven(case: Case, argument: float | None) -> Iterator[np.ndarray]:
        yield case.targets
        yield case.targets[:, :1]

    shared = {"summary": "wrong", "needs": "mean"}
    wrong = [
        ForecastMetric(name="flat", statistics=flat, **shared),
        ForecastMetric(name="uneven", statistics=uneven, finish=lambda count, a, b: a, **shared),
        ForecastMetric(name="empty", statistics=lambda case, argument: (), **shared),
    ]
    plugins.register_plugin(_Plugin(*wrong), name="metrics-one")
    p = PointPrediction(values=np.zeros((2, 3, 1)), item_ids=("a", "b"))
    for name in ("flat", "uneven", "empty"):
        with pytest.raises(InvalidInputError, match=name):
            evaluate_metrics(p, np.ones((2, 3, 1)), None, [name])


def test_a_name_that_the_grammar_cannot_hold_is_refused() -> None:
    for name in ("mean error", "a@b", "", "Mae", "1st"):
        with pytest.raises(MetricError):
            ForecastMetric(name=name, summary="x", needs="mean", statistics=_path_error)


def test_every_metric_declares_what_listings_show() -> None:
    for name, metric in METRICS.items():
        assert isinstance(metric, Metric)
        assert metric.name == name
        assert metric.summary
        assert metric.unit
        assert (metric.needs == "class") == isinstance(metric, ClassMetric)
