"""Evaluation and composing on a classification task of plain samples, which core has never heard of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import forecast_core as fc
from forecast_core.artifacts import State
from forecast_core.errors import CapabilityError, LeakError
from forecast_core.metrics.scoring import evaluate_metrics
from forecast_core.splits import GroupSplit, StratifiedGroupSplit, StratifiedSplit

CLASSES = ("no", "yes")


@dataclass(frozen=True, eq=False)
class Photos:
    """features [n, 2], labels [n] and the video [n] of each."""

    features: np.ndarray
    labels: np.ndarray
    videos: np.ndarray

    @property
    def timeline(self) -> np.ndarray:
        return np.arange(len(self.labels))

    def windows(self, **_: Any) -> PhotoWindows:
        return PhotoWindows(self, self.timeline)

    def between(self, start: Any, stop: Any) -> Photos:
        cut = slice(start, stop)
        return Photos(self.features[cut], self.labels[cut], self.videos[cut])

    def fingerprint(self) -> str:
        return hashlib.sha256(self.features.tobytes() + self.labels.tobytes()).hexdigest()


@dataclass(frozen=True, eq=False)
class PhotoWindows:
    """The samples at `rows` [n]."""

    data: Photos
    rows: np.ndarray

    origins = label_ends = None

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: np.ndarray) -> PhotoWindows:
        return PhotoWindows(self.data, self.rows[index])

    def targets(self) -> tuple[np.ndarray, np.ndarray]:
        return self.data.labels[self.rows], np.ones(len(self), dtype=bool)

    @property
    def groups(self) -> np.ndarray:
        return self.data.videos[self.rows]

    @property
    def strata(self) -> np.ndarray:
        return self.data.labels[self.rows]


class NoOptions(fc.ModelConfig):
    """Nothing to choose."""


class Even(fc.Predictor[Photos]):
    """The naive baseline: either class is as likely."""

    config_class: ClassVar[type[fc.ModelConfig]] = NoOptions

    def _predict(self, data: Photos, *, horizon: int | None) -> fc.Prediction:
        return self._predict_windows(data.windows())

    def _predict_windows(self, windows: Any) -> fc.Prediction:
        return fc.ClassPrediction(
            item_ids=tuple(windows.rows.tolist()),
            probabilities=self._probabilities(windows.data.features[windows.rows]),
            classes=CLASSES,
        )

    def _probabilities(self, features: np.ndarray) -> np.ndarray:
        return np.full((len(features), 2), 0.5)


class Centroids(Even):
    """The nearer mean is the likelier class."""

    accepts_windows = True

    def _fit(self, data: Any, *, validation: Any, seed: int, run: Any) -> None:
        windows = data.windows() if isinstance(data, Photos) else data
        features, labels = windows.data.features[windows.rows], windows.data.labels[windows.rows]
        self.means = np.stack([features[labels == k].mean(0) for k in (0, 1)])

    def _probabilities(self, features: np.ndarray) -> np.ndarray:
        nearness = np.exp(-np.square(features[:, None] - self.means).sum(-1))
        return nearness / nearness.sum(1, keepdims=True)

    def _state(self) -> State:
        return State(arrays={"means": self.means})

    def _load_state(self, state: State) -> None:
        self.means = state.arrays["means"]


def sample_photos(seed: int = 0, *, n: int = 200) -> Photos:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    return Photos(rng.normal(size=(n, 2)) + labels[:, None], labels, np.repeat(np.arange(n // 4), 4))


def specs() -> list[fc.ModelSpec]:
    return [
        fc.ModelSpec(
            id=f"photos/{name.lower()}",
            task="photos",
            entry_point=f"photos:{name}",
            config_entry_point="photos:NoOptions",
            summary=name,
            capabilities=fc.Capabilities(prediction="class", needs_fit=name == "Centroids"),
        )
        for name in ("Even", "Centroids")
    ]


@pytest.fixture(autouse=True)
def _photos(plug_in: Callable[..., None]) -> None:
    task = fc.TaskSpec(
        id="photos",
        data="photos:Photos",
        baseline="photos/even",
        objective="brier",
        sample_data="photos:sample_photos",
        kind="classification",
    )
    plug_in(
        "photos",
        specs(),
        tasks=[task],
        Photos=Photos,
        Even=Even,
        Centroids=Centroids,
        NoOptions=NoOptions,
        sample_photos=sample_photos,
    )


@pytest.mark.parametrize(
    "splitter",
    [StratifiedSplit(n_splits=4, seed=1), StratifiedGroupSplit(n_splits=4), GroupSplit(n_splits=3, seed=2)],
    ids=repr,
)
def test_folds_of_samples_are_those_of_a_loop_by_hand(splitter: Any) -> None:
    data = sample_photos()
    result = fc.cross_validate("photos/centroids", data, splitter, ["brier", "accuracy", "auc"])
    windows, found = data.windows(), []
    for train, test in splitter.split(windows):
        model = fc.create_model("photos/centroids").fit(windows.take(train))
        held = windows.take(test)
        found.append(
            evaluate_metrics(model.predict_windows(held), *held.targets(), ["brier", "accuracy", "auc"])
        )
        if splitter.over == "groups":
            assert not set(windows.groups[train]) & set(windows.groups[test])
    for name in ("brier", "accuracy", "auc"):
        assert [f.scores.metrics[name] for f in result.folds] == [pytest.approx(f[name]) for f in found]
    assert result.mean["brier"] < result.baseline["brier"]  # type: ignore[operator]


def test_a_fold_that_tears_a_video_apart_is_a_leak() -> None:
    class Careless(StratifiedSplit):
        over: ClassVar[Any] = "groups"

    with pytest.raises(LeakError, match="groups on both sides"):
        fc.cross_validate("photos/centroids", sample_photos(), Careless(n_splits=3), ["brier"])


def test_classifiers_are_compared_sample_by_sample(tmp_path: Path) -> None:
    models = [fc.create_model("photos/centroids")]
    result = fc.compare(models, sample_photos(), start=120, metrics=["brier", "accuracy"])
    assert result.loss == "brier"
    assert len(result.losses["photos/even"]) == 80
    assert result.losses["photos/even"].mean() == pytest.approx(result["photos/even"].metrics["brier"])
    (pair,) = result.tests.pairs
    assert pair.better == "photos/centroids"
    page = result.report(tmp_path / "report.html").read_text()
    assert "How often the predicted class was right" in page


def test_classifiers_make_ensembles_and_are_not_conformalized(tmp_path: Path) -> None:
    data = sample_photos()
    ensemble = fc.create_ensemble(["photos/even", "photos/centroids"], weights="fit")
    ensemble.fit(data.between(None, 120), validation=data.between(120, 160))
    assert ensemble.weights[1] > 0.5  # type: ignore[attr-defined]
    assert ensemble.task.id == "photos"
    made = ensemble.predict(data)
    assert isinstance(made, fc.ClassPrediction)
    ensemble.save(tmp_path / "e")
    assert fc.load_model(tmp_path / "e").predict(data) == made
    single = fc.create_model("photos/centroids").fit(data)
    with pytest.raises(CapabilityError, match="does not forecast"):
        fc.conformalize(single, data)
    with pytest.raises(CapabilityError, match="no distribution over time"):
        ensemble.predict_uncertainty(data)
