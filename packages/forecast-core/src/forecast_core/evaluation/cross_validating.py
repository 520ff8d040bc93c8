"""`cross_validate`: a fresh model a fold, scored on the windows it did not see."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from forecast_core import registry
from forecast_core.config import ModelConfig
from forecast_core.data.frames import build_frame
from forecast_core.data.protocols import Data, Grouped, Windows
from forecast_core.data.reading import source_of
from forecast_core.errors import CapabilityError, InvalidInputError
from forecast_core.evaluation.evaluating import default_metrics, evaluation_windows, task_baseline
from forecast_core.evaluation.scores import Scores, adapted, score, skill_against
from forecast_core.predictor import Predictor
from forecast_core.splits import Splitter, check_leaks

__all__ = ["CrossValidation", "Fold", "cross_validate"]


@dataclass(frozen=True)
class Fold:
    """One fold: how many windows trained and tested, and scores of the model and of the baseline."""

    train: int
    test: int
    scores: Scores
    baseline: Scores


@dataclass(frozen=True)
class CrossValidation:
    """What `cross_validate` found; `mean` and `std` are over folds, each fold counting alike.

    std: sample standard deviation, None for fewer than two folds with a value. It understates the doubt
    about the mean where folds share training data.
    """

    model: str
    metrics: tuple[str, ...]
    folds: tuple[Fold, ...]

    @property
    def mean(self) -> Mapping[str, float | None]:
        """Metric -> mean over folds; None where no fold has a value."""
        return {key: None if not len(v) else float(np.mean(v)) for key, v in self._values().items()}

    @property
    def std(self) -> Mapping[str, float | None]:
        """Metric -> standard deviation over folds."""
        return {key: None if len(v) < 2 else float(np.std(v, ddof=1)) for key, v in self._values().items()}

    @property
    def baseline(self) -> Mapping[str, float | None]:
        """Metric -> the baseline's mean over folds."""
        return {key: None if not len(v) else float(np.mean(v)) for key, v in self._values(True).items()}

    def _values(self, baseline: bool = False) -> dict[str, np.ndarray]:
        parts = [fold.baseline if baseline else fold.scores for fold in self.folds]
        found = {key: [part.metrics[key] for part in parts] for key in parts[0].metrics}
        return {key: np.array([v for v in values if v is not None]) for key, values in found.items()}

    def to_frame(self, *, backend: str | None = None) -> Any:
        """A row a fold: its sizes, each metric, and skill against the baseline."""
        columns: dict[str, Any] = {
            "fold": list(range(1, len(self.folds) + 1)),
            "train": [fold.train for fold in self.folds],
            "test": [fold.test for fold in self.folds],
        }
        for key in self.folds[0].scores.metrics:
            columns[key] = [_number(fold.scores.metrics[key]) for fold in self.folds]
        for key in self.folds[0].scores.skill:
            columns[f"skill_{key}"] = [_number(fold.scores.skill[key]) for fold in self.folds]
        return build_frame(columns, backend=backend)

    def to_json(self) -> str:
        """Folds, means and spread as JSON."""
        return json.dumps(
            {
                "model": self.model,
                "metrics": list(self.metrics),
                "mean": dict(self.mean),
                "std": dict(self.std),
                "baseline": dict(self.baseline),
                "folds": [
                    {
                        "train": fold.train,
                        "test": fold.test,
                        "scores": fold.scores.model_dump(mode="json"),
                        "baseline": fold.baseline.model_dump(mode="json"),
                    }
                    for fold in self.folds
                ],
            },
            indent=2,
        )

    def __repr__(self) -> str:
        told = ", ".join(f"{k}={'-' if v is None else format(v, '.4g')}" for k, v in self.mean.items())
        return f"<CrossValidation of {self.model} in {len(self.folds)} folds: {told}>"


def cross_validate(
    model_id: str,
    data: Data | Windows,
    splitter: Splitter,
    metrics: Sequence[str] | None = None,
    *,
    params: Mapping[str, Any] | ModelConfig | None = None,
    horizon: int | None = None,
    stride: int = 1,
    seed: int = 0,
) -> CrossValidation:
    """Fit a fresh model on the training windows of every fold and score it on the fold's test windows.

    data: windows as they are, or data, of which every `stride`-th window is taken that leaves room for
    horizon and history. splitter: from `forecast_core.splits`, or anything with its `split` and `over`.
    metrics: names of the metric grammar; default: the task's. params: the model's options. A model that
    is not fitted on windows is fitted on the rows that the training windows span (splits over time), or
    on all rows of their groups (splits over groups). The task's naive baseline is scored on the same
    windows. Every fold is fitted with `seed`.

    Raises LeakError for a fold that leaks, CapabilityError where the model can be fitted neither way,
    InvalidInputError where the windows lack what the splitter needs, MetricError for unknown metrics.
    """
    if not hasattr(splitter, "split"):
        raise InvalidInputError("splitter", "yields folds by split(windows)", got=type(splitter).__name__)

    def new() -> Predictor[Any]:
        if isinstance(params, ModelConfig):
            return registry.create_model(model_id, params)
        return registry.create_model(model_id, **(params or {}))

    task = new().task
    names = list(metrics) if metrics is not None else default_metrics(task)
    windows = evaluation_windows((new(), task_baseline(task)), data, horizon=horizon, stride=stride)
    over = getattr(splitter, "over", "windows")
    folds = []
    for train, test in splitter.split(windows):
        check_leaks(windows, train, test, over=over).raise_if_any()
        found = []
        for model in (new(), task_baseline(task)):
            if model.spec.capabilities.needs_fit:
                model.fit(_training_part(model, windows, train, over=over), seed=seed)
            found.append(score(model.spec.id, model, windows.take(test), metrics=names).scores)
        mine, naive = found
        folds.append(Fold(len(train), len(test), skill_against(mine, naive), skill_against(naive, naive)))
    if not folds:
        raise InvalidInputError("splitter", "yields at least one fold")
    return CrossValidation(model=model_id, metrics=tuple(names), folds=tuple(folds))


def _training_part(model: Predictor[Any], windows: Windows, train: np.ndarray, *, over: str) -> Any:
    """The training windows themselves where the model takes windows, else the data they stand for."""
    windows = adapted(model, windows)
    if model.accepts_windows:
        return windows.take(train)
    data = source_of(windows)
    if not isinstance(data, Data):
        raise CapabilityError(f"{model.spec.id} is not fitted on windows, and these do not show their data")
    if over == "time" and windows.label_ends is not None and windows.origins is not None:
        return _rows(model, data, windows, train)
    if over == "groups" and windows.groups is not None and isinstance(data, Grouped):
        return data.of_groups(np.unique(windows.groups[train]))
    raise CapabilityError(
        f"{model.spec.id} is not fitted on windows, so folds over {over} cannot be cut out of "
        f"{type(data).__name__} for it"
    )


def _rows(model: Predictor[Any], data: Any, windows: Windows, train: np.ndarray) -> Any:
    """Rows from the context of the first training window to the last training target."""
    assert windows.origins is not None
    assert windows.label_ends is not None
    timeline = data.timeline
    first = int(np.searchsorted(timeline, windows.origins[train].min()))
    start = first + 1 - (model._context_rows(data) or 1)
    if windows.origins.min() == windows.origins[train].min():
        start = 0  # an expanding fold: all history
    stop = int(np.searchsorted(timeline, windows.label_ends[train].max(), side="right"))
    return data.between(timeline[max(start, 0)], timeline[stop] if stop < len(timeline) else None)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
