"""Checks that a model leaves alone what is not its own: its input, itself, and the process."""

from __future__ import annotations

from forecast_core.conformance.check import check, fail
from forecast_core.conformance.comparing import need_same
from forecast_core.conformance.global_state import watched
from forecast_core.conformance.subject import Subject

__all__ = ["global_state_unchanged", "input_unchanged", "repeatable"]


@check(needs=("predict",))
def repeatable(subject: Subject) -> None:
    """Predicting twice gives the same: predicting draws nothing unseeded and changes nothing."""
    need_same(subject.predict(), subject.predict(), what="predict, then predict")
    windows = subject.windows(subject.data())
    model = subject.fitted()
    need_same(
        model.predict_windows(windows), model.predict_windows(windows), what="predict_windows, then again"
    )


@check(needs=("predict",))
def input_unchanged(subject: Subject) -> None:
    """Neither fit nor predict changes the data they are given."""
    model = subject.fitted()
    if not subject.data_kept_by_fit:
        fail("fit changes its data; copy what is to be changed")
    data = subject.data()
    content = data.fingerprint()
    model.predict(subject.to_predict(data), horizon=subject.horizon)
    if data.fingerprint() != content:
        fail("predict changes its data; copy what is to be changed")
    model.predict_windows(subject.windows(data))
    if data.fingerprint() != content:
        fail("predict_windows changes its data; copy what is to be changed")


@check(needs=("predict",))
def global_state_unchanged(subject: Subject) -> None:
    """Fit and predict leave the process's random generators and numeric settings as they were."""
    subject.fitted()
    if subject.touched_by_fit:
        fail(f"fit changes {', '.join(subject.touched_by_fit)}; use generators of your own")
    with watched() as touched:
        subject.predict()
        subject.fitted().predict_windows(subject.windows(subject.data()))
    if touched:
        fail(f"predict changes {', '.join(touched)}; use generators of your own")
