"""Checks that a prediction depends on what was known at its origin, and on nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from forecast_core.conformance.check import check, fail, skip
from forecast_core.conformance.comparing import TOLERANCE, need_same
from forecast_core.conformance.subject import Subject, Variant
from forecast_core.data import Panel
from forecast_core.data.protocols import Extendable, HasHistory, Windows
from forecast_core.errors import ForecastError

__all__ = ["batch_independent", "future_unseen", "targets_unread", "windows_agree"]


@check(needs=("repeatable",))
def future_unseen(subject: Subject) -> None:
    """Whatever comes after an origin can change; the prediction made there cannot."""
    variant = subject.richest()
    data, model = subject.data(variant), subject.fitted(variant)
    windows = subject.windows(data)
    origins = subject.has_time(windows)
    compared = 0
    for origin in _some(np.unique(origins)):
        at = np.flatnonzero(origins == origin)
        expected = model.predict_windows(windows.take(at))
        for what, other in _futures(subject, data, origin, variant):
            altered = subject.windows(other, origins=np.array([origin]))
            if len(altered) != len(at):
                continue  # the altered data holds other items at that origin
            need_same(
                model.predict_windows(altered),
                expected,
                what=f"origin {origin}, {what}",
                tolerance=TOLERANCE,
            )
            compared += 1
    if not compared:
        skip(f"data of task {subject.task.id!r} cannot be given another future; see Extendable")
    if isinstance(data, Panel):
        known = subject.to_predict(data)
        expected = model.predict(known, horizon=subject.horizon)
        blurred = _altered(known, known.known_rows - 1, targets=False)
        need_same(
            model.predict(blurred, horizon=subject.horizon),
            expected,
            what="past covariates after the last known row changed",
            tolerance=TOLERANCE,
        )


def _futures(subject: Subject, data: Any, origin: Any, variant: Variant) -> Iterator[tuple[str, Any]]:
    """The data with another future after the origin, in each way that can be made of it."""
    timeline = data.timeline
    row = int(np.searchsorted(timeline, origin, side="right"))  # the first row after the origin
    if isinstance(data, Panel):
        yield "every later value changed", _altered(data, row - 1, ahead=subject.horizon or 0)
        return
    if isinstance(data, Extendable) and row < len(timeline):
        joined = subject.attempt(partial(_joined, data, subject.data(variant, seed=1), timeline[row]))
        if joined is not None:
            yield "every later row changed", joined
    needed = subject.windows(data, origins=np.array([origin])).label_ends
    if needed is not None:
        stop = int(np.searchsorted(timeline, needed.max(), side="right"))
        yield "rows after its horizon removed", subject.cut(data, stop)


def _joined(data: Any, other: Any, start: Any) -> Any:
    """The data before `start`, followed by other data from there on."""
    return data.between(None, start).extended(other.between(start, None))


def _altered(panel: Panel, row: int, *, ahead: int = 0, targets: bool = True) -> Panel:
    """The panel with other numbers after a row; future covariates are known for `ahead` rows more."""
    rng = np.random.default_rng(1)
    changes: dict[str, np.ndarray] = {}
    begins = {"values": row + 1, "past_covariates": row + 1, "future_covariates": row + 1 + ahead}
    for name, begin in begins.items():
        array = getattr(panel, name)
        if array is None or (not targets and name != "past_covariates"):
            continue
        other = array.copy()
        other[begin:] = 1000.0 + 300.0 * rng.normal(size=other[begin:].shape)
        changes[name] = other
    return replace(panel, **changes)  # type: ignore[arg-type]


@check(needs=("future_unseen",))
def targets_unread(subject: Subject) -> None:
    """Predicting never asks windows for their targets."""
    windows = subject.windows(subject.data())
    model = subject.fitted()
    with _targets_watched(windows) as calls:
        model.predict_windows(windows)
    if calls:
        fail("predict_windows calls windows.targets(); what is to be predicted is not known then")


@contextmanager
def _targets_watched(windows: Windows) -> Iterator[list[str]]:
    kind: Any = type(windows)
    original = kind.targets
    calls: list[str] = []

    def watched(self: Any) -> Any:
        calls.append("targets")
        return original(self)

    kind.targets = watched
    try:
        yield calls
    finally:
        kind.targets = original


@check(needs=("repeatable",))
def batch_independent(subject: Subject) -> None:
    """A window's prediction is the same alone, in any batch, and in any order (to a relative 1e-5)."""
    variant = subject.richest()
    model = subject.fitted(variant)
    windows = subject.windows(subject.data(variant))
    count = min(len(windows), 24)
    chosen = windows.take(np.unique(np.linspace(0, len(windows) - 1, count).astype(np.intp)))
    together = model.predict_windows(chosen)
    order = np.random.default_rng(0).permutation(len(chosen))
    half = np.arange(0, len(chosen), 2)
    batches = {"in another order": order, "in half the batch": half}
    batches |= {f"number {k} alone": np.array([k]) for k in _some(np.arange(len(chosen))).tolist()}
    for what, index in batches.items():
        need_same(
            model.predict_windows(chosen.take(index)),
            together.take(index),
            what=f"windows, {what}",
            tolerance=TOLERANCE,
        )


@check(needs=("timestamps", "future_unseen", "batch_independent"))
def windows_agree(subject: Subject) -> None:
    """`predict_windows` says at an origin what `predict` says of the data up to it."""
    variant = subject.richest()
    data, model = subject.data(variant), subject.fitted(variant)
    windows = subject.windows(data)
    if windows.origins is None:
        rolled = model.predict_windows(windows)
        direct = model.predict(data, horizon=subject.horizon)
        if rolled.item_ids != direct.item_ids:
            skip("rows of predict are not those of all windows")
        need_same(rolled, direct, what="predict_windows against predict", tolerance=TOLERANCE)
        return
    compared = 0
    for origin in _some(np.unique(windows.origins)):
        at = np.flatnonzero(windows.origins == origin)
        some = windows.take(at)
        rolled = model.predict_windows(some)
        if isinstance(some, HasHistory):
            _, known, rows = next(iter(some.histories()))
            direct = model.predict(known, horizon=subject.horizon).take(rows)
        else:
            stop = int(np.searchsorted(data.timeline, origin, side="right"))
            try:
                direct = model.predict(subject.cut(data, stop), horizon=subject.horizon)
            except ForecastError:
                continue
            where = {item: k for k, item in enumerate(direct.item_ids)}
            if len(where) != len(direct.item_ids) or not set(rolled.item_ids) <= set(where):
                continue
            direct = direct.take([where[item] for item in rolled.item_ids])
        need_same(
            rolled,
            direct,
            what=f"origin {origin}, predict_windows against predict",
            tolerance=TOLERANCE,
        )
        compared += 1
    if not compared:
        skip("rows of predict and of windows cannot be matched")


def _some(values: np.ndarray) -> np.ndarray:
    """The first, a middle and the last of them."""
    chosen: np.ndarray = values[np.unique([0, len(values) // 2, len(values) - 1])]
    return chosen
