"""Exported networks: ONNX gives what `predict` gives, from raw numbers, for any panel and batch."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

import forecast_core as fc
from forecast_core.data.calendar import CALENDAR_FEATURES, calendar_features
from forecast_core.errors import CapabilityError, DataError, NotFittedError, ShapeError
from forecast_core.exporting import to_onnx
from forecast_core.exporting.onnx_file import onnx_session
from forecast_core.series.sample import sample_panel
from forecast_timeseries.nn.clock import clock_features

HORIZON = 6
SMALL = {"context_length": 24, "horizon": HORIZON}
NETWORK = {**SMALL, "max_epochs": 1, "batch_size": 32, "windows_per_epoch": 64}
LSTM = {**NETWORK, "hidden_size": 8, "head_size": 8, "num_layers": 1}
PATCHES = {**NETWORK, "patch_length": 8, "patch_stride": 3, "model_size": 8, "num_heads": 2, "num_layers": 1}

COVARIATES = {"past_covariates": 1, "future_covariates": 2, "static_covariates": 1}
CASES: dict[str, tuple[str, dict[str, Any], dict[str, int]]] = {
    "lstm-quantiles": ("timeseries/lstm", {**LSTM, "lags": (24, 7)}, COVARIATES),
    "lstm-gaussian": (
        "timeseries/lstm",
        {
            **LSTM,
            "head": "gaussian",
            "normalisation": "item",
            "item_embedding": 0,
            "calendar": ("year_sin", "is_monday"),
        },
        {},
    ),
    "lstm-preset": ("timeseries/lstm", {"preset": "web-requests", "horizon": HORIZON, "max_epochs": 1}, {}),
    "patch-transformer": ("timeseries/patch-transformer", PATCHES, {}),
    "patch-transformer-points": (
        "timeseries/patch-transformer",
        {**PATCHES, "head": "point", "normalisation": "item"},
        {},
    ),
    "linear": ("timeseries/linear", SMALL, {}),
    "linear-calendar": (
        "timeseries/linear",
        {**SMALL, "normalisation": "none", "calendar": ("hour_sin", "weekday_cos")},
        {},
    ),
}
QUICK = ("lstm-quantiles", "patch-transformer", "linear-calendar")  # a conversion takes seconds


@cache
def exported(case: str) -> tuple[Any, Any, Any]:
    """A fitted model, its graph, and an onnxruntime session of it."""
    model_id, options, covariates = CASES[case]
    panel = sample_panel(rows=200, items=3, missing=0.05, **covariates)
    model: Any = fc.create_model(model_id, **options).fit(replace(panel, tz="Pacific/Auckland"))
    graph = model._graph()
    return model, graph, onnx_session(to_onnx(graph, owner=model_id))


def parameters_of(prediction: Any) -> list[np.ndarray]:
    """What a graph gives, of a prediction."""
    if prediction.kind == "mixture":
        return [prediction.means[..., 0], prediction.sigmas[..., 0]]
    return [prediction.values]


def close(found: list[np.ndarray], wanted: list[np.ndarray], *, size: float = 0.0) -> None:
    """Equal to 1e-5 of the largest number, or of what is added to it in float32."""
    for got, want in zip(found, wanted, strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * max(np.abs(want).max(), size))


@st.composite
def panels(draw: st.DrawFn, case: str) -> fc.Panel:
    """A panel that ends at any hour, with some of the items in any order, gaps, and another level."""
    _, _, covariates = CASES[case]
    rows = draw(st.integers(24, 80))
    whole = sample_panel(
        draw(st.integers(0, 1000)),
        rows=rows + HORIZON,
        items=3,
        missing=draw(st.sampled_from((0.0, 0.1, 0.6, 0.97))),
        **covariates,
    )
    order = draw(st.permutations(range(3)))[: draw(st.integers(1, 3))]
    values = whole.values[:, order] * draw(st.sampled_from((1.0, 1e-3, 1e5)))
    values = values + draw(st.sampled_from((0.0, 1e4)))
    start = np.datetime64("1999-12-28T00", "us") + np.timedelta64(draw(st.integers(0, 250_000)), "h")
    future = whole.future_covariates is not None
    if future:
        values[rows:] = np.nan
    panel = replace(
        whole,
        values=values,
        timestamps=whole.freq.range(start, rows + HORIZON),
        item_ids=tuple(whole.item_ids[k] for k in order),
        tz=draw(st.sampled_from(("Pacific/Auckland", "America/New_York", None))),
        known=rows if future else None,
        **{
            name: None if (array := getattr(whole, name)) is None else array[:, order]
            for name in ("past_covariates", "future_covariates")
        },
        static_covariates=None if whole.static_covariates is None else whole.static_covariates[list(order)],
    )
    if not future:
        return panel.rows(0, rows)
    past = np.array(panel.past_covariates)
    past[rows:] = np.nan
    return replace(panel, past_covariates=past)


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=() if c in QUICK else pytest.mark.slow) for c in CASES]
)
def test_onnx_predicts_what_the_model_predicts(case: str) -> None:
    model, graph, session = exported(case)
    level = sample_panel(rows=200, items=3).values.max()  # of training; what is predicted may be far smaller

    @given(panel=panels(case))
    @settings(max_examples=25, deadline=None)
    def agree(panel: fc.Panel) -> None:
        wanted = parameters_of(model.predict(panel))
        inputs = graph.feed(panel)
        close(session.run(None, inputs), wanted, size=level)
        close(list(graph.run(inputs).values()), wanted, size=level)

    agree()


@pytest.mark.parametrize("case", ["lstm-quantiles", "patch-transformer", "linear-calendar"])
def test_windows_of_a_batch_do_not_see_each_other(case: str) -> None:
    _, graph, session = exported(case)
    example = graph.example()
    alone = session.run(None, example)

    @given(pick=st.lists(st.integers(0, 2), min_size=1, max_size=40))
    @settings(max_examples=20, deadline=None)
    def agree(pick: list[int]) -> None:
        together = session.run(None, {name: value[pick] for name, value in example.items()})
        close(together, [each[pick] for each in alone])

    agree()


def test_future_covariates_may_be_unknown_past_the_steps_that_are_used() -> None:
    model, graph, session = exported("lstm-quantiles")
    panel = sample_panel(rows=60, **COVARIATES)
    values, past = panel.values.copy(), np.array(panel.past_covariates)
    values[50:], past[50:] = np.nan, np.nan
    panel = replace(panel, values=values, past_covariates=past, known=50)
    inputs = graph.feed(panel)
    inputs["future_covariates"][:, 24 + 2 :] = np.nan
    close([session.run(None, inputs)[0][:, :2]], [model.predict(panel.rows(0, 52), horizon=2).values])


def test_a_gap_that_opens_the_window_is_filled_from_before_it() -> None:
    model, graph, session = exported("linear-calendar")
    values = sample_panel(rows=60).values.copy()
    values[30:40, 0] = np.nan  # the window begins at row 36
    values[:36, 1] = np.nan
    values[36:40, 1] = np.nan
    values[:, 2] = np.nan
    panel = replace(sample_panel(rows=60), values=values)
    inputs = graph.feed(panel)
    assert inputs["before"][0, 0] == values[29, 0, 0]
    assert np.isnan(inputs["before"][1:]).all()
    close(session.run(None, inputs), parameters_of(model.predict(panel)))
    longer = fc.Panel(
        values=np.concatenate([values, np.full((1, 3, 1), np.nan)]),
        timestamps=panel.freq.range(panel.timestamps[0], 61),
        item_ids=panel.item_ids,
        freq=panel.freq,
    )
    close(session.run(None, graph.feed(longer)), parameters_of(model.predict(longer)))


@given(
    micros=st.lists(
        st.integers(-9_000_000_000_000_000, 9_200_000_000_000_000)
        | st.sampled_from((0, -1, 951_782_400_000_000)),
        min_size=1,
        max_size=30,
    )
)
@settings(max_examples=100, deadline=None)
def test_the_clock_of_a_graph_is_that_of_the_calendar(micros: list[int]) -> None:
    names = tuple(CALENDAR_FEATURES)
    local = np.array(micros, dtype=np.int64)
    found = clock_features(torch.from_numpy(local), names).numpy()
    np.testing.assert_allclose(found, calendar_features(local.view("datetime64[us]"), names), atol=1e-12)


def test_the_clock_of_a_graph_knows_every_new_year() -> None:
    years = np.arange("1685", "2262", dtype="datetime64[Y]").astype("datetime64[us]")
    stamps = np.concatenate([years, years - 1, years + 1])
    found = clock_features(torch.from_numpy(stamps.astype(np.int64)), ("year_sin", "year_cos"))
    np.testing.assert_allclose(found.numpy(), calendar_features(stamps, ("year_sin", "year_cos")), atol=1e-12)


def test_what_a_graph_cannot_be_fed_is_refused_as_predict_does() -> None:
    model, graph, _ = exported("linear-calendar")
    for panel, error in (
        (replace(sample_panel(rows=60), item_ids=("a", "b", "c")), DataError),
        (sample_panel(rows=10), ShapeError),
    ):
        with pytest.raises(error):
            graph.feed(panel)
        with pytest.raises(error):
            model.predict(panel)


def test_a_model_without_a_graph_says_so(tmp_path: Path) -> None:
    model = fc.create_model("timeseries/drift", horizon=3)
    with pytest.raises(CapabilityError, match="timeseries/drift has no network"):
        fc.export(model, tmp_path / "a", onnx=True)
    assert not fc.export(model, tmp_path / "a").onnx
    with pytest.raises(NotFittedError):
        fc.create_model("timeseries/lstm")._graph()
    with pytest.raises(NotFittedError):
        fc.create_model("timeseries/linear")._graph()


def test_an_exported_folder_holds_a_checked_graph_and_its_scaling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, graph, _ = exported("linear-calendar")
    made = fc.export(model, tmp_path / "demand")
    assert made.onnx
    folder = made.path / "onnx"
    assert sorted(each.name for each in folder.iterdir()) == [
        "arrays.npz",
        "example.npz",
        "model.onnx",
        "predict.py",
    ]
    told = json.loads((made.path / "metadata.json").read_text())
    facts = told["graph"]["facts"]
    assert facts["items"] == ["item-0", "item-1", "item-2"]
    assert (facts["rows"], facts["horizon"], facts["freq"]) == (24, HORIZON, "h")
    assert [each["name"] for each in told["graph"]["inputs"]] == ["target", "item", "local_time", "before"]
    assert told["graph"]["outputs"][0]["shape"] == [None, HORIZON, 1]
    with np.load(folder / "arrays.npz") as arrays:
        np.testing.assert_array_equal(arrays["mean"], graph.arrays["mean"])
    monkeypatch.chdir(folder)
    exec(compile((folder / "predict.py").read_text(), "predict.py", "exec"), {})
    for line in capsys.readouterr().out.splitlines():
        name, *_, apart, _, largest = line.split()
        assert name in ("mean", "sigma")
        assert float(apart) <= 1e-5 * float(largest)


def test_the_python_of_the_export_guide_runs_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    guide = Path(__file__).parents[3] / "docs" / "export.md"
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", guide.read_text(), flags=re.DOTALL):
        exec(compile(block, guide.name, "exec"), names)
