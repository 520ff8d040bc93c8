"""Checks of the form of a prediction: kind, shape, rows, timestamps, and who made it."""

from __future__ import annotations

import numpy as np

from forecast_core.conformance.check import check, fail, skip
from forecast_core.conformance.subject import Subject
from forecast_core.prediction import ForecastPrediction, SamplePrediction

__all__ = ["model_reference", "predict", "shapes", "timestamps"]


@check(needs=("fit",))
def predict(subject: Subject) -> None:
    """`predict` and `predict_windows` work, and give a kind of prediction that the spec declares."""
    data = subject.data()
    windows = subject.windows(data)
    made = {
        "predict": subject.predict(),
        "predict_windows": subject.fitted().predict_windows(windows.take(np.arange(min(len(windows), 5)))),
    }
    kinds, joint = subject.spec.capabilities.prediction_kinds, subject.declares("joint_samples")
    for name, prediction in made.items():
        if prediction.kind not in kinds:
            fail(f"{name} gives kind {prediction.kind!r}; declared: {', '.join(kinds)}")
        if isinstance(prediction, SamplePrediction) and prediction.joint != joint:
            fail(f"{name} gives draws with joint={prediction.joint}; declared: joint_samples={joint}")


@check(needs=("predict",))
def shapes(subject: Subject) -> None:
    """A row an item, in the data's order; [row, horizon, target] as asked for; a row a window."""
    data, prediction = subject.data(), subject.predict()
    items = getattr(data, "item_ids", None)
    if items is not None and tuple(prediction.item_ids) != tuple(items):
        fail(f"rows are {prediction.item_ids}, items of the data {tuple(items)}")
    windows = subject.windows(data).take(np.arange(3))
    rolled = subject.fitted().predict_windows(windows)
    if len(rolled) != len(windows):
        fail(f"{len(rolled)} rows for {len(windows)} windows")
    rows = getattr(windows, "item_ids", None)
    if rows is not None and tuple(rolled.item_ids) != tuple(rows):
        fail(f"rows are {rolled.item_ids}, items of the windows {tuple(rows)}")
    names = getattr(data, "target_names", None)
    for each in (prediction, rolled):
        if not isinstance(each, ForecastPrediction):
            continue
        if names is not None and each.target_names != tuple(names):
            fail(f"targets are {each.target_names}, those of the data {tuple(names)}")
        expected = (len(each.item_ids), subject.horizon, len(each.target_names))
        if each.shape != expected or each.mean().shape != expected:
            fail(f"shape {each.shape}, mean {each.mean().shape}; expected {expected}")


@check(needs=("predict",))
def timestamps(subject: Subject) -> None:
    """Forecasts begin right after the last known row."""
    data = subject.to_predict(subject.data())
    if subject.classifies or not hasattr(data, "future_timestamps"):
        skip(f"data of task {subject.task.id!r} does not tell future timestamps")
    prediction = subject.predict()
    assert isinstance(prediction, ForecastPrediction)
    expected = data.future_timestamps(subject.horizon)
    if prediction.timestamps is None or not (prediction.timestamps == expected).all():
        fail(f"timestamps are {prediction.timestamps}, expected {expected}")
    windows = subject.windows(subject.data())
    rolled = subject.fitted().predict_windows(windows.take(np.arange(3)))
    assert isinstance(rolled, ForecastPrediction)
    ends = windows.label_ends
    if ends is not None and (rolled.timestamps is None or not (rolled.timestamps[..., -1] == ends[:3]).all()):
        fail(f"last timestamps of windows are not {ends[:3]}")


@check(needs=("predict",))
def model_reference(subject: Subject) -> None:
    """Predictions say which model made them, and on what it was fitted."""
    ref, info = subject.predict().model, subject.fitted().info
    if ref is None or (ref.id, ref.version, ref.trained_on) != (info.id, info.version, info.trained_on):
        fail(f"model is {ref!r}, expected {info.id!r} version {info.version} trained on {info.trained_on}")
