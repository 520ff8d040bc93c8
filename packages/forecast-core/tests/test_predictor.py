"""The template methods of Predictor: what they check before and after an author's code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import Field, ValidationError

import forecast_core as fc
from forecast_core import plugins
from forecast_core.errors import (
    ArtifactError,
    ArtifactVersionError,
    CapabilityError,
    DataError,
    InvalidInputError,
    LeakError,
    NotFittedError,
    PluginError,
    UnknownIdError,
)
from forecast_core.predictor import ModelInfo
from forecast_core.series.sample import sample_panel

ABLE = fc.Capabilities(prediction="point", future_covariates=True)


class MeanConfig(fc.ModelConfig):
    """Options of the model under test."""

    horizon: int | None = Field(default=2, description="steps ahead")
    shift: float = Field(default=0.0, description="added to the mean")


class Mean(fc.Predictor[fc.Panel]):
    """The mean of training, plus future covariates."""

    config_class: ClassVar[type[fc.ModelConfig]] = MeanConfig
    level: Any = None

    def _fit(self, data: fc.Panel, *, validation: Any, seed: int, run: fc.Run) -> None:
        self.level = np.array(data.values.mean())

    def _predict(self, data: fc.Panel, *, horizon: int | None) -> Any:
        assert horizon is not None
        values = np.full((len(data.item_ids), horizon, 1), self.level + self.config.shift)
        ahead = data.future_values(horizon)  # [horizon, item, covariate]
        if ahead is not None:
            values = values + ahead.sum(-1).T[..., None]
        return fc.PointPrediction(
            values=values, item_ids=data.item_ids, timestamps=data.future_timestamps(horizon)
        )

    def _state(self) -> fc.State:
        return fc.State(arrays={"level": self.level})

    def _load_state(self, state: fc.State) -> None:
        self.level = state.arrays["level"]


def spec(**changes: Any) -> fc.ModelSpec:
    """The spec of the model under test."""
    fields: dict[str, Any] = {
        "id": "toys/mean",
        "task": "series",
        "entry_point": "toys:Mean",
        "config_entry_point": "toys:MeanConfig",
        "summary": "the mean",
        "capabilities": ABLE,
    }
    return fc.ModelSpec(**{**fields, **changes})


class Registered:
    """Registers the spec, and again with changes; `home` is its module."""

    def __init__(self) -> None:
        self.home = ModuleType("toys")
        vars(self.home).update(Mean=Mean, MeanConfig=MeanConfig)

    def __call__(self, **changes: Any) -> None:
        plugins.unregister_plugin("toys")
        target = ModuleType("toys")
        target.forecast_models = fc.hookimpl(lambda: [spec(**changes)])  # type: ignore[attr-defined]
        plugins.register_plugin(target, name="toys")


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registered]:
    """The model under test, registered as `toys/mean`."""
    made = Registered()
    monkeypatch.setitem(sys.modules, "toys", made.home)
    made()
    yield made
    plugins.unregister_plugin("toys")


def mean(kind: type[Mean] = Mean, *, capabilities: fc.Capabilities = ABLE, **params: Any) -> Mean:
    """An unfitted model that nobody registered."""
    return kind(MeanConfig(**params), spec=spec(capabilities=capabilities))


PANEL = sample_panel(rows=40)


def test_nothing_works_before_fit(tmp_path: Path) -> None:
    model = mean()
    assert not model.is_fitted
    assert not model.info.fitted
    windows = PANEL.windows(horizon=2)
    for action in (
        lambda: model.predict(PANEL),
        lambda: model.predict_windows(windows),
        lambda: model.save(tmp_path / "m"),
    ):
        with pytest.raises(NotFittedError, match=r"toys/mean has to be fitted.*call fit"):
            action()
    assert not list(tmp_path.iterdir())


def test_fit_tells_what_it_saw() -> None:
    train, valid = PANEL.rows(0, 30), PANEL.rows(30, 40)
    info = mean().fit(train, validation=valid, seed=7).info
    assert info.fitted
    assert info.seed == 7
    assert info.trained_on == train.fingerprint()
    assert info.validated_on == valid.fingerprint()
    assert info.seen_until == str(PANEL.timestamps[39])
    assert info.data["items"] == 3
    assert info.config == {"horizon": 2, "shift": 0.0}
    assert info.fit_seconds is not None


def test_lineage_is_of_the_data_as_given() -> None:
    class Careless(Mean):
        def _fit(self, data: fc.Panel, **given: Any) -> None:
            super()._fit(data, **given)
            object.__setattr__(data, "values", data.values * 2)

    panel = sample_panel(rows=40)
    assert mean(Careless).fit(panel).info.trained_on == PANEL.fingerprint()


def test_a_fit_that_fails_leaves_the_model_as_it_was_and_is_told() -> None:
    heard: list[str] = []

    class Listener:
        def forecast_run_started(self, run: Any) -> None:
            heard.append("started")

        def forecast_run_failed(self, run: Any, error: Any) -> None:
            heard.append(type(error).__name__)

    class Failing(Mean):
        def _fit(self, data: fc.Panel, **given: Any) -> None:
            super()._fit(data, **given)
            if data.values.max() > 1e6:
                raise DataError("data", "cannot be fitted")

    huge = replace(PANEL, values=PANEL.values * 1e9)
    model = mean(Failing)
    with pytest.raises(DataError, match="cannot be fitted"):
        model.fit(huge, run=fc.Run(listeners=[Listener()]))
    assert heard == ["started", "DataError"]
    assert not model.is_fitted
    known, made = model.fit(PANEL).info, model.predict(PANEL)
    with pytest.raises(DataError, match="cannot be fitted"):
        model.fit(huge)
    assert (model.info, model.predict(PANEL)) == (known, made)


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, "1", True, None])
def test_a_seed_is_a_small_whole_number(seed: Any) -> None:
    with pytest.raises(InvalidInputError, match="seed"):
        mean().fit(PANEL, seed=seed)
    assert mean().fit(PANEL, seed=np.int64(3)).info.seed == 3  # type: ignore[arg-type]


def test_data_of_another_task_is_refused() -> None:
    for wrong in (None, PANEL.values, "panel"):
        with pytest.raises(InvalidInputError, match="data: is a Panel"):
            mean().fit(wrong)
        with pytest.raises(InvalidInputError, match="data: is a Panel"):
            mean().fit(PANEL).predict(wrong)
    with pytest.raises(CapabilityError, match="not on windows"):
        mean().fit(PANEL.windows(horizon=2))


@pytest.mark.parametrize(
    ("panel", "trait"),
    [
        (sample_panel(rows=40, past_covariates=1), "past_covariates"),
        (sample_panel(rows=40, static_covariates=1), "static_covariates"),
        (sample_panel(rows=40, missing=0.2), "missing_values"),
    ],
)
def test_what_is_not_declared_is_refused(panel: fc.Panel, trait: str) -> None:
    model = mean().fit(PANEL)
    windows = panel.windows(horizon=2)
    for action in (
        lambda: mean().fit(panel),
        lambda: model.predict(panel),
        lambda: model.predict_windows(windows),
    ):
        with pytest.raises(CapabilityError, match=f"does not take {trait}"):
            action()


def test_one_item_models_refuse_more() -> None:
    single = mean(capabilities=fc.Capabilities(prediction="point", multi_item=False))
    with pytest.raises(CapabilityError, match="multi_item"):
        single.fit(PANEL)
    single.fit(PANEL.select_items(["item-1"]))


@pytest.mark.parametrize("horizon", [0, -3, 1.5, "2", True, timedelta(0), timedelta(minutes=90)])
def test_a_horizon_is_a_positive_number_of_steps(horizon: Any) -> None:
    with pytest.raises(InvalidInputError, match="horizon"):
        mean().fit(PANEL).predict(PANEL, horizon=horizon)


def test_a_horizon_may_be_given_as_time() -> None:
    model = mean().fit(PANEL)
    assert model.predict(PANEL).horizon == 2
    assert model.predict(PANEL, horizon=timedelta(hours=5)).horizon == 5
    assert model.predict(PANEL, horizon=np.int64(3)).horizon == 3  # type: ignore[arg-type]


def test_future_rows_may_come_apart_or_at_the_end() -> None:
    panel = sample_panel(rows=40, future_covariates=1)
    known, later = panel.rows(0, 38), panel.rows(38, 40)
    later = replace(later, values=np.full_like(later.values, np.nan))
    model = mean().fit(known)
    apart = model.predict(known, future=later)
    assert apart == model.predict(known.extended(later))
    for known_ahead in (panel.rows(38, 40), replace(panel, values=panel.values * 0).rows(38, 39)):
        with pytest.raises(InvalidInputError, match="future: holds future covariates and no targets"):
            model.predict(known, future=known_ahead)
    bare = panel.without(frozenset({"future_covariates"}))
    with pytest.raises(InvalidInputError, match="the forecast begins after data"):
        model.predict(bare.rows(0, 38), future=replace(bare.rows(38, 40), values=later.values))
    with pytest.raises(InvalidInputError, match="future: is a Panel"):
        model.predict(known, future="tomorrow")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="one step after"):
        model.predict(known, future=panel.rows(39, 40))


def test_windows_are_predicted_origin_by_origin_by_default() -> None:
    model = mean().fit(PANEL)
    windows = PANEL.windows(horizon=3, stride=7)
    order = np.random.default_rng(0).permutation(len(windows))[:11]
    some = windows.take(order)
    made = model.predict_windows(some)
    assert made.item_ids == some.item_ids
    np.testing.assert_array_equal(made.timestamps, some.timestamps())
    with pytest.raises(InvalidInputError, match="at least one"):
        model.predict_windows(windows.take(np.arange(0)))
    with pytest.raises(InvalidInputError, match="Windows protocol"):
        model.predict_windows(PANEL)  # type: ignore[arg-type]


def test_predictions_say_which_model_made_them() -> None:
    model = mean().fit(PANEL)
    ref = model.predict(PANEL).model
    assert ref is not None
    assert (ref.id, ref.version, ref.trained_on) == ("toys/mean", 1, PANEL.fingerprint())


def test_an_author_who_breaks_the_contract_is_told() -> None:
    class Bare(Mean):
        def _predict(self, data: fc.Panel, *, horizon: int | None) -> Any:
            return np.zeros(3)

    class Fewer(Mean):
        def _predict_windows(self, windows: Any) -> Any:
            return super()._predict_windows(windows).take([0])

    class Forgets(fc.Predictor[fc.Panel]):
        config_class = MeanConfig

        def _predict(self, data: fc.Panel, *, horizon: int | None) -> Any:
            raise NotImplementedError

    with pytest.raises(PluginError, match="declares predictions of kind point, but gave ndarray"):
        mean(Bare).fit(PANEL).predict(PANEL)
    with pytest.raises(PluginError, match="declares predictions of kind quantile, but gave point"):
        mean(capabilities=fc.Capabilities(prediction="quantile")).fit(PANEL).predict(PANEL)
    with pytest.raises(PluginError, match="predicted 1 rows for 6 windows"):
        mean(Fewer).fit(PANEL).predict_windows(PANEL.windows(horizon=2).take(np.arange(6)))
    with pytest.raises(PluginError, match="needs_fit but has no _fit"):
        Forgets(MeanConfig(), spec=spec()).fit(PANEL)


def test_a_saved_model_predicts_the_same(registered: Registered, tmp_path: Path) -> None:
    model = fc.create_model("toys/mean", shift=3.0).fit(PANEL, seed=5)
    model.save(tmp_path / "m")
    loaded = fc.load_model(tmp_path / "m")
    assert loaded.predict(PANEL) == model.predict(PANEL)
    assert loaded.info == model.info
    assert loaded.config == model.config
    assert repr(loaded) == "<toys/mean (fitted)>"
    plugins.unregister_plugin("toys")
    with pytest.raises(UnknownIdError, match="no model 'toys/mean'"):
        fc.load_model(tmp_path / "m")


def test_state_of_an_older_version_is_migrated(
    registered: Registered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fc.create_model("toys/mean").fit(PANEL).save(tmp_path / "m")
    registered(version=2)
    with pytest.raises(ArtifactVersionError, match="version 2 cannot read state of version 1"):
        fc.load_model(tmp_path / "m")

    def migrate(self: Mean, state: fc.State, from_version: int) -> fc.State:
        assert from_version == 1
        return fc.State(arrays={"level": np.array(state.arrays["level"] + 1.0)})

    monkeypatch.setattr(Mean, "_migrate_state", migrate)
    model = fc.load_model(tmp_path / "m")
    assert isinstance(model, Mean)
    assert model.level == PANEL.values.mean() + 1.0


def test_state_of_a_newer_version_is_refused(registered: Registered, tmp_path: Path) -> None:
    registered(version=3)
    fc.create_model("toys/mean").fit(PANEL).save(tmp_path / "m")
    registered(version=2)
    with pytest.raises(ArtifactVersionError, match=r"saved by version 3.*version 2 is installed"):
        fc.load_model(tmp_path / "m")


def test_state_that_does_not_fit_is_an_artifact_error(
    registered: Registered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Mean, "_state", lambda self: fc.State(arrays={"other": self.level}))
    fc.create_model("toys/mean").fit(PANEL).save(tmp_path / "m")
    with pytest.raises(ArtifactError, match="holds no state of toys/mean version 1: KeyError: 'level'"):
        fc.load_model(tmp_path / "m")


def test_a_class_finds_the_spec_it_was_registered_under(
    registered: Registered, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnknownIdError):
        _ = Mean().spec
    monkeypatch.setattr(Mean, "__module__", "toys")
    assert Mean().spec.id == "toys/mean"
    assert Mean().task.id == "series"


def test_update_is_for_models_that_declare_it() -> None:
    with pytest.raises(CapabilityError, match="does not learn online"):
        mean().fit(PANEL).update(PANEL)

    class Online(Mean):
        def _update(self, data: fc.Panel, *, since: np.datetime64) -> None:
            self.level = self.level + 1.0
            self.since = since

    model = mean(Online, capabilities=fc.Capabilities(prediction="point", online=True))
    with pytest.raises(NotFittedError):
        model.update(PANEL)
    model.fit(PANEL.rows(0, 20))
    assert model.update(PANEL) is model
    assert model.info.seen_until == str(PANEL.timestamps[-1])
    assert model.since == PANEL.timestamps[20]
    assert model.level == PANEL.rows(0, 20).values.mean() + 1.0
    with pytest.raises(InvalidInputError, match="holds rows after"):
        model.update(PANEL)
    assert model.level == PANEL.rows(0, 20).values.mean() + 1.0


def test_uncertainty_is_told_where_there_is_a_distribution() -> None:
    baseline = fc.create_model("series/naive", horizon=4)
    told = baseline.predict_uncertainty(PANEL, coverage=0.8)
    prediction = baseline.predict(PANEL)
    np.testing.assert_array_equal(told.mean, prediction.mean())
    np.testing.assert_array_equal(told.variance, prediction.variance())
    np.testing.assert_array_equal(told.upper, prediction.interval(0.8).upper)
    assert told.kind == "aleatoric"
    with pytest.raises(CapabilityError, match="no quantiles"):
        mean().fit(PANEL).predict_uncertainty(PANEL)


def test_validation_data_is_not_what_is_fitted_on() -> None:
    panel = sample_panel(rows=100, items=3)
    train, valid = panel.rows(20, 60), panel.rows(60, 80)
    model = fc.create_model("series/seasonal-naive", seasonality=4)
    with pytest.raises(LeakError, match="validation is the data that is fitted on"):
        model.fit(train, validation=panel.rows(20, 60))
    for low, high in ((0, 21), (30, 40), (50, 60), (0, 60)):
        with pytest.raises(LeakError, match=r"validation ends at .*, within the data that is fitted on"):
            model.fit(train, validation=panel.rows(low, high))
    for held in (valid, panel.rows(50, 80), panel.rows(0, 20)):  # after it, with context, before it
        assert model.fit(train, validation=held).is_fitted
    one, two = panel.select_items(["item-0"]), panel.select_items(["item-1"])
    assert model.fit(one, validation=two).is_fitted  # at the same time, but another series


def test_a_model_that_needs_no_fit_learns_each_row_once_and_remembers_what_it_has_seen() -> None:
    class Online(Mean):
        def _update(self, data: fc.Panel, *, since: np.datetime64 | None) -> None:
            self.since = since

    model = mean(Online, capabilities=fc.Capabilities(prediction="point", online=True, needs_fit=False))
    model.update(PANEL.rows(0, 20))
    assert model.since is None
    assert model.info.fitted_until == model.info.seen_until == str(PANEL.timestamps[19])
    assert model.info.trained_on == PANEL.rows(0, 20).fingerprint()
    model.update(PANEL)
    assert model.since == PANEL.timestamps[20]
    with pytest.raises(InvalidInputError, match="holds rows after"):
        model.update(PANEL)
    with pytest.raises(LeakError, match="has seen data until"):
        fc.evaluate(model, PANEL, horizon=2)


def test_only_a_run_is_told_of_a_fit() -> None:
    with pytest.raises(InvalidInputError, match="run: is a Run, got 'x'"):
        mean().fit(PANEL, run="x")  # type: ignore[arg-type]


@pytest.mark.parametrize("time", ["x", "NaT", ""])
def test_until_when_a_model_has_seen_data_is_a_time(time: str) -> None:
    known = fc.create_model("series/naive").fit(PANEL).info.model_dump()
    for name in ("fitted_until", "seen_until"):
        with pytest.raises(ValidationError, match=name):
            ModelInfo(**{**known, name: time})
