"""Whether two predictions say the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from forecast_core.arrays import arrays_equal
from forecast_core.conformance.check import fail
from forecast_core.prediction import Prediction, SamplePrediction

__all__ = ["TOLERANCE", "difference", "need_same"]

# Share of the largest number: float32 sums in another order (batches of another size) differ by less.
TOLERANCE = 1e-5

_DEVIATIONS = 8.0  # standard errors by which means of independent draws may differ


def need_same(got: Prediction, expected: Prediction, *, what: str, tolerance: float = 0.0) -> None:
    """Fail unless both predictions are equal, up to `tolerance` times the largest number of each array."""
    text = difference(got, expected, tolerance=tolerance)
    if text:
        fail(f"{what}: {text}")


def difference(got: Prediction, expected: Prediction, *, tolerance: float = 0.0) -> str:
    """Where two predictions differ, in words; empty if they do not.

    With a tolerance, draws may be other draws of the same distribution: their means are compared.
    """
    if type(got) is not type(expected):
        return f"a {got.kind} prediction against a {expected.kind} one"
    if got.item_ids != expected.item_ids:
        return f"rows {_start(got.item_ids)} against {_start(expected.item_ids)}"
    for name in type(got).model_fields:
        a, b = _field(got, name), _field(expected, name)
        if isinstance(got, SamplePrediction) and tolerance and name == "values":
            assert isinstance(expected, SamplePrediction)
            text = _draws(got, expected)
        elif isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            text = _arrays(a, b, tolerance)
        elif name in ("steps", "target_names", "classes"):
            text = "" if a == b else f"{a} against {b}"
        else:
            text = "" if (a is None) == (b is None) else "given once, absent once"
        if text:
            return f"{name} differ, {text}"
    return ""


def _field(prediction: Prediction, name: str) -> Any:
    """A field; timestamps in the form [row, step], whichever of the two forms they have."""
    value = getattr(prediction, name)
    if name == "timestamps" and isinstance(value, np.ndarray) and value.ndim == 1:
        return np.tile(value, (len(prediction), 1))
    return value


def _arrays(a: np.ndarray, b: np.ndarray, tolerance: float) -> str:
    if a.shape != b.shape:
        return f"shape {a.shape} against {b.shape}"
    if arrays_equal(a, b):
        return ""
    if a.dtype.kind != "f" or b.dtype.kind != "f":
        return f"{int((a != b).sum())} of {a.size} entries"
    a, b = a.astype(np.float64), b.astype(np.float64)
    apart = np.abs(a - b)
    if (apart <= tolerance * max(float(np.abs(b).max()), 1e-12)).all():
        return ""
    place = tuple(int(k) for k in np.unravel_index(int(np.nanargmax(apart)), apart.shape))
    return f"{a[place]:.6g} against {b[place]:.6g} at {place}"


def _draws(got: SamplePrediction, expected: SamplePrediction) -> str:
    if got.values.shape != expected.values.shape:
        return f"shape {got.values.shape} against {expected.values.shape}"
    error = np.sqrt((got.variance() + expected.variance()) / len(got.values))
    apart = np.abs(got.mean() - expected.mean())
    bound = _DEVIATIONS * error + TOLERANCE * np.abs(expected.mean()).max()
    if (apart <= bound).all():
        return ""
    place = tuple(int(k) for k in np.unravel_index(int((apart - bound).argmax()), apart.shape))
    return f"means {got.mean()[place]:.6g} against {expected.mean()[place]:.6g} at {place}"


def _start(item_ids: tuple[int | str, ...]) -> str:
    shown = ", ".join(map(repr, item_ids[:4]))
    return f"{len(item_ids)} ({shown}{', ...' if len(item_ids) > 4 else ''})"
