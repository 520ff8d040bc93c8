"""`backtest`: several models on the same rolling origins, and the leaderboard they make."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from forecast_core.data.frames import build_frame
from forecast_core.data.protocols import Data, Windows
from forecast_core.errors import InvalidInputError, ShapeError
from forecast_core.evaluation.evaluating import default_metrics, refuse_seen, task_baseline
from forecast_core.evaluation.scores import Scored, Scores, adapted, score, skill_against
from forecast_core.metrics import metric_direction
from forecast_core.prediction import Prediction
from forecast_core.predictor import Predictor

__all__ = ["Backtest", "backtest"]


@dataclass(frozen=True)
class Backtest:
    """What `backtest` found: scores of every model, best first, and their predictions.

    baseline: label of the naive model that skill is measured against. `predictions` has, for each label,
    a row for each of `windows`.
    """

    scores: tuple[Scores, ...]
    baseline: str
    metrics: tuple[str, ...]
    start: Any
    horizon: int | None
    stride: int
    windows: Windows
    predictions: Mapping[str, Prediction]

    def __getitem__(self, label: str) -> Scores:
        """Scores of one model by its label."""
        found = next((s for s in self.scores if s.label == label), None)
        if found is None:
            raise InvalidInputError("label", f"is one of {[s.label for s in self.scores]}", got=repr(label))
        return found

    def to_frame(self, *, backend: str | None = None) -> Any:
        """The leaderboard: a row a model, best first, columns model, each metric, and its skill."""
        keys = list(self.scores[0].metrics)
        columns: dict[str, Any] = {"model": [s.label for s in self.scores]}
        for key in keys:
            columns[key] = [_nan(s.metrics[key]) for s in self.scores]
        for key in self.scores[0].skill:
            columns[f"skill_{key}"] = [_nan(s.skill.get(key)) for s in self.scores]
        return build_frame(columns, backend=backend)

    def to_json(self) -> str:
        """Everything but the predictions, as JSON."""
        return json.dumps(
            {
                "start": str(self.start),
                "horizon": self.horizon,
                "stride": self.stride,
                "windows": len(self.windows),
                "baseline": self.baseline,
                "metrics": list(self.metrics),
                "scores": [s.model_dump(mode="json") for s in self.scores],
            },
            indent=2,
        )

    def report(self, path: str | PathLike[str], *, title: str = "Forecast report") -> Path:
        """Write one self-contained HTML file, and the same numbers as JSON beside it; needs matplotlib."""
        from forecast_core.evaluation.report import write_report

        return write_report(self, Path(path), title=title)

    def __repr__(self) -> str:
        best = self.scores[0]
        return f"<Backtest of {len(self.scores)} models on {len(self.windows)} windows; best: {best.label}>"


def backtest(
    models: Sequence[Predictor[Any]] | Mapping[str, Predictor[Any]],
    data: Data,
    *,
    start: Any,
    horizon: int | None = None,
    stride: int = 1,
    metrics: Sequence[str] | None = None,
    seed: int = 0,
) -> Backtest:
    """Predict from rolling origins and score every model on the same windows.

    start: time of the first row to be forecast; the first origin is the row before it, and further
    origins follow every `stride` rows while the horizon fits. models: a list, or label -> model. A model
    that is not fitted yet is fitted, in place, on the rows before `start` with `seed`; covariates it
    does not take are left out for it alone. The task's naive baseline takes part unless a model of that
    id is among `models` already. Scaled metrics scale on rows before `start`.

    Returns scores sorted by the first metric that has a direction. Raises LeakError if a fitted model
    has seen rows from `start` on, ShapeError if no window fits, MetricError for unknown metrics.
    """
    named = _labels(models)
    task = next(iter(named.values())).task
    names = tuple(metrics) if metrics is not None else tuple(default_metrics(task))
    start = _time(start)
    windows, origin = _rolling(
        data, start=start, horizon=horizon, stride=stride, classify=task.kind != "forecast"
    )
    baseline = next((label for label, m in named.items() if m.spec.id == task.baseline), None)
    if baseline is None:
        baseline = task.baseline
        named[baseline] = task_baseline(task)
    for model in named.values():
        if model.task.id != task.id:
            raise InvalidInputError(
                "models", f"are of one task ({task.id!r})", got=f"{model.spec.id} of {model.task.id!r}"
            )
        if not model.is_fitted:
            model.fit(adapted(model, data.between(None, start)), seed=seed)
        if origin is not None:
            refuse_seen(model, origin, until=model.info.seen_until)
    scored = {label: score(label, m, windows, metrics=names, before=start) for label, m in named.items()}
    return Backtest(
        scores=_ranked(scored, baseline),
        baseline=baseline,
        metrics=names,
        start=start,
        horizon=horizon,
        stride=stride,
        windows=windows,
        predictions={label: s.prediction for label, s in scored.items()},
    )


def _labels(models: Sequence[Predictor[Any]] | Mapping[str, Predictor[Any]]) -> dict[str, Predictor[Any]]:
    """Label -> model; models of a list are called by their id, further ones of an id "id (2)", ..."""
    if isinstance(models, Mapping):
        named = dict(models)
    else:
        named = {}
        for model in models:
            label, k = model.spec.id, 2
            while label in named:
                label, k = f"{model.spec.id} ({k})", k + 1
            named[label] = model
    if not named:
        raise InvalidInputError("models", "hold at least one predictor")
    return named


def _time(start: Any) -> Any:
    """Datetimes of every library as UTC datetime64[us]; other values as they are."""
    if isinstance(start, datetime):
        if start.tzinfo is not None:
            start = start.astimezone(UTC).replace(tzinfo=None)
        return np.datetime64(start, "us")
    if isinstance(start, str | np.datetime64):
        try:
            return np.asarray(start, dtype="datetime64[us]")[()]
        except ValueError as error:
            raise InvalidInputError(
                "start", "is a time such as '2024-05-01T00:00'", got=repr(start)
            ) from error
    return start


def _rolling(
    data: Data, *, start: Any, horizon: int | None, stride: int, classify: bool
) -> tuple[Windows, np.datetime64 | None]:
    """Windows from `start` on, and the last row known to the first of them."""
    if classify:
        return data.between(start, None).windows(), None
    timeline = data.timeline[: getattr(data, "known_rows", len(data.timeline))]
    first = int(np.searchsorted(timeline, start))
    if horizon is None or horizon < 1:
        raise InvalidInputError("horizon", "is at least 1", got=horizon)
    if stride < 1:
        raise InvalidInputError("stride", "is at least 1", got=stride)
    last = len(timeline) - horizon  # row of the last first target
    if first < 1 or first > last:
        raise ShapeError(
            "start",
            f"leaves a row before it and {horizon} rows from it on ({timeline[0]}..{timeline[-1]})",
            got=start,
        )
    origins = timeline[first - 1 : last : stride]
    windows = data.windows(context_length=None, horizon=horizon, origins=origins)
    return windows, origins[0] if origins.dtype.kind == "M" else None


def _ranked(scored: Mapping[str, Scored], baseline: str) -> tuple[Scores, ...]:
    reference = scored[baseline].scores
    scores = [skill_against(s.scores, reference) for s in scored.values()]
    key = next((k for k in reference.metrics if metric_direction(k) is not None), None)
    if key is None:
        return tuple(scores)
    sign = 1.0 if metric_direction(key) == "lower" else -1.0

    def rank(scores: Scores) -> tuple[bool, float]:
        value = scores.metrics[key]
        return value is None, 0.0 if value is None else sign * value

    return tuple(sorted(scores, key=rank))


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value
