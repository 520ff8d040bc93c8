"""Checks of what a model is given: declared inputs work, others are refused, bad ones give typed errors."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np

from forecast_core.conformance.check import check, fail, skip
from forecast_core.conformance.comparing import TOLERANCE, need_same
from forecast_core.conformance.subject import COVARIATES, Subject
from forecast_core.data import Panel
from forecast_core.errors import CapabilityError, ForecastError, InvalidInputError
from forecast_core.prediction import ForecastPrediction

__all__ = ["bad_input", "declared_accepted", "future_given_apart", "horizon", "undeclared_refused"]

_TRAITS = (*COVARIATES, "missing_values", "multi_item")
_NO_HORIZONS: tuple[Any, ...] = (0, -1, True, 1.5, "3")


@check(needs=("predict",))
def undeclared_refused(subject: Subject) -> None:
    """Covariates, missing values or items that the model does not declare raise CapabilityError."""
    offered = [t for t in _TRAITS if not subject.declares(t) and subject.with_trait(t) is not None]
    if not offered:
        skip("the model declares everything that sample data can hold")
    model = subject.fitted()
    for trait in offered:
        data = subject.with_trait(trait)
        windows = subject.windows(data)
        for name, action in (
            ("fit", partial(subject.new().fit, data)),
            ("predict", partial(model.predict, data, horizon=subject.horizon)),
            ("predict_windows", partial(model.predict_windows, windows)),
        ):
            if not _refuses(action, CapabilityError):
                fail(f"{name} takes {trait}, which the model does not declare")


@check(needs=("predict",))
def declared_accepted(subject: Subject) -> None:
    """Data with every kind of covariate, and with the gaps, that the model declares can be used."""
    if not subject.is_richer:
        skip("the model declares no covariates or missing values that sample data can hold")
    subject.predict("rich")
    data = subject.data("rich")
    windows = subject.windows(data)
    subject.fitted("rich").predict_windows(windows.take(np.arange(min(len(windows), 5))))


@check(needs=("declared_accepted", "repeatable"))
def future_given_apart(subject: Subject) -> None:
    """`predict(data, future=...)` says what it says of data that holds those rows already."""
    if not subject.declares("future_covariates"):
        skip("the model takes no future covariates")
    known = subject.to_predict(subject.data("rich"))
    if not isinstance(known, Panel):
        skip(f"data of task {subject.task.id!r} holds no rows after its last known one")
    past, later = known.rows(0, known.known_rows), known.rows(known.known_rows, len(known))
    model = subject.fitted("rich")
    need_same(
        model.predict(past, horizon=subject.horizon, future=later),
        model.predict(known, horizon=subject.horizon),
        what="future= against rows at the end",
        tolerance=TOLERANCE,
    )


@check(needs=("predict",))
def horizon(subject: Subject) -> None:
    """The horizon asked for is the one given; what is no horizon is refused."""
    model, data = subject.fitted(), subject.data()
    if subject.horizon is None:
        if not _refuses(partial(model.predict, data, horizon=1), CapabilityError):
            fail("a classifier takes horizon=1")
        return
    for wrong in _NO_HORIZONS:
        if not _refuses(partial(model.predict, data, horizon=wrong), InvalidInputError):
            fail(f"horizon={wrong!r} is taken")
    asked: list[tuple[Any, int]] = [(steps, steps) for steps in (1, subject.horizon, 3 * subject.horizon + 1)]
    freq = getattr(data, "freq", None)
    if freq is not None and freq.is_fixed:
        asked.append((timedelta(microseconds=int(freq.delta.astype(np.int64))), 1))
    for given, steps in asked:
        prediction = subject.attempt(partial(model.predict, data, horizon=given))
        if prediction is None:
            if given == subject.horizon:
                fail(f"horizon={given} is refused, though it is the model's own")
        elif isinstance(prediction, ForecastPrediction) and prediction.horizon != steps:
            fail(f"horizon={given!r} gives {prediction.horizon} steps")


def _refuses(action: Callable[[], Any], kind: type[ForecastError]) -> bool:
    try:
        action()
    except kind:
        return True
    return False


@check(needs=("predict",))
def bad_input(subject: Subject) -> None:
    """Input that cannot be used raises a typed ForecastError, never a bare one."""
    wrong: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for what, action in _never(subject):
            wrong += _outcome(what, action, may_work=False)
        for what, action in _perhaps(subject):
            wrong += _outcome(what, action, may_work=True)
    if wrong:
        fail("; ".join(wrong))


def _outcome(what: str, action: Callable[[], Any], *, may_work: bool) -> list[str]:
    try:
        action()
    except ForecastError:
        return []
    except Exception as error:
        return [f"{what}: {type(error).__name__}: {error}"]
    return [] if may_work else [f"{what}: accepted"]


class _Elsewhere:
    """Windows of data that no task knows."""

    data = object()
    origins = label_ends = groups = strata = None

    def __len__(self) -> int:
        return 2

    def take(self, index: np.ndarray) -> _Elsewhere:
        return self

    def targets(self) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((2, 1, 1)), np.ones((2, 1, 1), dtype=np.bool_)


def _never(subject: Subject) -> Iterator[tuple[str, Callable[[], Any]]]:
    """What no model can use."""
    model, data, new = subject.fitted(), subject.data(), subject.new()
    windows = subject.windows(data)
    strangers: dict[str, Any] = {"None": None, "text": "data", "a bare array": np.zeros((5, 2, 1))}
    for name, stranger in strangers.items():
        yield f"fit on {name}", partial(new.fit, stranger)
        yield f"predict of {name}", partial(model.predict, stranger)
        yield f"predict_windows of {name}", partial(model.predict_windows, stranger)
    yield "predict of windows", partial(model.predict, windows)
    yield "predict_windows of no window", partial(model.predict_windows, windows.take(np.arange(0)))
    yield "predict_windows of another task's windows", partial(model.predict_windows, _Elsewhere())
    yield "fit with a text for validation", partial(new.fit, data, validation="data")
    wrong: tuple[Any, ...] = (-1, 1.5, True, "0", 2**32)
    for seed in wrong:
        yield f"fit with seed={seed!r}", partial(new.fit, data, seed=seed)


def _perhaps(subject: Subject) -> Iterator[tuple[str, Callable[[], Any]]]:
    """What some models can use and others cannot."""
    model, data, steps = subject.fitted(), subject.data(), subject.horizon
    for rows in (1, 2, 3):
        short = subject.attempt(partial(subject.cut, data, rows))
        if short is not None:
            yield f"predict from {rows} rows", partial(model.predict, short, horizon=steps)
            yield f"fit on {rows} rows", partial(subject.new().fit, short)
    if steps is not None:
        for what, horizon in (("one row of context", steps), ("a long horizon", 4 * steps + 3)):
            windows = subject.attempt(partial(data.windows, context_length=1, horizon=horizon))
            if windows is not None:
                yield f"windows with {what}", partial(model.predict_windows, windows)
    if isinstance(data, Panel):
        for what, panel in _panels(subject, data):
            yield f"predict from {what}", partial(model.predict, panel, horizon=steps)
            yield f"windows of {what}", partial(model.predict_windows, subject.windows(panel))
        flat = replace(data, values=np.zeros_like(data.values))
        yield "fit on constant values", partial(subject.new().fit, flat)


def _panels(subject: Subject, panel: Panel) -> Iterator[tuple[str, Panel]]:
    """Panels unlike the one the model was fitted on."""
    yield "constant values", replace(panel, values=np.full_like(panel.values, 7.0))
    yield "values of 1e12", replace(panel, values=panel.values * 1e12)
    yield "items never seen", replace(panel, item_ids=tuple(f"new-{k}" for k in range(len(panel.item_ids))))
    yield "fewer items", panel.select_items(panel.item_ids[:1])
    yield "two targets", replace(panel, values=np.repeat(panel.values, 2, axis=2), target_names=("a", "b"))
    if subject.declares("missing_values"):
        gone = panel.values.copy()
        gone[:, 0] = np.nan
        yield "an item without any observation", replace(panel, values=gone)
        yield "no observation at all", replace(panel, values=np.full_like(gone, np.nan))
