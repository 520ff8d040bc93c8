"""Checks of what a prediction says: finite, monotone, and one distribution whichever way it is asked."""

from __future__ import annotations

import numpy as np

from forecast_core.conformance.check import check, fail, skip
from forecast_core.conformance.subject import Subject
from forecast_core.prediction import ClassPrediction, ForecastPrediction, SamplePrediction

__all__ = ["consistent_distribution", "finite", "monotone_quantiles", "samples_follow_distribution"]

_LEVELS = np.array([0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95])
_DRAWS = 2000
_DEVIATIONS = 7.0  # standard errors that averages of draws may be off


@check(needs=("predict",))
def finite(subject: Subject) -> None:
    """Means, variances and quantiles, or probabilities, are finite; variances are not negative."""
    prediction = subject.predict()
    if isinstance(prediction, ClassPrediction):
        total = prediction.probabilities.sum(-1)
        if not np.isfinite(prediction.probabilities).all() or not np.allclose(total, 1.0, atol=1e-5):
            fail("probabilities are not finite or do not sum to 1")
        return
    if not isinstance(prediction, ForecastPrediction):
        skip(f"predictions of kind {prediction.kind!r} have no mean")
    answers = {"mean": prediction.mean(), "median": prediction.median()}
    if prediction.kind != "point":
        answers |= {"variance": prediction.variance(), "quantile": prediction.quantile(_LEVELS)}
        if (answers["variance"] < 0).any():
            fail("variances are negative")
    for name, values in answers.items():
        if not np.isfinite(values).all():
            fail(f"{name} is not finite everywhere")


@check(needs=("finite",))
def monotone_quantiles(subject: Subject) -> None:
    """Quantiles do not fall as levels rise."""
    values = _forecast(subject).quantile(_LEVELS)
    falls = np.diff(values, axis=-1) < 0
    if falls.any():
        place = tuple(int(k) for k in np.argwhere(falls)[0])
        fail(f"quantile {_LEVELS[place[-1] + 1]} is below quantile {_LEVELS[place[-1]]} at {place[:-1]}")


@check(needs=("monotone_quantiles",))
def consistent_distribution(subject: Subject) -> None:
    """Median, interval, quantile and cdf speak of one distribution."""
    prediction = _forecast(subject)
    quantiles = prediction.quantile(_LEVELS)
    scale = max(float(np.abs(quantiles).max()), 1e-12)

    def need(name: str, got: np.ndarray, expected: np.ndarray) -> None:
        if got.shape != expected.shape or np.abs(got - expected).max() > 1e-6 * scale:
            fail(f"{name} does not agree with quantile()")

    need("median()", prediction.median(), quantiles[..., 3])
    for coverage, low, high in ((0.9, 0, 6), (0.8, 1, 5), (0.5, 2, 4)):
        interval = prediction.interval(coverage)
        need(f"interval({coverage}).lower", interval.lower, quantiles[..., low])
        need(f"interval({coverage}).upper", interval.upper, quantiles[..., high])
    slack = _grain(prediction) + 1e-3
    for k, level in enumerate(_LEVELS.tolist()):
        nudge = 1e-7 * scale
        below, above = prediction.cdf(quantiles[..., k] - nudge), prediction.cdf(quantiles[..., k] + nudge)
        if (below > level + slack).any() or (above < level - slack).any():
            fail(f"cdf(quantile({level})) is not {level}")


@check(needs=("consistent_distribution",))
def samples_follow_distribution(subject: Subject) -> None:
    """`sample` repeats with its seed, and its draws have the mean and the quantiles claimed."""
    prediction = _forecast(subject)
    draws = prediction.sample(_DRAWS, seed=0)
    if draws.shape != (_DRAWS, *prediction.shape):
        fail(f"sample({_DRAWS}) has shape {draws.shape}, expected {(_DRAWS, *prediction.shape)}")
    if not np.array_equal(draws, prediction.sample(_DRAWS, seed=0)):
        fail("sample with one seed gives other draws at each call")
    error = np.sqrt(prediction.variance() / _DRAWS)
    scale = max(float(np.abs(prediction.mean()).max()), 1e-12)
    if (np.abs(draws.mean(0) - prediction.mean()) > _DEVIATIONS * error + 1e-6 * scale).any():
        fail("the mean of draws is not mean()")
    for level in (0.1, 0.5, 0.9):
        at = prediction.quantile(level)
        slack = _DEVIATIONS * np.sqrt(level * (1 - level) / _DRAWS) + _grain(prediction)
        at_most = (draws <= at + 1e-7 * scale).mean(0)
        below = (draws < at - 1e-7 * scale).mean(0)
        if (at_most < level - slack).any() or (below > level + slack).any():
            fail(f"draws fall below quantile({level}) at another rate")


def _forecast(subject: Subject) -> ForecastPrediction:
    prediction = subject.predict()
    if not isinstance(prediction, ForecastPrediction):
        skip("class predictions hold probabilities, not a distribution over numbers")
    if prediction.kind == "point":
        skip("point predictions claim no distribution")
    return prediction


def _grain(prediction: ForecastPrediction) -> float:
    """Steps in which the distribution function may jump."""
    return 1.0 / len(prediction.values) if isinstance(prediction, SamplePrediction) else 0.0
