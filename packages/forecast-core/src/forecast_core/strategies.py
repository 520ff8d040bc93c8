"""Hypothesis strategies for tests of models and plugins; needs the extra `test`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from forecast_core.data import Freq, Panel
from forecast_core.prediction import (
    ClassPrediction,
    MixturePrediction,
    PathMixturePrediction,
    PointPrediction,
    Prediction,
    QuantilePrediction,
    SamplePrediction,
)

__all__ = ["freqs", "panels", "predictions"]

_KINDS = ("point", "quantile", "sample", "mixture", "path-mixture", "class")
_START = np.datetime64("2024-01-01", "us")


def freqs() -> st.SearchStrategy[Freq]:
    """Frequencies of every unit, small counts."""
    units = st.sampled_from(["ms", "s", "min", "h", "D", "W", "MS", "QS", "YS"])
    return st.builds(Freq, st.integers(1, 30), units)


@st.composite
def panels(
    draw: st.DrawFn,
    *,
    rows: tuple[int, int] = (2, 40),
    items: tuple[int, int] = (1, 4),
    targets: tuple[int, int] = (1, 2),
    covariates: bool = True,
    missing: bool = True,
) -> Panel:
    """Panels of any frequency, with or without a zone, float32 or float64; bounds are inclusive.

    missing: some targets (and past covariates) may be NaN. covariates: any of the three sorts may be
    there; with future ones, the last rows may be pure future.
    """
    n, i, t = draw(st.integers(*rows)), draw(st.integers(*items)), draw(st.integers(*targets))
    freq = draw(freqs())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size, dtype = draw(st.sampled_from([1e-3, 1.0, 1e6])), draw(st.sampled_from([np.float64, np.float32]))

    def numbers(*shape: int, gaps: bool) -> np.ndarray:
        values = (rng.normal(size=shape) * size).astype(dtype)
        if gaps and missing:
            values[rng.random(shape) < draw(st.sampled_from([0.0, 0.2]))] = np.nan
        return values

    counts = st.integers(0, 2) if covariates else st.just(0)
    past, future, static = draw(counts), draw(counts), draw(counts)
    return Panel(
        values=numbers(n, i, t, gaps=True),
        timestamps=freq.range(freq.floor(np.array([_START]))[0], n),
        item_ids=draw(
            st.lists(
                st.one_of(st.integers(-5, 99), st.text(max_size=5)), min_size=i, max_size=i, unique=True
            ).map(tuple)
        ),
        freq=freq,
        target_names=tuple(f"target-{k}" for k in range(t)),
        past_covariates=numbers(n, i, past, gaps=True) if past else None,
        future_covariates=numbers(n, i, future, gaps=False) if future else None,
        static_covariates=numbers(i, static, gaps=False) if static else None,
        tz=draw(st.sampled_from([None, "UTC", "Australia/Lord_Howe"])),
    )


@st.composite
def predictions(draw: st.DrawFn, *, kinds: Sequence[str] = _KINDS) -> Prediction:
    """Valid predictions of some of core's kinds, 1 to 4 rows, float32 or float64."""
    kind = draw(st.sampled_from(list(kinds)))
    n, h, t, k = (draw(st.integers(1, m)) for m in (4, 4, 2, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    size = draw(st.sampled_from([1e-3, 1.0, 1e4]))
    common: dict[str, Any] = {
        "item_ids": tuple(
            draw(st.lists(st.one_of(st.integers(0, 99), st.text(max_size=4)), min_size=n, max_size=n))
        ),
        "confidence": draw(st.sampled_from([None, rng.random(n)])),
    }

    def normal(*shape: int) -> np.ndarray:
        return (rng.normal(size=shape) * size).astype(dtype)

    def simplex(*shape: int) -> np.ndarray:
        return rng.dirichlet(np.ones(shape[-1]), size=shape[:-1]).astype(dtype)

    if kind == "class":
        classes = tuple(f"class-{c}" for c in range(k + 1))
        return ClassPrediction(probabilities=simplex(n, k + 1), classes=classes, **common)
    stamps = _START + np.arange(h) * np.timedelta64(1, "h")
    common["timestamps"] = draw(st.sampled_from([None, stamps, np.tile(stamps, (n, 1))]))
    common["steps"] = draw(st.sampled_from([None, tuple(float(s) for s in range(1, h + 1))]))
    if kind == "path-mixture":
        root = normal(n, h, 2, 2, k) + np.eye(2, dtype=dtype)[:, :, None] * 3 * dtype(size)
        covariances = np.einsum("nhijk,nhljk->nhilk", root, root)
        return PathMixturePrediction(
            weights=simplex(n, k), means=normal(n, h, 2, k), covariances=covariances, **common
        )
    common["target_names"] = tuple(f"target-{c}" for c in range(t))
    if kind == "point":
        return PointPrediction(values=normal(n, h, t), **common)
    if kind == "quantile":
        levels = (
            np.array(draw(st.lists(st.integers(1, 99), min_size=2, max_size=7, unique=True).map(sorted)))
            / 100
        )
        return QuantilePrediction(levels=levels, values=np.sort(normal(n, h, t, len(levels)), -1), **common)
    if kind == "sample":
        return SamplePrediction(
            values=normal(draw(st.integers(1, 20)), n, h, t), joint=draw(st.booleans()), **common
        )
    weights = simplex(n, draw(st.sampled_from([1, h])), draw(st.sampled_from([1, t])), k)
    sigmas = (rng.uniform(0.1, 2.0, (n, h, t, k)) * size).astype(dtype)
    return MixturePrediction(weights=weights, means=normal(n, h, t, k), sigmas=sigmas, **common)
