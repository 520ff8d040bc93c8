"""Cross-validation: the numbers of a loop by hand for every splitter, a fresh model a fold, and no leak."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import pytest

import forecast_core as fc
from forecast_core.artifacts import State
from forecast_core.errors import CapabilityError, ConfigError, InvalidInputError, LeakError
from forecast_core.series.sample import sample_panel
from forecast_core.splits import (
    GroupSplit,
    PurgedWalkForward,
    StratifiedGroupSplit,
    StratifiedSplit,
    TimeSeriesSplit,
)

PANEL = sample_panel(rows=200, items=6)


class LevelConfig(fc.ModelConfig):
    """Options of the models here."""

    context_length: int = 4
    horizon: int = 3


class Level(fc.Predictor[fc.Panel]):
    """Predicts the mean of the rows it was fitted on."""

    config_class: ClassVar[type[fc.ModelConfig]] = LevelConfig
    fits: ClassVar[list[Any]] = []

    def _fit(self, data: Any, *, validation: Any, seed: int, run: Any) -> None:
        self.fits.append(data)
        self.level = data.values.mean() + 0.1 * seed

    def _predict(self, data: fc.Panel, *, horizon: int | None) -> fc.Prediction:
        steps = horizon or self.config.horizon
        shape = (len(data.item_ids), steps, len(data.target_names))
        return fc.PointPrediction(
            values=np.full(shape, self.level),
            item_ids=data.item_ids,
            timestamps=data.future_timestamps(steps),
            target_names=data.target_names,
        )

    def _state(self) -> State:
        return State(arrays={"level": np.array(self.level)})

    def _load_state(self, state: State) -> None:
        self.level = float(state.arrays["level"])


class OfWindows(Level):
    """Predicts the mean of the targets of the windows it was fitted on."""

    accepts_windows = True

    def _fit(self, data: Any, *, validation: Any, seed: int, run: Any) -> None:
        self.fits.append(data)
        values, mask = data.targets()
        self.level = values[mask].mean()


def _specs() -> list[fc.ModelSpec]:
    return [
        fc.ModelSpec(
            id=f"toys/{name.lower()}",
            task="series",
            entry_point=f"toys:{name}",
            config_entry_point="toys:LevelConfig",
            summary=name,
            capabilities=fc.Capabilities(prediction="point"),
        )
        for name in ("Level", "OfWindows")
    ]


@pytest.fixture(autouse=True)
def _toys(plug_in: Callable[..., None]) -> None:
    plug_in("toys", _specs(), Level=Level, OfWindows=OfWindows, LevelConfig=LevelConfig)
    Level.fits.clear()


OVER_TIME = [
    TimeSeriesSplit(n_splits=3),
    TimeSeriesSplit(n_splits=3, gap=2, test_size=20),
    TimeSeriesSplit(n_splits=3, max_train_size=30),
    PurgedWalkForward(n_splits=3, embargo=4, min_train=40),
]


@pytest.mark.parametrize("splitter", OVER_TIME, ids=repr)
def test_folds_over_time_are_those_of_a_loop_by_hand(splitter: Any) -> None:
    result = fc.cross_validate("toys/level", PANEL, splitter, ["mae", "rmse"], params={"horizon": 3})
    windows = PANEL.windows(context_length=25, horizon=3)  # the baseline looks a day back
    found = []
    for train, test in splitter.split(windows):
        last = windows.label_ends[train].max()
        first = windows.origins[train].min()
        sliding = first > windows.origins.min()
        rows = (PANEL.timestamps <= last) & (
            PANEL.timestamps >= first - np.timedelta64(3, "h") if sliding else True
        )
        level = PANEL.values[rows].mean()
        truth, _ = windows.take(test).targets()
        found.append(np.abs(truth - level).mean())
        assert last <= windows.origins[test].min()
    assert [fold.scores.metrics["mae"] for fold in result.folds] == pytest.approx(found, rel=1e-12)
    assert result.mean["mae"] == pytest.approx(np.mean(found))
    assert result.std["mae"] == pytest.approx(np.std(found, ddof=1))
    assert len(Level.fits) == len(found)


@pytest.mark.parametrize("splitter", [*OVER_TIME, GroupSplit(n_splits=3, seed=1)], ids=repr)
def test_models_of_windows_are_fitted_on_exactly_the_training_windows(splitter: Any) -> None:
    windows = PANEL.windows(context_length=8, horizon=3, stride=2)
    result = fc.cross_validate("toys/ofwindows", windows, splitter, ["mae", "crps"])
    found = []
    for train, test in splitter.split(windows):
        model = fc.create_model("toys/ofwindows").fit(windows.take(train))
        found.append(_mae(model, windows, test))
    assert [fold.scores.metrics["mae"] for fold in result.folds] == pytest.approx(found, rel=1e-12)
    assert result.mean["crps"] == pytest.approx(result.mean["mae"])  # of a point


def _mae(model: Any, windows: Any, test: np.ndarray) -> float:
    held = windows.take(test)
    truth, _ = held.targets()
    return float(np.abs(model.predict_windows(held).mean() - truth).mean())


def test_groups_are_cut_out_of_the_data_for_models_that_take_no_windows() -> None:
    result = fc.cross_validate("toys/level", PANEL, GroupSplit(n_splits=3), ["mae"])
    assert len(result.folds) == 3
    for fitted, fold in zip(Level.fits, result.folds, strict=True):
        assert len(fitted.item_ids) == 4
        assert len(fold.scores.by_item["mae"]) == 2
        assert not set(fold.scores.by_item["mae"]) & set(fitted.item_ids)


def test_the_baseline_is_scored_on_the_same_windows() -> None:
    splitter = TimeSeriesSplit(n_splits=2)
    result = fc.cross_validate("series/naive", PANEL, splitter, ["mae"], horizon=4)
    base = fc.cross_validate("series/seasonal-naive", PANEL, splitter, ["mae"], horizon=4)
    assert dict(result.baseline) == dict(base.mean)
    fold = result.folds[0]
    assert fold.scores.skill["mae"] == pytest.approx(
        1 - fold.scores.metrics["mae"] / fold.baseline.metrics["mae"]
    )
    told = json.loads(result.to_json())
    assert told["mean"]["mae"] == result.mean["mae"]
    assert len(result.to_frame()) == 2
    assert "mae=" in repr(result)


def test_a_fold_that_leaks_is_refused_before_anything_is_fitted() -> None:
    class Everything:
        over: ClassVar[str] = "time"

        def split(self, windows: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
            yield np.arange(20), np.arange(10, 30)

    with pytest.raises(LeakError, match="leaks"):
        fc.cross_validate("toys/level", PANEL, Everything(), ["mae"])  # type: ignore[arg-type]
    with pytest.raises(LeakError, match="targets end after"):
        fc.cross_validate("toys/level", PANEL, TimeSeriesSplit(n_splits=2, purge=False), ["mae"])
    assert Level.fits == []


def test_wrong_requests_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="splitter"):
        fc.cross_validate("toys/level", PANEL, 5, ["mae"])  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="strata"):
        fc.cross_validate("toys/level", PANEL, StratifiedSplit(), ["mae"])
    with pytest.raises(InvalidInputError, match="strata"):
        fc.cross_validate("toys/level", PANEL, StratifiedGroupSplit(), ["mae"])
    with pytest.raises(ConfigError, match="horizn"):
        fc.cross_validate("toys/level", PANEL, GroupSplit(), ["mae"], params={"horizn": 3})

    class ByParity:
        over: ClassVar[str] = "windows"

        def split(self, windows: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
            yield np.arange(0, len(windows), 2), np.arange(1, len(windows), 2)

    with pytest.raises(CapabilityError, match="not fitted on windows"):
        fc.cross_validate("toys/level", PANEL, ByParity(), ["mae"])  # type: ignore[arg-type]
