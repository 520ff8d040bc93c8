"""Checks of learning online: what `update` learns, that nothing is learned twice, and what it is worth."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from forecast_core.conformance.check import check, fail, skip
from forecast_core.conformance.comparing import need_same
from forecast_core.conformance.subject import Subject
from forecast_core.errors import CapabilityError, InvalidInputError
from forecast_core.evaluation.refitting import RefitPolicy, predict_rolling
from forecast_core.evaluation.scores import score
from forecast_core.metrics import metric_direction

__all__ = ["exact_update", "online_update", "update_follows_drift"]

_EXACT = 1e-6
_DRIFT = 2.0


@check(needs=("repeatable",))
def online_update(subject: Subject) -> None:
    """`update` learns later rows, each once, where the model declares `online`, and is refused elsewhere."""
    if not subject.declares("online"):
        try:
            subject.fitted().update(subject.data())
        except CapabilityError:
            return
        fail("update works, but the model does not declare online")
    data = subject.data()
    content = data.fingerprint()
    model = subject.new().fit(_earlier(subject, data), seed=0)
    if model.update(data) is not model:
        fail("update does not return the predictor itself")
    if data.fingerprint() != content:
        fail("update changes its input")
    need_same(
        subject.predict(model=model), subject.predict(model=model), what="predict after update, then again"
    )
    if model.info.fitted_until is None:
        return
    try:
        model.update(data)
    except InvalidInputError:
        return
    fail("update learns rows a second time")


@check(needs=("online_update",))
def exact_update(subject: Subject) -> None:
    """Where `exact_update` is declared, fit then update gives what fitting on all rows gives."""
    if not subject.declares("exact_update"):
        skip("the model does not declare exact_update")
    data = subject.data()
    updated = subject.new().fit(_earlier(subject, data), seed=0).update(data)
    whole = subject.new().fit(data, seed=0)
    need_same(
        subject.predict(model=updated),
        subject.predict(model=whole),
        what="fit then update, and one fit",
        tolerance=_EXACT,
    )


@check(needs=("online_update",))
def update_follows_drift(subject: Subject) -> None:
    """On a stream that drifts, the model that learns online scores better than the same model left alone."""
    if not subject.declares("online"):
        skip("the model does not learn online")
    if "drift" not in subject.options:
        skip(f"sample data of task {subject.task.id!r} has no drift")
    metric = subject.task.objective
    sign = -1.0 if metric_direction(metric) == "higher" else 1.0
    static, learning = [], []
    for seed in range(3):
        data = subject.sample(seed=seed, drift=_DRIFT)
        model = subject.new().fit(_earlier(subject, data), seed=0)
        windows = subject.windows(data)
        origins = subject.has_time(windows)
        late = windows.take(np.flatnonzero(origins >= data.timeline[len(data.timeline) * 5 // 8]))
        following = partial(predict_rolling, windows=late, data=data, policy=RefitPolicy(update=1), seed=0)
        static.append(_score(model, late, metric))
        learning.append(_score(model, late, metric, predict=following))
    if not sign * float(np.mean(learning)) < sign * float(np.mean(static)):
        fail(
            f"on drifting data {metric} is {np.mean(learning):.4g} with updates and {np.mean(static):.4g} "
            "without"
        )


def _score(model: Any, windows: Any, metric: str, **how: Any) -> float:
    value = score("model", model, windows, metrics=[metric], **how).scores.metrics[metric]
    if value is None:
        skip(f"the model's predictions cannot be scored by {metric}")
    return value


def _earlier(subject: Subject, data: Any) -> Any:
    """The first half of some data, by rows."""
    return subject.cut(data, len(data.timeline) // 2)
