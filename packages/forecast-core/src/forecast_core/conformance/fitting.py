"""Checks of fitting: what it needs, what it leaves behind, and that it starts afresh."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from forecast_core.conformance.check import check, fail, skip
from forecast_core.conformance.comparing import need_same
from forecast_core.conformance.subject import Subject
from forecast_core.errors import NotFittedError

__all__ = ["fit", "refit_from_scratch", "same_seed_same_model", "unfitted_refused"]

_SEED_TOLERANCE = 1e-6  # parallel sums may come in another order


@check(needs=("sample_data",))
def unfitted_refused(subject: Subject) -> None:
    """Before fit, predict, predict_windows and save raise NotFittedError."""
    if not subject.spec.capabilities.needs_fit:
        skip("the model needs no fitting")
    data = subject.data()
    with tempfile.TemporaryDirectory() as folder:
        actions: dict[str, Callable[[], Any]] = {
            "predict": lambda: subject.new().predict(data),
            "predict_windows": lambda: subject.new().predict_windows(subject.windows(data)),
            "save": lambda: subject.new().save(Path(folder) / "model"),
        }
        for name, action in actions.items():
            try:
                action()
            except NotFittedError:
                continue
            fail(f"{name} works before fit")


@check(needs=("sample_data",))
def fit(subject: Subject) -> None:
    """Fitting gives the predictor back, and `info` says on what it was fitted."""
    data, model = subject.data(), subject.new()
    config = model.config
    if model.fit(data, seed=0) is not model:
        fail("fit does not return the predictor itself")
    info = model.info
    if not model.is_fitted or not info.fitted or info.seed != 0 or info.id != subject.spec.id:
        fail(f"info after fit is {info!r}")
    if info.trained_on != subject.data().fingerprint():
        fail("info.trained_on is not the fingerprint of the training data")
    if model.config != config:
        fail("fit changes the configuration")


@check(needs=("repeatable",))
def same_seed_same_model(subject: Subject) -> None:
    """Two fits with one seed give the same predictions."""
    again = subject.new().fit(subject.data(), seed=0)
    need_same(
        subject.predict(model=again), subject.predict(), what="two fits, one seed", tolerance=_SEED_TOLERANCE
    )


@check(needs=("same_seed_same_model",))
def refit_from_scratch(subject: Subject) -> None:
    """Fitting a fitted predictor again gives what a new one would give."""
    model = subject.new().fit(subject.data(seed=1), seed=1).fit(subject.data(), seed=0)
    need_same(
        subject.predict(model=model), subject.predict(), what="fit after fit", tolerance=_SEED_TOLERANCE
    )
