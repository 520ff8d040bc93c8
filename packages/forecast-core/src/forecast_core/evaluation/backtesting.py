"""`backtest`: several models on the same rolling origins, and the leaderboard they make."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np

from forecast_core.data.frames import build_frame
from forecast_core.data.instants import instant
from forecast_core.data.protocols import Data, Windows
from forecast_core.data.reading import known_timeline
from forecast_core.errors import InvalidInputError, ShapeError
from forecast_core.evaluation.evaluating import default_metrics, old_enough, refuse_seen, task_baseline
from forecast_core.evaluation.refitting import RefitPolicy, predict_rolling
from forecast_core.evaluation.scores import Scored, Scores, adapted, score, skill_against
from forecast_core.metrics import metric_direction
from forecast_core.prediction import Prediction
from forecast_core.predictor import Predictor
from forecast_core.validation import whole

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

    def to_frame(
        self, *, by: Literal["model", "horizon", "item"] = "model", backend: str | None = None
    ) -> Any:
        """The leaderboard: models best first, columns model, each metric, and its skill.

        by="horizon": a row a (model, step); by="item": a row a (model, item); skill is then against the
        baseline at the same step or item. Metrics without such values are left out.
        """
        if by == "model":
            rows = [(s.label, None, s.metrics, s.skill) for s in self.scores]
        elif by in ("horizon", "item"):
            baseline = self[self.baseline]
            rows = [
                (s.label, place, values, skill)
                for s in self.scores
                for place, values, skill in _places(s, baseline, by)
            ]
        else:
            raise InvalidInputError("by", "is 'model', 'horizon' or 'item'", got=repr(by))
        columns: dict[str, Any] = {"model": [label for label, *_ in rows]}
        if by != "model":
            columns["step" if by == "horizon" else "item_id"] = [place for _, place, *_ in rows]
        for key in rows[0][2] if rows else ():
            columns[key] = [_nan(metrics[key]) for *_, metrics, _ in rows]
        for key in rows[0][3] if rows else ():
            columns[f"skill_{key}"] = [_nan(skill.get(key)) for *_, skill in rows]
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
    refit: RefitPolicy | int | None = None,
) -> Backtest:
    """Predict from rolling origins and score every model on the same windows.

    start: time of the first row to be forecast; the first origin is the row before it, and further
    origins follow every `stride` rows while the horizon fits. models: a list, or label -> model. A model
    that is not fitted yet is fitted, in place, on the rows before `start` with `seed`; covariates it
    does not take are left out for it alone. The task's naive baseline takes part unless a model of that
    id is among `models` already. Scaled metrics scale on rows before `start`. refit: models that need
    fitting are fitted afresh every that many origins on all rows known by then (`RefitPolicy` says more);
    default: never.

    Returns scores sorted by the first metric that has a direction. Raises LeakError if a fitted model
    has seen rows from `start` on, ShapeError if no window fits, MetricError for unknown metrics.
    """
    policy = refit if isinstance(refit, RefitPolicy) else RefitPolicy(refit=refit)
    named = _labels(models)
    task = next(iter(named.values())).task
    names = tuple(metrics) if metrics is not None else tuple(default_metrics(task))
    start = _beginning(start, data.timeline)
    windows, origin = _rolling(
        data, start=start, horizon=horizon, stride=stride, classify=task.kind != "forecast"
    )
    baseline = next((label for label, m in named.items() if m.spec.id == task.baseline), None)
    if baseline is None:
        baseline = _free_label(task.baseline, named)
        named[baseline] = task_baseline(task)
    for model in named.values():
        if model.task.id != task.id:
            raise InvalidInputError(
                "models", f"are of one task ({task.id!r})", got=f"{model.spec.id} of {model.task.id!r}"
            )
        if policy.update is not None and model.spec.capabilities.needs_fit:
            policy.check(model)
        if not model.is_fitted:
            model.fit(adapted(model, data.between(None, start)), seed=seed)
        if origin is None:
            model._check_unseen(windows)
        else:
            refuse_seen(model, origin, until=model.info.seen_until)
    windows = old_enough(windows, tuple(named.values()), data)

    def predict(model: Predictor[Any]) -> Prediction:
        return predict_rolling(model, windows, data, policy=policy, seed=seed)

    scored = {
        label: score(label, m, windows, metrics=names, before=start, predict=predict)
        for label, m in named.items()
    }
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
        if isinstance(models, Predictor | str):
            raise InvalidInputError("models", "are a list of predictors, or label -> predictor", got=models)
        named = {}
        for position, model in enumerate(models):
            name = model.spec.id if isinstance(model, Predictor) else str(position)
            named[_free_label(name, named)] = model
    if not named:
        raise InvalidInputError("models", "hold at least one predictor")
    for label, model in named.items():
        if not isinstance(label, str):
            raise InvalidInputError("models", "are a list, or called by texts", got=repr(label))
        if not isinstance(model, Predictor):
            hint = "create_model(id) makes a predictor"
            raise InvalidInputError("models", "are predictors", place=str(label), got=repr(model), hint=hint)
    return named


def _free_label(name: str, taken: Container[str]) -> str:
    """The name, or the first of "name (2)", "name (3)", ... that is not taken."""
    label, k = name, 2
    while label in taken:
        label, k = f"{name} ({k})", k + 1
    return label


def _beginning(start: Any, timeline: np.ndarray) -> Any:
    """`start` as the timeline counts: datetime64[us] in UTC, or a number for data without a clock."""
    if timeline.dtype.kind == "M":
        return instant("start", start)
    number = isinstance(start, int | float | np.number) and not isinstance(start, bool)
    if not number or not np.isfinite(start):
        raise InvalidInputError("start", "is a number: the data has no clock", got=repr(start))
    return start


def _rolling(
    data: Data, *, start: Any, horizon: int | None, stride: int, classify: bool
) -> tuple[Windows, np.datetime64 | None]:
    """Windows from `start` on, and the last row known to the first of them."""
    if classify:
        return data.between(start, None).windows(), None
    timeline = known_timeline(data)
    first = int(np.searchsorted(timeline, start))
    horizon, stride = whole("horizon", horizon), whole("stride", stride)
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


def _places(
    scores: Scores, baseline: Scores, by: Literal["horizon", "item"]
) -> Iterator[tuple[Any, dict[str, float | None], dict[str, float | None]]]:
    """Step or item, metrics there, and skill there."""
    if by == "horizon":
        mine: dict[str, Any] = {key: dict(enumerate(v, 1)) for key, v in scores.by_horizon.items()}
        theirs: dict[str, Any] = {key: dict(enumerate(v, 1)) for key, v in baseline.by_horizon.items()}
    else:
        mine, theirs = scores.by_item, baseline.by_item
    for place in next(iter(mine.values()), {}):
        there = scores.model_copy(update={"metrics": {key: values[place] for key, values in mine.items()}})
        naive = baseline.model_copy(update={"metrics": {key: v.get(place) for key, v in theirs.items()}})
        yield place, there.metrics, skill_against(there, naive).skill


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value
